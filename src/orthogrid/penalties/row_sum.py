"""The largest row sum of absolute entries."""

from __future__ import annotations

import torch
from torch import Tensor

from .base import register


@register()
def row_sum(s: Tensor) -> Tensor:
    """Largest row sum of |S| (the bound on mutual coherence in Bansal et al., NeurIPS 2018). One row has a gradient."""
    return s.abs().sum(-1).amax(-1)


@row_sum.multiplier
def _(s: Tensor) -> Tensor:
    cell = torch.arange(len(s), device=s.device)
    largest = s.abs().sum(-1).argmax(-1)
    signs = s[cell, largest].sign()
    s.zero_()
    s[cell, largest, :] += signs
    s[cell, :, largest] += signs
    return s
