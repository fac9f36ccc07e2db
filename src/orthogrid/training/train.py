"""Training: cells of one shape are stacked and stepped together. Only numerics; files are in `store`."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Sequence

import torch

from ..cells.cell import Cell
from ..cells.shape import shape_of
from ..methods.batch import rate_settings
from ..models import Result, log_steps, make_model
from ..numerics.linalg import ALONE_FROM, one_thread

__all__ = ["Result", "log_steps", "train_batch"]

# On a CPU a stack's weights have about so many elements at most: its gradients, moments and data are then still in the
# caches when a step comes back to them.
STACK_ELEMENTS = 200_000


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
        model = make_model(cells)
        drawn = model.draw()
        drawing = (time.perf_counter() - started) / len(cells)
        stacks = _stacks(cells, device)
        for done, stack in enumerate(stacks):

            def report(fraction: float, done: int = done) -> None:
                progress((done + fraction) / len(stacks))

            started = time.perf_counter()
            trained = model.train([cells[i] for i in stack], [drawn[i] for i in stack], device, report)
            results |= zip(stack, trained, strict=True)
            seconds = drawing + (time.perf_counter() - started) / len(set(stack))
            for i in stack:
                results[i].row["seconds"] = round(seconds, 6)
    return [results[i] for i in range(len(cells))]


def _stacks(cells: Sequence[Cell], device: torch.device) -> list[list[int]]:
    """Which cells, by number, are stepped together."""
    # Neighbours with one rate are updated in one call.
    order = sorted(range(len(cells)), key=lambda i: rate_settings(cells[i]))
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
