"""PyTorch's parametrization by reflections."""

from __future__ import annotations

from .base import register
from .parametrized import Parametrized


@register(constrains=True, keeps="on", parametrizes=True, decomposes=True, bfloat16=False)
class torch_householder(Parametrized):
    """PyTorch's orthogonal parametrization by Householder reflections (Mhammedi et al., ICML 2017)."""

    orthogonal_map = "householder"
