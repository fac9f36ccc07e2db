"""Answers, ledger, grid, cost and versions."""

from __future__ import annotations

import math
import platform
from importlib import metadata
from itertools import groupby

import pandas as pd

from ..cell import AXES, Cell
from ..claims import ANSWERER, OURS, QUESTIONER
from ..claims.ledger import OWN
from ..costs import operations
from ..numbers.format import (
    MISSING,
    enumeration,
    estimate,
    integer,
    is_missing,
    number,
    percent,
    scientific,
    setting,
    text,
)
from ..run import Run
from ..views import reads
from .layout import longtable, ragged, tabular

MANY = 6  # an axis with more numbers than this is shown by its ends


@reads()
def answers(run: Run, verdicts: pd.DataFrame) -> str:
    """The thread's sentences as claims: the words, the statement tested, what was measured, the verdict."""
    lines = []
    for title, author in (("In the question", QUESTIONER), ("In the answer", ANSWERER)):
        lines.append(rf"\multicolumn{{4}}{{@{{}}l@{{}}}}{{\emph{{{title}}}}}")
        for row in verdicts[verdicts["author"] == author].itertuples():
            measured = estimate(row.measured, row.interval_low, row.interval_high)
            verdict = rf"\claimword{{{row.verdict}}}{{{row.id}}}"
            lines.append(" & ".join([rf"\enquote{{{text(row.quote)}}}", text(row.statement), measured, verdict]))
    head = ["Words", "Statement tested", "Measured", "Verdict"]
    spaced = [row for line in lines for row in ([line], [])]
    return tabular(rf"{ragged(52)}{ragged(50)}{ragged(22)}l", head, spaced[:-1])


@reads()
def claims(run: Run, verdicts: pd.DataFrame) -> str:
    """The ledger, over several pages: the thread's sentences, ours, those of the run's own code. The relation stands before what is expected."""
    head = " & ".join(["Verdict", "Claim", "Measured", r"Interval (90\,\%)", "Expected (tolerance)", "Cells"]) + r" \\"
    lines = [
        rf"\begin{{longtable}}{{@{{}}l{ragged(54)}r{ragged(24)}{ragged(22)}r@{{}}}}",
        r"\toprule", head, r"\midrule", r"\endhead", r"\bottomrule", r"\endfoot",
    ]  # fmt: skip
    own = verdicts["section"] == OWN
    thread = (verdicts["author"] != OURS) & ~own
    parts = {"The thread's sentences": thread, "Ours": ~thread & ~own, "Of this run's own code": own}
    for title, part in ((title, verdicts[which]) for title, which in parts.items() if which.any()):
        lines.append(rf"\multicolumn{{6}}{{@{{}}l@{{}}}}{{\emph{{{title}}}}} \\*")
        lines += [" & ".join(_claim(row)) + r" \\" for row in part.itertuples()]
        lines.append(r"\addlinespace")
    return "\n".join([*lines[:-1], r"\end{longtable}", ""])


def _claim(row) -> list[str]:
    expected = interval = MISSING
    if not is_missing(row.expected):
        expected = _expected(row.relation, setting(float(f"{row.expected:.4g}")), row.tolerance)
    if row.interval_low < row.interval_high:
        interval = f"[{number(row.interval_low)}, {number(row.interval_high)}]"
    # A dagger: the theory foretells another verdict than supported. An asterisk: a check of the implementation.
    marks = (r"\dagger" if row.foretold != "supported" else "") + (r"\ast" if row.check else "")
    verdict = rf"\claimrow{{{row.verdict}}}{{{row.id}}}" + (rf"\,\ensuremath{{{marks}}}" if marks else "")
    return [verdict, text(row.statement), number(row.measured), interval, expected, integer(row.cells)]


def _expected(relation: str, value: str, tolerance: float) -> str:
    """≤ 1 (0.1); ≈ 4 (5 %); 2 ± 0.3."""
    slack = setting(round(tolerance, 6))
    if relation == "±":
        return rf"{value} {text(relation)} {slack}"
    if relation == "≈":
        slack = percent(tolerance, 0 if tolerance >= 0.01 else 1)
    return rf"{text(relation)}\,{value}" + (f" ({slack})" if tolerance else "")


@reads("*")
def grid_axes(run: Run, verdicts: pd.DataFrame) -> str:
    """By block: the axes that vary, the settings that differ from the default, and the number of cells."""
    rows = []
    for block in run.config.blocks:
        varied, fixed = [], []
        for axis in AXES:
            values = list(dict.fromkeys(getattr(cell, axis) for cell in block.cells))
            if len(values) > 1:
                varied.append(_axis(axis, values))
            elif values != [AXES[axis].default]:
                fixed.append(_axis(axis, values))
        rows.append(
            [
                text(block.name),
                "; ".join(varied) or MISSING,
                "; ".join(fixed) or MISSING,
                integer(len(block.cells)),
            ]
        )
    total = ["distinct", "", "", integer(len(run.config.cells))]
    return longtable(rf"l{ragged(82)}{ragged(34)}r", ["Block", "Axes", "Set to", "Cells"], rows, total)


def _axis(name: str, values: list) -> str:
    if isinstance(values[0], bool):
        shown = ", ".join("yes" if value else "no" for value in values)
    elif isinstance(values[0], int | float) and len(values) > MANY:
        values = sorted(values)
        shown = rf"{setting(values[0])}--{setting(values[-1])} ({len(values)})"
    elif isinstance(values[0], int | float):
        shown = ", ".join(str(v) if name == "seed" else setting(v) for v in values)
    else:
        shown = ", ".join(map(text, values))
    return rf"\mbox{{{text(name)}}} {shown}"


@reads("*")
def cost(run: Run, verdicts: pd.DataFrame) -> str:
    """By penalty or method: cells, those trained, operations of the matrix products of all, seconds of those trained."""
    finished = run.cells[run.cells["status"] != "missing"].set_index("key")["seconds"]
    cells = sorted(run.config.cells, key=lambda cell: cell.label)
    rows = [_cost(text(label), list(group), finished) for label, group in groupby(cells, key=lambda cell: cell.label)]
    return tabular(
        "lrrrr",
        ["Penalty or method", "Cells", "Trained", "Operations", "Seconds"],
        rows,
        _cost("all", run.config.cells, finished),
    )


def _cost(name: str, cells: list[Cell], seconds: pd.Series) -> list[str]:
    taken = seconds[seconds.index.isin([cell.key for cell in cells])]
    work = scientific(sum(map(operations, cells)) if cells else math.nan)
    return [name, integer(len(cells)), integer(len(taken)), work, number(taken.sum() if len(taken) else math.nan)]


@reads("*")
def versions(run: Run, verdicts: pd.DataFrame) -> str:
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
    return tabular(rf"ll{ragged(100)}", ["", "", "Version"], rows)


def _version(package: str) -> str:
    try:
        return text(metadata.version(package))
    except metadata.PackageNotFoundError:
        return MISSING
