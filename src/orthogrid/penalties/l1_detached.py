"""The thread's first script: absolute values, measured but not trained."""

from __future__ import annotations

from torch import Tensor

from ..numerics.linalg import total
from .base import register


@register(attached=False)
def l1_detached(s: Tensor) -> Tensor:
    """sum |S_ij|, measured on `weight.data` as in the thread's first script: it has no gradient."""
    return total(s.abs())
