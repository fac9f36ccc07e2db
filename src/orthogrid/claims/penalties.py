"""Penalties: which of them reach orthogonality at all, and where each holds the reflected twin."""

from __future__ import annotations

import pandas as pd

from ..run import Run
from .intervals import share
from .ledger import UNTESTED, Measurement, claim, measured
from .select import (
    agreement,
    attached,
    best_roughness,
    law_shares,
    only,
    paired_ratio,
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
