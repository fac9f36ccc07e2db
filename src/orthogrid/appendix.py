"""The appendix of the paper that shows what a run's own code draws."""

from __future__ import annotations

from pathlib import Path

from .config import Config
from .declarations import own_readers
from .numbers.format import code, enumeration, text
from .store import write_bytes


def own_figures(config: Config) -> str:
    """A section with one figure each, its docstring as the caption; nothing where there are none."""
    figures = [reader for reader in own_readers(config.code) if reader.kind == "figure"]
    if not figures:
        return "% This run's own code draws nothing.\n"
    lines = [
        r"\section{Figures of this run's own code}\label{app:own}",
        f"The config of this run names code of its own, {enumeration(map(code, config.code))}. It draws what follows.",
    ]
    for figure in figures:
        lines += [
            r"\begin{figure}[htbp]", r"\centering", rf"\includegraphics{{figures/{figure.name}}}",
            rf"\caption{{{code(figure.name)}. {text(figure.text)}}}", r"\end{figure}",
        ]  # fmt: skip
    return "\n".join([*lines, ""])


def write_own_figures(config: Config, path: Path) -> None:
    """Write own_figures.tex."""
    write_bytes(own_figures(config).encode(), path)
