"""Each penalty at its best and at the twin; and from which weight it catches a random start."""

from __future__ import annotations

import pandas as pd

from ..claims.select import agreement, attached, best_roughness, best_setting, caught, only, with_trap
from ..numbers.format import MISSING, code, digits2, is_missing, median, out_of, setting
from ..numbers.penalties import held_from, relative
from ..run import Run
from ..views import reads
from .layout import tabular


@reads("penalties law")
def penalties(run: Run, verdicts: pd.DataFrame) -> str:
    """By penalty: ‖S‖_F/√n at its best under either schedule, data loss there; threshold at the twin as predicted and observed."""
    cells, law = attached(run.block("penalties")), with_trap(run.block("law"))
    law = relative(law).assign(known=law["predicted_trap_threshold"] / law["lambda_min"])
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


@reads("capture", tables="traces")
def capture(run: Run, verdicts: pd.DataFrame) -> str:
    """By penalty and rate: reg/lambda from which mismatched random starts end wrong; runs of either start that are caught."""
    cells = attached(run.block("capture"))
    cells = cells[cells["lambda_min"] > 0]
    cells = relative(cells).assign(caught=caught(run, cells))
    rows = []
    for (name, lr), same in cells.groupby(["penalty", "lr"]):
        match, mismatch = (only(same, determinant=which) for which in ("match", "mismatch"))
        known = median(mismatch["predicted_trap_threshold"] / mismatch["lambda_min"])
        rows.append(
            [
                code(name), setting(lr), MISSING if is_missing(known) else digits2(known), held_from(mismatch),
                out_of(mismatch[~mismatch["wrong"]], mismatch), out_of(mismatch[mismatch["caught"]], mismatch),
                out_of(match[match["wrong"]], match), out_of(match[match["caught"]], match),
            ]
        )  # fmt: skip
    head = ["Penalty", "Rate", "Existence", "Wrong from", "Crossed", "Caught", "Wrong", "Caught"]
    table = tabular("lr@{\\quad}rrrr@{\\quad}rr", head, rows)
    groups = r" & & \multicolumn{4}{c}{Start on the wrong side} & \multicolumn{2}{c}{Right side} \\"
    return table.replace("\\toprule\n", "\\toprule\n" + groups + "\n\\cmidrule(lr){3-6}\\cmidrule(l){7-8}\n", 1)
