"""Two layers with a rectifier between them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..cells.cell import Cell
from ..numerics.inputs import draw_inputs
from .base import register
from .network import Network, Task, haar, normal, of_sign


@register(network=True, products=6)
class relu2(Network):
    """x → W₂ max(W₁x, 0), both weights penalised; the teacher is of the same kind. What counts is the sign of det W₁ · det W₂.

    With `free` the second weight is not penalised, in teacher and student; with `linear` there is no rectifier.
    """

    def __init__(self, cells: Sequence[Cell], *, free: float = 0, linear: float = 0):
        super().__init__(cells)
        self.is_free, self.is_linear = bool(free), bool(linear)

    def draw_task(self, cell: Cell, extra: int, generator: torch.Generator) -> Task:
        n = cell.dimension
        x = draw_inputs(cell, n, generator)
        # Of the two signs that make a product one is drawn: relabelling hidden units changes both.
        first = float(1 - 2 * torch.randint(2, (), generator=generator))
        wanted = 1.0 if cell.determinant == "match" else -1.0
        teacher = [of_sign(n, 1.0, generator), normal(n, n, generator) if self.is_free else of_sign(n, 1.0, generator)]
        start = [of_sign(n, wanted if self.is_free else first, generator), of_sign(n, first * wanted, generator)]
        if self.is_free:
            start[1] = normal(n, n, generator)
        if extra:
            start = [haar(n + extra, n, generator), (normal if self.is_free else haar)(n, n + extra, generator)]
        y = self.forward([weight[None] for weight in teacher], x[None])[0]
        penalised, free = (start[:1], start[1:]) if self.is_free else (start, [])
        return Task(x, y, penalised, free, 1.0)

    def forward(self, weights: Sequence[Tensor], x: Tensor) -> Tensor:
        hidden = torch.bmm(x, weights[0].mT)
        return torch.bmm(hidden if self.is_linear else hidden.relu(), weights[1].mT)
