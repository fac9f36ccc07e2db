"""More outputs, trained towards zero."""

from __future__ import annotations

import torch

from ..numerics.linalg import GramResidual, flat, padded, whole
from .adam import adam
from .base import register


@register(uses_penalty=True, cures="avoid", both_sides=True, matrices=8)
class lifted(adam):
    """`rows` more outputs, of target zero: their rows are penalised with the others and dropped at the end (Theorem "lifting").

    With the sum of squares no trap is left at any reg. A step costs (n + rows)/n. The new rows start with entries of size
    `noise`: from zero they would not move.
    """

    def __init__(self, batch, *, rows: float = 1, noise: float = 1e-3):
        count, n, _ = batch.weight.shape
        if rows < 1 or rows != int(rows):
            raise ValueError(f"lifted: rows must be a whole number ≥ 1, got {rows:g}")
        rows = int(rows)

        def make(*shape: int) -> torch.Tensor:
            return padded(count, *shape, dtype=batch.dtype, device=batch.device)

        # The tall weight transposed, so that what is penalised, its columns, are rows. Its first n columns are the weight's.
        self.tall, self.grad, self.s = make(n, n + rows), make(n, n + rows), GramResidual(batch.weight)
        self.new, self.new_bias, self.new_bias_grad = make(rows, n), make(rows), make(rows)
        self.new_grad = make(rows, n)
        self.output = self.new_bias[:, :, None].clone() if batch.by_gram else make(batch.x.shape[1], rows)
        super().__init__(batch)
        for i, (cell, problem) in enumerate(zip(batch.cells, batch.problems, strict=True)):
            # Not from the problem's generator: paired cells share it, and fresh samples come from it.
            generator = torch.Generator().manual_seed(cell.seed)
            self.tall[i, :, :n] = problem.weight.mT
            self.tall[i, :, n:] = noise * torch.randn(n, rows, generator=generator, dtype=torch.float64)

    def trained(self) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """The tall matrix in the weight's place, and the new outputs' biases."""
        biases = super().trained()[1:]
        return [
            (flat(self.tall), flat(self.grad)),
            *biases,
            *([(flat(self.new_bias), flat(self.new_bias_grad))] if biases else []),
        ]

    def step(self, t: int) -> None:
        batch, n = self.batch, self.batch.weight.shape[-1]
        batch.compute_gradient(penalty=False)
        self.grad.zero_()
        if batch.attached:
            batch.penalty_gradient(whole(self.tall), self.s, whole(self.grad), columns=self.tall.shape[-1])
        self.grad[:, :, :n] += batch.grad.mT
        self.new.copy_(self.tall[:, :, n:].mT)
        self._gradient_of_new_rows()
        self.grad[:, :, n:].add_(self.new_grad.mT)
        batch.update(t)
        batch.weight.copy_(self.tall[:, :, :n].mT)

    def _gradient_of_new_rows(self) -> None:
        """The gradient of their data loss ‖X mᵀ + b‖², for which no target is needed."""
        batch, bmm = self.batch, self.batch.products.bmm
        if batch.by_gram:
            bmm(self.new, batch.twice_gram, out=self.new_grad)
            bmm(self.new, batch.mean[:, :, None], out=self.output).add_(self.new_bias[:, :, None])
            self.new_grad.addcmul_(self.output, batch.twice_k_mean[:, None])
            torch.mul(self.output[:, :, 0], batch.twice_k, out=self.new_bias_grad)
            return
        bmm(batch.x, self.new.mT, out=self.output)
        if batch.cells[0].bias:
            self.output.add_(self.new_bias[:, None])
        torch.sum(self.output.mul_(2), dim=1, out=self.new_bias_grad)
        bmm(self.output.mT, batch.x, out=self.new_grad)
