"""Precision and size: what the number format sets, and how error and cost grow with the dimension."""

from __future__ import annotations

import pandas as pd

from ..analysis.intervals import Estimate, farthest, share_difference
from ..analysis.select import only, paired, paired_ratio
from ..analysis.settings import COARSER
from ..cells.cell import AXES
from ..presenting.ledger import UNTESTED, Measurement, claim, measured
from ..run.run import Run

DTYPES = AXES["dtype"].choices  # from fine to coarse


def coarsening(cells: pd.DataFrame) -> dict[tuple[str, str, str], Estimate]:
    """(penalty, format, next coarser format present) → ‖S‖_F with the coarser over that with the finer, over paired runs."""
    ratios = {}
    for penalty, same in cells.groupby("penalty"):
        present = [name for name in DTYPES if (same["dtype"] == name).any()]
        for fine, coarse in zip(present, present[1:], strict=False):
            ratios[penalty, fine, coarse] = paired_ratio(paired(same, "orthogonality_fro", "dtype", fine, coarse))
    return ratios


@claim(
    "dtype-floor",
    "Each coarser number format ends less orthogonal than the next finer one",
    ">",
    blocks="precision",
    predicate="‖S‖_F with each format over that with the next finer one, for each penalty, matching starts, "
    "geometric mean of paired runs: the smallest of these ratios, against {COARSER}. Partly where some "
    "steps show it and others do not.",
)
def dtype_floor(run: Run, cells: pd.DataFrame) -> Measurement:
    used = only(cells, determinant="match")
    ratios = {f"{fine} to {coarse} with {name}": ratio for (name, fine, coarse), ratio in coarsening(used).items()}
    if not ratios:
        return UNTESTED
    equal = [name for name, ratio in ratios.items() if ratio.value <= COARSER]
    smallest = min(ratios.values(), key=lambda ratio: ratio.value)
    some = smallest.high <= COARSER and any(ratio.low > COARSER for ratio in ratios.values())
    return measured(smallest, COARSER, used, partly=f"not from {', '.join(equal)}" if some else "")


@claim(
    "dtype-crossing",
    "The number format does not decide which side a run ends on",
    "±",
    blocks="precision",
    tolerance=0.25,
    predicate="Share of mismatched fro2 starts with lambda > 0 that end wrong with another format minus that with "
    "float32, over paired runs: the format whose interval reaches farthest. Equal: within a quarter, "
    "which ten pairs without discord establish.",
)
def dtype_crossing(run: Run, cells: pd.DataFrame) -> Measurement:
    used = only(cells, determinant="mismatch", penalty="fro2")
    used = used[used["lambda_min"] > 0]
    used = used.assign(held=used["wrong"].astype(float))
    differences = []
    for other in DTYPES:
        pairs = paired(used, "held", "dtype", "float32", other)
        if other != "float32" and len(pairs):
            differences.append(share_difference(pairs["first"] > 0.5, pairs["second"] > 0.5))
    return measured(farthest(differences, 0.0), 0.0, used)
