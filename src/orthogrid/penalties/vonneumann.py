"""The Bregman divergence of the von Neumann entropy."""

from __future__ import annotations

import torch
from torch import Tensor

from .base import register
from .eigen import eigenvalues, of_eigenvalues


@register(decomposes=True)
def vonneumann(s: Tensor) -> Tensor:
    """tr(G log G - G) + n, G = WWᵀ (Bregman divergence; Xie et al., ICML 2018). Finite at det W = 0. Gradient 2 log(G) W."""
    mu = eigenvalues(s)
    g = (1 + mu).clamp_min(0)  # a rounded eigenvalue of G may be negative where W is singular
    return (torch.special.xlogy(g, g) - mu).sum(-1)


@vonneumann.multiplier
def _(s: Tensor) -> Tensor:
    return of_eigenvalues(s, lambda mu: 2 * mu.clamp_min(torch.finfo(mu.dtype).eps - 1).log1p())
