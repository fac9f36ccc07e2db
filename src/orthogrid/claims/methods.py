"""Constrained methods: what a hard constraint gives, what it costs, and that it fixes the side."""

from __future__ import annotations

import pandas as pd

from ..catalog import having
from ..run import Run
from .intervals import mean, share
from .ledger import ANSWERER, UNTESTED, Measurement, claim, measured
from .select import by_seed, crossed, floor_ratio, methods, only, problems, roughness, settled, step_costs, wrong_side
from .settings import DATA, FLOOR_TOLERANCE, KEPT_NEAR, LAW_SHARE, ORTHOGONAL, ROUNDED, ROUNDING


def _on(cells: pd.DataFrame) -> pd.DataFrame:
    """The cells of the methods that are orthogonal at every step."""
    return methods(cells, *having("method", keeps="on"))


def _near() -> list[str]:
    """The methods that correct W and leave a residue, those that the theory speaks of first."""
    return [*KEPT_NEAR, *(name for name in having("method", keeps="near") if name not in KEPT_NEAR)]


@claim(
    "components", "A method that stays orthogonal never changes the determinant's sign", "≤", blocks="methods", check=True,
    author=ANSWERER, quote="orthogonal matrices come in two disconnected sets",
)  # fmt: skip
def components(run: Run, cells: pd.DataFrame) -> Measurement:
    """Number of runs of the methods that are orthogonal at every step whose determinant changed its sign: one refutes it."""
    used = _on(cells)
    return measured(crossed(used).sum(), 0.0, used)


@claim(
    "near-components",
    "Landing and Pogo, kept near the orthogonal matrices, keep the sign as well",
    "≥",
    blocks="methods",
    tolerance=1 - LAW_SHARE,
)
def near_components(run: Run, cells: pd.DataFrame) -> Measurement:
    """Share of the runs of landing and pogo that keep the sign, clustered by problem; partly from one half. The theory says
    nothing of newton_schulz and parseval."""
    used = methods(cells, *KEPT_NEAR)
    kept = share(~crossed(used), problems(used))
    return measured(kept, 1.0, used, partly="some runs cross" if 0.5 <= kept.value < LAW_SHARE else "")


@claim("on-manifold", "Hard constraints end orthogonal to rounding", "≤", blocks="methods", check=True)
def on_manifold(run: Run, cells: pd.DataFrame) -> Measurement:
    """Largest final ‖S‖_F/√n of the methods that are orthogonal at every step, against {ROUNDED}: float32 rounding over thousands
    of steps. Partly if most methods keep it."""
    return _worst(_on(cells), ROUNDED)


@claim(
    "near-manifold", "Corrections end orthogonal within the tolerance of a good penalty", "≤", blocks="methods",
    words=dict(CORRECTIONS=lambda: " and ".join(", ".join(_near()).rsplit(", ", 1))),
)  # fmt: skip
def near_manifold(run: Run, cells: pd.DataFrame) -> Measurement:
    """Largest final ‖S‖_F/√n of {CORRECTIONS}, against {ORTHOGONAL}. Partly if most keep it."""
    return _worst(methods(cells, *_near()), ORTHOGONAL)


def _worst(used: pd.DataFrame, allowed: float) -> Measurement:
    """The largest ‖S‖_F/√n of any run; partly where at least half of the methods, and not all, stay within it."""
    if used.empty:
        return UNTESTED
    largest = roughness(used).groupby(used["method"]).max()
    missed = largest.index[~(largest <= allowed)]
    some = 0 < 2 * len(missed) <= len(largest)
    return measured(largest.max(), allowed, used, partly=f"not by {', '.join(missed)}" if some else "")


@claim("oracle", "No orthogonal method beats the closed form", "≤", blocks="methods", tolerance=ROUNDING, check=True)
def oracle(run: Run, cells: pd.DataFrame) -> Measurement:
    """Data loss of procrustes minus that of a method that is orthogonal at every step on the same data, over that method's
    loss at the start; the largest. Only rounding may make it positive."""
    best = methods(cells, "procrustes").groupby(list(DATA))["fit"].min().rename("best")
    used = _on(cells).join(best, on=list(DATA), how="inner")
    first = only(run.traces_of(used), step=0).set_index("key")["fit"]
    return measured(((used["best"] - used["fit"]) / used["key"].map(first)).max(skipna=False), 0.0, used)


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


@claim("method-floor", "A hard constraint on the wrong side pays 4λ", "≈", blocks="methods", tolerance=FLOOR_TOLERANCE)
def method_floor(run: Run, cells: pd.DataFrame) -> Measurement:
    """Data loss over 4 lambda of the mismatched runs, orthogonal at every step, that settle on the wrong side; medians by seed,
    mean over seeds."""
    used = settled(run, wrong_side(only(_on(cells), determinant="mismatch")))
    return measured(mean(by_seed(floor_ratio(used), used)), 1.0, used)


@claim("step-cost", "Parametrizations cost more a step than a penalty does", ">", blocks="methods step_cost")
def step_cost(run: Run, cells: pd.DataFrame) -> Measurement:
    """Seconds a step of the cheapest parametrization over those of Adam with a penalty, geometric mean over the timings, one for
    each dimension and number of samples: cells trained in one batch share a timing. Against 1.5, to be clear of noise."""
    used = methods(cells, *having("method", parametrizes=True))
    costs = step_costs(cells)
    estimates = [costs[name] for name in used["method"].unique() if name in costs]
    return measured(min(estimates, key=lambda e: e.value), 1.5, used) if estimates else UNTESTED
