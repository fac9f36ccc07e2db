"""Closed forms, each once: used by figures, tables, claims and tests. Plain floats and numpy arrays, no torch.

n is the dimension, k the number of samples, reg the weight of the penalty. The Gram matrix G has rank r, smallest eigenvalue lam
and largest eigenvalue mu. v is a unit eigenvector of lam, and w = rhoᵀv (n,). s is a position on the path
rhoᵀ(I - (1 - s) vvᵀ): 1 is the target, -1 the twin. Proofs are in the paper's appendix, under the names given here. Laws fitted
to runs are not theory.
"""

from __future__ import annotations

import functools
import math

import numpy as np

# The least value of a penalty at a singular weight, where S has the eigenvalue -1 (Corollary "certificate"); others' is not known.
SINGULAR_PENALTY = dict.fromkeys(
    ("l1", "fro2", "fro", "nuclear", "spectral", "spectral2", "row_sum", "vonneumann"), 1.0
)
TWIN_POSITION = -1.0  # where unsquared norms and hard constraints hold W; S = 0 there


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


@functools.cache
def l1_constant(beta1: float = 0.9) -> float:
    """Mean |S|/lr of one entry of S under Adam with absolute values, once it jitters (Observation "floor of absolute values").

    Near S = 0 the mean of squared gradients is constant. An entry then follows S ← S - 2 lr m, m ← beta1 m + (1 - beta1) sgn S.
    This map is iterated from starts spread evenly on (0, 2 lr) with m = 0. With beta1 = 0 every orbit gives 1. With beta1 > 0
    orbits differ: starts from afar move the mean by a tenth or two, starts within lr/5 of 0 about halve it.
    """
    s = (np.arange(4096) + 0.5) / 4096 * 2
    m, total = np.zeros_like(s), 0.0
    settle, count = 3000, 3000
    for t in range(settle + count):
        m = beta1 * m + (1 - beta1) * np.sign(s)
        s = s - 2 * m
        if t >= settle:
            total += float(np.abs(s).mean())
    return total / count


def l1_floor(n, lr, beta1: float = 0.9):
    """Sum of |S_ij| that Adam at a constant rate keeps jittering at under `l1` (Observation "floor of absolute values")."""
    return l1_constant(beta1) * np.square(n) * lr


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


# Root of log m + m + 1 = 0: -s where `vonneumann` begins to hold W. 2m is then the maximum of -2 m log m/(1 + m).
VON_NEUMANN_POSITION = 0.2784645427610738  # W(1/e), Lambert's W


def trap_threshold(penalty: str, lam, w=None, delta: float = math.inf):
    """The reg above which `penalty` has a wrong-side minimum at or near the twin; NaN where no closed form is known.

    Exactly there for `fro2` (Theorem "landscape"), `spectral2`, `vonneumann`, `logdet` (Proposition "spectral penalties"),
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
            from scipy.special import lambertw  # here, for training takes a constant of this module and needs no scipy

            # With c = lam/(2 reg), y = log m: (y + c) exp(y + c) = -c exp(c), whose principal branch is the larger root.
            c = lam / (2 * reg)
            position = -np.exp(lambertw(-c * np.exp(c)).real - c)
        else:
            position = TWIN_POSITION
    return np.where(held, position, np.nan)


def path_loss(s, reg, lam, lifted: bool = False):
    """Loss lam (1 - s)² + reg (1 - s²)² of the sum of squares on the path rhoᵀ(I - (1 - s) vvᵀ): two wells if reg > 2 lam.

    `lifted`: the least over an extra output row a vᵀ of target zero, lam (1 - s)² + lam a² + reg (1 - s² - a²)². Where a² = 1 - s²
    - lam/2 reg is positive it is 2 lam (1 - s) - lam²/4 reg, a line that falls from twin to target.
    """
    s = np.asarray(s, dtype=float)
    row = np.maximum(1 - s**2 - lam / (2 * reg), 0) if lifted else 0.0  # a²
    return lam * (1 - s) ** 2 + lam * row + reg * (1 - s**2 - row) ** 2


def trap_loss(reg, lam, penalty: str = "fro2", w=None, delta: float = math.inf):
    """Data loss lam (1 - s*)² at the trapped point; 4 lam for norms, and in the limit of large reg for the others."""
    return lam * (1 - trap_position(reg, lam, penalty, w, delta)) ** 2


# The landscape of the sum of squares (Theorem "landscape"): every critical point is rhoᵀ Σ s_i u_i u_iᵀ over an eigenbasis of
# G, each s_i being 1 or a root of 2 reg s (1 + s) = -lam_i.


def reflected_positions(reg, lam):
    """The two s < 0 of a reflected eigenvector with eigenvalue lam, outer and inner; NaN where reg < 2 lam.

    The outer one of the smallest eigenvalue is the trap, the inner one the pass between trap and target.
    """
    reg, lam = np.asarray(reg, dtype=float), np.asarray(lam, dtype=float)
    with np.errstate(invalid="ignore", divide="ignore"):
        root = np.sqrt(np.where(reg >= 2 * lam, 1 - 2 * lam / reg, np.nan))
    return -(1 + root) / 2, -(1 - root) / 2


def critical_losses(reg, lam, following):
    """Data losses at the critical points that runs meet: the pass out of the trap, and beside the reflection of the next eigenvalue.

    `lam` is the smallest eigenvalue, `following` the next one. NaN where there is no such point.
    """
    _, inner = reflected_positions(reg, lam)
    outer, _ = reflected_positions(reg, following)
    return lam * (1 - inner) ** 2, following * (1 - outer) ** 2


# Penalties that are sums over the singular values of W, with a threshold in closed form.
OF_SINGULAR_VALUES = ("fro2", "vonneumann", "logdet")


def capture_threshold(mu, penalty: str = "fro2"):
    """The reg from which the flow keeps an orthogonal start's side, whatever the start (Theorem "capture"): the trap's, of mu.

    For the sum of squares it is 2 mu. It is exact for white inputs, where mu = lam: below it every start reaches the target. For
    others a run may be held from the trap's own threshold on. NaN for penalties that are no sums over the singular values of W:
    norms hold the twin from 2 lam on, yet let white starts go well above it.
    """
    return trap_threshold(penalty, mu) if penalty in OF_SINGULAR_VALUES else math.nan


def noisy_threshold(lam, smallest):
    """White inputs with noisy targets: the reg from which a wrong-sided critical point exists (Proposition "noise").

    `smallest` is the smallest singular value of the least-squares solution; the largest reg with
    (2 reg - lam)³ = 27/2 reg lam² smallest². Without noise `smallest` is 1 and the value 2 lam.
    """
    # With reg = lam g: (2 g - 1)³ - 13.5 smallest² g = 0, whose largest real root lies above 1/2.
    roots = np.roots([8, -12, 6 - 13.5 * smallest**2, -1])
    return lam * float(max(root.real for root in roots if abs(root.imag) < 1e-9))


def largest_step(n, lr):
    """(2/π) n lr: how far one Adam step of size lr in every entry can move s, for generic v and w (Observation "jump")."""
    return 2 / math.pi * n * lr


def first_step_factor(lr, n):
    """The expected factor of the determinant in Adam's first step on uncentred inputs (Proposition "Adam's first step")."""
    return 1 - lr * n / math.sqrt(math.pi)


def row_weight_bound(trap: float) -> float:
    """How much more than other data the new row's may count before the trap at s* holds it (Proposition "new row's weight")."""
    return 1 + 1 / abs(trap)
