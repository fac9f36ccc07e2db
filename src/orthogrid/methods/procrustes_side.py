"""The one of least data loss on the start's side."""

from __future__ import annotations

from .base import register
from .closed_form import ClosedForm


@register(constrains=True, uses_steps=False, decomposes=True)
class procrustes_side(ClosedForm):
    """The same among the matrices with the start's determinant (Kabsch; Umeyama, TPAMI 1991)."""

    keeps_side = True
