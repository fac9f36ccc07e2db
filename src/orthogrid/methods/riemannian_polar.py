"""A relative step, retracted to the polar factor."""

from __future__ import annotations

from ..numerics.linalg import decomposed
from .base import register
from .factors import polar_factor
from .relative import Relative


@register(constrains=True, keeps="on", decomposes=True, products=3)
class riemannian_polar(Relative):
    """The relative step, retracted to the polar factor UVᵀ (Absil, Mahony and Sepulchre, 2008, example 4.1.3)."""

    def correct(self) -> None:
        self.batch.weight.copy_(decomposed(polar_factor, self.batch.weight))
