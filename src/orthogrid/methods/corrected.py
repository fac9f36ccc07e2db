"""Methods that bring the weight back towards the orthogonal matrices after each step of Adam."""

from __future__ import annotations

import torch

from ..numerics.linalg import GramResidual, Products
from .adam import adam


class Corrected(adam):
    """Adam's step on the data loss, followed by a correction of the weight. It works on stacks with their margins."""

    def __init__(self, batch):
        super().__init__(batch)
        self.products: Products = batch.products
        self.weight, self.grad = batch.whole.weight, batch.whole.grad
        self.s, self.saved = GramResidual(batch.weight), torch.zeros_like(self.weight)

    def step(self, t: int) -> None:
        super().step(t)
        self.correct()

    def correct(self) -> None:
        """Bring batch.weight nearer to the orthogonal matrices."""
        raise NotImplementedError

    def newton_schulz_step(self, strength: float = 0.5) -> None:
        """W ← W - strength (WWᵀ - I) W; with 1/2 one cubic Newton-Schulz step (3W - WWᵀW)/2 towards the polar factor."""
        self.saved.copy_(self.weight)
        s = self.s.fill(self.saved, self.products)
        self.products.baddbmm(self.weight, s, self.saved, out=self.weight, alpha=-strength)
