"""The sum of squares, the thread's answer."""

from __future__ import annotations

from torch import Tensor

from ..numerics.linalg import total
from .base import register


@register()
def fro2(s: Tensor) -> Tensor:
    """‖S‖_F² ("soft orthogonality", Bansal et al., NeurIPS 2018; the thread's answer). Gradient 4 S W."""
    return total(s.square())


@fro2.multiplier(factor=4, formula="itself")
def _(s: Tensor) -> Tensor:
    return s
