"""A weight of the penalty that grows."""

from __future__ import annotations

from .adam import adam
from .base import register


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
