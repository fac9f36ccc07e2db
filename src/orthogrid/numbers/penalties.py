"""Penalties: what each reaches at its best, and from which weight each holds the twin."""

from __future__ import annotations

import math

import pandas as pd

from .. import theory
from ..cell import spec_name
from ..claims.select import (
    agreement,
    attached,
    best_roughness,
    best_setting,
    boundaries,
    floor_ratio,
    law_shares,
    only,
    reached,
    roughness,
    settled,
    with_trap,
)
from ..claims.settings import LAW_SHARE, ORTHOGONAL
from ..run import Run
from ..views import reads
from .format import MISSING, d2, integer, listed, median, names, number, percent, seeds, setting, spread


@reads("penalties")
def penalties_numbers(run: Run) -> dict[str, str]:
    cells = attached(run.block("penalties"))
    levels = reached(cells)
    there = levels.index[levels < ORTHOGONAL]
    best = [best_setting(only(cells, penalty=name), "reg", "schedule") for name in there]
    cosine = [same for same in best if (same["schedule"] == "cosine").all()]
    few = only(cells[cells["samples"] < cells["dimension"]], penalty="offdiag")
    return {
        "pen-seeds": seeds(cells),
        "pen-samples": listed(cells, "samples"),
        "pen-regs": listed(cells, "reg"),
        "pen-orthogonal": setting(ORTHOGONAL),
        # Of the attached penalties but offdiag: those whose best setting is below that, and those that miss it.
        "pen-tried": integer(len(levels)) if len(levels) else MISSING,
        "pen-reached": integer(len(there)) if len(levels) else MISSING,
        "pen-missed": names(sorted(levels.index.difference(there))) if len(levels) else MISSING,
        # How many of those that reach it do so under the cosine schedule.
        "pen-reached-cosine": integer(len(cosine)) if len(levels) else MISSING,
        # Block penalties, fewer samples than dimensions: offdiag at its best.
        "pen-offdiag-best": number(median(best_roughness(few))) if len(few) else MISSING,
        "pen-offdiag-fit": number(median(best_setting(few, "reg", "schedule")["fit"]), 2) if len(few) else MISSING,
    }


def relative(cells: pd.DataFrame) -> pd.DataFrame:
    """With `relative`, reg over lambda."""
    return cells.assign(relative=cells["reg"] / cells["lambda_min"])


def held_from(cells: pd.DataFrame) -> str:
    """The bracket of reg/lambda from which runs end wrong, geometric mean over seeds; or that all or none of the weights do."""
    if cells.empty:
        return MISSING
    seen = boundaries(cells, "relative")
    if seen.empty:
        return "all" if cells["wrong"].all() else "none" if not cells["wrong"].any() else MISSING
    low, high = (math.exp(seen[side].map(math.log).mean()) for side in ("low", "high"))
    return f"{number(low, 2)}--{number(high, 2)}"


@reads("law", tables="traces")
def law_numbers(run: Run) -> dict[str, str]:
    cells = with_trap(run.block("law"))
    used = agreement(cells)
    agrees = used["agrees"]
    early = used[used["wrong"] & (used["threshold"] < 1)]
    early_settled = settled(run, early)
    norm = used["penalty"].map(spec_name).isin(theory.NORMS)
    late = used[~used["wrong"] & (used["threshold"] > 1)]
    return {
        "law-seeds": seeds(cells),
        "law-samples": listed(cells, "samples"),
        "law-lr": listed(cells, "lr"),
        "law-regs": integer(cells["reg"].nunique()) if len(cells) else MISSING,
        # Cells with a closed form outside the margin: how many, and how many end as it says.
        "law-cells": integer(len(used)) if len(used) else MISSING,
        "law-agree": integer(agrees.sum()) if len(used) else MISSING,
        "law-agree-share": percent(agrees.mean(), 0) if len(used) else MISSING,
        # Of these, the runs of penalties that are norms.
        "law-norm-cells": integer(norm.sum()) if len(used) else MISSING,
        "law-norm-agree": integer(agrees[norm].sum()) if len(used) else MISSING,
        # Penalties with cells on one side of their threshold only, which the claim leaves out; runs that leave above it.
        "law-one-sided": names(sorted(used.loc[~used["both"], "penalty"].unique())) if len(used) else MISSING,
        "law-late": integer(len(late)) if len(used) else MISSING,
        # Of the others those with fewer than LAW_SHARE of their cells in agreement.
        "law-fail": names(name for name, one in law_shares(used).items() if one.value < LAW_SHARE)
        if len(used)
        else MISSING,
        # Of them wrong-sided below the law: how many, with which penalties; the settled ones' data loss over 4 lambda and ‖S‖_F/√n.
        "law-early": integer(len(early)) if len(cells) else MISSING,
        "law-early-names": names(sorted(early["penalty"].unique())) if len(cells) else MISSING,
        "law-early-settled": integer(len(early_settled)) if len(cells) else MISSING,
        "law-early-loss": spread(floor_ratio(early_settled), d2),
        "law-early-roughness": spread(roughness(early_settled)),
        # offdiag, whose twin is no minimum at any weight: reg over lambda from which its runs end wrong.
        "law-offdiag": held_from(relative(only(cells, penalty="offdiag"))),
        # Generic size of the two dual norms at this dimension: medians over the problems.
        "law-w-max2": d2(median(cells["predicted_w_max2"])),
        "law-w-l1": d2(median(cells["predicted_w_l1"] ** 2)),
    }
