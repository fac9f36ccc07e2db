"""What a model is: what a cell trains. Each registers under its own name; `linear` is the thread's layer."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..cells.cell import Cell
from ..cells.components import Entry, registered
from ..cells.shape import spec_name, spec_options
from ..numerics import metrics
from .ends import MEASURES

Report = Callable[[float], None]  # hears the finished fraction
Measured = dict[str, Tensor]  # the trace's columns, each (B,)


@dataclass
class Result:
    """What one cell's training gave: its row (without key and provenance), its trace, and where it ended."""

    cell: Cell
    row: dict[str, float | int | str]
    trace: list[dict[str, float | int]]
    weight: Tensor | None = None  # (n, n) float64, on the CPU; a training job does without
    bias: Tensor | None = None  # (n,)


class Model:
    """Made once for cells of one shape. It draws what they are trained on, and trains some of them in one stack."""

    entry: Entry  # its traits, as others know it

    def __init__(self, cells: Sequence[Cell]):
        self.cells = cells

    def draw(self) -> list[Any]:
        """What each cell is trained on. What paired cells share is drawn once."""
        raise NotImplementedError

    def train(self, cells: Sequence[Cell], drawn: Sequence[Any], device: torch.device, report: Report) -> list[Result]:
        """Train cells in one stack, by `run`, and give what they came to by `result`."""
        raise NotImplementedError


MODELS: dict[str, type[Model]] = {}


def register(**traits: Any) -> Callable[[type[Model]], type[Model]]:
    """Make a class a model of its own name. Its `__init__`'s keyword-only arguments become options: `recurrent(length=8)`.

    The traits tell others what they want to know of it; `components.TRAITS` lists them, each with its meaning and default.
    """

    def wrap(model: type[Model]) -> type[Model]:
        model.entry = registered("model", model, traits)
        MODELS[model.__name__] = model
        return model

    return wrap


def make_model(cells: Sequence[Cell]) -> Model:
    """The model that cells name, `recurrent(length=8)` for one, ready to train them."""
    spec = cells[0].model
    return MODELS[spec_name(spec)](cells, **spec_options(spec))


LARGE = 256  # the dimension from which on a cell's steps are logged closely


def run(
    cell: Cell, advance: Callable[[int, int], None], measure: Callable[[], Measured], report: Report
) -> tuple[Tensor, float]:
    """Step cells like this one from log to log: traces (B, logs, columns) float64, and seconds a step.

    `advance` makes the steps from a first to before a last one, `measure` takes the columns of the trace.
    """
    logged, stepping = [], 0.0
    for last, t in itertools.pairwise([0, *log_steps(cell.steps, cell.dimension)]):
        mark = time.perf_counter()
        advance(last, t)
        stepping += time.perf_counter() - mark
        measured = measure()
        logged.append(torch.stack([measured[name].double() for name in metrics.TRACE], -1))
        report(t / cell.steps)
    return torch.stack(logged, 1).cpu(), stepping / cell.steps


def result(cell: Cell, trace: Tensor, final: dict[str, float], finite: bool, seconds: float) -> Result:
    """A cell's row and trace, given (logs, columns). Of `final` only the signs of start and target count where it diverged."""
    lines = [  # to seven digits: as many as the thread's longest, and half the bytes on disk
        {"step": t, **{name: float(f"{value:.7g}") for name, value in zip(metrics.TRACE, values, strict=True)}}
        for t, values in zip(log_steps(cell.steps, cell.dimension), trace.tolist(), strict=True)
    ]
    row: dict[str, float | int | str] = dict.fromkeys((*metrics.FINAL, *MEASURES), math.nan)
    last = dict(zip(metrics.TRACE, trace[-1].tolist(), strict=True))
    if finite:
        row |= {name: value for name, value in last.items() if name in metrics.FINAL}
    row |= {name: value for name, value in final.items() if finite or name in metrics.GIVEN}
    row["det_sign_start"] = lines[0]["det_sign"]
    for name in metrics.SIGNS:
        row[name] = int(row[name]) if row[name] == row[name] else math.nan
    row["status"] = "ok" if finite else "diverged"
    row["seconds_per_step"] = float(f"{seconds:.4g}")
    return Result(cell, row, lines)


def log_steps(steps: int, dimension: int) -> list[int]:
    """The steps at which metrics are taken: three a decade, and the last.

    Large cells are few, and the thread's are among them: there 0 to 10, five a decade, every 100 (or 2 %), and the two last. The thread
    printed every 100 of 1000 steps with the last but one, and every 200 of 10 000.
    """
    large = dimension >= LARGE
    wanted = {0, *(m * 10**e for e in range(10) for m in ((1, 2, 3, 5, 7) if large else (1, 2, 5)))}
    if large:
        wanted |= {*range(11), *range(0, steps, max(100, steps // 50)), steps - 1}
    return sorted(t for t in wanted if t < steps) + [steps]
