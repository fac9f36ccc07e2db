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
from ..numerics.linalg import GramResidual, Products, each, flat, gram_residual, padded, padded_copy, total, whole
from ..numerics.problem import reorthogonalize
from ..penalties.base import find_penalty
from .base import Measured, Model, Report, Result, result, run


@dataclass
class Task:
    """What one network is trained on, and where it starts."""

    x: Tensor  # (k, inputs) samples
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
        """The outputs (B, k, outputs) of stacked weights, the penalised first, for stacked samples. Zeros beside them must give zeros."""
        raise NotImplementedError

    def draw(self) -> list[Task]:
        tasks = []
        for cell in self.cells:
            options = spec_options(cell.method)
            extra = int(options.get("rows", 1)) if spec_name(cell.method) == "lifted" else 0
            tasks.append(self.draw_task(cell, extra, torch.Generator().manual_seed(cell.seed)))
        return tasks

    def train(self, cells: Sequence[Cell], drawn: Sequence[Task], device: torch.device, report: Report) -> list[Result]:
        stack = Stack(self, cells, drawn)

        def advance(first: int, last: int) -> None:
            for t in range(first, last):
                stack.step(t)

        with torch.no_grad():
            traces, seconds = run(cells[0], advance, stack.measure, report)
            final = stack.measure()
        spread = [float((task.y.double() - task.y.double().mean(0)).square().sum()) for task in drawn]
        results = []
        for i, (cell, task) in enumerate(zip(cells, drawn, strict=True)):
            ends = {name: float(final[name][i]) for name in metrics.FINAL if name in final}
            ends |= {"relative_loss": ends["fit"] / spread[i], "det_sign_target": task.teacher_sign}
            finite = all(bool(weight[i].isfinite().all()) for weight in stack.weights)
            results.append(result(cell, traces[i], ends, finite, seconds / len(cells)))
        return results


class Stack:
    """Networks stepped together. All is held with margins of zeros (`linalg.padded`), so that a network's bits depend on it alone.

    A penalised weight with more rows than columns is held transposed: its rows are what is penalised.
    """

    def __init__(self, model: Network, cells: Sequence[Cell], tasks: Sequence[Task]):
        self.model, self.cells = model, cells
        self.penalty, self.options = find_penalty(cells[0].penalty)
        self.x, self.y = (_padded([getattr(task, name) for task in tasks]) for name in "xy")
        self.count = len(tasks[0].penalised)
        self.flipped = [weight.shape[0] > weight.shape[1] for weight in tasks[0].penalised]
        self.flipped += [False] * len(tasks[0].free)
        starts = zip(*(task.penalised + task.free for task in tasks), strict=True)
        self.weights = [
            _padded([weight.mT if flip else weight for weight in same])
            for same, flip in zip(starts, self.flipped, strict=True)
        ]
        self.grads = [torch.zeros_like(whole(weight)) for weight in self.weights]
        self.reg = torch.tensor([cell.reg for cell in cells])[:, None, None] * self.penalty.factor
        self.products = Products("float32", self.x.device)
        self.residuals = [GramResidual(weight[:, :, : weight.shape[1]]) for weight in self.weights[: self.count]]
        self.runs = rate_runs(cells)
        betas = {name: value for name, value in spec_options(cells[0].method).items() if name.startswith("beta")}
        trained = [(flat(weight), grad.view(-1)) for weight, grad in zip(self.weights, self.grads, strict=True)]
        self.optimizer = Adam(trained, self.runs, self.x.device, **betas)

    def step(self, t: int) -> None:
        """One step of Adam on the whole loss."""
        with torch.enable_grad():
            leaves = [whole(weight).detach().requires_grad_() for weight in self.weights]
            loss = (self.model.forward(self._upright(leaves), whole(self.x)) - whole(self.y)).square().sum()
            found = torch.autograd.grad(loss, leaves)
        for i, (grad, of_data) in enumerate(zip(self.grads, found, strict=True)):
            grad.copy_(of_data)
            if i < self.count and self.penalty.attached:
                self._add_penalty(i)
        self.optimizer.set_rates([learning_rate(self.cells[run.start], t) for run in self.runs])
        self.optimizer.step()

    def _add_penalty(self, i: int) -> None:
        weight, grad = self.weights[i], self.grads[i]
        if self.penalty.multiplier_of is None:
            corner = grad[:, : weight.shape[1], : weight.shape[2]]
            corner.addcmul_(self.penalty.gradient_at(weight, **self.options), self.reg)
            return
        s = self.residuals[i]
        s.fill(whole(weight), self.products)
        z = self.penalty.multiplier_of(s.corner, **self.options)
        if z is not s.corner:
            s.corner.copy_(z)
        grad.baddbmm_(s.whole.mul_(self.reg), whole(weight))

    def _upright(self, weights: Sequence[Tensor]) -> list[Tensor]:
        return [weight.mT if flip else weight for weight, flip in zip(weights, self.flipped, strict=True)]

    def measure(self) -> Measured:
        """The trace's columns, and of the penalised weights what a row has. Determinants are multiplied, NaN where one is not square."""
        wide = [padded_copy(weight, torch.float64) for weight in self.weights]
        outputs = self.model.forward(
            self._upright([whole(weight) for weight in wide]), whole(padded_copy(self.x, torch.float64))
        )
        penalised = wide[: self.count]
        residuals = [gram_residual(weight) for weight in penalised]
        singular = [each(torch.linalg.svdvals, weight) for weight in penalised]
        sign = log = torch.full((1, len(self.cells)), math.nan, dtype=torch.float64)
        if all(weight.shape[-1] == weight.shape[-2] for weight in penalised):
            found = [each(lambda matrix: torch.stack(torch.linalg.slogdet(matrix), -1), weight) for weight in penalised]
            sign, log = torch.stack(found).unbind(-1)
        return {
            "fit": total((outputs - whole(padded_copy(self.y, torch.float64))).square()),
            "orthogonality_fro": torch.stack([total(s.square()) for s in residuals]).sum(0).sqrt(),
            "orthogonality_l1": torch.stack([total(s.abs()) for s in residuals]).sum(0),
            "distance": torch.full((len(self.cells),), math.nan, dtype=torch.float64),
            "log_abs_det": log.sum(0),
            "det_sign": sign.prod(0),
            "penalty_value": torch.stack([self.penalty.value(s, **self.options) for s in residuals]).sum(0),
            "sigma_min": torch.stack([values[:, -1] for values in singular]).amin(0),
            "sigma_max": torch.stack([values[:, 0] for values in singular]).amax(0),
        }


def _padded(same: Sequence[Tensor]) -> Tensor:
    """Equal matrices in one padded stack."""
    return padded(len(same), *same[0].shape, dtype=torch.float32, device="cpu").copy_(torch.stack(list(same)))


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
