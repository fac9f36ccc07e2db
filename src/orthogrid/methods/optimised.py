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
        # Where nothing but these steps is done, an optimiser that can find its rates itself does: they need no host.
        alone = type(self).step is Optimised.step and batch.cells[0].sampling == "fixed"
        self.follows = alone and hasattr(batch.optimizer, "follow")
        if self.follows:
            batch.optimizer.follow(batch.rates_table())  # type: ignore[union-attr]

    def trained(self) -> list[tuple[Tensor, Tensor]]:
        """What is updated, as flat storage and gradients of padded stacks: the weight, and the bias where there is one."""
        return [self.batch.parameters[name] for name in ("weight", "bias") if name in self.batch.parameters]

    def step(self, t: int) -> None:
        """Gradient, then update."""
        if self.follows:
            self.run(t, t + 1)
        else:
            self.batch.set_rates(t)
            self.advance()

    def run(self, first: int, last: int) -> None:
        if self.follows:
            self.advance(last - first)
        else:
            super().run(first, last)

    def _advance(self) -> None:
        self.batch.compute_gradient()
        self.batch.apply_gradient()
