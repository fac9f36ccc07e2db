"""Methods that are a library's: it is used as it is, cell by cell, and is fed the batch's data gradient."""

from __future__ import annotations

import torch
from torch import Tensor

from .adam import adam


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
