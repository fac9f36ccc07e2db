"""The sum of squares, measured but not trained."""

from __future__ import annotations

from torch import Tensor

from ..numerics.linalg import total
from .base import register


@register(attached=False)
def fro2_detached(s: Tensor) -> Tensor:
    """sum S_ij², measured on `weight.data`: it has no gradient. For the ablation of the thread's three changes."""
    return total(s.square())
