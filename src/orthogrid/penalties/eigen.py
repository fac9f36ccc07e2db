"""Eigenvalues of symmetric matrices: what several penalties share."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ..numerics.linalg import each


def eigenvalues(s: Tensor) -> Tensor:
    """Eigenvalues of symmetric matrices (B, n, n), ascending: (B, n)."""
    return each(torch.linalg.eigvalsh, s)


def largest_eigenpair(s: Tensor) -> tuple[Tensor, Tensor]:
    """Eigenvalue of largest size (B,) and the projector on one of its unit eigenvectors (B, n, n).

    By full decomposition: power iteration on S does not converge where + mu and - mu are both largest.
    """
    vectors = each(_largest_eigenvector, s)
    q = vectors[..., 1:]
    return vectors[..., 0], q[..., :, None] * q[..., None, :]


def _largest_eigenvector(s: Tensor) -> Tensor:
    mu, q = torch.linalg.eigh(s)
    largest = mu.abs().argmax(-1, keepdim=True)
    vector = q.take_along_dim(largest[..., None, :], -1)[..., 0]
    return torch.cat([mu.take_along_dim(largest, -1), vector], -1)


def of_eigenvalues(s: Tensor, function: Callable[[Tensor], Tensor]) -> Tensor:
    """Q function(mu) Qᵀ for each symmetric S = Q mu Qᵀ, into S."""

    def apply(matrix: Tensor) -> Tensor:
        mu, q = torch.linalg.eigh(matrix)
        return (q * function(mu)[..., None, :]) @ q.mT

    return s.copy_(each(apply, s))
