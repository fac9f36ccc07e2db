"""The run, the ledger and the cost."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

from .. import theory
from ..catalog import code_digest, penalties
from ..claims import CLAIMS, OURS, VERDICTS
from ..claims.intervals import LEVEL
from ..claims.select import values_of
from ..run import Run
from ..views import reads
from .format import MISSING, digits2, enumeration, estimate, integer, number, percent, setting, text

HUBER_DELTA = penalties()["huber"].options["delta"]  # from its source: the definition itself would import torch

# Blocks whose dimension, samples and number of seeds the text quotes.
DIMENSIONS = (
    "ablation", "thread_b", "convergence", "large_convergence", "penalties", "law", "identifiability", "transition", "fresh",
    "grid", "map_haar", "floor", "existence", "capture", "capture_white", "capture_norms", "noise", "large_trap", "methods",
    "step_cost", "cures", "cures_uniform", "large_cure", "precision", "scaling", "rates",
)  # fmt: skip
SAMPLES = ("thread_b", "convergence", "penalties", "law", "capture", "methods", "cures", "precision")
SEEDS = ("convergence", "penalties", "law", "grid", "map_haar", "capture", "methods", "cures", "precision", "rates")


@reads("*")
def run_numbers(run: Run) -> dict[str, str]:
    def shown(block: str, axis: str) -> str:
        return enumeration(map(setting, sorted(values_of(run, block, axis))))

    def seeds_of(block: str) -> str:
        count = len(values_of(run, block, "seed"))
        return "1 seed" if count == 1 else f"{count or MISSING} seeds"

    dimensions = {cell.dimension for cell in run.config.cells}
    return {
        "run-name": text(run.config.run),
        "run-title": text(run.config.title),
        "run-completeness": completeness(run),
        "cells-total": integer(len(run.cells)) if len(run.cells) else MISSING,
        "cells-finished": integer((run.cells["status"] != "missing").sum()) if len(run.cells) else MISSING,
        "cells-diverged": integer((run.cells["status"] == "diverged").sum()) if len(run.cells) else MISSING,
        "blocks-total": integer(len(run.config.blocks)) if run.config.blocks else MISSING,
        **{f"dimension-{block.replace('_', '-')}": shown(block, "dimension") for block in DIMENSIONS},
        **{f"samples-{block.replace('_', '-')}": shown(block, "samples") for block in SAMPLES},
        **{f"seeds-{block.replace('_', '-')}": seeds_of(block) for block in SEEDS},
        "lr-main": shown("convergence", "lr"),
        # At reg = 4 lambda the trap of huber needs delta > (3/4) max w_i² ≥ 3/(4n): the least n, and the largest n of this run.
        "huber-delta": setting(HUBER_DELTA),
        "huber-dimension": integer(math.ceil(3 / (4 * HUBER_DELTA))),
        "dimension-largest": integer(max(dimensions, default=None)),
        # Mean |S|/lr of the scalar map that Adam makes of absolute values.
        "l1-constant": digits2(theory.l1_constant()),
    }


def frozen_numbers(told: Mapping[str, Any]) -> dict[str, str]:
    """Whether the run confirms or explores, from what run.json says of the freeze."""
    if not told.get("freezes"):
        return {"run-frozen": "Nothing was frozen before its rows were seen: it explores."}
    count = "once" if told["freezes"] == 1 else f"{told['freezes']} times"
    commit = rf", commit \texttt{{{text(told['commit'])}}}" if told["commit"] else ""
    frozen = f"Ledger and published configuration were frozen {count}, last on {text(told['date'])}{commit}."
    if not told["config_holds"]:
        return {"run-frozen": f"{frozen} This run is not that one: its seeds were seen before, and it explores."}
    holds = "and are unchanged since" if told["ledger_holds"] else r"and \textbf{the ledger was changed since}"
    return {"run-frozen": f"{frozen[:-1]}, before any of its rows was seen, {holds}."}


def completeness(run: Run) -> str:
    """A sentence for the reader of the abstract: whether every configured cell is there."""
    missing = int((run.cells["status"] == "missing").sum())
    if not len(run.cells):
        return MISSING
    if not missing:
        return "The run is complete."
    return (
        rf"\textbf{{The run is partial}}: {integer(len(run.cells) - missing)} of its {integer(len(run.cells))} cells are trained, "
        "seed by seed and the cheapest first; figures mark what is missing, numbers rest on what is there, and claims "
        "that need a missing cell are untested."
    )


# The ledger and the cost.


@reads()
def claims_numbers(run: Run, verdicts: pd.DataFrame) -> dict[str, str]:
    words = verdicts.set_index("id")["verdict"]
    seen = {row.id: estimate(row.measured, row.interval_low, row.interval_high) for row in verdicts.itertuples()}
    ours = sum(CLAIMS[id].author == OURS for id in words.index)
    return {
        # Each claim's mark beside the sentence that states it.
        **{f"mark-{id}": rf"\claimmark{{{word}}}{{{id}}}" for id, word in words.items()},
        # What its predicate measured, with the interval.
        **{f"measured-{id}": value for id, value in seen.items()},
        "claims-level": percent(LEVEL, 0),
        "claims-total": integer(len(words)),
        **{f"claims-{word}": integer((words == word).sum()) for word in VERDICTS},
        "claims-thread": integer(len(words) - ours),
        "claims-ours": integer(ours),
        # Of all: those that can fail only by a mistake of the implementation.
        "claims-checks": integer(sum(CLAIMS[id].check for id in words.index)),
    }


@reads()
def limitations_numbers(run: Run, verdicts: pd.DataFrame) -> dict[str, str]:
    intervals = int((verdicts["interval_low"] < verdicts["interval_high"]).sum())
    return {
        # Claims with an interval; how many of these miss their quantity on average, each at its own level.
        "limits-intervals": integer(intervals) if intervals else MISSING,
        "limits-missed": number((1 - LEVEL) * intervals, 2) if intervals else MISSING,
    }


@reads("*")
def cost_numbers(run: Run) -> dict[str, str]:
    devices = sorted(run.finished["device"].dropna().unique())
    return {
        # Seconds of a row are of one core, or of a GPU.
        "compute-hours": number(run.finished["seconds"].sum() / 3600, 2) if len(run.finished) else MISSING,
        "compute-device": enumeration(map(text, devices)),
        # Of the modules that every row passes through.
        "code-digest": code_digest("none", "adam"),
        "torch-mixed": torch_mixed(run.finished["torch"]) if len(run.finished) else MISSING,
        # Rows are found by key and code; a published run may have been made by an earlier trainer.
        "rows-of-other-code": integer(_other_code(run)) if len(run.finished) else MISSING,
    }


def torch_mixed(versions: pd.Series) -> str:
    """A sentence where several versions of torch made the rows, empty where one did."""
    counts = versions.dropna().value_counts()
    if len(counts) < 2:
        return r"\relax"
    told = enumeration(f"{text(version)} ({integer(count)} rows)" for version, count in counts.items())
    return rf"\textbf{{Several versions of torch made the rows}}: {told}."


def _other_code(run: Run) -> int:
    today = {cell.key: cell.code for cell in run.config.cells}
    trained = run.cells[run.cells["status"] != "missing"]
    return int((trained["key"].map(today) != trained["code"]).sum())
