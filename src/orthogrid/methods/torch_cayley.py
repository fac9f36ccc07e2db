"""PyTorch's parametrization by the Cayley transform."""

from __future__ import annotations

from .base import register
from .parametrized import Parametrized


@register(constrains=True, keeps="on", parametrizes=True, decomposes=True, bfloat16=False)
class torch_cayley(Parametrized):
    """PyTorch's orthogonal parametrization by the Cayley transform (Helfrich, Willmott and Ye, ICML 2018)."""

    orthogonal_map = "cayley"
