"""The library geoopt."""

from __future__ import annotations

import torch
from torch import Tensor

from .base import register
from .library import Library


@register(constrains=True, keeps="on", decomposes=True, bfloat16=False, library=True)
class geoopt(Library):
    """The library geoopt: RiemannianAdam on the Stiefel manifold, Euclidean metric, QR (Bécigneul and Ganea, ICLR 2019).

    Its Adam scales by the norm of the whole gradient, not entry by entry, so that a step has length lr where Adam's
    has n lr. It is given n lr.
    """

    def set_rate(self, optimizer: torch.optim.Optimizer, rate: float) -> None:
        super().set_rate(optimizer, rate * self.batch.weight.shape[-1])

    def make_layer(self, start: Tensor) -> torch.nn.Module:
        import geoopt as library

        layer = torch.nn.Module()
        layer.weight = library.ManifoldParameter(start, manifold=library.EuclideanStiefel())
        return layer

    def make_optimizer(self, parameters):
        import geoopt as library

        return library.optim.RiemannianAdam(parameters)
