"""Methods that are a library's: the library is used as it is, cell by cell, and is fed the batch's data gradient."""

from __future__ import annotations

import torch
from torch import Tensor

from .base import register
from .optimizers import adam


class PerCell(adam):
    """A library's method: each cell has a module and an optimiser of its own."""

    def __init__(self, batch):
        super().__init__(batch)
        self.layers = [self.make_layer(weight.clone()) for weight in batch.weight]
        self.optimizers = [
            self.make_optimizer(list(layer.parameters()), cell.lr)
            for layer, cell in zip(self.layers, batch.cells, strict=True)
        ]
        with torch.enable_grad():
            self.weights = [layer.weight for layer in self.layers]

    def trained(self) -> list[tuple[Tensor, Tensor]]:
        """The bias alone: the library updates the weight."""
        return super().trained()[1:]

    def make_layer(self, start: Tensor) -> torch.nn.Module:
        """A module whose attribute `weight` is the constrained matrix, at `start`."""
        raise NotImplementedError

    def make_optimizer(self, parameters: list[torch.nn.Parameter], lr: float) -> torch.optim.Optimizer:
        return torch.optim.Adam(parameters, lr=lr)

    def set_rate(self, optimizer: torch.optim.Optimizer, rate: float) -> None:
        optimizer.param_groups[0]["lr"] = rate

    def step(self, t: int) -> None:
        super().step(t)
        for i, (layer, optimizer) in enumerate(zip(self.layers, self.optimizers, strict=True)):
            self.set_rate(optimizer, self.batch.rates[i])
            optimizer.zero_grad()
            with torch.enable_grad():
                self.weights[i].backward(self.batch.grad[i].contiguous())  # type: ignore[operator]
                optimizer.step()
                self.weights[i] = layer.weight
            self.batch.weight[i] = self.weights[i].detach()  # type: ignore[operator]


class _Layer(torch.nn.Module):
    def __init__(self, start: Tensor):
        super().__init__()
        self.weight = torch.nn.Parameter(start)


class Parametrized(PerCell):
    """`torch.nn.utils.parametrizations.orthogonal`; the start is its base point, or its reflections'."""

    orthogonal_map = ""

    def make_layer(self, start: Tensor) -> torch.nn.Module:
        return torch.nn.utils.parametrizations.orthogonal(_Layer(start), orthogonal_map=self.orthogonal_map)


@register(constrains=True, keeps="on", parametrizes=True, decomposes=True, bfloat16=False)
class torch_exp(Parametrized):
    """PyTorch's orthogonal parametrization by the matrix exponential (Lezcano-Casado and Martínez-Rubio, ICML 2019)."""

    orthogonal_map = "matrix_exp"


@register(constrains=True, keeps="on", parametrizes=True, decomposes=True, bfloat16=False)
class torch_cayley(Parametrized):
    """PyTorch's orthogonal parametrization by the Cayley transform (Helfrich, Willmott and Ye, ICML 2018)."""

    orthogonal_map = "cayley"


@register(constrains=True, keeps="on", parametrizes=True, decomposes=True, bfloat16=False)
class torch_householder(Parametrized):
    """PyTorch's orthogonal parametrization by Householder reflections (Mhammedi et al., ICML 2017)."""

    orthogonal_map = "householder"


@register(constrains=True, keeps="on", parametrizes=True, decomposes=True, bfloat16=False, library=True)
class geotorch(PerCell):
    """The library geotorch: trivialization of the Stiefel manifold by the matrix exponential (Lezcano-Casado, NeurIPS 2019)."""

    def make_layer(self, start: Tensor) -> torch.nn.Module:
        import geotorch as library

        layer = _Layer(start.clone())  # registering a parametrization overwrites the parameter's storage
        library.orthogonal(layer, "weight")
        layer.weight = start  # type: ignore[assignment]
        return layer


@register(constrains=True, keeps="on", decomposes=True, bfloat16=False, library=True)
class geoopt(PerCell):
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

    def make_optimizer(self, parameters, lr):
        import geoopt as library

        return library.optim.RiemannianAdam(parameters, lr=lr)
