"""What is measured on a weight, in float64 whatever the training's precision.

Differences D are from the solution rhoᵀ; S = WWᵀ - I. Weights are not kept, so what may be asked later is measured here.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .linalg import each, gram_residual, product, total
from .problem import Problem

TRACE = ("fit", "orthogonality_fro", "orthogonality_l1", "distance", "log_abs_det", "det_sign")
FINAL = (
    "fit", "penalty_value", "orthogonality_fro", "orthogonality_l1", "distance", "distance_rho", "distance_start",
    "distance_nearest", "distance_twin", "distance_l1", "distance_rho_l1", "mean_direction", "bias_norm", "sigma_min",
    "sigma_max", "det_sign", "det_sign_start", "det_sign_target", "lambda_min", "rank",
)  # fmt: skip


def trace(weight: Tensor, fit: Tensor, target: Tensor) -> dict[str, Tensor]:
    """The trace's columns for padded weights (B, n, n) float64, data losses (B,) and solutions rhoᵀ (B, n, n): each (B,)."""
    s = gram_residual(weight)
    sign_log = each(lambda matrix: torch.stack(torch.linalg.slogdet(matrix), dim=-1), weight)
    return {
        "fit": fit,
        "orthogonality_fro": total(s.square()).sqrt(),
        "orthogonality_l1": total(s.abs()),
        "distance": total((weight - target).square()).sqrt(),
        "log_abs_det": sign_log[:, 1],
        "det_sign": sign_log[:, 0],
    }


def data_loss(weight: Tensor, bias: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Sum of squared errors of x → Wx + b, from the residuals: (B, n, n), (B, n), (B, k, n), (B, k, n) → (B,), padded."""
    return total(product(x, weight.mT).add_(bias[:, None, :]).sub_(y).square())


def final(weight: Tensor, bias: Tensor, problem: Problem) -> dict[str, float]:
    """The final distances and spectra of one float64 weight (n, n) with bias (n,), on the CPU.

    `distance_nearest` is to the zero-loss orthogonal matrix nearest the start. `mean_direction` is ‖D x̂‖, x̂ the
    direction of the samples' mean outside the row space of the centred samples; NaN where there is no outside.
    """
    rho, start = problem.rho.double(), problem.weight.double()
    target, v = rho.mT, problem.weakest
    difference = weight - target
    twin_difference = difference + 2 * torch.outer(target @ v, v)
    outside = float(problem.mean_outside.norm())
    singular = torch.linalg.svdvals(weight)
    return {
        "distance_rho": float((weight - rho).norm()),
        "distance_start": float((weight - start).norm()),
        "distance_nearest": float((weight - problem.nearest).norm()),
        "distance_twin": float(twin_difference.norm()),
        "distance_l1": float(difference.abs().sum()),
        "distance_rho_l1": float((weight - rho).abs().sum()),
        "mean_direction": float((difference @ problem.mean_outside).norm()) / outside if outside else math.nan,
        "bias_norm": float(bias.norm()),
        "sigma_min": float(singular[-1]),
        "sigma_max": float(singular[0]),
    }
