r"""Every number that the paper prints, once: a run's tables → values.csv for readers, `\setval{key}{…}` lines for LaTeX.

A number stands in one of three places. What a claim measured is `measured-<id>`; with more
digits `precise-<id>`, one over it `inverse-<id>`, as a percentage `share-<id>`, as percentage points without a sign `points-<id>`; what it
expects is `expected-<id>`, the number of runs it rests on `runs-<id>`. A setting of a
block is `<axis>-<block>`, `seeds-<block>` their number. The rest is made by the functions of the sections, decorated with
`@values("the blocks that it reads")`. Only what the LaTeX sources ask for is written. What a run lacks is a dash.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import NamedTuple

import pandas as pd

from ..analysis.select import values_of
from ..cells.cell import AXES
from ..cells.declarations import known_blocks
from ..run.run import Declared, Run, reads
from .formats import MISSING, code, decimals, digits2, enumeration, integer, number, percent, seeds, setting


class Value(NamedTuple):
    """A number as it is printed, and what stands behind it. NaN where it is no estimate, or has no interval."""

    printed: str
    value: float = math.nan
    low: float = math.nan
    high: float = math.nan
    blocks: str = ""
    cells: int = 0


Section = Callable[[Run], dict[str, Value | str]]
SECTIONS: list[Declared] = []
CLAIMED = re.compile(r"(measured|precise|expected|inverse|share|points|runs)-(.+)")
FORMS = {
    "measured": digits2,
    "precise": lambda v: number(v, 4),
    "expected": lambda v: number(v, 4),
    "inverse": lambda v: digits2(1 / v if v else math.inf),
    "share": lambda v: percent(v, 0),
    "runs": integer,
    "points": lambda v: decimals(abs(100 * v), 0),
}
PLAIN = {MISSING: "–", r"\,": " ", r"\ensuremath": "", r"\times": "×", r"\infty": "∞", r"\%": "%"}
AXIS = re.compile(rf"({'|'.join(AXES)}|seeds)-(.+)")


def values(blocks: str = "", tables: str = "") -> Callable[[Section], Declared]:
    """Register a function from a run to key → value, with the blocks and tables of a run that it reads."""

    def enter(function: Section) -> Declared:
        SECTIONS.append(reads(function, blocks, tables))
        return SECTIONS[-1]

    return enter


def all_values(
    run: Run, verdicts: pd.DataFrame, keys: Mapping[str, list[str]], *more: Mapping[str, Value | str]
) -> dict[str, Value]:
    """Key → value for the keys asked for, each with the places that ask: from the sections' functions and from `more`.

    KeyError that names a key that nobody defines and who asks for it.
    """
    known: dict[str, Value] = {}
    for part in (*(section(run) for section in SECTIONS), *more):
        for key, given in part.items():
            if key in known:
                raise ValueError(f"defined twice: {key}")
            known[key] = given if isinstance(given, Value) else Value(given)
    rows = verdicts.set_index("id")
    found: dict[str, Value] = {}
    for key, places in keys.items():
        value = known.get(key) or _claimed(key, rows) or _axis(key, run)
        if value is None:
            raise KeyError(f"{', '.join(places)}: nothing defines the value '{key}'")
        found[key] = value
    return found


def _claimed(key: str, rows: pd.DataFrame) -> Value | None:
    match = CLAIMED.fullmatch(key)
    if not match or match[2] not in rows.index:
        return None
    row = rows.loc[match[2]]
    shown = row[{"expected": "expected", "runs": "cells"}.get(match[1], "measured")]
    return Value(FORMS[match[1]](shown), row["measured"], row["interval_low"], row["interval_high"], row["blocks"], int(row["cells"]))  # fmt: skip


def place_of(key: str, value: Value) -> str:
    """Where the supplement shows a number: in the row of the claim that measured it or in its own; nowhere if it is words or a setting."""
    if match := CLAIMED.fullmatch(key):
        return f"claim.{match[2]}"
    is_number = re.match(r"\d|\\ensuremath|\(", value.printed) and not AXIS.fullmatch(key)
    return f"value.{key}" if is_number else ""


def _axis(key: str, run: Run) -> Value | None:
    match = AXIS.fullmatch(key)
    if not match:
        return None
    axis, block = match[1], match[2].replace("-", "_")
    if block not in known_blocks() and not run.configured(block):
        return None
    if axis == "seeds":
        own = values_of(run, block, "seed")
        return Value(seeds(len(own)), len(own), blocks=block)
    settings = values_of(run, block, axis)
    if any(isinstance(value, str) for value in settings):
        return Value(enumeration(map(code, settings)), blocks=block)
    shown = sorted(settings)
    return Value(enumeration(map(setting, shown)), shown[0] if len(shown) == 1 else math.nan, blocks=block)


def plain(printed: str) -> str:
    """What is printed, without LaTeX, for a table that people open elsewhere."""
    for old, new in PLAIN.items():
        printed = printed.replace(old, new)
    return re.sub(r"[{}$]", "", re.sub(r"\\(texttt|textbf|mbox)\b", "", printed)).replace("\\", "")
