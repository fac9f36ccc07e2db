"""Closed forms, each once: used by figures, tables, claims and tests. Plain floats and numpy arrays, no torch.

n is the dimension, k the samples, r the rank of the Gram matrix G, lam its smallest eigenvalue, v a unit eigenvector for
it, w = rhoᵀv (n,), reg the weight of the penalty. s is a position on the path rhoᵀ(I - (1 - s) vvᵀ): 1 is the target, -1
the twin. Proofs are in the paper's appendix, under the names given here. Laws fitted to runs are not theory; the one
constant measured (`L1_FLOOR_CONSTANT`) says so.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.special import lambertw

TWIN_POSITION = -1.0  # where unsquared norms and hard constraints hold W; S = 0 there
TWIN_DISTANCE = 2.0  # Proposition "floor": ‖rhoᵀ(I - 2vvᵀ) - rhoᵀ‖_F = 2‖vvᵀ‖_F

# Observation "floor of sum |S|": measured, not derived; sum |S| ≈ this · n² · lr under Adam with a constant rate.
L1_FLOOR_CONSTANT = 0.22


def coset_distance(n, r):
    """√(2(n - r)): root mean square of ‖W - rhoᵀ‖_F over the zero-loss orthogonal matrices (Proposition "coset").

    Exact for a Haar element of both determinants mixed, or n - r ≥ 2. For n - r = 1 the distance is 0 or 2.
    """
    return np.sqrt(2.0 * np.maximum(np.subtract(n, r), 0))


def coset_distance_on_side(n, r, same):
    """The same on one side: `same` or opposite determinant of W and rhoᵀ (Proposition "coset"). NaN where r = n rules it out.

    n - r = 1: exactly 0 or 2; n - r = 2 and opposite: exactly 2; otherwise a root mean square.
    """
    free = np.maximum(np.subtract(n, r), 0)
    near = np.where(same, 0.0, np.where(free == 1, TWIN_DISTANCE, np.nan))
    return np.where(free >= 2, coset_distance(n, r), near)


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


# Norms that depend on the singular values alone, scaled to ‖wwᵀ‖ = 1: their dual norm of wwᵀ is 1 too.
SPECTRAL_NORMS = ("fro", "spectral", "nuclear")
NORMS = (*SPECTRAL_NORMS, "row_sum", "l1", "coherence")  # the penalties that are norms of S, not squared


def dual_norm(penalty: str, w=None) -> float:
    """Dual norm of wwᵀ on symmetric matrices, for a penalty that is a norm of S (Proposition "dual norm"); else NaN.

    1 for fro, spectral, nuclear and row_sum; max w_i² for l1 and ‖w‖₁² for coherence, NaN where these lack w.
    """
    if penalty in SPECTRAL_NORMS or penalty == "row_sum":
        return 1.0
    if penalty not in NORMS or w is None:
        return math.nan
    size = np.abs(np.asarray(w, dtype=float))
    return float(size.max() ** 2 if penalty == "l1" else size.sum() ** 2)


def generic_w_max2(n):
    """E max w_i² for w uniform on the sphere, for large n: (2 log n - log log n - log π + 2 γ)/n, roughly 2 log n/n.

    The largest of n squared normals has this Gumbel mean; |g|² is independent of g/|g|, so dividing by n is exact.
    """
    n = np.asarray(n, dtype=float)
    return (2 * np.log(n) - np.log(np.log(n)) - math.log(math.pi) + 2 * np.euler_gamma) / n


def generic_w_l1_squared(n):
    """E ‖w‖₁² = 1 + (n - 1) 2/π for w uniform on the sphere, exact: E |w_1 w_2| = 2/(π n)."""
    return 1 + (np.asarray(n, dtype=float) - 1) * 2 / math.pi


# Root of log m + m + 1 = 0: -s where `vonneumann` begins to hold W. 2m is then the maximum of -2 m log m/(1 + m).
VON_NEUMANN_POSITION = float(lambertw(1 / math.e).real)


def trap_threshold(penalty: str, lam, w=None, delta: float = math.inf):
    """The reg above which `penalty` has a wrong-side minimum at or near the twin; NaN where no closed form is known.

    Exactly there for `fro2` (Theorem "boundary"), `spectral2`, `vonneumann`, `logdet` (Proposition "spectral penalties"),
    `fro`, `spectral`, `nuclear` (Proposition "dual norm"). For `l1`, `coherence` and `row_sum` it is where the twin itself
    becomes a minimum; others may exist below. For `huber` a minimum is proved above it; with delta at least
    ¾ max w_i² it is the 4 lam of half a sum of squares. `offdiag` has none at the twin and no closed form elsewhere
    (Proposition "off-diagonal"). A penalty without a gradient holds nothing: `predictions` knows which.
    """
    if penalty in ("fro2", "spectral2"):
        return 2 * lam
    if penalty == "vonneumann":
        return lam / (2 * VON_NEUMANN_POSITION)
    if penalty == "logdet":
        return 0.0 * lam
    if penalty == "huber":
        return _huber_threshold(lam, w, delta)
    return 2 * lam * dual_norm(penalty, w)


def _huber_threshold(lam, w, delta):
    """Where max |S_ij| = (1 - s*²) max w_i² at the trap of half a sum of squares falls to delta; 4 lam if it always fits."""
    if w is None and math.isfinite(delta):
        return math.nan
    share = math.inf if math.isinf(delta) else delta / float(np.max(np.square(w)))
    if share >= 3 / 4:
        return 4 * lam
    position = math.sqrt(1 - share)
    return lam / (position * (1 - position))


def trap_position(reg, lam, penalty: str = "fro2", w=None, delta: float = math.inf):
    """s* of the trapped point rhoᵀ(I - (1 - s*) vvᵀ); NaN at or below the penalty's threshold and where none is known.

    fro2, spectral2: -(1 + √(1 - 2 lam/reg))/2, the larger root of 2 reg m (1 - m) = lam in m = -s; huber: the same with reg/2;
    logdet: -reg/(reg + lam); vonneumann: the larger root of -2 reg m log m = lam (1 + m); norms: the twin, -1.
    """
    reg, lam = np.asarray(reg, dtype=float), np.asarray(lam, dtype=float)
    held = reg > trap_threshold(penalty, lam, w, delta)
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        if penalty in ("fro2", "spectral2", "huber"):
            position = -(1 + np.sqrt(1 - (4 if penalty == "huber" else 2) * lam / reg)) / 2
        elif penalty == "logdet":
            position = -reg / (reg + lam)
        elif penalty == "vonneumann":
            # With c = lam/(2 reg), y = log m: (y + c) exp(y + c) = -c exp(c), whose principal branch is the larger root.
            c = lam / (2 * reg)
            position = -np.exp(lambertw(-c * np.exp(c)).real - c)
        else:
            position = TWIN_POSITION
    return np.where(held, position, np.nan)


def trap_loss(reg, lam, penalty: str = "fro2", w=None, delta: float = math.inf):
    """Data loss lam (1 - s*)² at the trapped point; 4 lam for norms, and in the limit of large reg for the others."""
    return lam * (1 - trap_position(reg, lam, penalty, w, delta)) ** 2


def largest_step(n, lr):
    """(2/π) n lr: how far one Adam step of size lr in every entry can move s, for generic v and w (Observation "jump")."""
    return 2 / math.pi * n * lr
