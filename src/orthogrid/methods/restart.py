"""A second try from the other side."""

from __future__ import annotations

import torch

from .adam import adam
from .base import register


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
