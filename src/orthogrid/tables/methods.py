"""Constrained methods and cures."""

from __future__ import annotations

import math

import pandas as pd

from ..catalog import methods as known_methods
from ..cell import spec_name
from ..claims.select import at_best_rate, crossed, floor_ratio, only, roughness, step_costs
from ..numbers.format import MISSING, code, d1, d2, digits2, median, out_of, setting
from ..run import Run
from ..views import reads
from .layout import tabular


@reads("methods step_cost")
def methods(run: Run, verdicts: pd.DataFrame) -> str:
    """By method: cost of a step at two dimensions; at its best rate worst ‖S‖_F/√n, data loss by samples and side, changes of the sign."""
    cells, large = run.block("methods"), run.block("step_cost")
    costs = [step_costs(block) for block in (cells, large)]
    rows, group = [], None
    for name in sorted(cells["method"].unique(), key=_rank):
        if rows and _rank(name)[0] != group:
            rows.append([])
        group = _rank(name)[0]
        same = at_best_rate(only(cells, method=name))
        few, many = (
            same[which] for which in (same["samples"] < same["dimension"], same["samples"] > same["dimension"])
        )
        mismatch = only(many, determinant="mismatch")
        trained = known_methods()[spec_name(name)].uses_steps
        rows.append(
            [
                code(name),
                *(d1(cost[name].value if name in cost else math.nan) for cost in costs),
                setting(same["lr"].iloc[0]) if len(same) and trained else MISSING,
                digits2(roughness(same).max()) if len(same) else MISSING,
                digits2(median(few["fit"])),
                digits2(median(only(many, determinant="match")["fit"])),
                d2(median(floor_ratio(mismatch[mismatch["lambda_min"] > 0]))),
                out_of(same[crossed(same)], same),
            ]
        )
    head = [
        "Method",
        *(f"$n={_size(block)}$" for block in (cells, large)),
        "Rate",
        r"$\fnorm S/\sqrt n$",
        "$k<n$",
        "Match",
    ]
    table = tabular("lrrrrrrrr", [*head, r"Mismatch/$4\lambda$", "Sign changed"], rows)
    groups = r" & \multicolumn{2}{c}{Cost of a step} & Best & Worst & \multicolumn{3}{c}{Data loss} & \\"
    return table.replace("\\toprule\n", "\\toprule\n" + groups + "\n\\cmidrule(lr){2-3}\\cmidrule(lr){6-8}\n", 1)


def _size(cells: pd.DataFrame) -> str:
    return str(cells["dimension"].iloc[0]) if len(cells) else r"\mbox{--}"


def _rank(method: str) -> tuple[int, bool, str]:
    """What keeps W free, Adam first; then corrections, exact constraints and closed forms."""
    entry = known_methods()[spec_name(method)]
    group = ("", "near", "on").index(entry.keeps) if entry.uses_steps else 3
    return group, entry.name != "adam", entry.name


@reads("cures cures_uniform large_cure")
def cures(run: Run, verdicts: pd.DataFrame) -> str:
    """By cure: runs that end on the right side at each budget, with uniform inputs, and at a larger dimension; for the longest white
    runs distance, data loss, ‖S‖_F/√n and time over Adam's."""
    cells, uniform, large = (run.block(name) for name in ("cures", "cures_uniform", "large_cure"))
    budgets = sorted(cells["steps"].unique())
    long = only(cells, steps=budgets[-1]) if budgets else cells
    seconds = long.groupby("method")["seconds"].median()
    rows = []
    for name in sorted(cells["method"].unique(), key=lambda name: (name != "adam", name)):
        same, last = only(cells, method=name), only(long, method=name)
        parts = [only(same, steps=steps) for steps in budgets] + [
            only(block, method=name) for block in (uniform, large)
        ]
        rows.append(
            [
                code(name), *(out_of(part[~part["wrong"]], part) if len(part) else MISSING for part in parts),
                digits2(median(last["distance"])), digits2(median(last["fit"])), digits2(median(roughness(last))),
                d1(seconds.get(name, math.nan) / seconds.get("adam", math.nan)),
            ]
        )  # fmt: skip
    head = ["Method", *(f"{steps} steps" for steps in budgets), "Uniform", "Large", r"$\fnorm{W-\rho\T}$", "Data loss"]
    return tabular("l" + (len(head) + 1) * "r", [*head, r"$\fnorm S/\sqrt n$", "Time"], rows)
