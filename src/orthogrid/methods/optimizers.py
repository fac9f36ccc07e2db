"""Optimisers of the whole loss, data and penalty together. Constraints and cures derive from them."""

from __future__ import annotations

from torch import Tensor

from ..numerics.descent import Adam, Momentum
from ..numerics.graphs import Repeated
from .base import Method, register
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


@register(uses_penalty=True, matrices=0)
class adam(Optimised):
    """Adam on the data loss plus the penalty (Kingma and Ba, ICLR 2015), with PyTorch's defaults."""

    def __init__(self, batch: Batch, *, beta1: float = 0.9, beta2: float = 0.999):
        super().__init__(batch, Adam, beta1=beta1, beta2=beta2)


@register(uses_penalty=True, matrices=0)
class sgd(Optimised):
    """Gradient descent, all samples at every step: W ← W - lr ∇f, or with heavy-ball momentum (Polyak, 1964), as `torch.optim.SGD`.

    The data loss is a sum over samples, so stable rates are below 1/mu, mu the largest eigenvalue of XᵀX where there is a bias.
    """

    def __init__(self, batch: Batch, *, momentum: float = 0.0):
        super().__init__(batch, Momentum, momentum=momentum)
