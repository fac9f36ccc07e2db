"""What tells where a run ended, from its final weight alone: how flat the loss is there, and which reflection it is near.

M = rho W. The target is M = I. An eigenvector u of G is reflected where M u = s u with s < 0. Rows hold what was measured; what
it is called, by the closed forms, is in `outcomes`.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..cells.cell import Cell
from ..methods.base import find_method
from ..numerics.linalg import gram_residual
from ..numerics.problem import SAME_EIGENVALUE, Problem
from ..penalties.base import find_penalty

MEASURES = (
    "distance_seen",
    "gradient_norm",
    "curvature",
    "position",
    "reflection",
    "overlap",
    "off_path",
    "slow_sign",
    "slow_gap",
)

STEP = 1e-3  # of a second difference; a kink of the penalty shows as a curvature of about its size over this


def measure_end(weight: Tensor, problem: Problem, cell: Cell) -> dict[str, float]:
    """For one float64 weight (n, n) on the CPU:

    `distance_seen` is ‖(W - rhoᵀ) P‖_F, P the projection on what the samples span.
    `gradient_norm` is the gradient's norm, the bias at its optimum, over 2√2 ‖G‖_F. That unit is about the norm of the data loss's
    gradient at a random orthogonal weight. Constrained methods have the part tangent to the orthogonal matrices.
    `position` is the smallest eigenvalue s of the symmetric part of M, y its eigenvector.
    `off_path` is the distance ‖M - (I - (1 - s) yyᵀ)‖_F.
    `curvature` is the second derivative of the loss in M's entry along yyᵀ.
    `reflection` is the number of the eigenvalue of G whose eigenvectors hold most of y, where s < 0. The smallest has number 0.
    `overlap` is how much of |y|² they hold.
    `slow_sign` is the sign of det Uᵀ rho W0 U, W0 the start and U the eigenvectors whose eigenvalue is below reg/2. It is the side
    on which the flow ends where the other eigenvalues are far above (Proposition "coin").
    `slow_gap` is the smallest of the others over the largest of U's. Both are NaN where none or all are below.
    """
    rho, values, vectors = problem.rho.double(), problem.eigenvalues, problem.eigenvectors
    n, m = len(values), rho @ weight
    difference = weight - rho.mT
    pull = (weight - problem.least_squares) @ vectors
    s, y = (part[..., 0] for part in torch.linalg.eigh((m + m.mT) / 2))
    eye = torch.eye(n, dtype=weight.dtype)
    first = _firsts(values)
    amounts = torch.zeros(n, dtype=weight.dtype).index_add_(0, first, (vectors.mT @ y).square())
    number = int(amounts.argmax())
    reflected = float(s) < 0
    return {
        "distance_seen": float((difference @ vectors[:, values > 0]).norm()),
        "gradient_norm": _gradient_norm(weight, 2 * (pull * values) @ vectors.mT, cell, values),
        "curvature": _curvature(weight, rho.mT @ torch.outer(y, y), float((vectors.mT @ y).square() @ values), cell),
        "position": float(s),
        "reflection": number if reflected else math.nan,
        "overlap": float(amounts[number]) if reflected else math.nan,
        "off_path": float((m - eye + (1 - s) * torch.outer(y, y)).norm()),
        **_slow(rho @ problem.weight.double(), values, vectors, cell.reg),
    }


def _slow(start: Tensor, values: Tensor, vectors: Tensor, reg: float) -> dict[str, float]:
    below = 2 * values < reg
    if not below.any() or below.all():
        return {"slow_sign": math.nan, "slow_gap": math.nan}
    slow = vectors[:, below]
    largest = float(values[below][-1])
    return {
        "slow_sign": float(torch.linalg.slogdet(slow.mT @ start @ slow)[0]),
        "slow_gap": float(values[~below][0]) / largest if largest else math.inf,
    }


def _firsts(values: Tensor) -> Tensor:
    """For each of ascending eigenvalues the number of the first that equals it: (n,) integers."""
    new = torch.ones(len(values), dtype=torch.bool)
    new[1:] = values[1:] - values[:-1] > SAME_EIGENVALUE * values[1:]
    return torch.where(new, torch.arange(len(values)), 0).cummax(0)[0]


def _gradient_norm(weight: Tensor, gradient: Tensor, cell: Cell, values: Tensor) -> float:
    method = find_method(cell.method).entry
    penalty, options = find_penalty(cell.penalty)
    if method.uses_penalty and penalty.attached:
        gradient = gradient + cell.reg * penalty.gradient_at(weight[None], **options)[0]
    if method.constrains:
        relative = gradient @ weight.mT
        gradient = (relative - relative.mT) / 2
    scale = 2 * math.sqrt(2) * float(values.norm())
    return float(gradient.norm()) / scale if scale else math.nan


def _curvature(weight: Tensor, direction: Tensor, data: float, cell: Cell) -> float:
    """Of the loss along a direction (n, n) in which the data loss has second derivative 2 · `data`; NaN for constrained methods."""
    if find_method(cell.method).entry.constrains:
        return math.nan
    penalty, options = find_penalty(cell.penalty)
    if not penalty.attached:
        return 2 * data
    around = torch.stack([weight - STEP * direction, weight, weight + STEP * direction])
    before, at, after = (float(value) for value in penalty.value(gram_residual(around), **options))
    return 2 * data + cell.reg * (before - 2 * at + after) / STEP**2
