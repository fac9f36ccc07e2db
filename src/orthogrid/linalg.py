"""Batches of matrices whose every product is the same bits wherever in a batch a matrix stands."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

ALIGNMENT = 64  # bytes


def padded(count: int, *shape: int, dtype: torch.dtype, device: torch.device | str) -> tuple[Tensor, Tensor]:
    """`count` zero arrays of a shape, each starting at a 64-byte boundary: (count, *shape) view and flat storage.

    MKL's products depend, in their last bit, on how their operands lie in memory; so does the vectorised tail of a
    fused update. With equal alignment for all, neither depends on the batch.
    """
    per_line = ALIGNMENT // dtype.itemsize
    stride = -(-math.prod(shape) // per_line) * per_line
    flat = torch.zeros(count * stride, dtype=dtype, device=device)
    inner = [math.prod(shape[i + 1 :]) for i in range(len(shape))]
    return flat.as_strided((count, *shape), (stride, *inner)), flat


def padded_copy(x: Tensor, dtype: torch.dtype) -> Tensor:
    """A padded copy of a batch, in another dtype."""
    copy, _ = padded(*x.shape, dtype=dtype, device=x.device)
    return copy.copy_(x)


def product(a: Tensor, b: Tensor) -> Tensor:
    """Batched a @ b for padded (B, i, j) and (B, j, k), into a padded result (B, i, k)."""
    out, _ = padded(a.shape[0], a.shape[1], b.shape[2], dtype=a.dtype, device=a.device)
    return torch.bmm(a, b, out=out)


def gram_residual(w: Tensor) -> Tensor:
    """S = WWᵀ - I for a batch of weights (B, n, n)."""
    s = w @ w.mT if w.requires_grad else product(w, w.mT)
    s.diagonal(dim1=-2, dim2=-1).sub_(1)
    return s


def total(x: Tensor) -> Tensor:
    """Sum over the two last axes, in two steps: the threads share one long sum differently than many short ones."""
    return x.sum(-1).sum(-1)


def each(function: Callable[[Tensor], Tensor], batch: Tensor) -> Tensor:
    """Apply an LU-based function matrix by matrix on the CPU, at once elsewhere.

    On the CPU, batched LU of several matrices with n ≥ 200 can hang in MKL (seen with torch 2.13).
    """
    if batch.device.type == "cpu":
        return torch.stack([function(matrix) for matrix in batch])
    return function(batch)
