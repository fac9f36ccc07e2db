"""A rows file and its traces as text: each row carries a checksum of itself and its trace, and counts only where it agrees."""

from __future__ import annotations

import gzip
import hashlib
import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from io import StringIO
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from .files import read_table, table_text

if TYPE_CHECKING:  # a plan needs no pandas, which takes longer to load than the plan to make
    import pandas as pd

CHECKSUM = "checksum"
# Text is at most so many times as long as its compressed file: a table of ours is some five times, one made to fill the memory a thousand.
MOST_PACKED = 200
FIRST_STEP = re.compile(r"\n[^,\n]*,0,")  # the beginning of a cell's trace, and the end of the line before


@dataclass(frozen=True)
class RowsFile:
    """A rows file as text: its header, those of its lines that agree with their checksums, and whether it is without damage."""

    header: str
    lines: list[str]
    whole: bool

    @property
    def codes(self) -> dict[str, str]:
        """The code of each row, by cell key."""
        return {_key(line): line.rsplit(",", 2)[1] for line in self.lines}

    def table(self) -> pd.DataFrame:
        """The rows, without their checksums."""
        return read_table(StringIO("\n".join([self.header, *self.lines]))).drop(columns=CHECKSUM)


def check(rows: Path, traces: Path) -> RowsFile:
    """A rows file, each row held against its checksum."""
    (text, rows_whole), (trace, traces_whole) = readable(rows), readable(traces)
    header, *lines = _lines(text)
    columns, _, last = header.rpartition(",")
    if not (columns.startswith("key,") and columns.endswith(",code") and last == CHECKSUM):
        return RowsFile(header, [], False)
    of_key = by_key(trace)
    sound = [line for line in lines if line.rpartition(",")[2] == _seal(columns, line.rpartition(",")[0], of_key)]
    return RowsFile(header, sound, len(sound) == len(lines) and rows_whole and traces_whole)


def sealed(rows: pd.DataFrame, traces: pd.DataFrame) -> tuple[str, str]:
    """The text of a rows file, each row with its checksum, and that of its traces."""
    trace = table_text(traces.sort_values(["key", "step"]))
    columns, *lines = _lines(table_text(rows))
    of_key = by_key(trace)
    table = [f"{line},{_seal(columns, line, of_key)}" for line in lines]
    return "\n".join([f"{columns},{CHECKSUM}", *table, ""]), trace


def _seal(columns: str, row: str, traces: dict[str, str]) -> str:
    """The checksum of a cell: of its row, its trace, and the names of their columns."""
    return digest("\n".join([columns, row, traces.get("key", ""), traces.get(_key(row), "")]))


def digest(text: str) -> str:
    """Twelve hex digits that stand for a text."""
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def parse_traces(texts: Sequence[str]) -> pd.DataFrame:
    """A table of traces from its header and the lines of some cells."""
    return read_table(StringIO("\n".join(texts)))


def by_key(traces: str) -> dict[str, str]:
    """The lines of traces by cell key, their header under `key`. A cell's begin with step 0."""
    starts = [0, *(match.start() + 1 for match in FIRST_STEP.finditer(traces)), len(traces)]
    texts = (traces[start:end].removesuffix("\n") for start, end in pairwise(starts))
    return {_key(text): text for text in texts}


def readable(path: Path) -> tuple[str, bool]:
    """What can be read of a compressed file: all of it, or what comes before its first damage; and whether it is all."""
    pieces, whole, left = [], True, (1 << 20) + MOST_PACKED * path.stat().st_size
    with gzip.open(path, "rb") as file:
        try:
            while whole and (piece := file.read1(1 << 20)):
                pieces.append(piece)
                left -= len(piece)
                whole = left >= 0
        except (EOFError, zlib.error, gzip.BadGzipFile):
            whole = False
    return b"".join(pieces).decode(errors="replace"), whole


def _lines(text: str) -> list[str]:
    return text.removesuffix("\n").split("\n")


def _key(line: str) -> str:
    return line.split(",", 1)[0]
