"""Methods that step what they train by an optimiser of the whole loss."""

from __future__ import annotations

from torch import Tensor

from ..numerics.graphs import Repeated
from .base import Method
from .batch import Batch


class Optimised(Method):
    """Steps what `trained` says by an optimiser, from the gradient of the whole loss."""

    def __init__(self, batch: Batch, optimizer: type, **settings: float):
        super().__init__(batch)
        batch.train_with(optimizer, self.trained(), **settings)
        self.advance = Repeated(self._advance, batch.device, capture=not batch.penalty.decomposes)

    def trained(self) -> list[tuple[Tensor, Tensor]]:
        """What is updated, as flat storage and gradients of padded stacks: the weight, and the bias where there is one."""
        return [self.batch.parameters[name] for name in ("weight", "bias") if name in self.batch.parameters]

    def step(self, t: int) -> None:
        """Gradient, then update."""
        self.batch.set_rates(t)
        self.advance()

    def _advance(self) -> None:
        self.batch.compute_gradient()
        self.batch.apply_gradient()
