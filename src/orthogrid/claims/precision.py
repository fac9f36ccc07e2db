"""Precision and size: what the number format sets, and how error and cost grow with the dimension."""

from __future__ import annotations

import pandas as pd

from ..run import Run
from .intervals import farthest, mean, share_difference
from .ledger import UNTESTED, Measurement, claim, found
from .select import exponents, only, paired, paired_ratio

DTYPES = ("float64", "float32", "tf32", "bfloat16")  # from fine to coarse


@claim("dtype-floor", "The number format sets how orthogonal a run ends: coarser is worse", ">", blocks="precision")
def dtype_floor(run: Run, cells: pd.DataFrame) -> Measurement:
    """‖S‖_F with each format over that with the next finer one, matching starts, geometric mean of paired runs: the smallest of
    these ratios."""
    used = only(cells, determinant="match")
    present = [name for name in DTYPES if (used["dtype"] == name).any()]
    ratios = [
        paired_ratio(paired(used, "orthogonality_fro", "dtype", fine, coarse))
        for fine, coarse in zip(present, present[1:], strict=False)
    ]
    return found(min(ratios, key=lambda r: r.value), 1.0, used) if ratios else UNTESTED


@claim(
    "dtype-crossing",
    "The number format does not decide which side a run ends on",
    "±",
    blocks="precision",
    tolerance=0.25,
)
def dtype_crossing(run: Run, cells: pd.DataFrame) -> Measurement:
    """Share of mismatched starts with lambda > 0 that end wrong with another format minus that with float32, over paired runs: the format whose
    interval reaches farthest. Equal: within a quarter, which ten pairs without discord establish."""
    used = only(cells, determinant="mismatch")
    used = used[used["lambda_min"] > 0]
    used = used.assign(held=used["wrong"].astype(float))
    differences = []
    for other in DTYPES:
        pairs = paired(used, "held", "dtype", "float32", other)
        if other != "float32" and len(pairs):
            differences.append(share_difference(pairs["first"] > 0.5, pairs["second"] > 0.5))
    return found(farthest(differences, 0.0), 0.0, used)


@claim(
    "error-growth",
    "The second script's error in orthogonality grows at most like n",
    "≤",
    blocks="scaling",
    tolerance=0.25,
)
def error_growth(run: Run, cells: pd.DataFrame) -> Measurement:
    """Exponent of the dimension in ‖S‖_F, least squares of logarithms for each seed, mean over seeds: 1 if each entry of S keeps
    its size."""
    used = only(cells, penalty="fro2", method="adam")
    return found(mean(exponents(used, "orthogonality_fro", "dimension")["dimension"]), 1.0, used)


@claim("cost-growth", "A step costs no more than the cube of the dimension", "≤", blocks="scaling", tolerance=0.25)
def cost_growth(run: Run, cells: pd.DataFrame) -> Measurement:
    """Exponent of the dimension in the seconds a step takes, least squares of logarithms for each seed, mean over seeds."""
    used = only(cells, penalty="fro2", method="adam")
    return found(mean(exponents(used, "seconds_per_step", "dimension")["dimension"]), 3.0, used)
