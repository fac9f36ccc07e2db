"""One cell: its settings, what came out, its trace, and how to make it again."""

from __future__ import annotations

import math
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from ..cells.cell import AXES, Cell
from ..cells.components import ConfigError
from ..cells.config import Config
from ..jobs.files import read_table, table_text
from ..jobs.store import Store
from .verify import SAME, Comparison, compare

SHORTEST = 4  # of a key that is not written out
PLOTTED = ("fit", "orthogonality_fro", "distance")
HEIGHT = 8  # lines of a plot


def find_cell(config: Config, key: str) -> Cell:
    """The configured cell whose key begins so. Raises ConfigError where there is none, or more than one."""
    found = [cell for cell in config.cells if cell.key.startswith(key)]
    if len(found) == 1 and len(key) >= SHORTEST:
        return found[0]
    if len(key) < SHORTEST or not found:
        why = (
            f"is shorter than {SHORTEST} digits"
            if len(key) < SHORTEST
            else f"is no cell of {config.source or config.run}"
        )
        raise ConfigError(f"key '{key}' {why}; take one of the column key of {config.root}/cells.csv")
    raise ConfigError(
        f"key '{key}' is that of {len(found)} cells, {', '.join(c.key for c in found[:5])}; write more of it"
    )


def kept_row(config: Config, cell: Cell) -> tuple[dict[str, Any], pd.DataFrame] | None:
    """Row and trace of a cell, of today's code or else of another; None where it has none."""
    store = Store(config.root)
    files, _ = store.files_of([cell], any_code=True)
    for name in files:
        rows, traces = store.rows(name), store.traces(name)
        rows = rows[rows["key"] == cell.key]
        if len(rows):
            return rows.iloc[0].to_dict(), traces[traces["key"] == cell.key]
    return None


def show(config: Config, key: str, png: str | None = None) -> str:
    """A cell in words, with its trace as plots of characters, or drawn into a PNG."""
    cell = find_cell(config, key)
    blocks = ", ".join(block.name for block in config.blocks if cell in block.cells)
    unlike = {n: v for n, v in cell.settings.items() if v != AXES[n].default}
    lines = [
        f"cell {cell.key} of {config.run}, in {blocks}",
        "",
        "settings (the rest is as the thread's second script):",
    ]
    lines += [f"    {name:<20}{value}" for name, value in unlike.items()]
    kept = kept_row(config, cell)
    again = f"python -m orthogrid train --config {config.source or 'FILE'} --key {cell.key}"
    if kept is None:
        return "\n".join([*lines, "", "It has no row yet. To train it:", f"    {again}"])
    row, trace = kept
    lines += ["", f"outcome: {outcome(config, cell) or row['status']}"]
    if row["code"] != cell.code:
        lines.append(f"Its row is of other code ({row['code']}) than today's ({cell.code}).")
    settings = {"key", *AXES}
    lines += [f"    {name:<20}{_text(value)}" for name, value in row.items() if name not in settings and _told(value)]
    lines.append("(docs/columns.md says what each means.)")
    if png:
        draw(trace, cell, Path(png))
        lines += ["", f"trace: {png}"]
    else:
        width = min(shutil.get_terminal_size().columns, 100) - 14
        lines += ["", *(line for name in PLOTTED for line in plot(trace["step"], trace[name], name, width))]
    return "\n".join([*lines, "", "To train it once more and compare the bits:", f"    {again} --again"])


def outcome(config: Config, cell: Cell) -> str:
    """As cells.csv has it; empty where that is not made yet."""
    path = config.root / "cells.csv"
    if not path.exists():
        return ""
    found = read_table(path).set_index("key")["outcome"].get(cell.key)
    return found if isinstance(found, str) else ""


def _told(value: Any) -> bool:
    return isinstance(value, str) or not (isinstance(value, float) and math.isnan(value))


def _text(value: Any) -> str:
    return value if isinstance(value, str) else f"{value:.6g}"


def plot(x: Sequence[float], y: Sequence[float], name: str, width: int) -> list[str]:
    """Points on a grid of characters, both axes logarithmic where they can be. ASCII, for any terminal."""
    points = [(math.log10(a + 1), b) for a, b in zip(x, y, strict=True) if math.isfinite(b)]
    if not points:
        return [f"{name}: no finite number"]
    logs = all(b > 0 for _, b in points)
    points = [(a, math.log10(b) if logs else b) for a, b in points]
    (left, right), (low, high) = ((min(v), max(v)) for v in zip(*points, strict=True))
    grid = [[" "] * width for _ in range(HEIGHT)]
    for a, b in points:
        column = round((a - left) / (right - left or 1) * (width - 1))
        grid[HEIGHT - 1 - round((b - low) / (high - low or 1) * (HEIGHT - 1))][column] = "*"
    ends = [f"{10**v if logs else v:.3g}" for v in (high, low)]
    labels = [ends[0], *[""] * (HEIGHT - 2), ends[1]]
    return [name, *(f"{label:>10} |{''.join(line)}".rstrip() for label, line in zip(labels, grid, strict=True)),
            " " * 11 + "+" + "-" * width, " " * 12 + "step 0 to " + f"{max(x):g}, logarithmic", ""]  # fmt: skip


def draw(trace: pd.DataFrame, cell: Cell, path: Path) -> None:
    """The same as a picture."""
    from ..presenting.panels import canvas

    fig, axes = canvas(2.0, 1, len(PLOTTED))
    for name, ax in zip(PLOTTED, axes[0], strict=True):
        ax.plot(trace["step"], trace[name], marker=".", markersize=3)
        ax.set(xscale="symlog", xlabel="step", title=name)
        if (trace[name] > 0).all():
            ax.set_yscale("log")
    fig.suptitle(f"{cell.key} {cell}")
    fig.savefig(path, dpi=200)


def again(config: Config, key: str) -> tuple[str, bool]:
    """Train a finished cell once more, apart from the run's files; what to tell, and whether its bits agree."""
    from ..jobs.runner import train_cells

    cell = find_cell(config, key)
    kept = kept_row(config, cell)
    if kept is None:
        raise ConfigError(f"cell {cell.key} has no row yet; train it first: leave out --again")
    with tempfile.TemporaryDirectory() as folder:
        train_cells([cell], folder, "cpu", workers=1)
        rows, trace = Store(folder).finished([cell])
    row = rows.iloc[0].to_dict()
    found: Comparison = compare(kept[0], row, cell.code)
    # As they are written: in a run's file a column may be of another type than in one cell's.
    same_trace = table_text(kept[1]) == table_text(trace)
    if found.kind == SAME and same_trace:
        return f"cell {cell.key}: row and trace agree in every bit", True
    made = {name: (kept[0][name], row[name]) for name in ("torch", "device", "code") if kept[0][name] != row[name]}
    lines = [
        f"cell {cell.key}: {found.kind if found.kind != SAME else 'same row'}, trace {'as' if same_trace else 'not as'} kept"
    ]
    lines += [f"{'':<20}{'kept':>26}{'now':>26}", *found.lines()] if found.columns else []
    lines += [f"Its {name} was {a} and is {b}." for name, (a, b) in made.items()]
    return "\n".join(lines), False
