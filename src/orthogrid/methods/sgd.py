"""Gradient descent, with or without momentum."""

from __future__ import annotations

from ..numerics.descent import Momentum
from .base import register
from .batch import Batch
from .optimised import Optimised


@register(uses_penalty=True, matrices=0)
class sgd(Optimised):
    """Gradient descent, all samples at every step: W ← W - lr ∇f, or with heavy-ball momentum (Polyak, 1964), as `torch.optim.SGD`.

    The data loss is a sum over samples, so stable rates are below 1/mu, mu the largest eigenvalue of XᵀX where there is a bias.
    """

    def __init__(self, batch: Batch, *, momentum: float = 0.0):
        super().__init__(batch, Momentum, momentum=momentum)
