"""Power: how likely a claim is to be borne out by more seeds, if the exploratory run saw the truth."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
from scipy.special import bdtr

from .intervals import LEVEL, Estimate, wilson

_NORMAL = NormalDist()


def power(seen: Estimate, seeds: int, planned: int, holds: tuple[float, float]) -> float:
    """The chance that the interval of `planned` seeds lies wholly within `holds`, whose ends may be infinite; NaN without an interval.

    The value seen in `seeds` seeds is taken for the true one. A share is drawn from so many trials anew. Of other quantities the
    interval, of a geometric mean that of its logarithm, shrinks with the root of the number of seeds, and the value scatters as the old interval says. A number that is no
    sample has power 1 or 0.
    """
    value, low, high = seen
    if math.isnan(low) or math.isnan(high) or not seeds or not planned:
        return math.nan
    if not low < high:
        return float(holds[0] <= value <= holds[1])
    if trials := _trials(seen):
        return _of_share(value, max(1, round(trials * planned / seeds)), holds)
    if low > 0 and abs(math.log(value * value / (low * high))) < 1e-6:  # a geometric mean
        value, low, high = (math.log(x) for x in seen)
        holds = (-math.inf if holds[0] <= 0 else math.log(holds[0]), math.log(holds[1]) if holds[1] > 0 else -math.inf)
    shrink = math.sqrt(seeds / planned)
    below, above = (value - low) * shrink, (high - value) * shrink
    error = (below + above) / (2 * _NORMAL.inv_cdf((1 + LEVEL) / 2))
    return max(0.0, _NORMAL.cdf((holds[1] - above - value) / error) - _NORMAL.cdf((holds[0] + below - value) / error))


def _trials(seen: Estimate) -> float:
    """Of how many trials this is the share, by the width of Wilson's interval; 0 where it is none."""
    value, low, high = seen
    if not 0 <= value <= 1:
        return 0.0
    few, many = 0.5, 1e6
    for _ in range(100):
        middle = math.sqrt(few * many)
        _, a, b = wilson(value, middle)
        few, many = (middle, many) if b - a > high - low else (few, middle)
    _, a, b = wilson(value, few)
    return few if abs(a - low) + abs(b - high) < 1e-3 else 0.0


def _of_share(true: float, trials: int, holds: tuple[float, float]) -> float:
    hits = [k for k in range(trials + 1) if _within(wilson(k / trials, trials), holds)]
    if not hits:
        return 0.0
    below = bdtr(hits[0] - 1, trials, true) if hits[0] else 0.0  # the hits that bear it out are neighbours
    return float(np.clip(bdtr(hits[-1], trials, true) - below, 0, 1))


def _within(seen: Estimate, holds: tuple[float, float]) -> bool:
    return holds[0] <= seen.low and seen.high <= holds[1]
