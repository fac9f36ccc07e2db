"""Methods that are a library's: it is used as it is, on stacks of weights, and is fed the batch's data gradient."""

from __future__ import annotations

import torch
from torch import Tensor

from ..numerics.linalg import ALONE_FROM
from .adam import adam


class Library(adam):
    """A library's method: cells of one learning rate share a module and an optimiser, whose weight is the stack of theirs.

    A lone cell is stacked with itself. Libraries multiply a stack of one in another way than a larger one, with other rounding,
    and a cell's bits must not depend on its neighbours' rates. Large matrices are stepped one by one anyway.
    """

    def __init__(self, batch):
        super().__init__(batch)
        small = batch.weight.shape[-1] < ALONE_FROM
        members = [[*run] * (2 if small and len(run) == 1 else 1) for run in batch.runs]
        self.members = [torch.tensor(run, device=batch.device) for run in members]
        self.layers = [self.make_layer(batch.weight[run]) for run in self.members]
        self.optimizers = [self.make_optimizer(list(layer.parameters())) for layer in self.layers]
        with torch.enable_grad():
            self.weights = [layer.weight for layer in self.layers]

    def trained(self) -> list[tuple[Tensor, Tensor]]:
        """The bias alone: the library updates the weight."""
        return super().trained()[1:]

    def make_layer(self, start: Tensor) -> torch.nn.Module:
        """A module whose attribute `weight` is the stack of constrained matrices (B, n, n), at `start`."""
        raise NotImplementedError

    def make_optimizer(self, parameters: list[torch.nn.Parameter]) -> torch.optim.Optimizer:
        return torch.optim.Adam(parameters)

    def set_rate(self, optimizer: torch.optim.Optimizer, rate: float) -> None:
        optimizer.param_groups[0]["lr"] = rate

    def step(self, t: int) -> None:
        super().step(t)
        batch = self.batch
        for i, (run, members) in enumerate(zip(batch.runs, self.members, strict=True)):
            self.set_rate(self.optimizers[i], batch.rates[run.start])
            self.optimizers[i].zero_grad()
            with torch.enable_grad():
                self.weights[i].backward(batch.grad[members])  # type: ignore[operator]
                self.optimizers[i].step()
                self.weights[i] = self.layers[i].weight
            batch.weight[run.start : run.stop] = self.weights[i].detach()[: len(run)]  # type: ignore[operator]


class Layer(torch.nn.Module):
    """A module that holds a weight and does nothing with it."""

    def __init__(self, start: Tensor):
        super().__init__()
        self.weight = torch.nn.Parameter(start)
