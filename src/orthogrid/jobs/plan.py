"""What a run has still to train, cut into batches and shards, and what that costs. Imports no torch.

A *batch* is cells stepped together on one core. A *shard* is the batches of one training job.
"""

from __future__ import annotations

import heapq
import json
import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from ..cells.cell import AXES, Cell
from ..cells.components import ConfigError, changes, use_code
from ..cells.config import Config
from ..cells.costs import Costs, bytes_needed, cpu_name, operations
from ..cells.shape import ProblemSettings, shape_of
from .files import write_bytes
from .progress import duration
from .store import Store, shard_name

# Elements of one weight stack on the CPU: enough to keep a core busy at small n, little enough to stay near the caches.
CPU_ELEMENTS = 2_000_000
CPU_MOST = 64
# Seconds of a batch on one core: a batch is what an interruption costs.
CPU_SECONDS = 60.0
# Of a training process before its first cell: torch and its libraries.
PROCESS_BYTES = 3e8


def batches(
    cells: Sequence[Cell], costs: Costs, most: Callable[[Cell], int | None] = lambda cell: None
) -> list[list[Cell]]:
    """Cells cut into batches of one shape, in order of appearance; `most` of a cell, if any, overrides the CPU's batch size.

    Within a shape, cells that share a problem stand together: it is drawn once for a batch.
    """
    shapes: dict[tuple, dict[ProblemSettings, list[Cell]]] = {}
    for cell in cells:
        shapes.setdefault(shape_of(cell), {}).setdefault(cell.problem, []).append(cell)
    cut = []
    for by_problem in shapes.values():
        same = [cell for sharing in by_problem.values() for cell in sharing]
        size = most(same[0]) or min(
            CPU_MOST, CPU_ELEMENTS // same[0].dimension ** 2, int(CPU_SECONDS / costs.seconds(same[0]))
        )
        cut += parts(same, math.ceil(len(same) / max(1, size)))
    return cut


def parts(cells: Sequence[Cell], count: int) -> list[list[Cell]]:
    """So many nearly equal parts, rather than full ones and a rest."""
    bounds = [len(cells) * i // count for i in range(count + 1)]
    return [list(cells[a:b]) for a, b in zip(bounds, bounds[1:], strict=False)]


def shared_out(waiting: Sequence[list[Cell]], workers: int, costs: Costs) -> list[list[Cell]]:
    """Batches cut so that the workers finish together: none longer than a quarter of a worker's share, the longest first.

    None is cut to a single cell, which would be stacked with itself.
    """
    most = sum(map(costs.batch_seconds, waiting)) / (4 * workers)
    cut: list[list[Cell]] = []
    for batch in waiting:
        cut += parts(batch, max(1, min(len(batch) // 2, math.ceil(costs.batch_seconds(batch) / most))))
    return sorted(cut, key=lambda batch: -costs.batch_seconds(batch))


def shards(cells: Sequence[Cell], count: int, costs: Costs) -> dict[str, list[Cell]]:
    """Cells cut into at most so many shards of equal effort, by name; the longest batches are dealt first.

    The same cells and code give the same shards on every machine: rows of a run do not weigh here.
    """
    if count == 1 or not cells:
        return {shard_name(cells): list(cells)} if cells else {}
    loads = [(0.0, i) for i in range(count)]
    dealt: list[list[Cell]] = [[] for _ in range(count)]
    for batch in shared_out(batches(cells, costs), count, costs):
        load, i = heapq.heappop(loads)
        dealt[i] += batch
        heapq.heappush(loads, (load + costs.batch_seconds(batch), i))
    return {shard_name(part): part for part in dealt if part}


class Plan:
    """What of a run is trained and what is to be, from its config and its rows files alone. A trained cell has a row of today's code."""

    def __init__(self, config: Config):
        self.config = config
        self.store = Store(config.root)
        trained = self.store.where(config.cells, any_code=config.partial)
        self.files = sorted({*trained.values()})
        self.missing = [cell for cell in config.cells if cell.key not in trained]
        self.shards = {} if config.partial else shards(self.missing, config.shards, Costs())

    @property
    def names(self) -> list[str]:
        """The names of all rows files that the run's tables are made from: those there, and those to be trained."""
        return sorted({*self.files, *self.shards})

    @cached_property
    def stale(self) -> dict[str, str]:
        """The missing cells that have a row of another code: key → that code."""
        other = {key: code for codes in self.store.held().values() for key, code in codes.items()}
        return {cell.key: other[cell.key] for cell in self.missing if cell.key in other}

    def why_stale(self) -> list[str]:
        """What changed in the code since stale rows were made, with how many rows, most rows first."""
        stale = [cell for cell in self.missing if cell.key in self.stale]
        today = {cell.code: cell.code_parts for cell in {cell.code: cell for cell in stale}.values()}
        reasons: Counter[str] = Counter()
        for (old, new), count in Counter((self.stale[cell.key], cell.code) for cell in stale).items():
            reasons[changes(self.store.code_parts(old), today[new])] += count
        return [f"{count} rows are stale: {reason}" for reason, count in reasons.most_common()]

    def write_shards(self) -> None:
        """Write each shard's cells beside the rows: what its job trains, whatever becomes of the config meanwhile."""
        for name, cells in self.shards.items():
            text = json.dumps({
                "device": self.config.device, "code": self.config.code, "axes": list(AXES),
                "cells": [list(cell.settings.values()) for cell in cells],
            })  # fmt: skip
            write_bytes(text.replace("], [", "],\n [").encode(), self.config.root / "shards" / f"{name}.json")

    def mark_trained(self) -> None:
        """Mark the rows files that are there, and no others, so that Snakemake trains what is missing alone."""
        self.store.unmark()
        for name in self.files:
            self.store.mark(name)


@dataclass(frozen=True)
class Shard:
    """What one training job is to do, read from the file that the plan wrote."""

    name: str
    root: Path
    device: str
    code: tuple[str, ...]
    cells: tuple[Cell, ...]

    @classmethod
    def read(cls, path: str | Path) -> Shard:
        """Raises ConfigError where the code was edited since, so that other rows would come out than were planned."""
        path = Path(path)
        raw = json.loads(path.read_text(encoding="utf-8"))
        use_code(raw["code"])
        cells = tuple(Cell(**dict(zip(raw["axes"], values, strict=True))) for values in raw["cells"])
        if shard_name(cells) != path.stem:
            raise ConfigError(
                f"{path}: the code of its rows was edited since it was planned; run the same command again"
            )
        return cls(path.stem, path.parents[1], raw["device"], tuple(raw["code"]), cells)


def describe(plan: Plan, workers: int) -> str:
    """For the command line: a run's blocks with what is trained, new and stale in them, and what is to be trained costs."""
    config = plan.config
    costs = measured_costs(plan.store)
    missing = {cell.key for cell in plan.missing}
    lines = [
        f"{config.run}: {config.title}",
        "",
        f"{'block':<20}{'cells':>8}{'trained':>10}{'new':>8}{'stale':>8}{'Tflop':>10}{'time':>14}  question",
    ]

    def line(name: str, cells: Sequence[Cell], words: str = "") -> str:
        new = [cell for cell in cells if cell.key in missing]
        stale = sum(cell.key in plan.stale for cell in new)
        time = duration(sum(map(costs.seconds, new)) / workers) if new else "-"
        counts = f"{len(cells):>8}{len(cells) - len(new):>10}{len(new) - stale:>8}{stale:>8}"
        return f"{name:<20}{counts}{sum(map(operations, new)) / 1e12:>10.2f}{time:>14}  {words}".rstrip()

    lines += [line(block.name, block.cells, block.question) for block in config.blocks]
    lines += [line("all, each once", config.cells), ""]
    return "\n".join([*lines, *summary(plan, workers, costs)])


def summary(plan: Plan, workers: int, costs: Costs | None = None) -> list[str]:
    """A plan in a few lines: what is stale and why, what is to be trained and what it costs, and what is odd about the rows."""
    lines = [
        *plan.why_stale(),
        _headline(plan, workers, costs or measured_costs(plan.store)),
        *plan.store.damaged().values(),
    ]
    lines += plan.store.contradictions(plan.config.cells)
    if count := len(plan.store.finished_keys(plan.missing)):
        lines.append(
            f"{count} of these are trained already: they are in the journal of a job that was killed or is at work."
        )
    if len(versions := plan.store.torch_versions(plan.config.cells)) > 1:
        lines.append("Rows were made by several versions of torch: " + counted(versions) + ".")
    return lines


def measured_costs(store: Store, device: str | None = None) -> Costs:
    """Costs as rows tell them that a device of this name made: a processor like this one, if none is named."""
    device = device or cpu_name()
    return Costs(row for row in store.timed_rows() if row["device"] == device)


def _headline(plan: Plan, workers: int, costs: Costs) -> str:
    if not plan.missing:
        return f"{plan.config.run}: all {len(plan.config.cells)} cells are trained."
    if plan.config.partial:
        return f"{plan.config.run}: {len(plan.missing)} of {len(plan.config.cells)} cells are missing; a partial run trains none."
    seconds = sum(map(costs.seconds, plan.missing))
    measured = sum(costs.measured(cell) for cell in plan.missing)
    largest = max(len(batch) * bytes_needed(batch[0]) for batch in batches(plan.missing, costs))
    memory = workers * (PROCESS_BYTES + largest) / 1e9
    jobs = "1 job" if len(plan.shards) == 1 else f"{len(plan.shards)} jobs"
    return (
        f"{plan.config.run}: {len(plan.missing)} of {len(plan.config.cells)} cells to train in {jobs}: about "
        f"{duration(seconds / workers)} of training on {workers} cores and {memory:.1f} GB of memory "
        f"(times of {measured} cells as measured on this machine, of the others by the table costs.csv). "
        "Starting, figures and the paper take a minute or two more."
    )


def counted(counts: Counter[str]) -> str:
    """2.13.0+cpu (40 cells), 2.12.0 (3 cells)."""
    return ", ".join(f"{name} ({count} cells)" for name, count in counts.most_common())
