"""The figures that a run's own code draws, as an appendix of the paper; nothing where there are none."""

from __future__ import annotations

import pandas as pd

from ..declarations import own_readers
from ..numbers.format import code, enumeration, text
from ..run import Run
from ..views import reads


@reads("*")
def own_figures(run: Run, verdicts: pd.DataFrame) -> str:
    """A section with one figure each, its docstring as the caption."""
    figures = [reader for reader in own_readers(run.config.code) if reader.kind == "figure"]
    if not figures:
        return ""
    lines = [
        r"\section{Figures of this run's own code}\label{app:own}",
        f"The config of this run names code of its own, {enumeration(map(code, run.config.code))}. It draws what follows.",
    ]
    for figure in figures:
        lines += [
            r"\begin{figure}[htbp]", r"\centering", rf"\includegraphics{{figures/{figure.name}}}",
            rf"\caption{{{code(figure.name)}. {text(figure.text)}}}", r"\end{figure}",
        ]  # fmt: skip
    return "\n".join([*lines, ""])
