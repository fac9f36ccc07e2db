"""Twice the width."""

from __future__ import annotations

import torch

from ..numerics.linalg import GramResidual, flat, padded, whole
from .adam import adam
from .base import register


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
        self.grad.zero_()
        if batch.attached:
            batch.penalty_gradient(whole(self.wide), self.s, whole(self.grad))
        self.grad[:, :n, :n] += batch.grad
        batch.update(t)
        batch.weight.copy_(self.wide[:, :n, :n])
