"""Which starts change sides where one direction weighs far more than all others (Proposition "one heavy direction")."""

from __future__ import annotations

import math
from functools import cache

import numpy as np

STEP = 0.05  # of time, in units of the faster of data and penalty
ENOUGH = 10.0  # of time, in units of the slower: by then the flow has settled


def changes_side(cosine: float, ratio: float) -> bool:
    """Whether the flow of 2 × 2 matrices from the identity ends at a negative determinant.

    `cosine` is c = eᵀ rho W0 e, `ratio` is mu / reg.
    """
    return bool(_determinants(np.array([cosine]), ratio)[0] < 0)


@cache
def boundary(ratio: float) -> float:
    """c*: a start changes sides where its cosine is below -c*. 1 up to ratio 1/2; falls to 1 / ratio at large ones."""
    if ratio <= 0.5:
        return 1.0
    low, high = 0.0, 1.0
    for _ in range(4):  # sixteen parts at a time
        inside = np.linspace(low, high, 17)
        changed = _determinants(-inside, ratio) < 0
        first = int(changed.argmax()) if changed.any() else 16
        low, high = inside[max(first - 1, 0)], inside[first]
    return float(high)


def share_that_changes(ratio: float, n: int) -> float:
    """The share of Haar starts of n × n matrices that change sides."""
    from scipy.stats import beta

    return float(beta.cdf((1 - boundary(ratio)) / 2, (n - 1) / 2, (n - 1) / 2))


def _determinants(cosines: np.ndarray, ratio: float) -> np.ndarray:
    """Of N at the end of dN/dt = -2 ratio (N a - e) aᵀ - 4 (N Nᵀ - I) N from the identity, a = (1, 0), e = (c, √(1 - c²)).

    By the classical method of Runge and Kutta, all cosines at once.
    """
    targets = np.stack([cosines, np.sqrt(np.maximum(0.0, 1 - cosines**2))], -1)
    state = np.tile(np.eye(2), (len(cosines), 1, 1))

    def slope(matrix: np.ndarray) -> np.ndarray:
        change = -4 * (matrix @ matrix.swapaxes(1, 2) - np.eye(2)) @ matrix
        change[:, :, 0] -= 2 * ratio * (matrix[:, :, 0] - targets)
        return change

    step = STEP / max(1.0, ratio)
    for _ in range(math.ceil(ENOUGH / min(1.0, ratio) / step)):
        first = slope(state)
        second = slope(state + step / 2 * first)
        third = slope(state + step / 2 * second)
        state = state + step / 6 * (first + 2 * second + 2 * third + slope(state + step * third))
    return np.linalg.det(state)
