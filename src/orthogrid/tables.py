"""The paper's tables as bare LaTeX tabulars: one function a table, from a run and its verdicts. Text width is 156 mm."""

from __future__ import annotations

import math
import platform
from collections.abc import Callable, Sequence
from importlib import metadata
from itertools import groupby
from pathlib import Path

import pandas as pd

from . import theory
from .aggregate import LOG_B_CLOSING
from .claims import LOG_A, OURS, PLATEAU_FROM, judge, only, planned, plateau_by_seed, predicted_plateau
from .grid import AXES, Cell
from .numbers import (
    MISSING,
    d1,
    d2,
    decimals,
    enumeration,
    integer,
    is_missing,
    median,
    number,
    percent,
    scientific,
    setting,
    spread,
    text,
)
from .plan import operations
from .run import Run
from .store import write_bytes

MANY = 6  # an axis with more numbers than this is shown by its ends


def tabular(columns: str, head: Sequence[str], rows: Sequence[Sequence[str]], foot: Sequence[str] = ()) -> str:
    """A booktabs tabular; a row that is empty becomes a little space."""

    def line(cells: Sequence[str]) -> str:
        return " & ".join(cells) + r" \\" if cells else r"\addlinespace"

    body = [line(row) for row in rows] or [rf"\multicolumn{{{len(head)}}}{{@{{}}l@{{}}}}{{{MISSING}}} \\"]
    end = [r"\midrule", line(foot)] if foot else []
    return "\n".join(
        [rf"\begin{{tabular}}{{@{{}}{columns}@{{}}}}", r"\toprule", line(head), r"\midrule", *body, *end]
        + [r"\bottomrule", r"\end{tabular}", ""]
    )


def ragged(width: int) -> str:
    """A column of so many millimetres, ragged right."""
    return rf">{{\raggedright\arraybackslash}}p{{{width}mm}}"


def thread(run: Run, verdicts: pd.DataFrame) -> str:
    """Thread, this run, closed form. A dash where the run lacks the thread's size or there is no closed form."""
    printed = {log: run.log_a if log == "a" else run.log_b for log in "ab"}
    ours = run.thread.set_index(["log", "quantity", "step"])["ours"]

    def at(log: str, quantity: str, step: int) -> tuple[str, str]:
        form = (lambda v: scientific(v, 3)) if quantity == "orthogonality_fro2" else (lambda v: decimals(v, 3))
        return form(median(only(printed[log], step=step)[quantity])), form(ours.get((log, quantity, step)))

    full = planned(run, "thread_a", "dimension") == LOG_A.dimension
    plateau = d1(median(run.log_a.loc[run.log_a["step"] >= PLATEAU_FROM, "orthogonality_l1"]))
    rows = [
        [
            r"A: plateau of $\sum|S_{ij}|$", plateau, d1(median(plateau_by_seed(run))) if full else MISSING,
            d1(predicted_plateau(run)) if full else MISSING,
        ],
        [],
    ]  # fmt: skip
    steps = (1, 10, 100, 200, 500)
    for quantity, name in (("fit", "data loss"), ("orthogonality_fro2", r"$\fnorm S^2$")):
        rows += [[f"B: {name}, step {integer(step)}", *at("b", quantity, step), MISSING] for step in steps]
        rows.append([])
    n, k = Cell().dimension, Cell().samples
    closing = only(run.thread, log="b").set_index("quantity")["ours"]
    for quantity, name, squared in (
        ("distance_rho_l1", r"$\sum|W-\rho|$", 2 * n),
        ("distance_l1", r"$\sum|W-\rho\T|$", 2 * (n - theory.effective_rank(n, k))),
    ):
        model = float(theory.entrywise_l1(n, squared))
        rows.append([f"B: closing {name}", d2(LOG_B_CLOSING[quantity]), d2(closing.get(quantity)), d1(model)])
    return tabular("lrrr", ["Quantity", "Thread", "This run", "Closed form"], rows)


def ablation(run: Run, verdicts: pd.DataFrame) -> str:
    """The thread's three changes: ‖S‖_F and data loss, median [range] over seeds."""
    cells = run.block("ablation")
    rows = []
    for penalty, gradient, form in (
        ("l1_detached", "detached", "absolute"),
        ("fro2_detached", "detached", "squares"),
        ("l1", "attached", "absolute"),
        ("fro2", "attached", "squares"),
    ):
        for reg in (LOG_A.reg, Cell().reg):
            same = only(cells, penalty=penalty, reg=reg)
            shown = [
                f"{number(median(same[c]))} [{spread(same[c])}]" if len(same) else MISSING
                for c in ("orthogonality_fro", "fit")
            ]
            rows.append([gradient, form, setting(reg), *shown])
        rows.append([])
    return tabular("llrrr", ["Gradient", "Form", r"\texttt{reg}", r"$\fnorm S$", "Data loss"], rows[:-1])


def claims(run: Run, verdicts: pd.DataFrame) -> str:
    """The ledger, over several pages: the thread's sentences, then ours. The relation stands before what is expected."""
    head = " & ".join(["Verdict", "Claim", "Measured", r"Interval (90\,\%)", "Expected (tolerance)", "Cells"]) + r" \\"
    lines = [
        rf"\begin{{longtable}}{{@{{}}l{ragged(58)}r{ragged(24)}{ragged(22)}r@{{}}}}",
        r"\toprule", head, r"\midrule", r"\endhead", r"\bottomrule", r"\endfoot",
    ]  # fmt: skip
    thread = verdicts["author"] != OURS
    for title, part in (("The thread's sentences", verdicts[thread]), ("Ours", verdicts[~thread])):
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
    verdict = rf"\claimrow{{{row.verdict}}}{{{row.id}}}"
    return [verdict, text(row.statement), number(row.measured), interval, expected, integer(row.cells)]


def _expected(relation: str, value: str, tolerance: float) -> str:
    """≤ 1 (0.1); ≈ 4 (5 %); 2 ± 0.3."""
    slack = setting(round(tolerance, 6))
    if relation == "±":
        return rf"{value} {text(relation)} {slack}"
    if relation == "≈":
        slack = percent(tolerance, 0 if tolerance >= 0.01 else 1)
    return rf"{text(relation)}\,{value}" + (f" ({slack})" if tolerance else "")


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
    return tabular(rf"l{ragged(68)}{ragged(40)}r", ["Block", "Axes", "Set to", "Cells"], rows, total)


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


def cost(run: Run, verdicts: pd.DataFrame) -> str:
    """By penalty or method: cells, operations of the matrix products, seconds."""
    finished = run.finished.set_index("key")["seconds"]
    cells = sorted(run.config.cells, key=lambda cell: cell.family)
    rows = []
    for family, group in groupby(cells, key=lambda cell: cell.family):
        rows.append(_cost(text(family), list(group), finished))
    return tabular(
        "lrrr",
        ["Penalty or method", "Cells", "Operations", "Seconds"],
        rows,
        _cost("all", run.config.cells, finished),
    )


def _cost(name: str, cells: list[Cell], seconds: pd.Series) -> list[str]:
    taken = seconds[seconds.index.isin([cell.key for cell in cells])]
    work = scientific(sum(map(operations, cells)) if cells else math.nan)
    return [name, integer(len(cells)), work, number(taken.sum() if len(taken) else math.nan)]


def versions(run: Run, verdicts: pd.DataFrame) -> str:
    """What made the rows, and what rendered the paper."""
    finished = run.finished

    def distinct(column: str) -> str:
        return enumeration(text(value) for value in sorted(finished[column].dropna().unique()))

    rows = [["Rows", "device", distinct("device")], ["", "torch", distinct("torch")], []]
    rows.append(["Paper", "Python", platform.python_version()])
    rows += [["", package, _version(package)] for package in ("numpy", "pandas", "matplotlib", "seaborn", "snakemake")]
    return tabular(rf"ll{ragged(100)}", ["", "", "Version"], rows)


def _version(package: str) -> str:
    try:
        return text(metadata.version(package))
    except metadata.PackageNotFoundError:
        return MISSING


TABLES: dict[str, Callable[[Run, pd.DataFrame], str]] = {
    table.__name__: table for table in (thread, ablation, claims, grid_axes, cost, versions)
}


def write_tables(run: Run, verdicts: pd.DataFrame | None, paths: Sequence[Path]) -> None:
    """Write the tables named by the files' stems. KeyError for a name that is no table."""
    verdicts = judge(run) if verdicts is None else verdicts
    for path in paths:
        write_bytes(TABLES[path.stem](run, verdicts).encode(), path)
