"""Seconds of one core by penalty, method and dimension: the table from which a run's time is foretold.

`python -m benchmarks.costs` writes it to src/orthogrid/costs.csv; it wants an idle machine for some minutes.
"""

from __future__ import annotations

import csv
import time
from collections.abc import Callable

import torch

from orthogrid.cells.cell import Cell
from orthogrid.cells.components import methods, penalties
from orthogrid.cells.costs import TABLE
from orthogrid.jobs.progress import Progress
from orthogrid.methods import make_method
from orthogrid.methods.batch import Batch
from orthogrid.numerics.linalg import one_thread
from orthogrid.numerics.problem import draw_problem
from orthogrid.training.train import train_batch

DIMENSIONS = (16, 32, 64, 128, 256, 512)
LONGEST = 2.0  # seconds a step of a batch beyond which the next larger dimension is left to the power law
ROUNDS = 4  # the fastest counts: the first also warms up
ENOUGH = 0.2  # seconds over which steps are averaged


def batch_size(n: int) -> int:
    """As a plan cuts it at small and middling dimensions."""
    return max(1, min(32, 500_000 // n**2))


@torch.no_grad()
def step_seconds(cell: Cell) -> float:
    """Seconds of a step and cell, in a batch."""
    cells = [cell] * batch_size(cell.dimension)
    batch = Batch(cells, [draw_problem(cell)] * len(cells), torch.device("cpu"))
    method = make_method(batch)
    method.step(0)
    started, steps = time.perf_counter(), 0
    while time.perf_counter() - started < ENOUGH:
        steps += 1
        method.step(steps)
    return (time.perf_counter() - started) / (steps * len(cells))


def around(n: int) -> dict[str, float]:
    """Seconds of drawing a problem with its final metrics, and of logging a step."""
    cells = [Cell(dimension=n, samples=max(1, n // 4), steps=1, seed=seed, penalty="none") for seed in range(2)]
    batch = Batch(cells, [draw_problem(cell) for cell in cells], torch.device("cpu"))
    with torch.no_grad():
        log = min(timed(batch.measure) for _ in range(ROUNDS)) / len(cells)
    both = min(timed(lambda: train_batch(cells)) for _ in range(ROUNDS)) / len(cells)
    return {"draw": max(both - 2 * log, 1e-6), "log": log}


def timed(work: Callable[[], object]) -> float:
    """Seconds of one call."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def kinds() -> list[tuple[str, str, str]]:
    """(penalty, method, route of the data's gradient) that are timed."""
    plain = [(name, "adam", "residuals") for name in penalties()]
    routes = [("none", "adam", "gram")]
    others = [
        ("fro2" if entry.uses_penalty else "none", name, "residuals")
        for name, entry in methods().items()
        if name != "adam"
    ]
    return [*plain, *routes, *others]


@one_thread()
def main() -> None:
    todo = kinds()
    progress = Progress("costs", len(todo) + 1)
    rows = [("", what, "residuals", n, seconds) for n in DIMENSIONS for what, seconds in around(n).items()]
    for done, (penalty, method, route) in enumerate(todo, start=1):
        for n in DIMENSIONS:
            k = 2 * n if route == "gram" else n // 4
            cell = Cell(dimension=n, samples=k, penalty=penalty, method=method, reg=1, lr=1e-6, steps=100_000)
            seconds = step_seconds(cell)
            rows.append((penalty, method, route, n, seconds))
            if 8 * seconds * batch_size(2 * n) > LONGEST:
                break
        progress.update(done)
    with TABLE.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["penalty", "method", "route", "dimension", "seconds"])
        table.writerows((*row[:-1], f"{row[-1]:.3g}") for row in rows)
    progress.close(f"{len(rows)} times written to {TABLE}")


if __name__ == "__main__":
    main()
