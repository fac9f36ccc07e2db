"""Adam with a Newton-Schulz step."""

from __future__ import annotations

from .base import register
from .corrected import Corrected


@register(constrains=True, keeps="near", products=2)
class newton_schulz(Corrected):
    """One cubic Newton-Schulz step W ← (3W - WWᵀW)/2 after each step of Adam (Björck and Bowie, 1971)."""

    def correct(self) -> None:
        self.newton_schulz_step()
