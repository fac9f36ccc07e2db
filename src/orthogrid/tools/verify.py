"""Do a run's rows come out again? A sample of them is trained once more on this machine and held against the kept ones."""

from __future__ import annotations

import math
import random
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from ..cells.cell import Cell
from ..cells.config import Config
from ..cells.costs import Costs
from ..jobs.store import Store

# What tells where and when a row was made, rather than what came out.
MADE = ("seconds", "seconds_per_step", "device", "torch", "code")
# Of another processor or torch, sums are rounded otherwise, and training amplifies that. The same end is still the same side,
# a distance within a tenth of NEAR, which decides outcomes, and losses and norms within a factor of two, where they are not
# so small that rounding makes them.
DISTANCE = 0.02
FACTOR = 2.0
SMALL = 1e-3
EQUAL = ("status", "det_sign", "det_sign_start", "det_sign_target", "rank")
SIZES = ("fit", "penalty_value", "orthogonality_fro", "orthogonality_l1")

SAME, ROUNDED, OTHER_CODE, DIFFERS = "same bits", "same end, other rounding", "made by other code", "differs"


@dataclass(frozen=True)
class Comparison:
    """A kept row against one made now: what came of it, and the columns that differ with both values."""

    kind: str
    columns: dict[str, tuple[Any, Any]]

    def lines(self) -> Iterator[str]:
        for name, (kept, again) in self.columns.items():
            yield f"{name:<20}{kept!s:>26}{again!s:>26}"


def compare(kept: Mapping[str, Any], again: Mapping[str, Any], code: str) -> Comparison:
    """Hold a row against another of the same cell, made now by code with this digest."""
    columns = {
        name: (kept[name], value)
        for name, value in again.items()
        if name not in MADE and not (name in kept and _same(kept[name], value))
    }
    if not columns:
        return Comparison(SAME, {})
    if kept["code"] != code:
        return Comparison(OTHER_CODE, columns)
    return Comparison(ROUNDED if _same_end(kept, again) else DIFFERS, columns)


def _same(a: Any, b: Any) -> bool:
    return a == b or (a != a and b != b)


def _same_end(a: Mapping[str, Any], b: Mapping[str, Any]) -> bool:
    if not all(_same(a[name], b[name]) for name in EQUAL):
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
    """Cells that are trained within so many seconds of one core, a block after another in turn; at random, cheap ones rather
    than none of a block."""
    draw, left, there = random.Random(seed), seconds, {cell.key for cell in cells}
    waiting = {block.name: [cell for cell in block.cells if cell.key in there] for block in config.blocks}
    for found in waiting.values():
        draw.shuffle(found)
    chosen: dict[str, Cell] = {}
    while any(waiting.values()):
        for name, found in waiting.items():
            share = left / max(1, sum(map(bool, waiting.values())))
            fits = [cell for cell in found if costs.seconds(cell) <= share] or [
                cell for cell in sorted(found, key=costs.seconds)[:1] if costs.seconds(cell) <= left
            ]
            if not fits:
                waiting[name] = []
                continue
            cell = fits[0]
            waiting[name] = [other for other in found if other.key != cell.key]
            if cell.key not in chosen:
                chosen[cell.key] = cell
                left -= costs.seconds(cell)
    return list(chosen.values())


def verify(
    config: Config, costs: Costs, minutes: float, workers: int, seed: int = 1, most: int | None = None
) -> tuple[str, bool]:
    """Train a sample again, for about so many minutes; a report, and whether all came out as it was kept."""
    from ..jobs.runner import train_cells

    store = Store(config.root)
    files, found = store.files_of(config.cells, any_code=True)
    kept = pd.concat([store.rows(name) for name in files]).drop_duplicates("key").set_index("key", drop=False)
    # Three quarters of the time: estimates may be off.
    chosen = sample(config, [c for c in config.cells if c.key in found], costs, 45 * minutes * workers, seed)[:most]
    with tempfile.TemporaryDirectory() as folder:
        train_cells(chosen, folder, "cpu", workers=workers)
        again = Store(folder).finished(chosen)[0].set_index("key", drop=False)
    pairs = {cell.key: (kept.loc[cell.key].to_dict(), again.loc[cell.key].to_dict()) for cell in chosen}
    compared = {cell.key: compare(*pairs[cell.key], cell.code) for cell in chosen}
    alike = [key for key, (a, b) in pairs.items() if (a["device"], a["torch"]) == (b["device"], b["torch"])]
    compared |= strict({key: compared[key] for key in alike})
    return report(config, compared, store), all(
        each.kind in (SAME, ROUNDED) for each in compared.values()
    ) and not store.damaged()


def report(config: Config, compared: Mapping[str, Comparison], store: Store) -> str:
    """By block, how many rows came out how; and of those that differ, what."""
    kinds = (SAME, ROUNDED, OTHER_CODE, DIFFERS)
    lines = [f"{'block':<22}{'cells':>7}{'tried':>7}  " + "  ".join(kinds)]
    for block in config.blocks:
        tried = [compared[cell.key].kind for cell in block.cells if cell.key in compared]
        counts = "  ".join(f"{tried.count(kind):>{len(kind)}}" for kind in kinds)
        lines.append(f"{block.name:<22}{len(block.cells):>7}{len(tried):>7}  {counts}")
    untried = [block.name for block in config.blocks if not any(cell.key in compared for cell in block.cells)]
    if untried:
        lines.append(
            f"Not tried, since a cell of theirs takes longer than the time: {', '.join(untried)}; give more --minutes."
        )
    lines += store.damaged().values()
    found = [each.kind for each in compared.values()]
    for key, each in compared.items():
        if each.kind in (OTHER_CODE, DIFFERS):
            lines += [
                f"{key} {each.kind}; look closer: python -m orthogrid train --config {config.source} --key {key} --again"
            ]
            lines += [f"    {line}" for line in list(each.lines())[:6]]
    if DIFFERS in found:
        lines.append(
            f"{found.count(DIFFERS)} of {len(found)} rows do not come out again: they were altered, or made otherwise."
        )
    elif OTHER_CODE in found:
        lines.append(
            f"{found.count(OTHER_CODE)} of {len(found)} rows were made by other code than today's, and differ."
        )
    else:
        lines.append(f"All {len(found)} rows that were tried come out again, {found.count(SAME)} of them in every bit.")
    return "\n".join(lines)
