"""Orthogonal factors of nearly orthogonal matrices."""

from __future__ import annotations

import torch
from torch import Tensor


def q_factor(a: Tensor) -> Tensor:
    q, r = torch.linalg.qr(a)
    return q * r.diagonal(dim1=-2, dim2=-1).sign()[..., None, :]


def polar_factor(a: Tensor) -> Tensor:
    try:
        u, _, vt = torch.linalg.svd(a)
    except torch.linalg.LinAlgError:
        # LAPACK's divide and conquer may not converge where all singular values are nearly one.
        if a.dim() > 2:
            raise  # that matrix alone is to be taken in double precision
        u, _, vt = torch.linalg.svd(a.double())
    return (u @ vt).to(a.dtype)
