"""No penalty: plain regression."""

from __future__ import annotations

import torch
from torch import Tensor

from .base import register


@register(attached=False, uses_reg=False)
def none(s: Tensor) -> Tensor:
    """Plain regression: no penalty."""
    return torch.zeros_like(s[:, 0, 0])
