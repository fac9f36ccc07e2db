"""What networks share: they are stepped by Adam on stacks, the data loss's gradient by autograd, the penalty's by its own."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ..cells.cell import Cell
from ..cells.shape import spec_name, spec_options
from ..methods.batch import learning_rate, rate_runs
from ..numerics import metrics
from ..numerics.descent import Adam
from ..numerics.linalg import each, gram_residual
from ..numerics.problem import reorthogonalize
from ..penalties.base import find_penalty
from .base import Measured, Model, Report, Result, result, run


@dataclass
class Task:
    """What one network is trained on, and where it starts."""

    x: Tensor  # samples, the first axis their number
    y: Tensor  # (k, outputs)
    penalised: list[Tensor]  # starts of the weights that are penalised
    free: list[Tensor] = field(default_factory=list)  # and of those that are not
    teacher_sign: float = math.nan  # of the product of the teacher's determinants


class Network(Model):
    """A network with a teacher of its own kind. A file says how a task is drawn and what the network computes.

    The loss is the sum of squared errors plus reg times the penalties of the penalised weights' Gram matrices: of the smaller of
    WᵀW and WWᵀ. Method `lifted` widens it by `rows` hidden units.
    """

    def draw_task(self, cell: Cell, extra: int, generator: torch.Generator) -> Task:
        """Samples, teacher and start, with `extra` hidden units more than the teacher has."""
        raise NotImplementedError

    def forward(self, weights: Sequence[Tensor], x: Tensor) -> Tensor:
        """The outputs (B, k, outputs) of stacked weights, the penalised first, for stacked samples."""
        raise NotImplementedError

    def draw(self) -> list[Task]:
        tasks = []
        for cell in self.cells:
            options = spec_options(cell.method)
            extra = int(options.get("rows", 1)) if spec_name(cell.method) == "lifted" else 0
            tasks.append(self.draw_task(cell, extra, torch.Generator().manual_seed(cell.seed)))
        return tasks

    def train(self, cells: Sequence[Cell], drawn: Sequence[Task], device: torch.device, report: Report) -> list[Result]:
        penalty, options = find_penalty(cells[0].penalty)
        reg = torch.tensor([cell.reg for cell in cells])[:, None, None]
        x, y = (torch.stack([getattr(task, name) for task in drawn]) for name in "xy")
        count = len(drawn[0].penalised)
        starts = zip(*(task.penalised + task.free for task in drawn), strict=True)
        weights = [torch.stack(same).contiguous() for same in starts]
        grads = [torch.zeros_like(weight) for weight in weights]
        runs = rate_runs(cells)
        momenta = {name: value for name, value in spec_options(cells[0].method).items() if name.startswith("beta")}
        optimizer = Adam(
            [(w.view(-1), g.view(-1)) for w, g in zip(weights, grads, strict=True)], runs, x.device, **momenta
        )

        def advance(first: int, last: int) -> None:
            for t in range(first, last):
                with torch.enable_grad():
                    leaves = [weight.detach().requires_grad_() for weight in weights]
                    loss = (self.forward(leaves, x) - y).square().sum()
                    found = torch.autograd.grad(loss, leaves)
                for i, (grad, of_data) in enumerate(zip(grads, found, strict=True)):
                    grad.copy_(of_data)
                    if i < count and penalty.attached:
                        flipped = _tall(weights[i])
                        of_penalty = penalty.gradient_at(weights[i].mT if flipped else weights[i], **options)
                        grad.addcmul_(of_penalty.mT if flipped else of_penalty, reg)
                optimizer.set_rates([learning_rate(cells[run.start], t) for run in runs])
                optimizer.step()

        def measure() -> Measured:
            wide = [weight.double() for weight in weights]
            fit = (self.forward(wide, x.double()) - y).square().sum((1, 2))
            residuals = [gram_residual(w.mT if _tall(w) else w) for w in wide[:count]]
            penalties = torch.stack([penalty.value(s, **options) for s in residuals]).sum(0)
            return {"fit": fit, "penalty_value": penalties} | _of_weights(wide[:count], residuals)

        with torch.no_grad():
            traces, seconds = run(cells[0].steps, advance, measure, report)
            final = measure()
        finite = torch.stack([weight.isfinite().flatten(1).all(1) for weight in weights]).all(0)
        spread = (y - y.mean(1, keepdim=True)).double().square().sum((1, 2))
        final["relative_loss"] = final["fit"] / spread
        results = []
        for i, (cell, task) in enumerate(zip(cells, drawn, strict=True)):
            ends = {name: float(final[name][i]) for name in metrics.FINAL if name in final}
            ends["det_sign_target"] = task.teacher_sign
            results.append(result(cell, traces[i], ends, bool(finite[i]), seconds / len(cells)))
        return results


def _of_weights(weights: Sequence[Tensor], residuals: Sequence[Tensor]) -> Measured:
    """What is measured of penalised stacks (B, ·, ·) alone: determinants are multiplied, NaN where a weight is not square."""
    singular = [each(torch.linalg.svdvals, weight) for weight in weights]
    if all(_square(weight) for weight in weights):
        each_sign = [each(lambda matrix: torch.stack(torch.linalg.slogdet(matrix), -1), weight) for weight in weights]
        sign, log = torch.stack(each_sign).unbind(-1)
    else:
        sign = log = torch.full((1, len(weights[0])), math.nan, dtype=torch.float64)
    return {
        "orthogonality_fro": torch.stack([s.square().sum((1, 2)) for s in residuals]).sum(0).sqrt(),
        "orthogonality_l1": torch.stack([s.abs().sum((1, 2)) for s in residuals]).sum(0),
        "distance": torch.full((len(weights[0]),), math.nan, dtype=torch.float64),
        "log_abs_det": log.sum(0),
        "det_sign": sign.prod(0),
        "sigma_min": torch.stack([values[:, -1] for values in singular]).amin(0),
        "sigma_max": torch.stack([values[:, 0] for values in singular]).amax(0),
    }


def _square(weight: Tensor) -> bool:
    return weight.shape[-1] == weight.shape[-2]


def _tall(weight: Tensor) -> bool:
    return weight.shape[-2] > weight.shape[-1]


def haar(rows: int, columns: int, generator: torch.Generator) -> Tensor:
    """A random matrix (rows, columns) float32 with orthonormal rows or columns, whichever are fewer."""
    drawn = torch.randn(max(rows, columns), min(rows, columns), generator=generator, dtype=torch.float64)
    q = reorthogonalize(drawn)
    return (q if rows >= columns else q.mT).float()


def of_sign(n: int, sign: float, generator: torch.Generator) -> Tensor:
    """A random orthogonal matrix (n, n) float32 whose determinant has this sign: where it has not, one row is negated."""
    q = haar(n, n, generator)
    if torch.linalg.det(q.double()) * sign < 0:
        q[0].neg_()
    return q


def normal(rows: int, columns: int, generator: torch.Generator) -> Tensor:
    """A matrix of normal entries (rows, columns) float32 of variance 1/columns."""
    return (torch.randn(rows, columns, generator=generator, dtype=torch.float64) / math.sqrt(columns)).float()
