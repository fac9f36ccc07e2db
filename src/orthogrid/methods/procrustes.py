"""The orthogonal matrix of least data loss."""

from __future__ import annotations

from .base import register
from .closed_form import ClosedForm


@register(constrains=True, uses_steps=False, both_sides=True, decomposes=True)
class procrustes(ClosedForm):
    """No training: W = V Uᵀ from the SVD XᵀY = U Sigma Vᵀ, the orthogonal matrix of least data loss."""
