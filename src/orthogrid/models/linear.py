"""One layer, trained towards X @ rho: the thread's."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from ..cells.cell import Cell
from ..methods.base import make_method
from ..methods.batch import Batch
from ..numerics import metrics
from ..numerics.linalg import gram_residual
from ..numerics.problem import Problem, det_sign, draw_problem, stacked
from . import ends
from .base import Model, Report, Result, register, result, run

GPU_MEASURED = 16  # final weights that a GPU measures at once: each takes some twenty matrices in float64


@register()
class linear(Model):
    """x → Wx + b, trained towards X @ rho by any method, under any penalty of W."""

    def draw(self) -> list[Problem]:
        drawn_as = [(cell.problem, cell.determinant, cell.init) for cell in self.cells]
        shared = {
            settings: draw_problem(cell) for settings, cell in dict(zip(drawn_as, self.cells, strict=True)).items()
        }
        return [shared[settings] for settings in drawn_as]

    def train(
        self, cells: Sequence[Cell], drawn: Sequence[Problem], device: torch.device, report: Report
    ) -> list[Result]:
        batch = Batch(cells, drawn, device)
        method = make_method(batch)

        def advance(first: int, last: int) -> None:
            method.run(first, last)
            if cells[0].sampling == "fresh" and last > 0:
                batch.draw_samples()
            if batch.on_gpu:
                torch.cuda.synchronize(device)  # between logged steps the host runs ahead

        with torch.no_grad():
            traces, seconds = run(cells[0], advance, batch.measure, report)
            weight, bias = batch.weight.double().contiguous(), batch.bias.double().contiguous()
            finite = (weight.isfinite().all((1, 2)) & bias.isfinite().all(1)).tolist()
            most = GPU_MEASURED if batch.on_gpu else len(cells)
            parts = [slice(first, first + most) for first in range(0, len(cells), most)]
            final = [found for part in parts for found in _measured(batch, part, weight, bias)]
        results = []
        for i, (cell, problem) in enumerate(zip(cells, drawn, strict=True)):
            given = {
                "det_sign_target": det_sign(problem.rho), "det_sign_least_squares": problem.side_of_least_squares,
                "lambda_min": problem.lambda_min, "rank": problem.rank,
            }  # fmt: skip
            final[i]["relative_loss"] = float(traces[i, -1, 0]) / (problem.spread or math.nan)
            trained = result(cell, traces[i], final[i] | given, finite[i], seconds / len(cells))
            results.append(replace(trained, weight=weight[i].cpu(), bias=bias[i].cpu()))
        return results


def _measured(batch: Batch, part: slice, weights: Tensor, biases: Tensor) -> list[dict[str, float]]:
    """What is measured on the final weights of a part of the cells."""
    weight, bias, against = weights[part], biases[part], stacked(batch.problems[part], batch.device)
    # A diverged weight is measured as its start, so that it spoils no neighbour; its numbers are dropped.
    weight = weight.where(weight.isfinite().all(1).all(1)[:, None, None], against.start)
    found = metrics.final(weight, bias, against) | ends.measure_ends(weight, against, batch.cells[part])
    found["penalty_value"] = batch.penalty.value(gram_residual(weight), **batch.options)
    return [dict(zip(found, values, strict=True)) for values in torch.stack([*found.values()], 1).tolist()]
