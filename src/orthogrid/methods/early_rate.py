"""A larger rate at first."""

from __future__ import annotations

from .adam import adam
from .base import register


@register(uses_penalty=True, cures="avoid")
class early_rate(adam):
    """A learning rate `factor` times as large over the first quarter of the steps."""

    def __init__(self, batch, *, factor: float = 10.0):
        super().__init__(batch)
        self.factor = factor

    def step(self, t: int) -> None:
        self.batch.compute_gradient()
        self.batch.update(t, self.factor if 4 * t < self.batch.steps else 1.0)
