"""More outputs of target zero, for whoever trains them."""

from __future__ import annotations

import torch
from torch import Tensor

from ..numerics.linalg import flat, padded
from .batch import Batch


class NewRows:
    """`count` more rows of a batch's weights, with biases. `gradient` is that of their data loss ‖X mᵀ + b‖², for which no target is needed."""

    def __init__(self, batch: Batch, count: int):
        def make(*shape: int) -> Tensor:
            return padded(len(batch.cells), *shape, dtype=batch.dtype, device=batch.device)

        self.batch, n = batch, batch.weight.shape[-1]
        self.weight, self.grad = make(count, n), make(count, n)
        self.bias, self.bias_grad = make(count), make(count)
        self.output = self.bias[:, :, None].clone() if batch.by_gram else make(batch.x.shape[1], count)

    @property
    def biases(self) -> list[tuple[Tensor, Tensor]]:
        """Flat storage and gradients of the biases, where there are any."""
        return [(flat(self.bias), flat(self.bias_grad))] if self.batch.biased else []

    def noise(self, i: int) -> Tensor:
        """Standard normal entries (rows, n) float64 for a cell's rows to start from, the same in any batch."""
        # Not from the problem's generator: paired cells share it, and fresh samples come from it.
        generator = torch.Generator().manual_seed(self.batch.cells[i].seed)
        return torch.randn(*self.weight.shape[:0:-1], generator=generator, dtype=torch.float64).mT

    def gradient(self) -> None:
        """Fill `grad` and `bias_grad`."""
        batch, bmm = self.batch, self.batch.products.bmm
        if batch.by_gram:
            bmm(self.weight, batch.twice_gram, out=self.grad)
            bmm(self.weight, batch.mean[:, :, None], out=self.output).add_(self.bias[:, :, None])
            self.grad.addcmul_(self.output, batch.twice_k_mean[:, None])
            torch.mul(self.output[:, :, 0], batch.twice_k, out=self.bias_grad)
            return
        bmm(batch.x, self.weight.mT, out=self.output)
        if batch.biased:
            self.output.add_(self.bias[:, None])
        torch.sum(self.output.mul_(2), dim=1, out=self.bias_grad)
        bmm(self.output.mT, batch.x, out=self.grad)
