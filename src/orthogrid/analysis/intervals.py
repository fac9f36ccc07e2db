"""Intervals for what the claims measure. Values are independent: one a seed, or one a pair of cells that share a seed.

Every interval has two-sided level 90 %. That it lies inside a margin is then an equivalence test (Schuirmann, 1987): two
one-sided tests at 5 %. That it lies beyond the margin is one such test.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from scipy.special import stdtrit

LEVEL = 0.90
_NORMAL = NormalDist().inv_cdf((1 + LEVEL) / 2)
TINY = 1e-300  # before a logarithm: a loss may be zero


class Estimate(NamedTuple):
    """A value and its interval; the interval is NaN where one value alone gives none."""

    value: float
    low: float
    high: float


NOTHING = Estimate(math.nan, math.nan, math.nan)


def half_width(error: float, df: int) -> float:
    """Of the interval of a value with this standard error, by Student's t (`scipy.stats.t.ppf`, whose import takes a second)."""
    return float(stdtrit(df, (1 + LEVEL) / 2)) * error


def mean(values: Iterable[float]) -> Estimate:
    """Mean with its t interval. One value has no interval."""
    x = np.asarray(list(values), dtype=float)
    if not len(x):
        return NOTHING
    if len(x) == 1 or not np.isfinite(x).all():
        return Estimate(float(x.mean()), math.nan, math.nan)
    half = half_width(x.std(ddof=1) / math.sqrt(len(x)), len(x) - 1)
    return Estimate(float(x.mean()), float(x.mean() - half), float(x.mean() + half))


def geometric_mean(values: Iterable[float]) -> Estimate:
    """Geometric mean with the t interval of the logarithms; of ratios of paired cells, a paired comparison."""
    logs = np.log(np.maximum(np.asarray(list(values), dtype=float), TINY))
    return _exponential(mean(logs))


def bracketed(low: Iterable[float], high: Iterable[float]) -> Estimate:
    """Geometric mean of positive values known only to lie between low and high (a grid's resolution), one a seed.

    The t interval of the geometric middles, widened by the brackets: no finer than the grid.
    """
    low, high = (np.log(np.asarray(list(bound), dtype=float)) for bound in (low, high))
    middle = mean((low + high) / 2)  # type: ignore[operator]
    half = middle.high - middle.value
    bounds = middle.value, low.mean() - half if len(low) else math.nan, high.mean() + half if len(high) else math.nan  # type: ignore[arg-type,attr-defined]
    return _exponential(bounds)


def _exponential(logs: Iterable[float]) -> Estimate:
    with np.errstate(over="ignore"):
        return Estimate(*(float(np.exp(bound)) for bound in logs))


def share(hits: Iterable[bool], clusters: Iterable | None = None) -> Estimate:
    """A share with its Wilson (1927) interval. Few runs prove little: if all of n hit, the lower end is n/(n + 2.7).

    Without `clusters` the interval is binomial: runs that share a problem count as independent. With them the share is the mean
    of the clusters' shares, and n is the number of clusters. A value in [0, 1] of mean p has variance p(1 - p) at most. So the
    interval holds however strongly the runs of a cluster agree.
    """
    x = np.asarray(list(hits), dtype=bool)
    if not len(x):
        return NOTHING
    shares: dict[object, list[bool]] = {}
    for hit, cluster in zip(x, range(len(x)) if clusters is None else clusters, strict=True):
        shares.setdefault(cluster, []).append(hit)
    return wilson(float(np.mean([np.mean(same) for same in shares.values()])), len(shares))


def wilson(p: float, n: float) -> Estimate:
    """A share of n trials with Wilson's interval."""
    z2 = _NORMAL**2
    centre = (p + z2 / (2 * n)) / (1 + z2 / n)
    half = _NORMAL * math.sqrt(p * (1 - p) / n + z2 / (4 * n * n)) / (1 + z2 / n)
    return Estimate(p, min(p, max(0.0, centre - half)), max(p, min(1.0, centre + half)))


def share_difference(first: Iterable[bool], second: Iterable[bool]) -> Estimate:
    """Difference second - first of two shares over the same pairs, with the adjusted Wald interval of Agresti & Min (2005).

    Half a pair is added to each cell of the 2 × 2 table, so that pairs without discord do not pass for certainty.
    """
    a, b = (np.asarray(list(x), dtype=bool) for x in (first, second))
    n = len(a)
    if not n:
        return NOTHING
    gained, lost = int((b & ~a).sum()), int((a & ~b).sum())
    plus, minus, total = gained + 0.5, lost + 0.5, n + 2
    centre = (plus - minus) / total
    half = _NORMAL * math.sqrt(plus + minus - (plus - minus) ** 2 / total) / total
    return Estimate((gained - lost) / n, max(-1.0, centre - half), min(1.0, centre + half))


def farthest(estimates: Iterable[Estimate], target: float) -> Estimate:
    """Of several estimates of one value, the one whose interval reaches farthest from it: all hold where this one does."""
    known = [e for e in estimates if not math.isnan(e.value)]
    without = [e for e in known if math.isnan(e.low)]
    if without:
        return without[0]
    return max(known, key=lambda e: max(abs(e.low - target), abs(e.high - target)), default=NOTHING)
