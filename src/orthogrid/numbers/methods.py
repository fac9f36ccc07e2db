"""Constrained methods and cures: fit, orthogonality, cost, and whether the determinant can change."""

from __future__ import annotations

import math

import pandas as pd

from ..claims.select import FITTED, NEAR_MANIFOLD, ON_MANIFOLD, PARAMETRIZATIONS, crossed, methods, only, roughness
from ..grid import spec_name
from ..run import Run
from .format import MISSING, code, d1, d2, integer, listed, median, names, number, of, seeds, spread

ROUNDED = 1e-4  # ‖S‖_F/√n of a run that is orthogonal to rounding, as in claim on-manifold


def trained(cells: pd.DataFrame) -> pd.DataFrame:
    """Without the closed forms."""
    return cells[~cells["method"].map(spec_name).str.startswith("procrustes")]


def step_costs(cells: pd.DataFrame) -> pd.Series:
    """Median seconds a step of each trained method over those of Adam with a penalty, on the same cells' sizes."""
    seconds = trained(cells).groupby("method")["seconds_per_step"].median()
    return seconds / seconds.get("adam", math.nan)


def _keys(run: Run, *blocks: str) -> pd.Series:
    """The keys of all cells of some blocks, finished or not."""
    return run.membership.loc[run.membership["block"].isin(blocks), "key"]


def methods_numbers(run: Run) -> dict[str, str]:
    cells = run.block("methods")
    costs = step_costs(run.block("step_cost"))
    adam = only(run.block("step_cost"), method="adam")["seconds_per_step"]
    constrained = costs[[spec_name(name) in (*ON_MANIFOLD, *NEAR_MANIFOLD) for name in costs.index]].dropna()
    exact = costs[[spec_name(name) in PARAMETRIZATIONS for name in costs.index]].dropna()
    changed = {
        name: methods(cells, *group).loc[crossed(methods(cells, *group)), "method"].unique()
        for name, group in (("on", ON_MANIFOLD), ("near", NEAR_MANIFOLD))
    }
    matched = trained(only(cells, determinant="match"))
    unfit = matched.groupby(["method", "samples"])["fit"].median()
    unfit = unfit[~(unfit < FITTED)].index.get_level_values("method").unique()
    wrong = trained(only(cells[cells["lambda_min"] > 0], determinant="mismatch")).groupby("method")["wrong"]
    returns = wrong.max().index[~wrong.max().astype(bool)]
    worst = roughness(cells).groupby(cells["method"]).max()
    exactly = worst.index[worst <= ROUNDED]
    both = run.cells[run.cells["key"].isin(_keys(run, "methods", "step_cost"))]
    plain = only(cells, method="adam")

    def priced(series: pd.Series, which) -> str:
        return f"{code(which(series))} ({d1(series[which(series)])})" if len(series) else MISSING

    return {
        "meth-seeds": seeds(cells),
        "meth-samples": listed(cells, "samples"),
        "meth-reg": listed(plain, "reg"),
        # Cost of a step over that of Adam with a penalty, at the larger dimension; Adam's in milliseconds.
        "meth-cheapest": priced(constrained, lambda s: s.idxmin()),
        "meth-dearest": priced(constrained, lambda s: s.idxmax()),
        "meth-exact-cheapest": priced(exact, lambda s: s.idxmin()),
        "meth-adam-ms": number(1e3 * median(adam), 2),
        # Methods with a run whose determinant changed its sign: orthogonal at every step, and correcting.
        "meth-on-changed": names(sorted(changed["on"])) if len(cells) else MISSING,
        "meth-near-changed": names(sorted(changed["near"])) if len(cells) else MISSING,
        "meth-adam-changed": of(plain[crossed(plain)], plain),
        # Matching starts: the methods whose median data loss is not below FITTED for either number of samples.
        "meth-unfit": names(sorted(unfit)) if len(matched) else MISSING,
        # Mismatched starts with lambda > 0: the trained methods of which every run ends on the right side.
        "meth-return": names(returns) if len(wrong) else MISSING,
        # Of the former, those whose every run ends orthogonal to rounding.
        "meth-both": names(sorted(set(returns) & set(exactly))) if len(wrong) else MISSING,
        "meth-diverged": names(sorted(both.loc[both["status"] == "diverged", "method"].unique()))
        if len(both)
        else MISSING,
    }


def cures_numbers(run: Run) -> dict[str, str]:
    cells = run.block("cures")
    back = (~cells["wrong"]).groupby(cells["method"]).mean().drop("adam", errors="ignore")
    seconds = cells.groupby("method")["seconds"].median()
    ratio = (seconds / seconds.get("adam", math.nan)).drop("adam", errors="ignore").dropna()
    plain = only(cells, method="adam")
    free = ratio[ratio.index.isin(back.index[back == 1])]
    return {
        "cure-seeds": seeds(cells),
        "cure-steps": listed(cells, "steps"),
        "cure-samples": listed(cells, "samples"),
        # reg over 2 lambda.
        "cure-threshold": number(median(plain["reg"] / (2 * plain["lambda_min"])), 2),
        # By the share of runs that end on the right side: all, some, none of them.
        "cure-always": names(back.index[back == 1]) if len(back) else MISSING,
        "cure-sometimes": names(back.index[(back > 0) & (back < 1)]) if len(back) else MISSING,
        "cure-never": names(back.index[back == 0]) if len(back) else MISSING,
        # Time of those that always work over Adam's at equal steps.
        "cure-time": spread(free, d2),
        "cure-runs": integer(len(cells) // max(1, cells["method"].nunique())) if len(cells) else MISSING,
    }
