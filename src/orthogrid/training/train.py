"""Training: cells of one shape are stacked to B × n × n and stepped together. Only numerics; files are in `store`."""

from __future__ import annotations

import contextlib
import itertools
import math
import os
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import torch
from torch import Tensor

from ..cells.cell import Cell
from ..cells.shape import shape_of
from ..methods.base import make_method
from ..methods.batch import Batch
from ..numerics import metrics
from ..numerics.linalg import ALONE_FROM, gram_residual, one_thread
from ..numerics.problem import Problem, draw_problem
from ..penalties.base import find_penalty
from . import ends

# On a CPU a stack's weights have about so many elements at most: its gradients, moments and data are then still in the
# caches when a step comes back to them.
STACK_ELEMENTS = 200_000


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
    cells: Sequence[Cell],
    device: str | torch.device = "cpu",
    progress: Callable[[float], None] = lambda fraction: None,
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
    with one_thread() if device.type == "cpu" else contextlib.nullcontext():
        started = time.perf_counter()
        problems = _draw_all(cells, device)
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
    wanted = set(log_steps(steps))
    stepping = 0.0
    with torch.no_grad():
        mark = time.perf_counter()
        for t in range(steps + 1):
            if cells[0].sampling == "fresh" and t > 0:
                batch.draw_samples()
            if t in wanted:
                if batch.on_gpu:
                    torch.cuda.synchronize(device)  # between logged steps the host runs ahead
                stepping += time.perf_counter() - mark
                logged.append((t, batch.measure()))
                report(t / steps)
                mark = time.perf_counter()
            if t < steps:
                method.step(t)
        weights, biases = batch.weight.double().cpu(), batch.bias.double().cpu()
    ends = zip(cells, problems, weights, biases, range(len(cells)), strict=True)
    results = _on_host(lambda end: _result(*end, logged), ends, device)  # type: ignore[call-arg]
    for result in results:
        result.row["seconds_per_step"] = float(f"{stepping / (steps * len(cells)):.4g}")
    return results


def _on_host(function: Callable, items: Iterable, device: torch.device) -> list:
    """The function of each item, on the CPU: by a thread a core where a GPU trains, else one after another, since then
    the cores train other batches."""
    if device.type == "cpu":
        return [function(item) for item in items]
    with ThreadPoolExecutor(os.cpu_count(), initializer=torch.set_num_threads, initargs=(1,)) as pool:
        return list(pool.map(function, items))


def _draw_all(cells: Sequence[Cell], device: torch.device) -> list[Problem]:
    """Problems of cells; what paired cells share is drawn once."""
    drawn_as = [(cell.problem, cell.determinant, cell.init) for cell in cells]
    distinct = dict(zip(drawn_as, cells, strict=True))
    shared = dict(zip(distinct, _on_host(_draw, distinct.values(), device), strict=True))
    return [shared[settings] for settings in drawn_as]


def _draw(cell: Cell) -> Problem:
    problem = draw_problem(cell)
    problem.nearest  # noqa: B018 - computed here, once for all that share it
    return problem


def _result(
    cell: Cell, problem: Problem, weight: Tensor, bias: Tensor, i: int, logged: list[tuple[int, dict[str, Tensor]]]
) -> Result:
    """Row and trace of the i-th cell of a stack, from its final weight and bias in float64 on the CPU."""
    trace = [{"step": t, **{name: _short(values[name][i]) for name in metrics.TRACE}} for t, values in logged]
    row: dict[str, float | int | str] = dict.fromkeys((*metrics.FINAL, *ends.MEASURES), math.nan)
    if torch.isfinite(weight).all() and torch.isfinite(bias).all():
        row |= {name: float(logged[-1][1][name][i]) for name in metrics.TRACE if name in metrics.FINAL}
        row |= metrics.final(weight, bias, problem) | ends.measure_end(weight, problem, cell)
        penalty, options = find_penalty(cell.penalty)
        row["penalty_value"] = float(penalty.value(gram_residual(weight[None]), **options)[0])
        row["status"] = "ok"
    else:
        row["status"] = "diverged"
    row["det_sign_start"] = trace[0]["det_sign"]
    row["det_sign_target"] = float(torch.linalg.slogdet(problem.rho.double())[0])
    row["lambda_min"], row["rank"] = problem.lambda_min, problem.rank
    for name in ("det_sign", "det_sign_start", "det_sign_target", "reflection", "slow_sign"):
        row[name] = int(row[name]) if row[name] == row[name] else math.nan
    return Result(cell, row, trace, weight, bias)


def _short(value: Tensor) -> float:
    """A trace's number, to seven digits: as many as the thread's longest, and half the bytes on disk."""
    return float(f"{float(value):.7g}")
