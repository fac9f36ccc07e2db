"""PyTorch's orthogonal parametrizations."""

from __future__ import annotations

import torch
from torch import Tensor

from .per_cell import PerCell, _Layer


class Parametrized(PerCell):
    """`torch.nn.utils.parametrizations.orthogonal`; the start is its base point, or its reflections'."""

    orthogonal_map = ""

    def make_layer(self, start: Tensor) -> torch.nn.Module:
        return torch.nn.utils.parametrizations.orthogonal(_Layer(start), orthogonal_map=self.orthogonal_map)
