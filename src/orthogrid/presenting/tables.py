"""The paper's tables: a registry of functions from a run and its verdicts to bare LaTeX, and how a table looks.

A table stands in the module of its section, decorated with `@table("the blocks that it reads")`. The text is 156 mm wide.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pandas as pd

from ..cells.declarations import WHOLE
from ..run.run import Declared, Run, reads
from .formats import MISSING

Table = Callable[[Run, pd.DataFrame], str]
TABLES: dict[str, Declared] = {}


def table(blocks: str = "", tables: str = "") -> Callable[[Table], Declared]:
    """Register `<name>_table`, a function (run, verdicts) → LaTeX, with the blocks and tables of a run that it reads."""

    def enter(function: Table) -> Declared:
        name = function.__name__.removesuffix("_table")
        TABLES[name] = reads(function, blocks, tables)
        return TABLES[name]

    return enter


def feeds(run: Run, blocks: Sequence[str]) -> bool:
    """Whether a run has a finished cell for what reads these blocks; always where it reads none, or the run as a whole."""
    return not blocks or WHOLE in blocks or len(run.block(*blocks)) > 0


def tabular(columns: str, head: Sequence[str], rows: Sequence[Sequence[str]], above: Sequence[str] = ()) -> str:
    """A booktabs tabular, with lines `above` its head; a row that is empty becomes a little space."""

    def line(cells: Sequence[str]) -> str:
        return " & ".join(cells) + r" \\" if cells else r"\addlinespace"

    body = [line(row) for row in rows] or [rf"\multicolumn{{{len(head)}}}{{@{{}}l@{{}}}}{{{MISSING}}} \\"]
    begin = [rf"\begin{{tabular}}{{@{{}}{columns}@{{}}}}", r"\toprule", *above, line(head), r"\midrule"]
    return "\n".join([*begin, *body, r"\bottomrule", r"\end{tabular}", ""])


def ragged(width: int) -> str:
    """A column of so many millimetres, ragged right."""
    return rf">{{\raggedright\arraybackslash}}p{{{width}mm}}"


def longtable(columns: str, head: Sequence[str], rows: Sequence[Sequence[str]], end: str = "") -> str:
    """The same over several pages, with the head on each, and so much space after a row; a row of one cell is a heading."""
    heading = rf"\multicolumn{{{len(head)}}}{{@{{}}l@{{}}}}{{\emph{{"
    top = [r"\toprule", " & ".join(head) + r" \\", r"\midrule"]
    body = [
        " & ".join(row) + r" \\" + end if len(row) > 1 else heading + row[0] + r"}} \\*" for row in rows or [[MISSING]]
    ]
    return "\n".join([
        rf"\begin{{longtable}}{{@{{}}{columns}@{{}}}}", r"\longcaption", *top, r"\endfirsthead",
        heading + r"Table \thetable, continued}} \\", *top, r"\endhead", r"\bottomrule", r"\endfoot",
        *body, r"\end{longtable}", "",
    ])  # fmt: skip
