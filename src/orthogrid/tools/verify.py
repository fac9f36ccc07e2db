"""Do rows come out again? One cell or a sample of them is trained once more on this machine and held against the stored rows."""

from __future__ import annotations

import math
import random
import shlex
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from ..cells.cell import Cell
from ..cells.components import ConfigError
from ..cells.config import Config
from ..cells.costs import Costs
from ..jobs.files import table_text
from ..jobs.plan import measured_costs
from ..jobs.store import PROVENANCE, Store
from .show import find_cell, stored_row

# On another processor, or with another torch, sums are rounded otherwise, and training amplifies that. Two rows have the
# same end if they agree in EQUAL, their distances differ by less than DISTANCE (a tenth of what decides an outcome),
# and their losses and norms by less than FACTOR. Losses and norms below SMALL are made of rounding alone.
EQUAL = ("status", "det_sign", "det_sign_start", "det_sign_target", "rank")
DISTANCE = 0.02
SIZES = ("fit", "penalty_value", "orthogonality_fro", "orthogonality_l1")
FACTOR = 2.0
SMALL = 1e-3

KINDS = SAME, ROUNDED, OTHER_CODE, DIFFERS = "same bits", "same end, other rounding", "made by other code", "differs"


@dataclass(frozen=True)
class Comparison:
    """A stored row against one made now: one of KINDS, and both values of each column that differs."""

    kind: str
    columns: dict[str, tuple[Any, Any]]

    @property
    def lines(self) -> list[str]:
        return [f"{name:<20}{stored!s:>26}{now!s:>26}" for name, (stored, now) in self.columns.items()]


def compare(stored: Mapping[str, Any], now: Mapping[str, Any], code: str) -> Comparison:
    """Hold a row against another of the same cell, made now by code with this digest."""
    columns = {
        name: (stored[name], value)
        for name, value in now.items()
        if name not in PROVENANCE and not (name in stored and _equal(stored[name], value))
    }
    if not columns:
        return Comparison(SAME, {})
    if stored["code"] != code:
        return Comparison(OTHER_CODE, columns)
    return Comparison(ROUNDED if _same_end(stored, now) else DIFFERS, columns)


def _equal(a: Any, b: Any) -> bool:
    return a == b or (a != a and b != b)


def _same_end(a: Mapping[str, Any], b: Mapping[str, Any]) -> bool:
    if not all(_equal(a[name], b[name]) for name in EQUAL):
        return False
    if a["status"] != "ok":
        return True
    if abs(a["distance"] - b["distance"]) > DISTANCE * max(1.0, a["distance"]):
        return False
    return all(abs(math.log(max(a[n], SMALL) / max(b[n], SMALL))) <= math.log(FACTOR) for n in SIZES)


def strict(compared: Mapping[str, Comparison]) -> dict[str, Comparison]:
    """Comparisons on a processor and torch of the same names: where most rows come out in every bit, all of them should.

    A name such as AMD EPYC stands for several kinds of processor, which round otherwise; then hardly any row does.
    """
    kinds = [each.kind for each in compared.values()]
    if 2 * kinds.count(SAME) <= len(kinds):
        return dict(compared)
    return {key: Comparison(DIFFERS, e.columns) if e.kind == ROUNDED else e for key, e in compared.items()}


def sample(config: Config, cells: Sequence[Cell], costs: Costs, seconds: float, seed: int) -> list[Cell]:
    """Cells at random whose training takes one core so many seconds together.

    The blocks take turns. A block whose share of the time is too small for any of its cells gives its cheapest one, if
    the time that is left suffices for it.
    """
    draw, left, there = random.Random(seed), seconds, {cell.key for cell in cells}
    waiting = {block.name: [cell for cell in block.cells if cell.key in there] for block in config.blocks}
    for found in waiting.values():
        draw.shuffle(found)
    chosen: dict[str, Cell] = {}
    while any(waiting.values()):
        for name, found in waiting.items():
            share = left / max(1, sum(map(bool, waiting.values())))
            cheapest = sorted(found, key=costs.seconds)[:1]
            fits = [c for c in found if costs.seconds(c) <= share] or [c for c in cheapest if costs.seconds(c) <= left]
            waiting[name] = [cell for cell in found if cell.key != fits[0].key] if fits else []
            if fits and fits[0].key not in chosen:
                chosen[fits[0].key] = fits[0]
                left -= costs.seconds(fits[0])
    return list(chosen.values())


def verify(config: Config, minutes: float, workers: int, seed: int = 1, most: int | None = None) -> tuple[str, bool]:
    """Train a sample again, for about so many minutes. Returns a report, and whether all rows came out as they are stored."""
    store = Store(config.root)
    found = store.where(config.cells, any_code=True)
    tables = [(name, store.rows(name)) for name in sorted({*found.values()})]
    taken = [rows[rows["key"].map(found) == name] for name, rows in tables]
    stored = pd.concat(taken).drop_duplicates("key").set_index("key", drop=False)
    # Three quarters of the time: estimates may be off.
    seconds, cells = 45 * minutes * workers, [cell for cell in config.cells if cell.key in found]
    chosen = sample(config, cells, measured_costs(store), seconds, seed)[:most]
    now = _trained(chosen, workers)[0].set_index("key", drop=False)
    pairs = {cell.key: (stored.loc[cell.key].to_dict(), now.loc[cell.key].to_dict()) for cell in chosen}
    compared = {cell.key: compare(*pairs[cell.key], cell.code) for cell in chosen}
    alike = [key for key, (a, b) in pairs.items() if (a["device"], a["torch"]) == (b["device"], b["torch"])]
    compared |= strict({key: compared[key] for key in alike})
    holds = all(each.kind in (SAME, ROUNDED) for each in compared.values()) and not store.damaged()
    return report(config, compared, store), holds


def train_again(config: Config, key: str) -> tuple[str, bool]:
    """Train a finished cell once more, apart from the run's files. Returns a report, and whether row and trace agree in every bit."""
    cell = find_cell(config, key)
    if (stored := stored_row(config, cell)) is None:
        raise ConfigError(f"cell {cell.key} has no row yet; train it first: leave out --again")
    rows, trace = _trained([cell], 1)
    row = rows.iloc[0].to_dict()
    found = compare(stored[0], row, cell.code)
    # As they are written: in a run's file a column may be of another type than in one cell's.
    same_trace = table_text(stored[1]) == table_text(trace)
    if found.kind == SAME and same_trace:
        return f"cell {cell.key}: row and trace agree in every bit", True
    what = found.kind if found.kind != SAME else "same row"
    lines = [f"cell {cell.key}: {what}, trace {'as' if same_trace else 'not as'} kept"]
    lines += [f"{'':<20}{'kept':>26}{'now':>26}", *found.lines] if found.columns else []
    made = {name: (stored[0][name], row[name]) for name in ("torch", "device", "code")}
    lines += [f"Its {name} was {a} and is {b}." for name, (a, b) in made.items() if a != b]
    return "\n".join(lines), False


def _trained(cells: Sequence[Cell], workers: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rows and traces of cells trained on the CPU, in a folder that is gone afterwards."""
    from ..jobs.runner import train_cells

    with tempfile.TemporaryDirectory() as folder:
        train_cells(cells, folder, "cpu", workers=workers)
        return Store(folder).finished(cells)


def report(config: Config, compared: Mapping[str, Comparison], store: Store) -> str:
    """By block, how many rows came out how; and of those that differ, what."""
    lines = [f"{'block':<22}{'cells':>7}{'tried':>7}  " + "  ".join(KINDS)]
    untried = []
    for block in config.blocks:
        tried = [compared[cell.key].kind for cell in block.cells if cell.key in compared]
        counts = "  ".join(f"{tried.count(kind):>{len(kind)}}" for kind in KINDS)
        lines.append(f"{block.name:<22}{len(block.cells):>7}{len(tried):>7}  {counts}")
        untried += [] if tried else [block.name]
    if untried:
        some = ", ".join(untried)
        lines.append(f"Not tried, since a cell of theirs takes longer than the time: {some}; give more --minutes.")
    lines += store.damaged().values()
    again = f"python -m orthogrid train --config {shlex.quote(config.source)} --key"
    for key, each in compared.items():
        if each.kind in (OTHER_CODE, DIFFERS):
            lines.append(f"{key} {each.kind}; look closer: {again} {key} --again")
            lines += [f"    {line}" for line in each.lines[:6]]
    kinds = [each.kind for each in compared.values()]
    differ, other = (f"{kinds.count(kind)} of {len(kinds)} rows" for kind in (DIFFERS, OTHER_CODE))
    if DIFFERS in kinds:
        lines.append(f"{differ} do not come out again: they were altered, or made otherwise.")
    elif OTHER_CODE in kinds:
        lines.append(f"{other} were made by other code than today's, and differ.")
    else:
        lines.append(f"All {len(kinds)} rows that were tried come out again, {kinds.count(SAME)} of them in every bit.")
    return "\n".join(lines)
