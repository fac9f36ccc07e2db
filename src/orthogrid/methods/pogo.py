"""A relative step and one cubic correction."""

from __future__ import annotations

from .base import register
from .relative import Relative


@register(constrains=True, keeps="near", products=5)
class pogo(Relative):
    """The relative step followed by one cubic correction, in the manner of POGO (Javaloy and Vergari, 2026).

    Their library is pogo-torch, which scales its step by the norm of the whole gradient where Adam here scales entry by entry.
    Given the same step both end at the same weight (a test holds them against each other); under Adam they are two algorithms.
    """

    def correct(self) -> None:
        self.newton_schulz_step()
