"""Adam."""

from __future__ import annotations

from ..numerics.descent import Adam
from .base import register
from .batch import Batch
from .optimised import Optimised


@register(uses_penalty=True, matrices=0)
class adam(Optimised):
    """Adam on the data loss plus the penalty (Kingma and Ba, ICLR 2015), with PyTorch's defaults."""

    def __init__(self, batch: Batch, *, beta1: float = 0.9, beta2: float = 0.999):
        super().__init__(batch, Adam, beta1=beta1, beta2=beta2)
