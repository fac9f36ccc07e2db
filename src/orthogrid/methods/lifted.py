"""More outputs, trained towards zero."""

from __future__ import annotations

import torch

from ..numerics.linalg import GramResidual, flat, padded, whole
from .adam import adam
from .base import register
from .rows import NewRows


@register(uses_penalty=True, cures="avoid", both_sides=True, matrices=8, networks=True)
class lifted(adam):
    """`rows` more outputs, of target zero: their rows are penalised with the others and dropped at the end (Theorem "tall layers").

    Their data loss counts `weight` times: as once, no trap is left at any reg, and at most twice, the former trap is none. A step costs
    (n + rows)/n. The new rows start with entries of size `noise`: from zero they would not move. A network has `rows` more hidden
    units.
    """

    def __init__(self, batch, *, rows: float = 1, noise: float = 1e-3, weight: float = 1):
        count, n, _ = batch.weight.shape
        if rows < 1 or rows != int(rows):
            raise ValueError(f"lifted: rows must be a whole number ≥ 1, got {rows:g}")
        self.counts = weight
        self.new = NewRows(batch, int(rows))
        # The tall weight transposed, so that what is penalised, its columns, are rows. Its first n columns are the weight's.
        self.tall, self.grad = (padded(count, n, n + int(rows), dtype=batch.dtype, device=batch.device) for _ in "wg")
        self.s = GramResidual(batch.weight)
        super().__init__(batch)
        for i, problem in enumerate(batch.problems):
            self.tall[i, :, :n] = problem.weight.mT
            self.tall[i, :, n:] = noise * self.new.noise(i).mT

    def trained(self) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """The tall matrix in the weight's place, and the new outputs' biases."""
        return [(flat(self.tall), flat(self.grad)), *super().trained()[1:], *self.new.biases]

    def step(self, t: int) -> None:
        batch, n, new = self.batch, self.batch.weight.shape[-1], self.new
        batch.compute_gradient(penalty=False)
        self.grad.zero_()
        if batch.attached:
            batch.penalty_gradient(whole(self.tall), self.s, whole(self.grad), columns=self.tall.shape[-1])
        self.grad[:, :, :n] += batch.grad.mT
        new.weight.copy_(self.tall[:, :, n:].mT)
        new.gradient()
        new.bias_grad.mul_(self.counts)
        self.grad[:, :, n:].add_(new.grad.mT, alpha=self.counts)
        batch.update(t)
        batch.weight.copy_(self.tall[:, :, :n].mT)
