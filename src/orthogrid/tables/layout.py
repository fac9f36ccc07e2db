"""How the paper's tables look: booktabs tabulars, and a longtable where one page is not enough."""

from __future__ import annotations

from collections.abc import Sequence

from ..numbers.format import MISSING


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


def longtable(columns: str, head: Sequence[str], rows: Sequence[Sequence[str]], foot: Sequence[str] = ()) -> str:
    """The same over several pages, with the head on each."""
    lines = tabular(columns, head, rows, foot).replace("{tabular}", "{longtable}").splitlines()
    lines.remove(r"\bottomrule")
    after = lines.index(r"\midrule") + 1
    return "\n".join([*lines[:after], r"\endhead", r"\bottomrule", r"\endfoot", *lines[after:], ""])
