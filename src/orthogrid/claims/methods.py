"""Constrained methods: what a hard constraint gives, what it costs, and that it fixes the side."""

from __future__ import annotations

import pandas as pd

from ..catalog import having
from ..run import Run
from .intervals import mean, share
from .ledger import ANSWERER, UNTESTED, Measurement, claim, measured
from .select import by_seed, crossed, floor_ratio, methods, only, problems, resting, wrong_side
from .settings import FLOOR_TOLERANCE


def _on(cells: pd.DataFrame) -> pd.DataFrame:
    """The cells of the methods that are orthogonal at every step."""
    return methods(cells, *having("method", keeps="on"))


@claim(
    "components", "A method that stays orthogonal never changes the determinant's sign", "≤", blocks="methods", check=True,
    author=ANSWERER, quote="orthogonal matrices come in two disconnected sets",
)  # fmt: skip
def components(run: Run, cells: pd.DataFrame) -> Measurement:
    """Number of runs of the methods that are orthogonal at every step whose determinant changed its sign: one refutes it."""
    used = _on(cells)
    return measured(crossed(used).sum(), 0.0, used)


@claim(
    "side-floor",
    "The best orthogonal matrix of the wrong side pays exactly 4λ",
    "≈",
    blocks="methods",
    tolerance=1e-3,
    check=True,
)
def side_floor(run: Run, cells: pd.DataFrame) -> Measurement:
    """Data loss over 4 lambda of procrustes_side on mismatched problems with lambda > 0: the run farthest from 1. No training,
    so no sample; float32 data allow a thousandth."""
    used = wrong_side(only(methods(cells, "procrustes_side"), determinant="mismatch"))
    ratio = floor_ratio(used)
    return measured(ratio.loc[(ratio - 1).abs().idxmax()], 1.0, used) if len(used) else UNTESTED


@claim(
    "method-trap",
    "A hard constraint ends at the twin, whatever its rate",
    "≈",
    blocks="methods",
    tolerance=FLOOR_TOLERANCE,
)
def method_trap(run: Run, cells: pd.DataFrame) -> Measurement:
    """Data loss over 4 lambda of the mismatched runs, orthogonal at every step, that are at rest; medians by seed, mean over seeds."""
    used = resting(wrong_side(only(_on(cells), determinant="mismatch")))
    return measured(mean(by_seed(floor_ratio(used), used)), 1.0, used)


@claim(
    "polar",
    "Plain regression and one polar factor at the end recover the target from either side",
    ">",
    blocks="methods",
)
def polar(run: Run, cells: pd.DataFrame) -> Measurement:
    """Share of the runs of method polar with more samples than dimensions that are recovered, at its best rate, clustered by problem;
    against one half. No constraint is needed during training."""
    used = methods(cells[cells["lambda_min"] > 0], "polar")
    shares = {lr: share(same["outcome"] == "recovered", problems(same)) for lr, same in used.groupby("lr")}
    return measured(max(shares.values(), key=lambda s: s.value), 0.5, used) if shares else UNTESTED


@claim("step-cost", "Parametrizations cost more a step than a penalty does", ">", blocks="step_cost")
def step_cost(run: Run, cells: pd.DataFrame) -> Measurement:
    """Seconds a step of the cheapest parametrization over those of Adam with a penalty, at the thread's dimension, against 1.5, to be
    clear of noise. A timing of this machine: no sample."""
    used = methods(cells, *having("method", parametrizes=True))
    plain = only(cells, method="adam")["seconds_per_step"].median()
    return measured(used["seconds_per_step"].min() / plain, 1.5, used)
