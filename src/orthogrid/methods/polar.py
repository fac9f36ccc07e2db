"""Adam, and the polar factor at the end."""

from __future__ import annotations

from ..numerics.linalg import decomposed
from .adam import adam
from .base import register
from .factors import polar_factor


@register(constrains=True, both_sides=True, decomposes=True)
class polar(adam):
    """Plain regression by Adam, and at its end the weight's polar factor: the orthogonal matrix nearest what was found."""

    def step(self, t: int) -> None:
        super().step(t)
        batch = self.batch
        if t < batch.steps - 1:
            return
        batch.weight.copy_(decomposed(polar_factor, batch.weight))
        if batch.cells[0].bias:  # at its optimum
            for i, weight in enumerate(batch.weight.double()):
                x, y = batch.samples_of(i)
                batch.bias[i] = (y - x @ weight.mT).mean(0)
