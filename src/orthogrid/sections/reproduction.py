"""What the run is, when and by what its rows were made."""

from __future__ import annotations

import math
import platform
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import pandas as pd

from ..cells.components import penalties
from ..presenting.formats import MISSING, code, digits2, enumeration, integer, number, setting, text
from ..presenting.style import FIGURES
from ..presenting.tables import longtable, ragged, table, tabular
from ..presenting.values import Value, values
from ..run.run import Run
from ..theory import forms

HUBER_DELTA = penalties()["huber"].options["delta"]  # from its source: the definition itself would import torch

PACKAGES = ("numpy", "scipy", "pandas", "matplotlib", "seaborn", "snakemake")  # that render the paper


@values("*")
def run_values(run: Run) -> dict[str, Value | str]:
    cells, finished = run.cells, run.finished
    return {
        "run-name": text(run.config.run),
        "run-title": text(run.config.title),
        "run-completeness": completeness(run),
        "cells-total": integer(len(cells)) if len(cells) else MISSING,
        "cells-finished": integer((cells["status"] != "missing").sum()) if len(cells) else MISSING,
        "cells-diverged": integer((cells["status"] == "diverged").sum()) if len(cells) else MISSING,
        "blocks-total": integer(len(run.config.blocks)) if run.config.blocks else MISSING,
        # Seconds of a row are of one core, or of a GPU.
        "compute-hours": number(finished["seconds"].sum() / 3600, 2) if len(finished) else MISSING,
        "compute-device": enumeration(map(text, sorted(finished["device"].dropna().unique()))),
        "torch-mixed": torch_mixed(finished["torch"]) if len(finished) else MISSING,
        # At reg = 4 lambda the trap of huber needs delta > (3/4) max w_i² ≥ 3/(4n): the least n.
        "huber-delta": setting(HUBER_DELTA),
        "huber-dimension": integer(math.ceil(3 / (4 * HUBER_DELTA))),
        # Mean |S|/lr of the scalar map that Adam makes of absolute values.
        "l1-constant": digits2(forms.l1_constant()),
    }


def provenance_values(summary: Mapping[str, Any]) -> dict[str, Value | str]:
    """From what run.json holds: the date of the rows, and whether the run confirms or explores."""
    frozen = summary.get("frozen") or {}
    return {
        "run-date": text(summary["date"]) if summary.get("date") else MISSING,
        "run-frozen": frozen_sentence(frozen),
    }


def frozen_sentence(frozen: Mapping[str, Any]) -> str:
    if not frozen.get("freezes"):
        return "Nothing was frozen before its rows were seen: it explores."
    count = {1: "once", 2: "twice"}.get(frozen["freezes"], f"{frozen['freezes']} times")
    commit = rf", commit \texttt{{{text(frozen['commit'])}}}" if frozen["commit"] else ""
    sentence = f"Ledger and published configuration were frozen {count}, last on {text(frozen['date'])}{commit}."
    if not frozen["config_holds"]:
        return f"{sentence} This run is not that one: its seeds were seen before, and it explores."
    holds = "and are unchanged since" if frozen["ledger_holds"] else r"and \textbf{the ledger was changed since}"
    return f"{sentence[:-1]}, before any of its rows was seen, {holds}."


def completeness(run: Run) -> str:
    """Whether every configured cell is there."""
    missing = int((run.cells["status"] == "missing").sum())
    if not len(run.cells):
        return MISSING
    if not missing:
        return "The run is complete."
    there = f"{integer(len(run.cells) - missing)} of its {integer(len(run.cells))} cells are trained"
    return rf"\textbf{{The run is partial}}: {there}. Claims that need a missing cell are untested."


def torch_mixed(versions: pd.Series) -> str:
    """A sentence where several versions of torch made the rows, empty where one did."""
    counts = versions.dropna().value_counts()
    if len(counts) < 2:
        return r"\relax"
    each = enumeration(f"{text(version)} ({integer(count)} rows)" for version, count in counts.items())
    return rf"\textbf{{Several versions of torch made the rows}}: {each}."


@table("*")
def versions_table(run: Run, verdicts: pd.DataFrame) -> str:
    """What made the rows, and what rendered the paper."""
    finished = run.finished

    def distinct(column: str) -> str:
        return enumeration(text(value) for value in sorted(finished[column].dropna().unique()))

    rows = [["Rows", "device", distinct("device")], ["", "torch", distinct("torch")], []]
    rows.append(["Paper", "Python", platform.python_version()])
    rows += [["", package, _version(package)] for package in PACKAGES]
    return tabular(rf"ll{ragged(70)}", ["", "", "Version"], rows)


@table("*")
def figures_table(run: Run, verdicts: pd.DataFrame) -> str:
    """Where each figure of the run comes from: its name, the file of `src/orthogrid` that draws it, and the blocks that it shows."""
    there = set(run.membership.loc[run.membership["key"].isin(run.finished["key"]), "block"])
    rows = [
        [code(name), code("/".join(Path(drawing.source).parts[-2:])), enumeration(map(text, drawing.blocks))]
        for name, drawing in sorted(FIGURES.items())
        if not drawing.blocks or there.intersection(drawing.blocks)
    ]
    return longtable(rf"ll{ragged(76)}", ["Figure", "Drawn by", "Blocks"], rows)


def _version(package: str) -> str:
    try:
        return text(metadata.version(package))
    except metadata.PackageNotFoundError:
        return MISSING
