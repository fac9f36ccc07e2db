"""Methods that are a library's: it is used as it is, on stacks of weights, and is fed the batch's data gradient."""

from __future__ import annotations

import torch
from torch import Tensor

from ..numerics.linalg import ALONE_FROM
from .adam import adam
from .factors import q_factor
from .rows import NewRows

NOISE = 1e-3  # of a new row's start, as of `lifted`'s


class Library(adam):
    """A library's method: cells of one learning rate share a module and an optimiser, whose weight is the stack of theirs.

    A lone cell is stacked with itself. Libraries multiply a stack of one in another way than a larger one, with other rounding,
    and a cell's bits must not depend on its neighbours' rates. Large matrices are stepped one by one anyway.

    With `rows` the matrix has so many outputs more, of target zero, which are dropped at the end: it is tall, with orthonormal columns.
    """

    def __init__(self, batch, *, rows: float = 0):
        if rows < 0 or rows != int(rows):
            raise ValueError(f"{type(self).__name__}: rows must be a whole number ≥ 0, got {rows:g}")
        self.new = NewRows(batch, int(rows)) if rows else None
        super().__init__(batch)
        small = batch.weight.shape[-1] < ALONE_FROM
        members = [[*run] * (2 if small and len(run) == 1 else 1) for run in batch.runs]
        self.members = [torch.tensor(run, device=batch.device) for run in members]
        self.layers = [self._layer(batch.weight[run], run) for run in self.members]
        self.optimizers = [self.make_optimizer(list(layer.parameters())) for layer in self.layers]
        with torch.enable_grad():
            self.weights = [layer.weight for layer in self.layers]
        if self.new:
            for run, weight in zip(batch.runs, self.weights, strict=True):
                self.new.weight[run.start : run.stop] = weight.detach()[: len(run), batch.weight.shape[-1] :]  # type: ignore[operator]

    def trained(self) -> list[tuple[Tensor, Tensor]]:
        """The biases alone: the library updates the weight."""
        return super().trained()[1:] + (self.new.biases if self.new else [])

    def _layer(self, start: Tensor, members: Tensor) -> torch.nn.Module:
        """The library's module at these starts, with the new rows' noise."""
        if self.new is None:
            return self.make_layer(start)
        noise = torch.stack([self.new.noise(i) for i in members.tolist()])
        tall = q_factor(torch.cat([start, NOISE * noise.to(start)], 1))
        layer = self.make_layer(tall)
        # A library completes a tall matrix to a square one by random columns.
        whole = torch.linalg.qr(tall, mode="complete").Q
        for name, base in layer.named_buffers():
            if name.endswith("base"):
                base.copy_(torch.cat([tall, whole[:, :, tall.shape[-1] :]], -1))
        return layer

    def make_layer(self, start: Tensor) -> torch.nn.Module:
        """A module whose attribute `weight` is the stack of constrained matrices (B, n, n), at `start`."""
        raise NotImplementedError

    def make_optimizer(self, parameters: list[torch.nn.Parameter]) -> torch.optim.Optimizer:
        return torch.optim.Adam(parameters)

    def set_rate(self, optimizer: torch.optim.Optimizer, rate: float) -> None:
        optimizer.param_groups[0]["lr"] = rate

    def _advance(self) -> None:
        if self.new:
            self.new.gradient()
        super()._advance()

    def step(self, t: int) -> None:
        super().step(t)
        batch, n = self.batch, self.batch.weight.shape[-1]
        grad = torch.cat([batch.grad, self.new.grad], 1) if self.new else batch.grad
        for i, (run, members) in enumerate(zip(batch.runs, self.members, strict=True)):
            self.set_rate(self.optimizers[i], batch.rates[run.start])
            self.optimizers[i].zero_grad()
            with torch.enable_grad():
                self.weights[i].backward(grad[members])  # type: ignore[operator]
                self.optimizers[i].step()
                self.weights[i] = self.layers[i].weight
            now = self.weights[i].detach()[: len(run)]  # type: ignore[operator]
            batch.weight[run.start : run.stop] = now[:, :n]
            if self.new:
                self.new.weight[run.start : run.stop] = now[:, n:]


class Layer(torch.nn.Module):
    """A module that holds a weight and does nothing with it."""

    def __init__(self, start: Tensor):
        super().__init__()
        self.weight = torch.nn.Parameter(start)
