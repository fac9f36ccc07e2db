"""The sum of absolute eigenvalues."""

from __future__ import annotations

from torch import Tensor

from .base import register
from .eigen import eigenvalues, of_eigenvalues


@register(decomposes=True)
def nuclear(s: Tensor) -> Tensor:
    """Sum of the singular values of S: an exact penalty. Gradient 2 sign(S) W, the matrix sign."""
    return eigenvalues(s).abs().sum(-1)


@nuclear.multiplier
def _(s: Tensor) -> Tensor:
    return of_eigenvalues(s, lambda mu: 2 * mu.sign())
