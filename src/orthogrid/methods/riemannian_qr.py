"""A relative step, retracted by QR."""

from __future__ import annotations

from ..numerics.linalg import decomposed
from .base import register
from .factors import q_factor
from .relative import Relative


@register(constrains=True, keeps="on", decomposes=True, products=3)
class riemannian_qr(Relative):
    """The relative step, retracted by QR with a positive diagonal (Absil, Mahony and Sepulchre, 2008, example 4.1.3)."""

    def correct(self) -> None:
        self.batch.weight.copy_(decomposed(q_factor, self.batch.weight))
