"""What a run hands to LaTeX: values.csv and values.tex, and the tables."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from ..cells.config import Config
from ..cells.declarations import figures
from ..jobs.files import write_bytes, write_table
from ..presenting.formats import text
from ..presenting.tables import TABLES, feeds
from ..presenting.values import Value, all_values, place_of, plain
from ..run.run import Run
from ..sections.ledger import bar, ledger_values, numbers_table
from ..sections.reproduction import provenance_values
from .sources import Asked

# Keys of a config that take the place of the paper's own words, and of what a PDF says of itself.
OWN_WORDS = {"heading": "pdftitle", "authors": "pdfauthor", "abstract": ""}
NUMBERS = "values"  # the table of the printed numbers, made when all of them are known


def write_values(
    run: Run, verdicts: pd.DataFrame, summary: Mapping[str, Any], asked: Asked, folder: Path
) -> dict[str, Value]:
    """Write values.csv and values.tex; the values. `summary` is what run.json holds."""
    found = all_values(run, verdicts, asked.values, provenance_values(summary), ledger_values(verdicts))
    rows = [
        (key, v.value, v.low, v.high, plain(v.printed), Path(asked.values[key][0]).stem, v.blocks, v.cells)
        for key, v in found.items()
    ]
    columns = ["key", "value", "low", "high", "printed", "section", "blocks", "cells"]
    write_table(pd.DataFrame(rows, columns=columns), folder / "values.csv")
    drawn = map(figures(run.config).__getitem__, asked.figures)
    shown = [figure for figure in drawn if feeds(run, figure.blocks)]
    tables = [name for name in asked.tables if name == NUMBERS or feeds(run, TABLES[name].blocks)]
    lines = [
        *(rf"\setval{{{key}}}{{{value.printed}}}" for key, value in found.items()),
        *own_words(run.config),
        *(rf"\setplace{{{key}}}{{{place}}}" for key, value in found.items() if (place := place_of(key, value))),
        *(rf"\setverdict{{{row.id}}}{{{row.verdict}}}" for row in verdicts.itertuples()),
        *(
            rf"\setbar{{{row.id}}}{{{bar(row)}}}"
            for row in verdicts.itertuples()
            if row.interval_low < row.interval_high
        ),
        *(rf"\setblock{{{block.name}}}" for block in run.config.blocks if len(run.block(block.name))),
        *(rf"\setfigure{{{figure.name}}}" for figure in shown),
        *(rf"\settable{{{name}}}" for name in tables),
    ]
    write_bytes(("\n".join(lines) + "\n").encode(), folder / "values.tex")
    return found


def own_words(config: Config) -> Iterator[str]:
    """LaTeX for the title, authors and abstract that a config gives."""
    for key, of_pdf in OWN_WORDS.items():
        if words := getattr(config, key):
            yield rf"\setown{{{key}}}{{{text(words)}}}"
            if of_pdf:  # which takes letters alone
                letters = re.sub(r"([&%$#_])", r"\\\1", re.sub(r"[\\^~{}]", " ", words))
                yield rf"\AtBeginDocument{{\hypersetup{{{of_pdf}={{{letters}}}}}}}"


def write_tables(run: Run, verdicts: pd.DataFrame, found: Mapping[str, Value], paths: Sequence[Path]) -> None:
    """Write the tables named by the files' stems. KeyError for a name that is no table."""
    for path in paths:
        table = numbers_table(found) if path.stem == NUMBERS else TABLES[path.stem](run, verdicts)
        write_bytes(table.encode(), path)
