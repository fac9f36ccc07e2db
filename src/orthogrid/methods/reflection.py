"""One reflection at half time."""

from __future__ import annotations

import torch

from .adam import adam
from .base import register


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
            weight, bias, (x, y) = batch.weight[i].double(), batch.bias[i].double(), batch.samples_of(i)
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
