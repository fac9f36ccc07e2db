"""Closed forms, each once: used by figures, tables, claims and tests. Plain floats and numpy arrays, no torch.

n is the dimension, k the samples, r the rank of the Gram matrix G, lam its smallest eigenvalue, reg the weight of the
penalty. Proofs are in the paper's appendix, under the names given here.
"""

from __future__ import annotations

import math

import numpy as np

TWIN_DISTANCE = 2.0  # Proposition "floor": ‖rhoᵀ(I - 2vvᵀ) - rhoᵀ‖_F = 2‖vvᵀ‖_F

# Observation "floor of sum |S|": measured, not derived; sum |S| ≈ this · n² · lr under Adam with a constant rate.
L1_FLOOR_CONSTANT = 0.22


def coset_distance(n, r):
    """√(2(n - r)): root mean square of ‖W - rhoᵀ‖_F over the zero-loss orthogonal matrices (Proposition "coset").

    Exact for a Haar element of both determinants mixed, or n - r ≥ 2. For n - r = 1 the distance is 0 or 2.
    """
    return np.sqrt(2.0 * np.maximum(np.subtract(n, r), 0))


def effective_rank(n: int, k: int, inputs: str = "uniform", sampling: str = "fixed") -> int:
    """Rank that a run from a small bias feels: k, not k - 1, for inputs with a mean (Proposition "bias"); whitened ones have none."""
    if sampling == "fresh":
        return n
    return min(n, k - 1 if inputs == "whitened" else k)


def entrywise_l1(n, squared):
    """n √(2s/π): sum of the absolute entries of an n × n matrix of Gaussian entries whose squares sum to s (model)."""
    return n * np.sqrt(2 * np.asarray(squared, dtype=float) / math.pi)


def detached_plateau(n, r):
    """Entrywise sum of |S| where plain regression from an orthogonal start settles (Proposition "detached").

    Gradient descent ends at rhoᵀP + W₀(I - P); S is a difference of two random rank-r projections and
    ‖S‖_F² ≈ 2r - 2r²/n; the entries are modelled as Gaussian.
    """
    return entrywise_l1(n, 2 * r - 2 * r**2 / n)


def l1_floor(n, lr):
    """Sum of |S_ij| that Adam at a constant rate keeps jittering at under `l1` (Observation "floor of sum |S|")."""
    return L1_FLOOR_CONSTANT * np.square(n) * lr


def wrong_floor(lam):
    """4 lam: smallest data loss over the orthogonal matrices with the wrong determinant (Proposition "floor")."""
    return 4 * np.asarray(lam, dtype=float)


def trap_threshold(penalty: str, lam: float, w_max2: float = math.nan) -> float:
    """The reg from which a penalty has a wrong-side minimum at or near the twin; NaN where no closed form is known.

    fro2: 2 lam (Theorem "boundary"); fro: 2 lam; l1: 2 lam max w_i², w = rhoᵀv (Proposition "dual norm"); logdet: any
    reg; none and detached penalties: never.
    """
    if penalty == "none" or penalty.endswith("_detached"):
        return math.inf
    return {"fro2": 2 * lam, "fro": 2 * lam, "l1": 2 * lam * w_max2, "logdet": 0.0}.get(penalty, math.nan)


def trap_position(reg, lam):
    """s* = -(1 + √(1 - 2 lam/reg))/2: where on rhoᵀ(I - (1 - s) vvᵀ) `fro2` is trapped; NaN for reg ≤ 2 lam."""
    ratio = 2 * np.asarray(lam, dtype=float) / np.asarray(reg, dtype=float)
    with np.errstate(invalid="ignore"):
        return np.where(ratio < 1, -(1 + np.sqrt(1 - ratio)) / 2, np.nan)


def trap_loss(reg, lam):
    """Data loss lam (1 - s*)² at the trapped point of `fro2` (Theorem "boundary"); tends to 4 lam for large reg."""
    return lam * (1 - trap_position(reg, lam)) ** 2


def logdet_trap_position(reg, lam):
    """s* = -reg/(reg + lam): the trapped point of `logdet`, at any reg (Proposition "logdet")."""
    return -np.asarray(reg, dtype=float) / (reg + lam)


def largest_step(n, lr):
    """(2/π) n lr: how far one Adam step of size lr in every entry can move s, for generic v and w (Observation "jump")."""
    return 2 / math.pi * n * lr
