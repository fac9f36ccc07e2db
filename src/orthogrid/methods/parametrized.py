"""PyTorch's orthogonal parametrizations."""

from __future__ import annotations

import torch
from torch import Tensor

from .library import Layer, Library


class Parametrized(Library):
    """`torch.nn.utils.parametrizations.orthogonal`; the start is its base point, or its reflections'."""

    orthogonal_map = ""

    def make_layer(self, start: Tensor) -> torch.nn.Module:
        return torch.nn.utils.parametrizations.orthogonal(Layer(start), orthogonal_map=self.orthogonal_map)
