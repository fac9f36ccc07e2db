"""Optimisers of the whole loss, data and penalty together. Constraints and cures derive from them."""

from __future__ import annotations

from torch import Tensor

from ..numerics.batch import Batch
from ..numerics.graphs import Repeated
from .base import Method, register


@register(uses_penalty=True, matrices=0)
class adam(Method):
    """Adam on the data loss plus the penalty (Kingma and Ba, ICLR 2015), with PyTorch's defaults."""

    def __init__(self, batch: Batch):
        super().__init__(batch)
        batch.train_with_adam(self.trained())
        self.advance = Repeated(self._advance, batch.device, capture=not batch.penalty.decomposes)

    def trained(self) -> list[tuple[Tensor, Tensor]]:
        """What Adam updates, as flat storage and gradients of padded stacks: the weight, and the bias where there is one."""
        return [self.batch.parameters[name] for name in ("weight", "bias") if name in self.batch.parameters]

    def step(self, t: int) -> None:
        """Gradient, then update."""
        self.batch.set_rates(t)
        self.advance()

    def _advance(self) -> None:
        self.batch.compute_gradient()
        self.batch.apply_gradient()
