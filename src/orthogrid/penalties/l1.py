"""Absolute values, the thread's penalty."""

from __future__ import annotations

from torch import Tensor

from ..numerics.linalg import total
from .base import register


@register()
def l1(s: Tensor) -> Tensor:
    """sum |S_ij| (the thread's; Brock et al., ICLR 2017). Its subgradient 2 sign(S) W has constant size."""
    return total(s.abs())


@l1.multiplier(factor=2, formula="sign")
def _(s: Tensor) -> Tensor:
    return s.sign_()
