"""Intervals and selections behind the claims, on data whose truth is known."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from orthogrid.analysis.intervals import (
    Estimate,
    bracketed,
    farthest,
    geometric_mean,
    half_width,
    mean,
    share,
    share_difference,
)
from orthogrid.analysis.select import boundary, exponents


def test_half_width_is_students():
    for df in (1, 2, 3, 4, 9, 30, 1000):
        assert half_width(2.0, df) == pytest.approx(2 * stats.t.ppf(0.95, df), rel=1e-12)


def test_mean_interval_covers_as_often_as_it_says():
    random = np.random.default_rng(0)
    for size in (2, 3, 5):
        draws = [mean(random.normal(1.0, 2.0, size)) for _ in range(2000)]
        covered = np.mean([e.low <= 1.0 <= e.high for e in draws])
        assert covered == pytest.approx(0.9, abs=0.025)


def test_equivalence_is_not_passed_by_few_noisy_seeds():
    """True value on the margin: three seeds pass in at most 5 % of the draws (plus chance), whatever the noise."""
    random = np.random.default_rng(1)
    for noise in (0.01, 0.1, 1.0):
        draws = [mean(random.normal(1.1, noise, 3)) for _ in range(2000)]
        assert np.mean([e.low >= 0.9 and e.high <= 1.1 for e in draws]) <= 0.065
    # A true equality with much noise is not shown, with little it is.
    noisy = [mean(random.normal(1.0, 0.3, 3)) for _ in range(500)]
    clear = [mean(random.normal(1.0, 0.01, 3)) for _ in range(500)]
    assert np.mean([e.low >= 0.9 and e.high <= 1.1 for e in noisy]) < 0.1
    assert np.mean([e.low >= 0.9 and e.high <= 1.1 for e in clear]) > 0.99


def test_one_value_has_no_interval():
    for estimate in (mean([1.0]), geometric_mean([1.0]), bracketed([1.0], [2.0])):
        assert math.isnan(estimate.low) and math.isnan(estimate.high)
    assert all(math.isnan(x) for x in (*mean([]), *geometric_mean([]), *share([]), *share_difference([], [])))


def test_geometric_mean():
    estimate = geometric_mean([0.5, 2.0])
    assert estimate.value == pytest.approx(1.0) and estimate.low == pytest.approx(1 / estimate.high)
    assert geometric_mean([0.0, 1.0]).value < 1e-100


def test_bracketed_is_no_finer_than_its_grid():
    estimate = bracketed([1.0, 1.0, 1.0], [4.0, 4.0, 4.0])
    assert estimate == pytest.approx((2.0, 1.0, 4.0))


def test_share_is_wilsons():
    # Wilson (1927) with z = 1.6449: 10 of 10 and 5 of 10.
    assert share([True] * 10) == pytest.approx((1.0, 0.7871, 1.0), abs=1e-4)
    assert share([True, False] * 5) == pytest.approx((0.5, 0.2693, 0.7307), abs=1e-4)
    assert share([False] * 52).high < 0.05 < share([False] * 51).high


def test_share_of_clusters():
    hits, clusters = [True] * 30 + [False] * 10, [*[1] * 10, *[2] * 10, *[3] * 10, *[4] * 10]
    assert share(hits, clusters) == share([True, True, True, False])
    assert share([True] * 40, clusters) == share([True] * 4)
    assert share(hits, range(40)) == share(hits)
    assert share([True, True, False], [1, 1, 2]).value == 0.5  # of the clusters, not of the runs


def test_share_difference():
    same = share_difference([True, False] * 5, [True, False] * 5)
    assert same.value == 0 and same.low == pytest.approx(-same.high) and 0.1 < same.high < 0.25
    assert share_difference([True] * 4, [True] * 4).high > 0.25  # four pairs show no equality
    assert share_difference([False] * 20, [True] * 20).low > 0.7


def test_farthest():
    near, far, none = Estimate(1.0, 0.9, 1.1), Estimate(1.0, 0.5, 1.2), Estimate(1.0, math.nan, math.nan)
    assert farthest([near, far], 1.0) == far
    assert farthest([near, none], 1.0) is none
    assert math.isnan(farthest([], 1.0).value)


def test_exponents():
    cells = pd.DataFrame(
        [(s, n, lr) for s in (1, 2) for n in (10, 20) for lr in (0.1, 0.2)], columns=["seed", "n", "lr"]
    )
    cells["y"] = 3 * cells["n"] ** 2.0 * cells["lr"] ** 0.5 * cells["seed"]
    assert exponents(cells, "y", "n", "lr").to_numpy() == pytest.approx(np.array([[2.0, 0.5]] * 2))
    assert exponents(cells[cells["n"] == 10], "y", "n", "lr").empty  # no slope from one dimension


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [("0011", (2.0, 4.0)), ("0101", (2.0, 4.0)), ("0001", (4.0, 8.0)), ("0000", None), ("1111", None)],
)
def test_boundary(wrong, expected):
    cells = pd.DataFrame({"reg": [1.0, 2.0, 4.0, 8.0], "wrong": [c == "1" for c in wrong]})
    assert boundary(cells) == (expected or pytest.approx((math.nan, math.nan), nan_ok=True))
