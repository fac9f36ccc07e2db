"""The power of a claim, against trials."""

import math

import numpy as np
import pytest

from orthogrid.analysis.intervals import Estimate, mean, share
from orthogrid.analysis.power import power


@pytest.mark.parametrize("truth, bar", [(1.0, 0.5), (1.0, 0.8), (1.0, 0.9), (1.0, 1.1)])
def test_it_is_the_share_of_trials_that_bear_a_mean_out(truth, bar):
    rng = np.random.default_rng(0)
    seeds, planned, trials = 400, 25, 4000
    seen = Estimate(truth, truth - 1.645 * 0.5 / math.sqrt(seeds), truth + 1.645 * 0.5 / math.sqrt(seeds))
    found = [mean(truth + 0.5 * rng.standard_normal(planned)).low > bar for _ in range(trials)]
    assert power(seen, seeds, planned, (bar, math.inf)) == pytest.approx(np.mean(found), abs=0.06)


@pytest.mark.parametrize("truth, bar", [(0.5, 0.25), (0.8, 0.6), (0.8, 0.75)])
def test_and_nearly_that_of_a_share(truth, bar):
    rng = np.random.default_rng(1)
    seen = share([True] * round(200 * truth) + [False] * round(200 * (1 - truth)))
    found = [share(rng.random(40) < truth).low > bar for _ in range(2000)]
    assert power(seen, 200, 40, (bar, math.inf)) == pytest.approx(np.mean(found), abs=0.04)


def test_a_share_of_one_is_a_share():
    always = share([True] * 10)
    assert (
        power(always, 10, 25, (0.9, 1.1)) == 1 and power(always, 10, 20, (0.9, 1.1)) == 0
    )  # 25 of 25 reach it, 20 do not
    never = share([False] * 10)
    assert power(never, 5, 20, (-math.inf, 0.1)) == 1 and power(never, 10, 20, (-math.inf, 0.1)) == 0


def test_ends_of_it():
    assert (
        power(Estimate(2.0, 2.0, 2.0), 5, 5, (1.0, 3.0)) == 1 and power(Estimate(4.0, 4.0, 4.0), 5, 5, (1.0, 3.0)) == 0
    )
    assert math.isnan(power(Estimate(1.0, math.nan, math.nan), 1, 5, (0.0, 2.0)))
    assert power(Estimate(1.0, 0.5, 1.5), 5, 5, (0.9, 1.1)) == 0  # the interval is wider than what it must fit in
    few, many = (power(Estimate(1.0, 0.8, 1.2), 5, planned, (0.7, math.inf)) for planned in (3, 50))
    assert few < 0.9 < many
