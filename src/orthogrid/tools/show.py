"""One cell: its settings, what came out, its trace, and how to make it again."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import pandas as pd

from ..cells.cell import AXES, Cell
from ..cells.components import ConfigError
from ..cells.config import Config
from ..jobs.files import read_table
from ..jobs.store import Store

SHORTEST = 4  # of a key that is not written out
DRAWN = ("fit", "orthogonality_fro", "distance")


def find_cell(config: Config, key: str) -> Cell:
    """The configured cell whose key begins so. Raises ConfigError where there is none, or more than one."""
    found = [cell for cell in config.cells if cell.key.startswith(key)]
    if len(key) < SHORTEST:
        why = f"is shorter than {SHORTEST} digits"
    elif len(found) == 1:
        return found[0]
    elif found:
        some = ", ".join(cell.key for cell in found[:5])
        raise ConfigError(f"key '{key}' is that of {len(found)} cells, {some}; write more of it")
    else:
        why = f"is no cell of {config.source or config.run}"
    raise ConfigError(f"key '{key}' {why}; take one of the column key of {config.root}/cells.csv")


def stored_row(config: Config, cell: Cell) -> tuple[dict[str, Any], pd.DataFrame] | None:
    """A cell's row and its trace, made by today's code or else by other code. None where the cell has no row."""
    store = Store(config.root)
    if (name := store.where([cell], any_code=True).get(cell.key)) is None:
        return None
    row, trace = (table[table["key"] == cell.key] for table in (store.rows(name), store.traces(name)))
    return row.iloc[0].to_dict(), trace


def show(config: Config, key: str, png: str | None = None) -> str:
    """A cell in words. Draws its trace into the file `png`, if one is named."""
    cell = find_cell(config, key)
    blocks = ", ".join(block.name for block in config.blocks if cell in block.cells)
    lines = [f"cell {cell.key} of {config.run}, in {blocks}", ""]
    lines.append("settings (the rest is as the thread's second script):")
    lines += [f"    {name:<20}{value}" for name, value in cell.settings.items() if value != AXES[name].default]
    command = f"    python -m orthogrid train --config {shlex.quote(config.source or 'FILE')} --key {cell.key}"
    if (stored := stored_row(config, cell)) is None:
        return "\n".join([*lines, "", "It has no row yet. To train it:", command])
    row, trace = stored
    lines += ["", f"outcome: {outcome(config, cell) or row['status']}"]
    if row["code"] != cell.code:
        lines.append(f"Its row is of other code ({row['code']}) than today's ({cell.code}).")
    for name, value in row.items():
        if name != "key" and name not in AXES and not pd.isna(value):
            lines.append(f"    {name:<20}{value if isinstance(value, str) else f'{value:.6g}'}")
    lines.append("(docs/columns.md says what each means.)")
    if png:
        draw(trace, cell, Path(png))
        lines += ["", f"trace: {png}"]
    return "\n".join([*lines, "", "To train it once more and compare the bits:", f"{command} --again"])


def outcome(config: Config, cell: Cell) -> str:
    """The cell's outcome in cells.csv; empty where there is no such table, or no such row in it."""
    path = config.root / "cells.csv"
    found = read_table(path).set_index("key")["outcome"].get(cell.key) if path.exists() else None
    return found if isinstance(found, str) else ""


def draw(trace: pd.DataFrame, cell: Cell, path: Path) -> None:
    """Draw a trace into a picture: losses and distance over the steps, on logarithmic axes where they are positive."""
    from ..presenting.panels import canvas

    fig, axes = canvas(2.0, 1, len(DRAWN))
    for name, ax in zip(DRAWN, axes[0], strict=True):
        ax.plot(trace["step"], trace[name], marker=".", markersize=3)
        ax.set(xscale="symlog", xlabel="step", title=name)
        if (trace[name] > 0).all():
            ax.set_yscale("log")
    fig.suptitle(f"{cell.key} {cell}")
    fig.savefig(path, dpi=200)
