"""Constrained methods, cures and number formats."""

from __future__ import annotations

import math

import pandas as pd

from ..catalog import methods as known_methods
from ..cell import AXES, spec_name
from ..claims.select import crossed, floor_ratio, only, roughness, step_costs, with_trap
from ..numbers.format import MISSING, code, d1, d2, digits2, median, out_of
from ..numbers.methods import last_budget
from ..run import Run
from ..views import reads
from .layout import tabular


@reads("methods step_cost")
def methods(run: Run, verdicts: pd.DataFrame) -> str:
    """By method: cost of a step at two dimensions, worst ‖S‖_F/√n, data loss by samples and side, changes of the sign."""
    cells, large = run.block("methods"), run.block("step_cost")
    costs = [step_costs(block) for block in (cells, large)]
    order = sorted(cells["method"].unique(), key=_rank)
    rows, group = [], None
    for name in order:
        if rows and _rank(name)[0] != group:
            rows.append([])
        group = _rank(name)[0]
        same = only(cells, method=name)
        few, many = (
            same[which] for which in (same["samples"] < same["dimension"], same["samples"] > same["dimension"])
        )
        mismatch = only(many, determinant="mismatch")
        rows.append(
            [
                code(name),
                *(d1(cost[name].value if name in cost else math.nan) for cost in costs),
                digits2(roughness(same).max()) if len(same) else MISSING,
                digits2(median(few["fit"])),
                digits2(median(only(many, determinant="match")["fit"])),
                d2(median(floor_ratio(mismatch[mismatch["lambda_min"] > 0]))),
                out_of(same[crossed(same)], same),
            ]
        )
    head = ["Method", *(f"$n={_size(block)}$" for block in (cells, large)), r"$\fnorm S/\sqrt n$", "$k<n$", "Match"]
    table = tabular("lrrrrrrr", [*head, r"Mismatch/$4\lambda$", "Sign changed"], rows)
    groups = r" & \multicolumn{2}{c}{Cost of a step} & Worst & \multicolumn{3}{c}{Data loss} & \\"
    return table.replace("\\toprule\n", "\\toprule\n" + groups + "\n\\cmidrule(lr){2-3}\\cmidrule(lr){5-7}\n", 1)


def _size(cells: pd.DataFrame) -> str:
    return str(cells["dimension"].iloc[0]) if len(cells) else r"\mbox{--}"


def _rank(method: str) -> tuple[int, bool, str]:
    """What keeps W free, Adam first; then corrections, exact constraints and closed forms."""
    entry = known_methods()[spec_name(method)]
    group = ("", "near", "on").index(entry.keeps) if entry.uses_steps else 3
    return group, entry.name != "adam", entry.name


@reads("cures cures_uniform")
def cures(run: Run, verdicts: pd.DataFrame) -> str:
    """By cure: runs that end on the right side at each budget, and with uniform inputs at the largest; there, with whitened
    inputs, distance, data loss, ‖S‖_F/√n and time over Adam's."""
    cells, uniform = run.block("cures"), last_budget(run.block("cures_uniform"))
    budgets = sorted(cells["steps"].unique())
    long = only(cells, steps=budgets[-1]) if budgets else cells
    seconds = long.groupby("method")["seconds"].median()
    rows = []
    for name in sorted(cells["method"].unique(), key=lambda name: (name != "adam", name)):
        same, last = only(cells, method=name), only(long, method=name)
        counts = [out_of(part[~part["wrong"]], part) for part in (only(same, steps=steps) for steps in budgets)]
        other = only(uniform, method=name)
        counts.append(out_of(other[~other["wrong"]], other) if len(other) else MISSING)
        rows.append(
            [
                code(name), *counts, digits2(median(last["distance"])), digits2(median(last["fit"])), digits2(median(roughness(last))),
                d1(seconds.get(name, math.nan) / seconds.get("adam", math.nan)),
            ]
        )  # fmt: skip
    head = ["Method", *(f"{steps} steps" for steps in budgets), "Uniform", r"$\fnorm{W-\rho\T}$", "Data loss"]
    return tabular("l" + (len(head) + 1) * "r", [*head, r"$\fnorm S/\sqrt n$", "Time"], rows)


@reads("precision")
def precision(run: Run, verdicts: pd.DataFrame) -> str:
    """By number format: ‖S‖_F from matching starts for each penalty; mismatched runs with lambda > 0 that end wrong."""
    cells = run.block("precision")
    mismatch = with_trap(only(cells, determinant="mismatch"))
    names = sorted(cells["penalty"].unique())
    present = cells["dtype"].unique()
    rows = []
    for dtype in (name for name in AXES["dtype"].choices if name in present):
        row = [code(dtype)]
        for name in names:
            same = only(cells, dtype=dtype, penalty=name, determinant="match")
            row += [digits2(median(same["orthogonality_fro"])), digits2(median(same["fit"]))]
        for name in names:
            same = only(mismatch, dtype=dtype, penalty=name)
            row.append(out_of(same[same["wrong"]], same))
        rows.append(row)
    columns = [f"{code(name)}: {what}" for name in names for what in (r"$\fnorm S$", "loss")]
    return tabular("l" + 3 * len(names) * "r", ["Format", *columns, *(f"{code(name)}: wrong" for name in names)], rows)
