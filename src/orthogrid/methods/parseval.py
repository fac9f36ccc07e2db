"""Adam with a Parseval step."""

from __future__ import annotations

from .base import register
from .corrected import Corrected


@register(constrains=True, keeps="near", products=2)
class parseval(Corrected):
    """W ← (1 + beta) W - beta WWᵀW after each step of Adam (Parseval networks, Cisse et al., ICML 2017)."""

    def __init__(self, batch, *, beta: float = 0.01):
        super().__init__(batch)
        self.beta = beta

    def correct(self) -> None:
        self.newton_schulz_step(self.beta)
