"""Methods that move W by rotations alone."""

from __future__ import annotations

import torch
from torch import Tensor

from .corrected import Corrected


class Relative(Corrected):
    """Moves W ← (I + Omega) W, Omega skew: Adam sees the gradient skew(∇f Wᵀ) W, and its step is made tangent again.

    skew(∇f Wᵀ) W is the Riemannian gradient on O(n). Adam's elementwise scaling leaves the tangent space; skew(Delta Wᵀ)
    brings its step Delta back. Since det(I + Omega) > 0, no such move changes the determinant's sign.
    """

    def __init__(self, batch):
        super().__init__(batch)
        self.before = torch.zeros_like(self.weight)

    def step(self, t: int) -> None:
        batch, weight = self.batch, self.weight
        batch.compute_gradient()
        self.products.bmm(self._skew(self.grad), weight, out=self.grad)
        self.before.copy_(weight)
        batch.update(t)
        weight.sub_(self.before)
        omega = self._skew(weight, self.before)
        self.products.baddbmm(self.before, omega, self.before, out=weight)
        self.correct()

    def _skew(self, a: Tensor, base: Tensor | None = None) -> Tensor:
        """skew(a baseᵀ), base the weight where none is given."""
        self.products.bmm(a, (self.weight if base is None else base).mT, out=self.s.whole)
        self.saved.copy_(self.s.whole.mT)
        return self.s.whole.sub_(self.saved).mul_(0.5)
