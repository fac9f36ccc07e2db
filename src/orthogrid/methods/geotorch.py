"""The library geotorch."""

from __future__ import annotations

import torch
from torch import Tensor

from .base import register
from .library import Layer, Library


@register(constrains=True, keeps="on", parametrizes=True, decomposes=True, bfloat16=False, library=True)
class geotorch(Library):
    """The library geotorch: trivialization of the Stiefel manifold by the matrix exponential (Lezcano-Casado, NeurIPS 2019)."""

    def make_layer(self, start: Tensor) -> torch.nn.Module:
        import geotorch as library

        layer = Layer(start.clone())  # registering a parametrization overwrites the parameter's storage
        library.orthogonal(layer, "weight")
        layer.weight = start  # type: ignore[assignment]
        return layer
