"""Penalties: which of them reach orthogonality at all, and where each holds the reflected twin."""

from __future__ import annotations

import pandas as pd

from ..run import Run
from .intervals import Estimate, bracketed, instances, share
from .ledger import UNTESTED, Measurement, claim, measured
from .select import (
    agreement,
    attached,
    best_roughness,
    boundaries,
    crossed,
    law_shares,
    only,
    paired_ratio,
    penalties,
    reached,
)
from .settings import LAW_SHARE, ORTHOGONAL


@claim("reach", "Every orthogonality penalty reaches orthogonality at some weight", "≥", blocks="penalties")
def reach(run: Run, cells: pd.DataFrame) -> Measurement:
    """Share of the attached penalties, offdiag apart, whose best setting has a median ‖S‖_F/√n below {ORTHOGONAL}: a census of
    the penalties tried. Partly from one half."""
    best = reached(cells)
    if best.empty:
        return UNTESTED
    missed = best.index[~(best < ORTHOGONAL)]
    value, used = (len(best) - len(missed)) / len(best), attached(cells)
    return measured(
        value,
        1.0,
        used[used["penalty"].isin(best.index)],
        partly=f"not by {', '.join(missed)}" if 0.5 <= value < 1 else "",
    )


@claim("offdiag", "Penalizing the off-diagonal entries alone is no orthogonality penalty", "≥", blocks="penalties")
def offdiag(run: Run, cells: pd.DataFrame) -> Measurement:
    """With fewer samples than dimensions, best ‖S‖_F/√n of offdiag over that of fro2, geometric mean of paired seeds; ten
    times at least, since nothing restores the norms of the rows."""
    few = cells[cells["samples"] < cells["dimension"]]
    sides = [attached(only(few, penalty=name)) for name in ("fro2", "offdiag")]
    if any(side.empty for side in sides):
        return UNTESTED
    pairs = pd.concat(map(best_roughness, sides), axis=1, keys=["first", "second"], join="inner").reset_index()
    return measured(paired_ratio(pairs), 10.0, pd.concat(sides))


@claim(
    "dual-norm", "Each penalty holds the twin above its law's weight and releases it below", "≥",
    blocks="law", tolerance=1 - LAW_SHARE,
)  # fmt: skip
def dual_norm(run: Run, cells: pd.DataFrame) -> Measurement:
    """For each penalty the share of twin-started runs outside a factor {MARGIN} of its threshold that end wrong exactly when reg
    is above it; the penalty with the smallest share. Partly if all penalties together pass and that one does not."""
    used = agreement(cells)
    used = used[used["both"]]
    if used.empty:
        return UNTESTED
    shares = law_shares(used)
    worst = min(shares, key=lambda name: shares[name].value)
    some = shares[worst].value < LAW_SHARE <= share(used["agrees"]).low
    return measured(shares[worst], 1.0, used, partly=f"not for {worst}" if some else "")


def _boundary_ratio(cells: pd.DataFrame, first: str, second: str) -> Estimate:
    """Weight from which `second` holds the twin over that of `first`, by seed, no finer than the grid of weights."""
    a, b = (boundaries(only(attached(cells), penalty=name)) for name in (first, second))
    both = a.add_suffix("_a").join(b.add_suffix("_b"), how="inner")
    return bracketed(both["low_b"] / both["high_a"], both["high_b"] / both["low_a"])


@claim("l1-earlier", "Absolute values hold the twin at smaller weights than the Frobenius norm", "<", blocks="law")
def l1_earlier(run: Run, cells: pd.DataFrame) -> Measurement:
    """Smallest reg at which l1 holds the twin over that of fro, geometric mean over seeds. Law: the largest entry of w squared."""
    return measured(_boundary_ratio(cells, "fro", "l1"), 1.0, penalties(cells, "fro", "l1"))


@claim("coherence-later", "The largest entry holds the twin at larger weights only", ">", blocks="law")
def coherence_later(run: Run, cells: pd.DataFrame) -> Measurement:
    """Smallest reg at which coherence holds the twin over that of fro, geometric mean over seeds. Law: ‖w‖₁²."""
    return measured(_boundary_ratio(cells, "fro", "coherence"), 1.0, penalties(cells, "fro", "coherence"))


@claim("logdet-holds", "The log-determinant holds the twin at any weight", "≥", blocks="law", tolerance=1 - LAW_SHARE)
def logdet_holds(run: Run, cells: pd.DataFrame) -> Measurement:
    """Share of the twin-started logdet runs that end wrong: its barrier is infinite, and the block's rate small."""
    used = only(cells, penalty="logdet", method="adam")
    return measured(share(used["wrong"]), 1.0, used)


@claim("logdet-jumps", "Adam's steps jump the infinite barrier of the log-determinant", "≥", blocks="capture")
def logdet_jumps(run: Run, cells: pd.DataFrame) -> Measurement:
    """Number of logdet runs whose determinant ended with another sign than it began with: one shows that it happens; none leaves it
    open, unless the runs are so many that the share is below a hundredth."""
    used = only(cells, penalty="logdet", method="adam")
    return measured(instances(crossed(used)), 1.0, used)
