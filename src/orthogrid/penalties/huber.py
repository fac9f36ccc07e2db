"""Squares near zero, absolute values beyond."""

from __future__ import annotations

from torch import Tensor

from ..numerics.linalg import total
from .base import register


@register()
def huber(s: Tensor, *, delta: float = 1e-3) -> Tensor:
    """Smooth L1: sum of ½ S_ij² up to delta, delta (|S_ij| - delta/2) beyond (Huber, 1964). Gradient 2 clip(S, ±delta) W.

    Where every |S_ij| is below delta this is half of `fro2`, so delta belongs below the typical |S_ij|.
    """
    size = s.abs()
    inside = size.clamp_max(delta)
    return total(inside * (size - inside / 2))


@huber.multiplier(factor=2)
def _(s: Tensor, *, delta: float = 1e-3) -> Tensor:
    return s.clamp_(-delta, delta)
