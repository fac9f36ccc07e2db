"""The Bregman divergence of the log-determinant."""

from __future__ import annotations

import torch
from torch import Tensor

from ..numerics.linalg import each
from .base import register


@register(decomposes=True)
def logdet(s: Tensor) -> Tensor:
    """tr(WWᵀ) - log det(WWᵀ) - n (Bregman divergence; Xie et al., ICML 2018). Infinite where det W = 0."""
    gram = s + torch.eye(s.shape[-1], dtype=s.dtype, device=s.device)
    return s.diagonal(dim1=-2, dim2=-1).sum(-1) - each(lambda g: torch.linalg.slogdet(g)[1], gram)


@logdet.gradient
def _(w: Tensor) -> Tensor:
    # The inverse of W itself: the one of WWᵀ would square its condition number.
    return 2 * w - 2 * each(_inverse_transposed, w)


@logdet.weight_value
def _(w: Tensor) -> Tensor:
    # Of a small weight S is -I to the last digit.
    return w.square().sum((-2, -1)) - 2 * each(lambda a: torch.linalg.slogdet(a)[1], w) - w.shape[-1]


def _inverse_transposed(w: Tensor) -> Tensor:
    return torch.linalg.inv_ex(w).inverse.mT
