"""The ledger: how many claims there are and how they stand, its table, and the table of the numbers that no claim is behind."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import zip_longest
from typing import Any

import pandas as pd

from ..analysis.intervals import LEVEL
from ..presenting.formats import MISSING, code, enumeration, integer, number, percent, setting, text
from ..presenting.ledger import CLAIMS, OURS, OWN, VERDICTS
from ..presenting.tables import longtable, ragged, table
from ..presenting.values import Value, place_of
from ..run.run import Run

EXPLORED = {
    "explored": "verdict", "explored_measured": "measured", "explored_low": "low", "explored_high": "high", "power": "power",
}  # fmt: skip


def with_explored(verdicts: pd.DataFrame, summary: Mapping[str, Any]) -> pd.DataFrame:
    """The verdicts with what the exploratory run found when the ledger was frozen; as they are for a run that is itself exploratory."""
    frozen = summary.get("frozen") or {}
    if not frozen.get("config_holds"):
        return verdicts
    earlier = pd.DataFrame.from_dict(frozen.get("explored", {}), orient="index").reindex(verdicts["id"]).reset_index()
    found = {name: earlier[column] for name, column in EXPLORED.items() if column in earlier}
    return verdicts.assign(**found).fillna({"explored": ""})


def differences(verdicts: pd.DataFrame) -> str:
    """The claims whose verdict differs from that of the exploratory run, with both verdicts."""
    other = verdicts[(verdicts["explored"] != "") & (verdicts["explored"] != verdicts["verdict"])]
    if (verdicts["explored"] == "").all():
        return "none can be told, for this one is exploratory itself"
    each = [f"{code(row.id)} ({row.explored}, here {row.verdict})" for row in other.itertuples()]
    return enumeration(each) if each else "none"


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
        "claims-settled": integer(((verdicts["explored"] == "untested") & words.isin(["supported", "refuted"])).sum()),
        "claims-turned": integer(
            sum({row.explored, row.verdict} == {"supported", "refuted"} for row in verdicts.itertuples())
        ),
        # Claims with an interval; how many of these verdicts are wrong on average, each a test at half the level's rest.
        "limits-intervals": integer(intervals),
        "limits-missed": number((1 - LEVEL) / 2 * intervals, 2) if intervals else "0",
    }


@table()
def claims_table(run: Run, verdicts: pd.DataFrame) -> str:
    """The ledger, over several pages: what the run's own code claims, the thread's sentences, ours. The relation stands before what is expected."""
    words = ["Verdict", "Claim", r"Measured, interval (90\,\%)", "Expected (tolerance)", "Cells", "Explored", "Power"]
    own = verdicts["section"] == OWN
    thread = (verdicts["author"] != OURS) & ~own
    parts = {"Of this run's own code": own, "The thread's sentences": thread, "Ours": ~thread & ~own}
    rows: list[list[str]] = []
    for title, part in ((title, verdicts[which]) for title, which in parts.items() if which.any()):
        rows += [[title], *map(_claim, part.itertuples())]
    return longtable(f"{ragged(17)}{ragged(40)}{ragged(36)}{ragged(17)}rrr", words, rows, "[2pt]")


def _span(low: float, high: float) -> str:
    return rf"\mbox{{[{number(low)}, {number(high)}]}}"


def _claim(row) -> list[str]:
    interval = _span(row.interval_low, row.interval_high) if row.interval_low < row.interval_high else ""
    expected = MISSING if pd.isna(row.expected) else bar(row)
    # A dagger: the theory foretells another verdict than supported. An asterisk: a check of the implementation.
    marks = (r"\dagger" if row.foretold != "supported" else "") + (r"\ast" if row.check else "")
    verdict = rf"\claimrow{{{row.verdict}}}{{{row.id}}}" + (rf"\,\ensuremath{{{marks}}}" if marks else "")
    verdict += rf"\newline explored: {row.explored}" if row.explored not in ("", row.verdict) else ""
    statement = f"{code(row.id)}: {text(row.statement)}"
    before = [number(row.explored_measured), percent(row.power, 0)] if row.explored else [MISSING, MISSING]
    return [verdict, statement, f"{number(row.measured)} {interval}", expected, integer(row.cells), *before]


def bar(row) -> str:
    """What a claim's interval is held against: ≤ 1 (0.1); ≈ 4 (5 %); 2 ± 0.3."""
    relation, value, tolerance = row.relation, setting(float(f"{row.expected:.4g}")), row.tolerance
    slack = setting(round(tolerance, 6))
    if relation == "±":
        return rf"{value} {text(relation)} {slack}"
    if relation == "≈":
        slack = percent(tolerance, 0 if tolerance >= 0.01 else 1)
    return rf"{text(relation)}\,{value}" + (f" ({slack})" if tolerance else "")


def numbers_table(found: Mapping[str, Value]) -> str:
    """The numbers that no claim is behind, in two columns: key, as printed, interval or range, blocks."""
    cells = [
        [rf"\valuerow{{{key}}}", value.printed, "; ".join(filter(None, [interval(value), text(value.blocks)]))]
        for key, value in found.items()
        if place_of(key, value).startswith("value.")
    ]  # fmt: skip
    half = (len(cells) + 1) // 2  # the second half stands beside the first
    rows = [left + right for left, right in zip_longest(cells[:half], cells[half:], fillvalue=[""] * 3)]
    return longtable(rf"ll{ragged(29)}" * 2, ["Number", "Printed", "From, to; blocks"] * 2, rows)


def interval(value: Value) -> str:
    return f"{number(value.low)}, {number(value.high)}" if value.low < value.high else ""
