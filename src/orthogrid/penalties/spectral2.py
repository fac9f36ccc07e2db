"""The largest absolute eigenvalue, squared."""

from __future__ import annotations

from torch import Tensor

from .base import register
from .eigen import eigenvalues, largest_eigenpair


@register(decomposes=True)
def spectral2(s: Tensor) -> Tensor:
    """sigma_max(S)², as the code published with Bansal et al. (NeurIPS 2018) has it. Gradient 4 mu q qᵀ W."""
    return eigenvalues(s).square().amax(-1)


@spectral2.multiplier
def _(s: Tensor) -> Tensor:
    mu, projector = largest_eigenpair(s)
    return s.copy_(projector.mul_(4 * mu[:, None, None]))
