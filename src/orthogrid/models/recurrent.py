"""A recurrent layer."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from ..cells.cell import Cell
from ..numerics.inputs import draw_inputs
from .base import register
from .network import Network, Task, haar, of_sign


@register(network=True, products=16)
class recurrent(Network):
    """h ← tanh(Wh + Bx) over `length` inputs, read out by C at each; W is penalised, B and C are free. What counts is the sign of det W.

    An input has 4 entries, an output 4. With `linear` there is no tanh.
    """

    INPUTS, OUTPUTS = 4, 4  # a multiple of four: entries stay aligned, and a network's bits its own

    def __init__(self, cells: Sequence[Cell], *, length: float = 8, linear: float = 0):
        super().__init__(cells)
        if length < 1 or length != int(length):
            raise ValueError(f"recurrent: length must be a whole number ≥ 1, got {length:g}")
        self.length, self.is_linear = int(length), bool(linear)

    def draw_task(self, cell: Cell, extra: int, generator: torch.Generator) -> Task:
        n, units = cell.dimension, cell.dimension + extra
        x = draw_inputs(cell, self.length * self.INPUTS, generator)

        def free(size: int) -> list[Tensor]:
            read_in = torch.randn(size, self.INPUTS, generator=generator) / math.sqrt(self.INPUTS)
            return [read_in, torch.randn(self.OUTPUTS, size, generator=generator) / math.sqrt(n)]

        teacher = [of_sign(n, 1.0, generator), *free(n)]
        weight = (
            haar(units, units, generator)
            if extra
            else of_sign(n, 1.0 if cell.determinant == "match" else -1.0, generator)
        )
        y = self.forward([part[None] for part in teacher], x[None])[0]
        return Task(x, y, [weight], free(units), 1.0 if not extra else math.nan)

    def forward(self, weights: Sequence[Tensor], x: Tensor) -> Tensor:
        weight, read_in, read_out = weights
        hidden, outputs = x.new_zeros(*x.shape[:2], weight.shape[-1]), []
        for t in range(self.length):
            hidden = torch.bmm(hidden, weight.mT) + torch.bmm(
                x[:, :, t * self.INPUTS : (t + 1) * self.INPUTS], read_in.mT
            )
            if not self.is_linear:
                hidden = hidden.tanh()
            outputs.append(torch.bmm(hidden, read_out.mT))
        return torch.cat(outputs, -1)
