"""Constrained methods and cures: fit, orthogonality, cost, and whether the determinant can change."""

from __future__ import annotations

import math

import pandas as pd

from ..catalog import having
from ..cell import spec_name
from ..claims.select import crossed, methods, only, penalties, roughness, step_costs, trained
from ..claims.settings import FITTED, LEFT_OPEN, ROUNDED
from ..run import Run
from ..views import reads
from .format import MISSING, code, d1, d2, integer, listed, median, names, number, out_of, seeds, spread


@reads("methods step_cost")
def methods_numbers(run: Run) -> dict[str, str]:
    cells = run.block("methods")
    costs = pd.Series({name: cost.value for name, cost in step_costs(run.block("step_cost")).items()}, dtype=float)
    adam = penalties(only(run.block("step_cost"), method="adam"), "fro2")["seconds_per_step"]
    names_of = costs.index.map(spec_name)
    constrained = costs[names_of.isin(having("method", constrains=True))].dropna()
    exact = costs[names_of.isin(having("method", parametrizes=True))].dropna()
    kept = {keeps: methods(cells, *having("method", keeps=keeps)) for keeps in ("on", "near")}
    changed = {keeps: some.loc[crossed(some), "method"].unique() for keeps, some in kept.items()}
    matched = trained(only(cells, determinant="match"))
    unfit = matched.groupby(["method", "samples"])["fit"].median()
    unfit = unfit[~(unfit < FITTED)].index.get_level_values("method").unique()
    wrong = trained(only(cells[cells["lambda_min"] > 0], determinant="mismatch")).groupby("method")["wrong"]
    returns = wrong.max().index[~wrong.max().astype(bool)]
    worst = roughness(cells).groupby(cells["method"]).max()
    exactly = worst.index[worst <= ROUNDED]
    both = run.planned("methods", "step_cost")
    plain, free = only(cells, method="adam"), methods(cells, *LEFT_OPEN)

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
        "meth-adam-changed": out_of(plain[crossed(plain)], plain),
        # The two corrections that the theory leaves open: they follow an unconstrained step.
        "meth-open-changed": out_of(free[crossed(free)], free),
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


def last_budget(cells: pd.DataFrame) -> pd.DataFrame:
    """The cells of the largest number of steps."""
    return cells[cells["steps"] == cells["steps"].max()]


def _cured(cells: pd.DataFrame) -> pd.Series:
    """By method that keeps the penalty, but plain Adam: share of the runs that end on the right side."""
    cures = methods(cells[cells["method"] != "adam"], *having("method", uses_penalty=True))
    return (~cures["wrong"]).groupby(cures["method"]).mean()


@reads("cures cures_uniform")
def cures_numbers(run: Run) -> dict[str, str]:
    """At the largest number of steps; key cure-uniform-... is of block cures_uniform."""
    cells, both = run.block("cures"), {}
    long = last_budget(cells)
    for prefix, used in (("cure", long), ("cure-uniform", last_budget(run.block("cures_uniform")))):
        back, plain = _cured(used), only(used, method="adam")
        avoid, undo = (back.index.map(spec_name).isin(having("method", cures=how)) for how in ("avoid", "undo"))
        for word, which in (
            ("always", back == 1),
            ("avoid", (back == 1) & avoid),
            ("undo", (back == 1) & undo),
            ("sometimes", (back > 0) & (back < 1)),
            ("never", back == 0),
        ):
            both[f"{prefix}-{word}"] = names(back.index[which]) if len(back) else MISSING
        # Plain Adam's runs that end on the right side; reg over 2 lambda.
        both[f"{prefix}-plain"] = out_of(plain[~plain["wrong"]], plain) if len(plain) else MISSING
        both[f"{prefix}-threshold"] = number(median(plain["reg"] / (2 * plain["lambda_min"])), 2)
    seconds = long.groupby("method")["seconds"].median()
    ratio = seconds / seconds.get("adam", math.nan)
    unused = ("cure-always", "cure-uniform-avoid", "cure-uniform-undo")
    return {key: value for key, value in both.items() if key not in unused} | {
        "cure-seeds": seeds(cells),
        "cure-steps": listed(cells, "steps"),
        "cure-budget": integer(long["steps"].max()) if len(long) else MISSING,
        "cure-samples": listed(cells, "samples"),
        # Time of the cures over plain Adam's, at that budget.
        "cure-time": spread(ratio[ratio.index.isin(_cured(long).index)], d2),
    }
