"""The largest absolute entry."""

from __future__ import annotations

import torch
from torch import Tensor

from .base import register


@register()
def coherence(s: Tensor) -> Tensor:
    """max |S_ij|, mutual coherence and norms together (Bansal et al., NeurIPS 2018). One pair of entries has a gradient."""
    return s.abs().flatten(1).amax(-1)


@coherence.multiplier
def _(s: Tensor) -> Tensor:
    n = s.shape[-1]
    cell = torch.arange(len(s), device=s.device)
    entries = s.flatten(1)
    largest = entries.abs().argmax(-1)
    sign = entries[cell, largest].sign()
    s.zero_()
    # The symmetric derivative: half at (i, j), half at (j, i), together 1 on the diagonal.
    s.index_put_((cell, largest // n, largest % n), sign, accumulate=True)
    s.index_put_((cell, largest % n, largest // n), sign, accumulate=True)
    return s
