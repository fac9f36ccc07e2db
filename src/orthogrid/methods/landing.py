"""The landing field."""

from __future__ import annotations

import torch

from .base import register
from .relative import Relative


@register(constrains=True, keeps="near", products=5)
class landing(Relative):
    """W ← W - lr (psi + strength (WWᵀ - I) W), psi the relative gradient (Ablin and Peyré, AISTATS 2022), with Adam's psi.

    No retraction: the second term pulls W towards the orthogonal matrices at the rate lr · strength.
    """

    def __init__(self, batch, *, strength: float = 1.0):
        super().__init__(batch)
        self.strength = strength
        self.rates = torch.empty(len(batch.cells), 1, 1, dtype=batch.dtype, device=batch.device)

    def correct(self) -> None:
        """The field is evaluated where the step began, as in the paper."""
        self.rates.copy_(torch.tensor(self.batch.rates, dtype=torch.float64)[:, None, None])
        s = self.s.fill(self.before, self.products).mul_(-self.strength * self.rates)
        self.products.baddbmm(self.weight, s, self.before, out=self.weight)
