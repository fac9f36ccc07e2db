"""Training: cells of one shape are stacked to B × n × n and stepped together. Only numerics; files are in `store`."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..cells.cell import Cell
from ..cells.shape import shape_of
from ..methods.base import make_method
from ..methods.batch import Batch
from ..numerics import metrics
from ..numerics.linalg import ALONE_FROM, gram_residual, one_thread
from ..numerics.problem import Problem, det_sign, draw_problem, stacked
from . import ends

# On a CPU a stack's weights have about so many elements at most: its gradients, moments and data are then still in the
# caches when a step comes back to them.
STACK_ELEMENTS = 200_000
GPU_MEASURED = 16  # final weights that a GPU measures at once: each takes some twenty matrices in float64


@dataclass
class Result:
    """What one cell's training gave: its row (without key and provenance), its trace, and where it ended."""

    cell: Cell
    row: dict[str, float | int | str]
    trace: list[dict[str, float | int]]
    weight: Tensor | None = None  # (n, n) float64, on the CPU; a training job does without
    bias: Tensor | None = None  # (n,)


def log_steps(steps: int) -> list[int]:
    """The steps at which metrics are taken: 0 to 10, five a decade, every 100 (or 2 %), and the two last.

    The thread printed every 100 of 1000 steps with the last but one, and every 200 of 10 000: all are among them.
    """
    decades = (m * 10**e for e in range(1, 10) for m in (1, 2, 3, 5, 7))
    linear = range(0, steps, max(100, steps // 50))
    wanted = {*range(11), *itertools.takewhile(lambda t: t < steps, decades), *linear, steps - 1}
    return sorted(t for t in wanted if 0 <= t < steps) + [steps]


def train_batch(
    cells: Sequence[Cell], device: str | torch.device = "cpu", progress: Callable[[float], None] = lambda fraction: None
) -> list[Result]:
    """Train cells of one shape together; results in the order given.

    On the CPU a result is the same bits (but for `seconds`) whatever the batch and the caller's number of threads: one is used.
    A cell whose numbers overflow ends as a row with status `diverged`; its neighbours go on. `progress` hears the finished
    fraction at logged steps.
    """
    if not cells:
        return []
    if len({shape_of(cell) for cell in cells}) > 1:
        raise ValueError("train_batch stacks cells of one shape; group them by shape_of first")
    device = torch.device(device)
    results: dict[int, Result] = {}
    with one_thread():
        started = time.perf_counter()
        problems = _draw_all(cells)
        drawing = (time.perf_counter() - started) / len(cells)
        stacks = _stacks(cells, device)
        for done, stack in enumerate(stacks):

            def report(fraction: float, done: int = done) -> None:
                progress((done + fraction) / len(stacks))

            started = time.perf_counter()
            trained = _train_stack([cells[i] for i in stack], [problems[i] for i in stack], device, report)
            results |= zip(stack, trained, strict=True)
            seconds = drawing + (time.perf_counter() - started) / len(set(stack))
            for i in stack:
                results[i].row["seconds"] = round(seconds, 6)
    return [results[i] for i in range(len(cells))]


def _stacks(cells: Sequence[Cell], device: torch.device) -> list[list[int]]:
    """Which cells, by number, are stepped together."""
    # Neighbours with one rate are updated in one call.
    order = sorted(range(len(cells)), key=lambda i: (cells[i].lr, cells[i].schedule))
    if device.type != "cpu":
        return [order]
    n = cells[0].dimension
    if n >= ALONE_FROM:
        return [[i] for i in order]
    if len(order) == 1:
        # A stack of one goes another way through MKL than a larger one, with other rounding on some processors.
        return [order * 2]
    parts = min(len(order) // 2, math.ceil(len(order) * n * n / STACK_ELEMENTS))
    bounds = [len(order) * i // parts for i in range(parts + 1)]
    return [order[a:b] for a, b in itertools.pairwise(bounds)]


def _train_stack(
    cells: Sequence[Cell], problems: Sequence[Problem], device: torch.device, report: Callable[[float], None]
) -> list[Result]:
    """Train cells in one stack."""
    batch = Batch(cells, problems, device)
    method = make_method(batch)
    steps = batch.steps
    logged: list[tuple[int, dict[str, Tensor]]] = []
    stepping = 0.0
    with torch.no_grad():
        for last, t in itertools.pairwise([0, *log_steps(steps)]):
            mark = time.perf_counter()
            method.run(last, t)
            if cells[0].sampling == "fresh" and t > 0:
                batch.draw_samples()
            if batch.on_gpu:
                torch.cuda.synchronize(device)  # between logged steps the host runs ahead
            stepping += time.perf_counter() - mark
            logged.append((t, batch.measure()))
            report(t / steps)
        results = _results(batch, logged)
    for result in results:
        result.row["seconds_per_step"] = float(f"{stepping / (steps * len(cells)):.4g}")
    return results


def _draw_all(cells: Sequence[Cell]) -> list[Problem]:
    """Problems of cells; what paired cells share is drawn once."""
    drawn_as = [(cell.problem, cell.determinant, cell.init) for cell in cells]
    shared = {settings: draw_problem(cell) for settings, cell in dict(zip(drawn_as, cells, strict=True)).items()}
    return [shared[settings] for settings in drawn_as]


def _results(batch: Batch, logged: Sequence[tuple[int, dict[str, Tensor]]]) -> list[Result]:
    """Rows and traces of a stack's cells, measured on their final weights in float64."""
    cells, problems = batch.cells, batch.problems
    traces = torch.stack([torch.stack([values[name] for name in metrics.TRACE]) for _, values in logged]).cpu()
    traced = traces.permute(2, 0, 1).tolist()  # by cell, step and column
    weight, bias = batch.weight.double().contiguous(), batch.bias.double().contiguous()
    finite = (weight.isfinite().all((1, 2)) & bias.isfinite().all(1)).tolist()
    most = GPU_MEASURED if batch.on_gpu else len(cells)
    parts = [slice(first, first + most) for first in range(0, len(cells), most)]
    final = [found for part in parts for found in _measured(batch, part, weight, bias)]
    weight, bias = weight.cpu(), bias.cpu()
    results = []
    for i, (cell, problem) in enumerate(zip(cells, problems, strict=True)):
        trace = [  # to seven digits: as many as the thread's longest, and half the bytes on disk
            {"step": t, **{name: float(f"{value:.7g}") for name, value in zip(metrics.TRACE, values, strict=True)}}
            for (t, _), values in zip(logged, traced[i], strict=True)
        ]
        row: dict[str, float | int | str] = dict.fromkeys((*metrics.FINAL, *ends.MEASURES), math.nan)
        if finite[i]:
            last = dict(zip(metrics.TRACE, traced[i][-1], strict=True))
            row |= {name: value for name, value in last.items() if name in metrics.FINAL}
            row |= final[i]
        row["status"] = "ok" if finite[i] else "diverged"
        row["det_sign_start"] = trace[0]["det_sign"]
        row["det_sign_target"] = det_sign(problem.rho)
        row["lambda_min"], row["rank"] = problem.lambda_min, problem.rank
        for name in ("det_sign", "det_sign_start", "det_sign_target", "reflection", "slow_sign"):
            row[name] = int(row[name]) if row[name] == row[name] else math.nan
        results.append(Result(cell, row, trace, weight[i], bias[i]))
    return results


def _measured(batch: Batch, part: slice, weights: Tensor, biases: Tensor) -> list[dict[str, float]]:
    """What is measured on the final weights of a part of the cells."""
    weight, bias, against = weights[part], biases[part], stacked(batch.problems[part], batch.device)
    # A diverged weight is measured as its start, so that it spoils no neighbour; its numbers are dropped.
    weight = weight.where(weight.isfinite().all(1).all(1)[:, None, None], against.start)
    found = metrics.final(weight, bias, against) | ends.measure_ends(weight, against, batch.cells[part])
    found["penalty_value"] = batch.penalty.value(gram_residual(weight), **batch.options)
    return [dict(zip(found, values, strict=True)) for values in torch.stack([*found.values()], 1).tolist()]
