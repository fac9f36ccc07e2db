"""Cells of one shape, stacked to B × n × n: their state, the gradient of their loss, and an optimiser's update of it."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from types import SimpleNamespace

import torch
from torch import Tensor

from ..cells.cell import Cell
from ..cells.shape import ProblemSettings, by_gram
from ..numerics import metrics
from ..numerics.descent import Descent
from ..numerics.graphs import find_kernels
from ..numerics.inputs import draw_inputs
from ..numerics.linalg import GramResidual, Products, by_numpy, flat, padded, padded_copy, whole
from ..numerics.problem import DTYPES, Problem
from ..penalties.base import find_penalty


def learning_rate(cell: Cell, step: int, steps: int | None = None) -> float:
    """The rate of one step (0-based) of so many, the cell's own by default: constant, or cosine from lr towards zero.

    In the first `warmup` steps it rises linearly.
    """
    done = step / (steps or cell.steps) if cell.schedule == "cosine" else 0.0
    return cell.lr * min(1.0, (step + 1) / max(cell.warmup, 1)) * (0.5 * (1 + math.cos(math.pi * done)))


def rate_settings(cell: Cell) -> tuple:
    """What its rates depend on: cells that agree in it are updated together."""
    return cell.lr, cell.schedule, cell.warmup


def rate_runs(cells: Sequence[Cell]) -> list[range]:
    """Runs of neighbours with one learning rate, by number."""
    same = (list(run) for _, run in itertools.groupby(range(len(cells)), key=lambda i: rate_settings(cells[i])))
    return [range(run[0], run[-1] + 1) for run in same]


class Batch:
    """The state of B cells in training: weights, biases, data and the optimiser. A method steps it."""

    def __init__(self, cells: Sequence[Cell], problems: Sequence[Problem], device: torch.device):
        first = cells[0]
        n, k, count = first.dimension, first.samples, len(cells)
        self.cells, self.problems, self.device = cells, problems, device
        self.on_gpu = device.type == "cuda"
        self.dtype = DTYPES[first.dtype]
        self.steps, self.biased = first.steps, first.bias
        self.penalty, self.options = find_penalty(first.penalty)
        self.attached = self.penalty.attached
        self.products = Products(first.dtype, device)
        self.kernels = find_kernels(device)
        self.rank_one_left = False  # to whoever takes the gradient, where it goes by the Gram matrix

        def make(*shape: int) -> Tensor:
            return padded(count, *shape, dtype=self.dtype, device=device)

        self.weight, self.grad = make(n, n), make(n, n)
        self.s = GramResidual(self.weight)
        self.bias, self.bias_grad = make(n), make(n)
        # What is given is at least float32, whatever the weights' precision: a target, a reg of 0.1.
        given = torch.promote_types(self.dtype, torch.float32)
        side = whole(self.weight).shape[-1]
        self.target = padded(count, side, side, dtype=given, device=device)[:, :n, :n]
        self.by_gram = by_gram(first)
        # The same with their margins, which are zero: what a step works on.
        self.whole = SimpleNamespace(weight=whole(self.weight), grad=whole(self.grad), target=whole(self.target))
        self.whole.bias = whole(self.bias)[:, None, :side]
        for i, problem in enumerate(problems):
            self.weight[i], self.bias[i], self.target[i] = problem.weight, problem.bias, problem.rho.mT
        if self.by_gram:
            # Of the samples their number, their mean and their Gram matrix; the two in double precision, for losses, and in the cells'.
            self.count = torch.tensor([[cell.samples] for cell in cells], dtype=given, device=device)
            stacks = (torch.stack(same).to(device) for same in zip(*(p.moments for p in problems), strict=True))
            gram, mean = (padded_copy(stack, torch.float64) for stack in stacks)
            self.moments = gram, mean
            self.twice_k = 2 * self.count
            self.twice_gram, self.mean, self.twice_k_mean = make(n, n).copy_(2 * gram), make(n).copy_(mean), make(n)
            self.twice_k_mean.copy_(mean * self.twice_k)
            self.whole.twice_gram, self.whole.mean = whole(self.twice_gram), whole(self.mean)[:, None, :side]
            self.whole.twice_k_mean = whole(self.twice_k_mean)[:, None, :side]
            self.offset = self.grad.new_zeros(count, side, 1)
            # Views of every step, made once.
            self.bias_column, self.offset_entries = self.whole.bias.mT, self.offset[:, :n, 0]
            self.times_gram = self.products.prepared(self.s.whole, self.whole.twice_gram, out=self.whole.grad)
            self.times_mean = self.products.prepared(self.s.whole, self.whole.mean.mT, out=self.offset)
        else:
            self.x, self.y, self.residual = (make(k, n) for _ in "xyr")
            self.whole.x, self.whole.y, self.whole.residual = whole(self.x), whole(self.y), whole(self.residual)
            self.rows = self.whole.residual[:, :k]  # the true ones alone: a bias is added to them
            for i, problem in enumerate(problems):
                # Targets on the CPU, as the thread makes them: its printed digits depend on it.
                self.x[i], self.y[i] = problem.x, problem.targets
            # The samples in double precision, where they stay: a loss is measured often.
            self.measured = self._samples_in_double() if first.sampling == "fixed" else None
        self.reg = torch.tensor([c.reg for c in cells], dtype=given, device=device)[:, None, None]
        self.scaled_reg, self.room = self.penalty.factor * self.reg, torch.empty_like(self.whole.grad)
        self.times_weight = self.products.prepared(self.s.whole, self.whole.weight, out=self.room)

        # Flat storage and gradients of what a method may train.
        self.parameters = {"weight": (flat(self.weight), flat(self.grad))}
        if self.biased:
            self.parameters["bias"] = flat(self.bias), flat(self.bias_grad)
        self.optimizer: Descent | None = None
        self.runs = rate_runs(cells)  # each is a slice of the storage, and is updated in one call
        self.rates = [cell.lr for cell in cells]
        self.rates_of: tuple = ()  # what they were last set for
        self.constant = all(cell.schedule == "constant" and not cell.warmup for cell in cells)

        # Fresh samples: cells that share a problem share its stream, from where the problem's draws ended.
        streams: dict[ProblemSettings, int] = {}
        self.stream_of = [streams.setdefault(cell.problem, i) for i, cell in enumerate(cells)]
        self.generators = {i: problems[i].generator.clone_state() for i in sorted(set(self.stream_of))}

    def draw_samples(self) -> None:
        """Replace the data by the next fresh samples of each stream."""
        drawn = {
            i: draw_inputs(self.cells[i], self.cells[i].dimension, generator)
            for i, generator in self.generators.items()
        }
        for i, stream in enumerate(self.stream_of):
            self.x[i] = drawn[stream].to(self.dtype)
        self.y.copy_(torch.bmm(self.x.to(self.target.dtype), self.target.mT))

    def compute_gradient(self, penalty: bool = True, reg_factor: float = 1.0) -> None:
        """grad, bias_grad ← the gradient of ‖XWᵀ + b - Y‖² + reg_factor · reg · penalty(WWᵀ - I)."""
        if self.by_gram:
            self._data_gradient_by_gram()
        else:
            self._data_gradient_by_residuals()
        if penalty and self.attached:
            self.penalty_gradient(self.whole.weight, self.s, self.whole.grad, reg_factor)

    def train_with(self, optimizer: type[Descent], trained: Sequence[tuple[Tensor, Tensor]], **settings: float) -> None:
        """Let `update` step (flat storage, flat gradients) of padded stacks by an optimiser, each cell at its own rate."""
        self.optimizer = optimizer(trained, self.runs, self.device, **settings)

    def update(self, t: int, factor: float = 1.0, steps: int | None = None) -> None:
        """One step of the optimiser, at `factor` times the rate of step t of `steps` (the cell's own number by default)."""
        self.set_rates(t, factor, steps)
        self.apply_gradient()

    def set_rates(self, t: int, factor: float = 1.0, steps: int | None = None) -> None:
        """The first half of `update`. A method that trains the weight in its own way finds each cell's rate in `rates`."""
        now = (factor,) if self.constant else (factor, t, steps)
        if now == self.rates_of:
            return
        self.rates_of = now
        rates = [factor * learning_rate(self.cells[run.start], t, steps) for run in self.runs]
        self.rates = [rate for rate, run in zip(rates, self.runs, strict=True) for _ in run]
        self.optimizer.set_rates(rates)  # type: ignore[union-attr]

    def rates_table(self) -> Tensor:
        """The rates of all steps, (steps, runs), as `set_rates` would set them one after another."""
        heads = [self.cells[run.start] for run in self.runs]
        return torch.tensor([[learning_rate(cell, t) for cell in heads] for t in range(self.steps)])

    def apply_gradient(self) -> None:
        """The second half of `update`: the optimiser's step, at the rates that were set."""
        self.optimizer.step()  # type: ignore[union-attr]

    def _data_gradient_by_residuals(self) -> None:
        """residual ← 2R; grad ← 2RᵀX, the gradient of ‖R‖², R = XWᵀ + b - Y; bias_grad ← 2Rᵀ1."""
        w = self.whole
        self.products.baddbmm(w.y, w.x, w.weight.mT, beta=-2, alpha=2, out=w.residual)
        if self.biased:
            self.rows.add_(w.bias, alpha=2)
        self.products.bmm(w.residual.mT, w.x, out=w.grad)
        if self.biased:
            torch.sum(self.residual, dim=1, out=self.bias_grad)

    def _data_gradient_by_gram(self) -> None:
        """The same from D = W - rhoᵀ: R = XDᵀ + b, so RᵀX = D XᵀHX + k (D x̄ + b) x̄ᵀ, x̄ the samples' mean.

        The difference is taken before the product, so a small gradient is no difference of large numbers.
        """
        w, difference = self.whole, self.s.whole
        torch.sub(w.weight, w.target, out=difference)
        self.times_gram()
        self.times_mean()
        self.offset.add_(self.bias_column)
        if self.rank_one_left:
            return
        w.grad.addcmul_(self.offset, w.twice_k_mean)
        if self.biased:
            torch.mul(self.offset_entries, self.twice_k, out=self.bias_grad)

    def penalty_gradient(
        self, weight: Tensor, s: GramResidual, grad: Tensor, reg_factor: float = 1.0, columns: int | None = None
    ) -> None:
        """grad ← grad + reg_factor · reg · ∂penalty/∂W, for a weight and gradient with their margins.

        Without them the weight is n × n, or has so many `columns`.
        """
        penalty, scale = self.penalty, self.scaled_reg if reg_factor == 1 else reg_factor * self.scaled_reg
        if penalty.multiplier_of is None:
            n = s.corner.shape[-1]
            weight, grad = (t[:, :n, : columns or n] for t in (weight, grad))
            grad.addcmul_(penalty.gradient_at(weight, **self.options), scale)
            return
        s.fill(weight, self.products)
        z = penalty.multiplier_of(s.corner, **self.options)
        if z is not s.corner:
            s.corner.copy_(z)
        if not by_numpy(s.whole):
            self.products.baddbmm(grad, s.whole.mul_(scale), weight, out=grad)
            return
        if grad is self.whole.grad:
            self.times_weight()
            grad.addcmul_(self.room, scale)
        else:
            grad.addcmul_(self.products.bmm(s.whole, weight, out=torch.empty_like(grad)), scale)

    def _fit(self, weight: Tensor) -> Tensor:
        """The data loss of each cell, (B,), at a padded float64 weight."""
        bias = self.bias.double()
        if self.by_gram:
            return metrics.data_loss_by_gram(weight, bias, self.target, *self.moments, self.count)
        return metrics.data_loss(weight, bias, *(self.measured or self._samples_in_double()))

    def _samples_in_double(self) -> tuple[Tensor, Tensor]:
        return padded_copy(self.x, torch.float64), padded_copy(self.y, torch.float64)

    def samples_of(self, i: int) -> tuple[Tensor, Tensor]:
        """A cell's samples and targets now, (k, n) float64."""
        now = (self.problems[i].x, self.problems[i].targets) if self.by_gram else (self.x[i], self.y[i])
        x, y = (t.to(self.device).double() for t in now)
        return x, y

    def measure(self) -> dict[str, Tensor]:
        """The trace's columns now, each (B,)."""
        weight = padded_copy(self.weight, torch.float64)
        return metrics.trace(weight, self._fit(weight), self.target)
