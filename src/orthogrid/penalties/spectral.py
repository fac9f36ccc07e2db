"""The largest absolute eigenvalue."""

from __future__ import annotations

from torch import Tensor

from .base import register
from .eigen import eigenvalues, largest_eigenpair


@register(decomposes=True)
def spectral(s: Tensor) -> Tensor:
    """sigma_max(S), the largest absolute eigenvalue (SRIP, Bansal et al., NeurIPS 2018, before squaring).

    Only one direction is corrected at a time. The gradient 2 sign(mu) q qᵀ W uses one eigenvector, also where ± mu tie.
    """
    return eigenvalues(s).abs().amax(-1)


@spectral.multiplier
def _(s: Tensor) -> Tensor:
    mu, projector = largest_eigenpair(s)
    return s.copy_(projector.mul_(2 * mu.sign()[:, None, None]))
