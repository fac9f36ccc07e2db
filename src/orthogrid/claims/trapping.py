"""Trapping: what the wrong side costs, where a wrong minimum exists, and which runs it catches."""

from __future__ import annotations

import pandas as pd

from .. import theory
from ..run import Run
from .intervals import bracketed, instances, mean, share
from .ledger import ANSWERER, UNTESTED, Measurement, claim, measured
from .select import (
    attached,
    boundaries,
    by_seed,
    caught,
    crossed,
    decided,
    deciding_pairs,
    floor_block,
    floor_cells,
    floor_ratio,
    only,
    outside_margin,
    problems,
    random_starts,
    settled,
    with_threshold,
    wrong_side,
)
from .settings import EXISTENCE_SHARE, FLOOR_TOLERANCE, MARGIN, NEAR

# With a Wilson interval a share of 0.95 takes 52 problems to establish, more than the blocks hold; 0.9 takes 25.
MOST = 0.9

# The cost.


@claim("floor", "On the wrong side the data loss is 4λ", "≈", blocks="floor regimes", tolerance=FLOOR_TOLERANCE)
def floor(run: Run, cells: pd.DataFrame) -> Measurement:
    """Data loss over 4 lambda of the mismatched fro2 runs that settle on the wrong side; median over the runs of a seed, mean
    over seeds."""
    used = floor_cells(run)
    return measured(mean(by_seed(floor_ratio(used), used)), 1.0, used)


@claim(
    "twin-distance", "On the wrong side the distance to the target is 2", "≈", blocks="floor regimes", tolerance=0.02
)
def twin_distance(run: Run, cells: pd.DataFrame) -> Measurement:
    """Distance ‖W - rhoᵀ‖_F of the same runs, medians by seed, mean over seeds."""
    used = floor_cells(run)
    return measured(mean(by_seed(used["distance"], used)), theory.TWIN_DISTANCE, used)


# Existence.


@claim(
    "existence", "From the twin, runs stay on the wrong side if and only if γ > 2λ", "≥",
    blocks="map_twin", tolerance=1 - EXISTENCE_SHARE,
)  # fmt: skip
def existence(run: Run, cells: pd.DataFrame) -> Measurement:
    """Share of twin-started runs outside a factor {MARGIN} of the threshold that end as the theorem says: wrong of those with
    reg > 2 lambda, right of the others; the worse of the two. Its interval is conditional on the grid."""
    used = outside_margin(with_threshold(cells))
    above = used["threshold"] > 1
    if above.all() or not above.any():
        return UNTESTED
    return measured(min(share(used.loc[above, "wrong"]), share(~used.loc[~above, "wrong"])), 1.0, used)


@claim(
    "shift",
    "The trapped point pays λ(1 - s*)², less than 4λ near the threshold",
    "≈",
    blocks="map_twin law",
    tolerance=0.02,
)
def shift(run: Run, cells: pd.DataFrame) -> Measurement:
    """Data loss over lambda (1 - s*)² of twin-started fro2 runs that settle wrong with 2 lambda < reg ≤ {NEAR} · 2 lambda;
    medians by seed, mean over seeds."""
    used = with_threshold(cells)
    used = settled(run, wrong_side(used[(used["threshold"] > 1) & (used["threshold"] <= NEAR)]))
    return measured(mean(by_seed(used["fit"] / used["predicted_trap_loss"], used)), 1.0, used)


# Capture.


@claim(
    "below",
    "Below the threshold no run is caught on the wrong side",
    "≤",
    blocks="capture map_haar",
    tolerance=1 - MOST,
)
def below(run: Run, cells: pd.DataFrame) -> Measurement:
    """Of mismatched random starts with reg below 2 lambda/{MARGIN}, the share that settles wrong, among those that settle wrong
    or cross, clustered by problem; the others are on their way."""
    used = random_starts(cells)
    used = decided(run, used[used["threshold"] < 1 / MARGIN])
    return measured(share(used["held"], problems(used)), 0.0, used)


@claim(
    "capture",
    "Existence is not capture: random starts are caught from far larger weights on",
    ">",
    blocks="capture map_haar",
)
def capture(run: Run, cells: pd.DataFrame) -> Measurement:
    """Reg over 2 lambda from which mismatched random starts end wrong at the smallest rate, geometric mean over seeds, against
    {MARGIN}. Runs still on their way count as wrong, against the claim."""
    used = random_starts(cells)
    used = only(used, lr=used["lr"].min())
    brackets = boundaries(used, "threshold")
    return measured(bracketed(brackets["low"], brackets["high"]), MARGIN, used[used["seed"].isin(brackets.index)])


@claim("rate", "A larger rate lets more runs escape", ">", blocks="capture map_haar")
def rate(run: Run, cells: pd.DataFrame) -> Measurement:
    """Pairs of mismatched random starts above the threshold at the smallest and at the largest rate, both settled on the wrong
    side or crossed, just one of them settled there: share in which that is the smaller rate, clustered by problem."""
    pairs = deciding_pairs(run, cells)
    used = random_starts(cells)
    return measured(
        share(pairs["first"] > pairs["second"], problems(pairs)), 0.5, decided(run, used[used["threshold"] > 1])
    )


@claim("match-wrong", "A start on the right side can end on the wrong one", "≥", blocks="capture map_haar grid")
def match_wrong(run: Run, cells: pd.DataFrame) -> Measurement:
    """Number of runs from matching random starts, with any attached penalty, that settle on the wrong side: one shows it; none
    leaves it open, unless the runs are so many that the share is below a hundredth."""
    used = attached(only(cells, init="haar", determinant="match"))
    used = used[used["lambda_min"] > 0]
    return measured(instances(caught(run, used)), 1.0, used)


# The thread on the two sides.


@claim(
    "determinant", "Mismatched runs keep the wrong sign until they settle", "≥", blocks="floor regimes", tolerance=1 - MOST,
    author=ANSWERER, quote="able to train model.weight to become rho",
)  # fmt: skip
def determinant(run: Run, cells: pd.DataFrame) -> Measurement:
    """Share of the mismatched fro2 runs at a large weight that settle on the wrong side, among those that settle there or
    cross, clustered by problem; partly from one half. What they pay is the claim floor's."""
    starts = floor_block(run)
    used = decided(run, starts)
    if 2 * len(used) < len(starts):  # most runs are still on their way
        return UNTESTED
    kept = share(used["held"], problems(used))
    return measured(kept, 1.0, used, partly="some runs cross" if 0.5 <= kept.value < MOST else "")


def _slow_starts(cells: pd.DataFrame) -> pd.DataFrame:
    """Mismatched random starts at the smallest rate."""
    used = random_starts(cells)
    return only(used, lr=used["lr"].min())


@claim(
    "continuous", "Above the threshold, small steps keep the determinant's sign from start to end", "≥",
    blocks="grid capture map_haar", tolerance=1 - MOST,
    author=ANSWERER, quote="evolves model.weight continuously from its initial to its final value", foretold="refuted",
)  # fmt: skip
def continuous(run: Run, cells: pd.DataFrame) -> Measurement:
    """Share of the mismatched random starts with fro2, reg > {MARGIN} · 2 lambda and the smallest rate whose determinant ends with
    the sign it began with, clustered by problem; partly from one half. A continuous path of matrices may cross det W = 0."""
    used = _slow_starts(cells)
    used = used[used["threshold"] > MARGIN]
    kept = share(~crossed(used), problems(used))
    return measured(kept, 1.0, used, partly="many runs cross" if 0.5 <= kept.value < MOST else "")


@claim(
    "fortuitous", "Far above the threshold, at a small rate, a change of the determinant's sign is highly unlikely", "≤",
    blocks="capture map_haar", tolerance=0.05,
    author=ANSWERER,
    quote="the optimizer could take a large, fortuitous step that flips the sign of the determinant of model.weight, "
    "but this would be highly unlikely",
)  # fmt: skip
def fortuitous(run: Run, cells: pd.DataFrame) -> Measurement:
    """Share of the mismatched random starts with fro2, reg > {NEAR} · 2 lambda and the smallest rate that end with the other sign,
    clustered by problem."""
    used = _slow_starts(cells)
    used = used[used["threshold"] > NEAR]
    return measured(share(crossed(used), problems(used)), 0.0, used)
