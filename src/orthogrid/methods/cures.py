"""Cures for trapping: methods that keep the cell's penalty and spend the cell's steps in another way."""

from __future__ import annotations

import torch

from ..numerics.linalg import GramResidual, flat, padded, whole
from .base import register
from .optimizers import adam


@register(uses_penalty=True, cures="avoid")
class reg_ramp(adam):
    """reg low, then high: it grows geometrically from low · reg to reg over the first half of the steps."""

    def __init__(self, batch, *, low: float = 1e-4):
        super().__init__(batch)
        self.low = low

    def step(self, t: int) -> None:
        rest = max(0.0, 1 - 2 * t / self.batch.steps)
        self.batch.compute_gradient(reg_factor=self.low**rest)
        self.batch.update(t)


@register(uses_penalty=True, cures="avoid")
class early_rate(adam):
    """A learning rate `factor` times as large over the first quarter of the steps."""

    def __init__(self, batch, *, factor: float = 10.0):
        super().__init__(batch)
        self.factor = factor

    def step(self, t: int) -> None:
        self.batch.compute_gradient()
        self.batch.update(t, self.factor if 4 * t < self.batch.steps else 1.0)


@register(uses_penalty=True, cures="undo")
class reflection(adam):
    """At half time one reflection W ← (I - 2uuᵀ) W with the bias at its optimum, kept where it lowers the data loss.

    u is the direction in which the residual is largest (the top right singular vector of HR). At the twin rhoᵀ(I - 2vvᵀ)
    it is rhoᵀv, and the reflection gives rhoᵀ (Corollary "reflection"). The data alone are used, not the target.
    """

    def step(self, t: int) -> None:
        if t == self.batch.steps // 2:
            self.reflect()
        super().step(t)

    def reflect(self) -> None:
        """Reflect each cell's weight where that lowers its data loss."""
        batch = self.batch
        for i, cell in enumerate(batch.cells):
            weight, bias, x, y = (t[i].double() for t in (batch.weight, batch.bias, batch.x, batch.y))
            residual = x @ weight.mT + bias - y
            if not residual.isfinite().all():
                continue
            centred = residual - residual.mean(0) if cell.bias else residual
            u = torch.linalg.eigh(centred.mT @ centred)[1][:, -1]
            reflected = weight - 2 * torch.outer(u, u @ weight)
            after = x @ reflected.mT - y
            best_bias = -after.mean(0) if cell.bias else bias
            if (after + best_bias).square().sum() < residual.square().sum():
                batch.weight[i], batch.bias[i] = reflected, best_bias


@register(uses_penalty=True, cures="undo")
class restart(adam):
    """At half time again from the start with one row negated; the better of the two ends, by the whole loss, is kept."""

    def __init__(self, batch):
        super().__init__(batch)
        self.first: tuple[torch.Tensor, torch.Tensor, torch.Tensor] | None = None

    def step(self, t: int) -> None:
        batch, half = self.batch, self.batch.steps // 2
        if t == half:
            self.first = (batch.weight.clone(), batch.bias.clone(), batch.loss())
            for i, problem in enumerate(batch.problems):
                batch.weight[i], batch.bias[i] = problem.weight, problem.bias
                batch.weight[i, 0].neg_()
            batch.optimizer.restart()  # type: ignore[union-attr]
        batch.compute_gradient()
        done, steps = (half, batch.steps - half) if t >= half else (0, half)
        batch.update(t - done, steps=steps)
        if t == batch.steps - 1 and self.first is not None:
            weight, bias, loss = self.first
            better = loss.isfinite() & ~(batch.loss() <= loss)  # also where the second diverged
            batch.weight[better], batch.bias[better] = weight[better], bias[better]


@register(uses_penalty=True, cures="avoid", matrices=24)
class widened(adam):
    """Twice the width: the weight is the n × n corner of a penalised 2n × 2n matrix (as in BCOP, Li et al., NeurIPS 2019).

    Both signs of the corner extend to one component of the larger group (Proposition "widening"). A step costs eight times as much,
    so one is made where others make eight. The rest of the matrix starts at the identity. Beside the two blocks stand entries of
    size `noise`: a block diagonal matrix would stay one.
    """

    COST = 8

    def __init__(self, batch, *, noise: float = 1e-3):
        count, n, _ = batch.weight.shape
        self.wide, self.grad = (padded(count, 2 * n, 2 * n, dtype=batch.dtype, device=batch.device) for _ in "wg")
        self.s = GramResidual(self.wide)
        super().__init__(batch)
        for i, (cell, problem) in enumerate(zip(batch.cells, batch.problems, strict=True)):
            # Not from the problem's generator: paired cells share it, and fresh samples come from it.
            generator = torch.Generator().manual_seed(cell.seed)
            wide = noise * torch.randn(2 * n, 2 * n, generator=generator, dtype=torch.float64)
            wide[:n, :n], wide[n:, n:] = problem.weight, torch.eye(n)
            self.wide[i] = wide

    def trained(self) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """The wide matrix in the weight's place."""
        return [(flat(self.wide), flat(self.grad)), *super().trained()[1:]]

    def step(self, t: int) -> None:
        if t % self.COST:
            return
        batch, n = self.batch, self.batch.weight.shape[-1]
        batch.compute_gradient(penalty=False)
        if batch.penalty.attached:
            batch.penalty_gradient(whole(self.wide), self.s, whole(self.grad))
        else:
            self.grad.zero_()
        self.grad[:, :n, :n] += batch.grad
        batch.update(t)
        batch.weight.copy_(self.wide[:, :n, :n])


@register(uses_penalty=True, cures="avoid", both_sides=True, matrices=8)
class lifted(adam):
    """`rows` more outputs, of target zero: their rows are penalised with the others and dropped at the end (Theorem "lifting").

    With the sum of squares no trap is left at any reg. A step costs (n + rows)/n. The new rows start with entries of size
    `noise`: from zero they would not move.
    """

    def __init__(self, batch, *, rows: float = 1, noise: float = 1e-3):
        count, n, _ = batch.weight.shape
        if rows < 1 or rows != int(rows):
            raise ValueError(f"lifted: rows must be a whole number ≥ 1, got {rows:g}")
        rows = int(rows)

        def make(*shape: int) -> torch.Tensor:
            return padded(count, *shape, dtype=batch.dtype, device=batch.device)

        # The tall weight transposed, so that what is penalised, its columns, are rows. Its first n columns are the weight's.
        self.tall, self.grad, self.s = make(n, n + rows), make(n, n + rows), GramResidual(batch.weight)
        self.new, self.new_bias, self.new_bias_grad = make(rows, n), make(rows), make(rows)
        self.output, self.new_grad = make(batch.x.shape[1], rows), make(rows, n)
        super().__init__(batch)
        for i, (cell, problem) in enumerate(zip(batch.cells, batch.problems, strict=True)):
            # Not from the problem's generator: paired cells share it, and fresh samples come from it.
            generator = torch.Generator().manual_seed(cell.seed)
            self.tall[i, :, :n] = problem.weight.mT
            self.tall[i, :, n:] = noise * torch.randn(n, rows, generator=generator, dtype=torch.float64)

    def trained(self) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """The tall matrix in the weight's place, and the new outputs' biases."""
        biases = super().trained()[1:]
        return [
            (flat(self.tall), flat(self.grad)),
            *biases,
            *([(flat(self.new_bias), flat(self.new_bias_grad))] if biases else []),
        ]

    def step(self, t: int) -> None:
        batch, n = self.batch, self.batch.weight.shape[-1]
        batch.compute_gradient(penalty=False)
        if batch.penalty.attached:
            batch.penalty_gradient(whole(self.tall), self.s, whole(self.grad), columns=self.tall.shape[-1])
        else:
            self.grad.zero_()
        self.grad[:, :, :n] += batch.grad.mT
        # The data loss of the new outputs, ‖X mᵀ + b‖², for which no target is needed.
        self.new.copy_(self.tall[:, :, n:].mT)
        batch.products.bmm(batch.x, self.new.mT, out=self.output)
        if batch.cells[0].bias:
            self.output.add_(self.new_bias[:, None])
            torch.sum(self.output, dim=1, out=self.new_bias_grad).mul_(2)
        batch.products.bmm(self.output.mT, batch.x, out=self.new_grad)
        self.grad[:, :, n:].add_(self.new_grad.mT, alpha=2)
        batch.update(t)
        batch.weight.copy_(self.tall[:, :, :n].mT)
