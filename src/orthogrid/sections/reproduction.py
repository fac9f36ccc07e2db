"""What the run is, the ledger, the printed numbers, and what made it."""

from __future__ import annotations

import math
import platform
from collections.abc import Mapping
from importlib import metadata
from typing import Any

import pandas as pd

from ..analysis.intervals import LEVEL
from ..cells.components import penalties
from ..presenting.formats import (
    MISSING,
    code,
    digits2,
    enumeration,
    estimate,
    integer,
    is_missing,
    number,
    percent,
    setting,
    text,
)
from ..presenting.ledger import ANSWERER, CLAIMS, OURS, OWN, QUESTIONER, VERDICTS
from ..presenting.tables import longtable, ragged, table, tabular
from ..presenting.values import Value, place_of, values
from ..run.run import Run
from ..theory import forms
from ..theory.outcomes import NEAR

HUBER_DELTA = penalties()["huber"].options["delta"]  # from its source: the definition itself would import torch


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
        "near": setting(NEAR),
        # At reg = 4 lambda the trap of huber needs delta > (3/4) max w_i² ≥ 3/(4n): the least n.
        "huber-delta": setting(HUBER_DELTA),
        "huber-dimension": integer(math.ceil(3 / (4 * HUBER_DELTA))),
        # Mean |S|/lr of the scalar map that Adam makes of absolute values.
        "l1-constant": digits2(forms.l1_constant()),
    }


def told_values(told: Mapping[str, Any]) -> dict[str, Value | str]:
    """What run.json tells: the date of the rows, and whether the run confirms or explores."""
    frozen = told.get("frozen") or {}
    return {"run-date": text(told["date"]) if told.get("date") else MISSING, "run-frozen": frozen_sentence(frozen)}


def frozen_sentence(told: Mapping[str, Any]) -> str:
    if not told.get("freezes"):
        return "Nothing was frozen before its rows were seen: it explores."
    count = {1: "once", 2: "twice"}.get(told["freezes"], f"{told['freezes']} times")
    commit = rf", commit \texttt{{{text(told['commit'])}}}" if told["commit"] else ""
    frozen = f"Ledger and published configuration were frozen {count}, last on {text(told['date'])}{commit}."
    if not told["config_holds"]:
        return f"{frozen} This run is not that one: its seeds were seen before, and it explores."
    holds = "and are unchanged since" if told["ledger_holds"] else r"and \textbf{the ledger was changed since}"
    return f"{frozen[:-1]}, before any of its rows was seen, {holds}."


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
    told = enumeration(f"{text(version)} ({integer(count)} rows)" for version, count in counts.items())
    return rf"\textbf{{Several versions of torch made the rows}}: {told}."


def explored_column(verdicts: pd.DataFrame, told: Mapping[str, Any]) -> pd.Series:
    """Each claim's verdict in the exploratory run when the ledger was frozen; empty for a run that is itself exploratory."""
    frozen = told.get("frozen") or {}
    kept = frozen.get("explored", {}) if frozen.get("config_holds") else {}
    return verdicts["id"].map(lambda id: kept.get(id, ""))


def differences(verdicts: pd.DataFrame) -> str:
    """The claims whose verdict differs from that of the exploratory run, with both verdicts."""
    other = verdicts[(verdicts["explored"] != "") & (verdicts["explored"] != verdicts["verdict"])]
    if (verdicts["explored"] == "").all():
        return "none can be told, for this one is exploratory itself"
    return (
        enumeration(f"{code(row.id)} ({row.explored}, here {row.verdict})" for row in other.itertuples())
        if len(other)
        else "none"
    )


def ledger_values(verdicts: pd.DataFrame) -> dict[str, Value | str]:
    """How many claims there are, and how they stand."""
    words, ours = verdicts["verdict"], sum(CLAIMS[id].author == OURS for id in verdicts["id"])
    intervals = int((verdicts["interval_low"] < verdicts["interval_high"]).sum())
    return {
        "claims-level": percent(LEVEL, 0),
        "claims-total": integer(len(words)),
        **{f"claims-{word}": integer((words == word).sum()) for word in VERDICTS},
        "claims-thread": integer(len(words) - ours),
        "claims-ours": integer(ours),
        # Those that can fail only by a mistake of the implementation.
        "claims-checks": integer(sum(CLAIMS[id].check for id in verdicts["id"])),
        "claims-differing": differences(verdicts),
        # Claims with an interval; how many of these miss their quantity on average, each at its own level.
        "limits-intervals": integer(intervals) if intervals else MISSING,
        "limits-missed": number((1 - LEVEL) * intervals, 2) if intervals else MISSING,
    }


@table()
def answers_table(run: Run, verdicts: pd.DataFrame) -> str:
    """The thread's sentences as claims: the words, the statement tested, what was measured, the verdict."""
    lines = []
    for title, author in (("In the question", QUESTIONER), ("In the answer", ANSWERER)):
        lines.append(rf"\multicolumn{{4}}{{@{{}}l@{{}}}}{{\emph{{{title}}}}}")
        for row in verdicts[verdicts["author"] == author].itertuples():
            seen = estimate(row.measured, row.interval_low, row.interval_high)
            verdict = rf"\claimword{{{row.verdict}}}{{{row.id}}}"
            lines.append(
                " & ".join(
                    [
                        rf"\enquote{{{text(row.quote.replace('“', '‘').replace('”', '’'))}}}",
                        text(row.statement),
                        seen,
                        verdict,
                    ]
                )
            )
    head = ["Words", "Statement tested", "Measured", "Verdict"]
    spaced = [row for line in lines for row in ([line], [])]
    return tabular(rf"{ragged(45)}{ragged(46)}{ragged(33)}l", head, spaced[:-1])


@table()
def claims_table(run: Run, verdicts: pd.DataFrame) -> str:
    """The ledger, over several pages: the thread's sentences, ours, those of the run's own code. The relation stands before what is expected."""
    head = " & ".join(["Verdict", "Claim", "Measured", r"Interval (90\,\%)", "Expected (tolerance)", "Cells"]) + r" \\"
    lines = [
        rf"\begin{{longtable}}{{@{{}}{ragged(20)}{ragged(49)}r{ragged(33)}{ragged(20)}r@{{}}}}",
        r"\toprule", head, r"\midrule", r"\endfirsthead", r"\multicolumn{6}{@{}l@{}}{\emph{Table \thetable, continued}} \\",
        r"\toprule", head, r"\midrule", r"\endhead", r"\bottomrule", r"\endfoot",
    ]  # fmt: skip
    own = verdicts["section"] == OWN
    thread = (verdicts["author"] != OURS) & ~own
    parts = {"The thread's sentences": thread, "Ours": ~thread & ~own, "Of this run's own code": own}
    for title, part in ((title, verdicts[which]) for title, which in parts.items() if which.any()):
        lines.append(rf"\multicolumn{{6}}{{@{{}}l@{{}}}}{{\emph{{{title}}}}} \\*")
        lines += [" & ".join(_claim(row)) + r" \\[2pt]" for row in part.itertuples()]
        lines.append(r"\addlinespace")
    return "\n".join([*lines[:-1], r"\end{longtable}", ""])


def _claim(row) -> list[str]:
    expected = interval = MISSING
    if not is_missing(row.expected):
        expected = _expected(row.relation, setting(float(f"{row.expected:.4g}")), row.tolerance)
    if row.interval_low < row.interval_high:
        interval = rf"\mbox{{[{number(row.interval_low)}, {number(row.interval_high)}]}}"
    # A dagger: the theory foretells another verdict than supported. An asterisk: a check of the implementation.
    marks = (r"\dagger" if row.foretold != "supported" else "") + (r"\ast" if row.check else "")
    verdict = rf"\claimrow{{{row.verdict}}}{{{row.id}}}" + (rf"\,\ensuremath{{{marks}}}" if marks else "")
    verdict += rf"\newline explored: {row.explored}" if row.explored not in ("", row.verdict) else ""
    return [
        verdict,
        f"{code(row.id)}: {text(row.statement)}",
        number(row.measured),
        interval,
        expected,
        integer(row.cells),
    ]


def _expected(relation: str, value: str, tolerance: float) -> str:
    """≤ 1 (0.1); ≈ 4 (5 %); 2 ± 0.3."""
    slack = setting(round(tolerance, 6))
    if relation == "±":
        return rf"{value} {text(relation)} {slack}"
    if relation == "≈":
        slack = percent(tolerance, 0 if tolerance >= 0.01 else 1)
    return rf"{text(relation)}\,{value}" + (f" ({slack})" if tolerance else "")


def numbers_table(found: Mapping[str, Value]) -> str:
    """The estimates among the paper's numbers that no claim is behind: key, as printed, interval or range, blocks, cells."""
    rows = [
        [rf"\valuerow{{{key}}}", value.printed, interval(value), text(value.blocks), integer(value.cells) if value.cells else ""]
        for key, value in found.items()
        if place_of(key, value).startswith("value.")
    ]  # fmt: skip
    head = ["Number", "Printed", "From, to", "Blocks", "Cells"]
    return longtable(rf"l{ragged(40)}l{ragged(40)}r", head, rows)


def interval(value: Value) -> str:
    return f"{number(value.low)}, {number(value.high)}" if value.low < value.high else ""


@table("*")
def versions_table(run: Run, verdicts: pd.DataFrame) -> str:
    """What made the rows, and what rendered the paper."""
    finished = run.finished

    def distinct(column: str) -> str:
        return enumeration(text(value) for value in sorted(finished[column].dropna().unique()))

    rows = [["Rows", "device", distinct("device")], ["", "torch", distinct("torch")], []]
    rows.append(["Paper", "Python", platform.python_version()])
    rows += [
        ["", package, _version(package)]
        for package in ("numpy", "scipy", "pandas", "matplotlib", "seaborn", "snakemake")
    ]
    return tabular(rf"ll{ragged(70)}", ["", "", "Version"], rows)


def _version(package: str) -> str:
    try:
        return text(metadata.version(package))
    except metadata.PackageNotFoundError:
        return MISSING
