"""Each penalty at its best, and from which weight it holds the twin."""

from __future__ import annotations

import math

import pandas as pd

from ..claims.select import agreement, attached, best_roughness, best_setting, boundaries, only, with_trap
from ..numbers.format import MISSING, code, digits2, median, number, out_of, setting
from ..run import Run
from ..views import reads
from .layout import tabular


def held_from(cells: pd.DataFrame) -> str:
    """The bracket of reg/lambda from which runs end wrong, geometric mean over seeds; or that all or none of the weights do."""
    if cells.empty:
        return MISSING
    seen = boundaries(cells, "relative")
    if seen.empty:
        return "all" if cells["wrong"].all() else "none" if not cells["wrong"].any() else MISSING
    low, high = (math.exp(seen[side].map(math.log).mean()) for side in ("low", "high"))
    return f"{number(low, 2)}--{number(high, 2)}"


@reads("penalties law")
def penalties(run: Run, verdicts: pd.DataFrame) -> str:
    """By penalty: ‖S‖_F/√n at its best under either schedule, data loss there; threshold at the twin as predicted and observed."""
    cells, law = attached(run.block("penalties")), with_trap(run.block("law"))
    law = law.assign(relative=law["reg"] / law["lambda_min"], known=law["predicted_trap_threshold"] / law["lambda_min"])
    rows = []
    for name in sorted(set(cells["penalty"]) | set(law["penalty"])):
        row = [code(name)]
        for schedule in ("constant", "cosine"):
            same = only(cells, penalty=name, schedule=schedule)
            best = best_setting(same, "reg")
            few = best[best["samples"] < best["dimension"]]
            row += [
                digits2(median(best_roughness(same, "reg"))) if len(best) else MISSING,
                setting(best["reg"].iloc[0]) if len(best) else MISSING,
                digits2(median(few["fit"])) if len(few) else MISSING,
            ]
        held = only(law, penalty=name)
        used = agreement(held)
        row += [
            digits2(median(held["known"])) if len(held) else MISSING,
            held_from(held),
            out_of(used[used["agrees"]], used) if len(used) else MISSING,
        ]
        rows.append(row)
    head = ["Penalty", *(2 * [r"$\fnorm S/\sqrt n$", r"\texttt{reg}", "Loss"]), "Law", "Held from", "Agree"]
    table = tabular("l@{\\quad}rrr@{\\quad}rrr@{\\quad}rrr", head, rows)
    groups = r" & \multicolumn{3}{c}{Constant rate} & \multicolumn{3}{c}{Cosine rate} & \multicolumn{3}{c}{Twin, $\reg/\lambda$} \\"
    return table.replace(
        "\\toprule\n", "\\toprule\n" + groups + "\n\\cmidrule(r){2-4}\\cmidrule(lr){5-7}\\cmidrule(l){8-10}\n", 1
    )
