"""The Frobenius norm, not squared."""

from __future__ import annotations

import torch
from torch import Tensor

from ..numerics.linalg import total
from .base import register


@register()
def fro(s: Tensor) -> Tensor:
    """‖S‖_F, not squared: an exact penalty, whose gradient 2 S W / ‖S‖_F keeps its size down to S = 0 (there: 0)."""
    return total(s.square()).sqrt()


@fro.multiplier(factor=2, formula="over norm")
def _(s: Tensor) -> Tensor:
    norm = total(s.square()).sqrt().clamp_min(torch.finfo(s.dtype).tiny)
    return s.mul_((1 / norm)[:, None, None])
