"""PyTorch's parametrization by the matrix exponential."""

from __future__ import annotations

from .base import register
from .parametrized import Parametrized


@register(constrains=True, keeps="on", parametrizes=True, decomposes=True, bfloat16=False)
class torch_exp(Parametrized):
    """PyTorch's orthogonal parametrization by the matrix exponential (Lezcano-Casado and Martínez-Rubio, ICML 2019)."""

    orthogonal_map = "matrix_exp"
