"""One more output of target zero, for a layer of one's own: it removes the trap (Theorem "tall layers")."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations, parametrize

from ..cells.cell import nearest

LOSSES = ("mean", "sum")
UNFINISHED = 0.1
NOISE = 1e-3  # of the new row's start: from zero it would not move


class ExtraRow(nn.Module):
    """A linear layer with one output more, of target zero. Called, it gives the layer's own outputs.

    Add `row_loss()`, the new output's part, to the loss, and penalise `weight` (outputs + 1, inputs). `finish` gives the layer back.

    >>> row = extra_row(nn.Linear(64, 64))
    >>> loss = mse_loss(row(x), y) + row.row_loss() + reg * orthogonality(row.weight)
    >>> layer = row.finish()

    A layer under `torch.nn.utils.parametrizations.orthogonal` is constrained with its new row, too. Raises ValueError for a layer
    with fewer outputs than inputs, TypeError for what is no nn.Linear.
    """

    def __init__(self, layer: nn.Linear):
        super().__init__()
        if not isinstance(layer, nn.Linear):
            raise TypeError(f"extra_row takes an nn.Linear, not {type(layer).__name__}")
        outputs, inputs = layer.weight.shape
        if outputs < inputs:
            raise ValueError(
                f"extra_row: the layer has {outputs} outputs for {inputs} inputs; with fewer outputs than inputs a row removes no trap"
            )
        weight = layer.weight.detach()
        self.tall = nn.Linear(inputs, outputs + 1, layer.bias is not None, weight.device, weight.dtype)
        with torch.no_grad():
            start = torch.cat([weight, NOISE * torch.randn_like(weight[:1])])
            self.tall.weight.copy_(start)
            if layer.bias is not None:
                self.tall.bias.copy_(torch.cat([layer.bias, layer.bias.new_zeros(1)]))
        if parametrize.is_parametrized(layer, "weight"):
            constraint = layer.parametrizations.weight[0]  # type: ignore[union-attr,index]
            kind = getattr(constraint, "orthogonal_map", None)
            if kind is None:
                raise ValueError(
                    "extra_row: the layer's parametrization is not torch.nn.utils.parametrizations.orthogonal; apply yours to "
                    "nn.Linear(n, n + 1) instead"
                )
            parametrizations.orthogonal(self.tall, orthogonal_map=kind.name)
            self.tall.weight = _polar(start)
        self._row: Tensor | None = None

    def __getstate__(self) -> dict:
        return {**self.__dict__, "_row": None}  # of the last call: no part of a copy

    @property
    def weight(self) -> Tensor:
        """The tall weight (outputs + 1, inputs)."""
        return self.tall.weight

    def forward(self, x: Tensor) -> Tensor:
        """The layer's outputs (..., outputs) for x (..., inputs)."""
        y = self.tall(x)
        self._row = y[..., -1]
        return y[..., :-1]

    def row_loss(self, loss: str = "mean") -> Tensor:
        """The new output's squared error of the last call, added up as the other outputs' is: a `mean` as of `mse_loss`, or a `sum`."""
        if self._row is None:
            raise RuntimeError("row_loss: call the layer on samples first")
        return loss_unit(loss, self._row.numel() * (len(self.weight) - 1)) * self._row.float().square().sum()

    @property
    def row_norm(self) -> float:
        """The norm of the new row: near zero when training has finished."""
        return float(self.weight[-1].detach().norm())

    def finish(self, tolerance: float = 1e-4) -> nn.Linear:
        """The layer without its new row. Where ‖WᵀW - I‖_F is above the tolerance, W is its nearest orthogonal matrix (polar factor).

        Warns where the new row's norm is above UNFINISHED: then training has not arrived, however orthogonal W is made here.
        """
        if self.row_norm > UNFINISHED:
            warnings.warn(
                f"the new row's norm is {self.row_norm:.2g}, not near 0: training has not finished. Take more steps, or a smaller weight",
                stacklevel=2,
            )
        outputs, inputs = self.weight.shape[0] - 1, self.weight.shape[1]
        bias = self.tall.bias
        layer = nn.Linear(inputs, outputs, bias is not None, self.weight.device, self.weight.dtype)
        with torch.no_grad():
            weight = self.weight[:-1].detach().double()
            distance = (weight.mT @ weight - torch.eye(inputs, dtype=weight.dtype, device=weight.device)).norm()
            layer.weight.copy_(_polar(weight) if distance > tolerance else weight)
            if bias is not None:
                layer.bias.copy_(bias[:-1])
        return layer


extra_row = ExtraRow


def loss_unit(loss: str, entries: int) -> float:
    """What a loss is a multiple of, beside the sum of so many squared errors: a `mean`, as `mse_loss` is, or a `sum`."""
    if loss not in LOSSES:
        raise ValueError(f"loss {loss!r}: one of {', '.join(LOSSES)}{nearest(str(loss), LOSSES)}")
    return 1 / entries if loss == "mean" else 1.0


def _polar(weight: Tensor) -> Tensor:
    """The nearest matrix with orthonormal columns."""
    u, _, vt = torch.linalg.svd(weight.double(), full_matrices=False)
    return (u @ vt).to(weight.dtype)
