"""Squares off the diagonal alone."""

from __future__ import annotations

from torch import Tensor

from ..numerics.linalg import total
from .base import register


@register()
def offdiag(s: Tensor) -> Tensor:
    """‖WWᵀ ∘ (11ᵀ - I)‖_F² (Brock et al., ICLR 2019). Zero for orthogonal rows of any length: no orthogonality penalty."""
    return total(s.square()) - s.diagonal(dim1=-2, dim2=-1).square().sum(-1)


@offdiag.multiplier(factor=4)
def _(s: Tensor) -> Tensor:
    s.diagonal(dim1=-2, dim2=-1).zero_()
    return s
