"""Power: how likely a claim is to be borne out by more seeds, if the exploratory run saw the truth."""

from __future__ import annotations

import math
from statistics import NormalDist

from .intervals import LEVEL, Estimate

_NORMAL = NormalDist()


def power(seen: Estimate, seeds: int, planned: int, holds: tuple[float, float]) -> float:
    """The chance that the interval of `planned` seeds lies wholly within `holds`, whose ends may be infinite; NaN without an interval.

    The value seen in `seeds` seeds is taken for the true one. The interval shrinks with the root of their number, and the new value
    scatters about the true one as the old interval says. A number that is no sample has power 1 or 0.
    """
    value, low, high = seen
    if math.isnan(low) or math.isnan(high) or not seeds or not planned:
        return math.nan
    if not low < high:
        return float(holds[0] <= value <= holds[1])
    shrink = math.sqrt(seeds / planned)
    below, above = (value - low) * shrink, (high - value) * shrink
    error = (below + above) / (2 * _NORMAL.inv_cdf((1 + LEVEL) / 2))
    return max(0.0, _NORMAL.cdf((holds[1] - above - value) / error) - _NORMAL.cdf((holds[0] + below - value) / error))
