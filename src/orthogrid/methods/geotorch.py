"""The library geotorch."""

from __future__ import annotations

import torch
from torch import Tensor

from .base import register
from .per_cell import PerCell, _Layer


@register(constrains=True, keeps="on", parametrizes=True, decomposes=True, bfloat16=False, library=True)
class geotorch(PerCell):
    """The library geotorch: trivialization of the Stiefel manifold by the matrix exponential (Lezcano-Casado, NeurIPS 2019)."""

    def make_layer(self, start: Tensor) -> torch.nn.Module:
        import geotorch as library

        layer = _Layer(start.clone())  # registering a parametrization overwrites the parameter's storage
        library.orthogonal(layer, "weight")
        layer.weight = start  # type: ignore[assignment]
        return layer
