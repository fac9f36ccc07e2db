"""A layer with more or fewer outputs than inputs."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..cells.cell import Cell
from ..numerics.inputs import draw_inputs
from .base import register
from .network import Network, Task, haar


@register(network=True)
class rectangular(Network):
    """x → Wx with `more` or `fewer` outputs than inputs, towards a random matrix of orthonormal rows or columns.

    With `generic` it is one of normal entries, which no orthogonal matrix is near. `start` says which start: 0, 1, … of one problem.
    """

    def __init__(
        self, cells: Sequence[Cell], *, more: float = 0, fewer: float = 0, generic: float = 0, start: float = 0
    ):
        super().__init__(cells)
        self.outputs = cells[0].dimension + int(more) - int(fewer)
        if self.outputs < 1:
            raise ValueError(f"rectangular: fewer must be below the dimension {cells[0].dimension}, got {fewer:g}")
        self.is_generic, self.number = bool(generic), int(start)

    def draw_task(self, cell: Cell, extra: int, generator: torch.Generator) -> Task:
        n = cell.dimension
        x = draw_inputs(cell, n, generator)
        target = haar(self.outputs, n, generator)
        if self.is_generic:
            target = torch.randn(self.outputs, n, generator=generator) / n**0.5
        start = [haar(self.outputs + extra, n, generator) for _ in range(self.number + 1)][-1]
        y = torch.nn.functional.pad(x @ target.mT, (0, extra))
        return Task(x, y, [start])

    def forward(self, weights: Sequence[Tensor], x: Tensor) -> Tensor:
        return torch.bmm(x, weights[0].mT)
