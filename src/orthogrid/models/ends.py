"""What tells where runs ended, from their final weights alone: how flat the loss is there, and which reflection it is near.

M = rho W. The target is M = I. An eigenvector u of G is reflected where M u = s u with s < 0. Rows hold what was measured; what
it is called, by the closed forms, is in `outcomes`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from ..cells.cell import Cell
from ..methods.base import find_method
from ..numerics.linalg import column, each, gram_residual, norm
from ..numerics.problem import SAME_EIGENVALUE, Stack
from ..penalties.base import find_penalty

MEASURES = (
    "distance_seen",
    "gradient_norm",
    "curvature",
    "position",
    "reflection",
    "overlap",
    "off_path",
    "start_cosine",
)

STEP = 1e-3  # of a second difference; a kink of the penalty shows as a curvature of about its size over this


def measure_ends(weight: Tensor, problems: Stack, cells: Sequence[Cell]) -> dict[str, Tensor]:
    """For float64 weights (B, n, n) of cells with one penalty and method, each (B,):

    `distance_seen` is ‖(W - rhoᵀ) P‖_F, P the projection on what the samples span.
    `gradient_norm` is the gradient's norm, the bias at its optimum, over 2√2 ‖G‖_F. That unit is about the norm of the data loss's
    gradient at a random orthogonal weight. Constrained methods have the part tangent to the orthogonal matrices.
    `position` is the smallest eigenvalue s of the symmetric part of M, y its eigenvector.
    `off_path` is the distance ‖M - (I - (1 - s) yyᵀ)‖_F.
    `curvature` is the second derivative of the loss in M's entry along yyᵀ.
    `reflection` is the number of the eigenvalue of G whose eigenvectors hold most of y, where s < 0. The smallest has number 0.
    `overlap` is how much of |y|² they hold.
    `start_cosine` is eᵀ rho W0 e, W0 the start and e the eigenvector of the largest eigenvalue (Proposition "one heavy direction").
    """
    rho, values, vectors = problems.rho, problems.eigenvalues, problems.eigenvectors
    reg = torch.tensor([cell.reg for cell in cells], dtype=weight.dtype, device=weight.device)
    m = rho @ weight
    pair = each(_smallest_eigenpair, (m + m.mT) / 2)
    s, y = pair[:, 0], pair[:, 1:]
    along = column(vectors.mT, y).square()
    amounts = torch.zeros_like(values).scatter_add_(1, _firsts(values), along)
    number, reflected = amounts.argmax(1), s < 0
    scale = 2 * math.sqrt(2) * values.norm(dim=1)
    data_gradient = 2 * ((weight - problems.least_squares) @ vectors * values[:, None]) @ vectors.mT
    heaviest = vectors[:, :, -1]
    direction = column(rho.mT, y)[:, :, None] * y[:, None]
    return {
        "distance_seen": norm((weight - rho.mT) @ (vectors * (values > 0)[:, None])),
        "gradient_norm": (_gradient_norm(weight, data_gradient, reg, cells[0]) / scale).where(scale > 0, math.nan),
        "curvature": _curvature(weight, direction, 2 * (along * values).sum(1), reg, cells[0]),
        "position": s,
        "reflection": number.to(s.dtype).where(reflected, math.nan),
        "overlap": amounts.gather(1, number[:, None])[:, 0].where(reflected, math.nan),
        "off_path": norm(m - torch.eye(m.shape[-1]).to(m) + ((1 - s)[:, None] * y)[:, :, None] * y[:, None]),
        "start_cosine": (heaviest * column(rho, column(problems.start, heaviest))).sum(1),
    }


def _smallest_eigenpair(a: Tensor) -> Tensor:
    values, vectors = torch.linalg.eigh(a)
    return torch.cat([values[..., :1], vectors[..., 0]], -1)


def _firsts(values: Tensor) -> Tensor:
    """For each of ascending eigenvalues (B, n) the number of the first that equals it: (B, n) integers."""
    new = torch.ones_like(values, dtype=torch.bool)
    new[:, 1:] = values[:, 1:] - values[:, :-1] > SAME_EIGENVALUE * values[:, 1:]
    numbers = torch.arange(values.shape[1], device=values.device).expand_as(values)
    return numbers.where(new, 0).cummax(1)[0]


def _gradient_norm(weight: Tensor, gradient: Tensor, reg: Tensor, cell: Cell) -> Tensor:
    """Of the loss's gradient, given that of its data part."""
    method = find_method(cell.method).entry
    penalty, options = find_penalty(cell.penalty)
    if method.uses_penalty and penalty.attached:
        gradient = gradient + reg[:, None, None] * penalty.gradient_at(weight, **options)
    if method.constrains:
        relative = gradient @ weight.mT
        gradient = (relative - relative.mT) / 2
    return norm(gradient)


def _curvature(weight: Tensor, direction: Tensor, data: Tensor, reg: Tensor, cell: Cell) -> Tensor:
    """Of the loss along directions (B, n, n), given that of its data part; NaN for constrained methods."""
    if find_method(cell.method).entry.constrains:
        return torch.full_like(data, math.nan)
    penalty, options = find_penalty(cell.penalty)
    if not penalty.attached:
        return data
    before, at, after = (
        penalty.value(gram_residual(weight + step * direction), **options) for step in (-STEP, 0.0, STEP)
    )
    return data + reg * (before - 2 * at + after) / STEP**2
