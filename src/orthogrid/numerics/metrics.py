"""What is measured on a weight, in float64 whatever the training's precision.

Differences D are from the solution rhoᵀ; S = WWᵀ - I. Weights are not kept, so what may be asked later is measured here.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .linalg import column, each, gram_residual, norm, padded_copy, product, total
from .problem import Stack

TRACE = ("fit", "orthogonality_fro", "orthogonality_l1", "distance", "log_abs_det", "det_sign")
FINAL = (
    "fit", "relative_loss", "penalty_value", "orthogonality_fro", "orthogonality_l1", "distance", "distance_rho", "distance_start",
    "distance_nearest", "distance_twin", "distance_l1", "distance_rho_l1", "mean_direction", "bias_norm", "sigma_min",
    "sigma_max", "det_sign", "det_sign_start", "det_sign_target", "det_sign_least_squares", "lambda_min", "rank",
)  # fmt: skip

GIVEN = ("det_sign_target", "det_sign_least_squares", "lambda_min", "rank")  # before any step
SIGNS = (
    "det_sign",
    "det_sign_start",
    "det_sign_target",
    "det_sign_least_squares",
    "rank",
    "reflection",
)  # whole numbers


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


def data_loss_by_gram(
    weight: Tensor, bias: Tensor, target: Tensor, gram: Tensor, mean: Tensor, count: Tensor
) -> Tensor:
    """The same without noise, from D = W - rhoᵀ: tr(D XᵀHX Dᵀ) + k ‖D x̄ + b‖², for padded matrices (B, n, n), numbers k (B, 1)."""
    difference = padded_copy(weight, weight.dtype).sub_(target)
    offset = (difference * mean[:, None]).sum(-1) + bias
    return total(product(difference, gram).mul_(difference)) + (count * offset.square()).sum(1)


def final(weight: Tensor, bias: Tensor, problems: Stack) -> dict[str, Tensor]:
    """The final distances and spectra of float64 weights (B, n, n) with biases (B, n): each (B,).

    `distance_nearest` is to the zero-loss orthogonal matrix nearest the start. `mean_direction` is ‖D x̂‖, x̂ the
    direction of the samples' mean outside the row space of the centred samples; NaN where there is no outside.
    """
    target, v = problems.rho.mT, problems.weakest
    difference = weight - target
    twin_difference = difference + 2 * column(target, v)[:, :, None] * v[:, None, :]
    singular = each(torch.linalg.svdvals, weight)
    return {
        "distance_rho": norm(weight - problems.rho),
        "distance_start": norm(weight - problems.start),
        "distance_nearest": norm(weight - problems.nearest),
        "distance_twin": norm(twin_difference),
        "distance_l1": total(difference.abs()),
        "distance_rho_l1": total((weight - problems.rho).abs()),
        "mean_direction": column(difference, problems.mean_outside).norm(dim=1) / problems.mean_outside.norm(dim=1),
        "bias_norm": bias.norm(dim=1),
        "sigma_min": singular[:, -1],
        "sigma_max": singular[:, 0],
    }
