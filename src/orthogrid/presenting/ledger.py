"""What a claim is, the ledger of all of them, and the judge."""

from __future__ import annotations

import inspect
import math
import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd

from ..analysis import select, settings
from ..analysis.intervals import Estimate, share
from ..cells.components import ConfigError
from ..jobs.failures import where
from ..run.run import RUN_TABLES, Run, View

OURS, QUESTIONER, ANSWERER = "ours", "thread: questioner", "thread: answerer"
# The sections of claims.csv, in its order; and what it calls modules that have another name now.
SECTIONS = (
    "convergence", "penalties", "identifiability", "trapping", "methods", "cures", "real", "networks", "precision",
)  # fmt: skip
RENAMED = {"thread": "convergence", "trap": "trapping", "capture": "trapping", "remedy": "cures"}
HOME = __name__.split(".")[0] + ".sections"
OWN = "own"  # the section of claims that a user's file or a notebook makes; they come last
VERDICTS = ("supported", "partly", "refuted", "untested")
ABSENT = "none of its blocks is in this run"


@dataclass(frozen=True)
class Measurement:
    """What a predicate found in a run: a value with its interval, and the keys of the cells it rests on.

    `partly` says why the claim holds in part only, and overrides the comparison.
    """

    measured: float
    expected: float
    low: float
    high: float
    keys: tuple[str, ...]
    partly: str = ""
    plain: bool = False  # a number that nobody called exact


UNTESTED = Measurement(math.nan, math.nan, math.nan, math.nan, ())


def measured(
    value: Estimate | float, expected: float, cells: pd.DataFrame, partly: str = "", exact: bool = False
) -> Measurement:
    """A measurement from an estimate, or from a number that is no sample (a count, a comparison digit by digit).

    Of a user's own claim such a number leaves it untested, unless it is said to be `exact`.
    """
    plain = not (exact or isinstance(value, Estimate))
    if not isinstance(value, Estimate):
        value = Estimate(float(value), float(value), float(value))
    return Measurement(value.value, float(expected), value.low, value.high, tuple(cells["key"]), partly, plain)


def measured_both_ways(foretold: pd.Series, ends: pd.Series, clusters: pd.Series, cells: pd.DataFrame) -> Measurement:
    """Of the cells for which an end is foretold the share that end so, of the others the share that do not: the worse of the two.

    Nothing is measured where all of them are on one side.
    """
    if foretold.nunique() < 2:
        return UNTESTED
    cases = [(foretold, ends), (~foretold, ~ends)]
    return measured(min(share(so[case], clusters[case]) for case, so in cases), 1.0, cells)


# relation: (how it reads, the values that satisfy it as (low, high) from expected and tolerance, whether the ends are out)
RELATIONS: dict[str, tuple[str, Callable[[float, float], tuple[float, float]], bool]] = {
    "≈": ("|measured - expected| ≤ tolerance · |expected|", lambda e, t: (e - t * abs(e), e + t * abs(e)), False),
    "±": ("|measured - expected| ≤ tolerance", lambda e, t: (e - t, e + t), False),
    "<": ("measured < expected", lambda e, t: (-math.inf, e), True),
    ">": ("measured > expected", lambda e, t: (e, math.inf), True),
    "≤": ("measured ≤ expected + tolerance", lambda e, t: (-math.inf, e + t), False),
    "≥": ("measured ≥ expected - tolerance", lambda e, t: (e - t, math.inf), False),
}


@dataclass(frozen=True)
class Claim:
    """One entry of the ledger. `foretold` is the verdict that the theory foretells for a sentence of the thread.

    A `check` can fail only by a mistake of the implementation: what it says holds by construction or by arithmetic.
    """

    id: str
    statement: str
    section: str
    relation: str
    tolerance: float
    blocks: tuple[str, ...]
    measure: Callable[[Run, pd.DataFrame], Measurement]
    what: str = ""
    author: str = OURS
    quote: str = ""
    foretold: str = "supported"
    check: bool = False
    seed: int | None = None  # the only seed whose cells it rests on, if it is one

    @property
    def predicate(self) -> str:
        """What is measured and when the claim holds. {FITTED} in it stands for that setting."""
        shown = settings.SETTINGS
        what = re.sub(r"\{(\w+)\}", lambda name: f"{shown[name[1]]:g}" if name[1] in shown else name[0], self.what)
        rule = f"Holds if {RELATIONS[self.relation][0]} for the whole 90 % interval, fails if for none of it."
        return f"{' '.join(what.split())} {rule}"

    def holds(self, expected: float) -> tuple[float, float]:
        """The values of its quantity for which it holds, from, to."""
        return RELATIONS[self.relation][1](expected, self.tolerance)

    def evidence(self, run: Run) -> Measurement:
        """What the predicate finds in the finished cells of the claim's blocks."""
        run = View(run, self.blocks, RUN_TABLES)  # type: ignore[assignment]
        cells = run.block(*self.blocks)
        found = UNTESTED if cells.empty else self.measure(run, cells)
        if not isinstance(found, Measurement):
            raise TypeError(f"it returned {found!r}; end it with: return measured(value, expected, cells)")
        return found

    def missing(self, run: Run) -> str:
        """How many of the cells that it may rest on a partial run lacks, in words; empty for none."""
        cells = run.planned(*self.blocks)
        cells = cells if self.seed is None else select.only(cells, seed=self.seed)
        missing = int((cells["status"] == "missing").sum())
        return f"{missing} of the {len(cells)} cells of its blocks are missing" if missing else ""

    def verdict(self, seen: Measurement, missing: str = "") -> tuple[str, str]:
        """Verdict and, where it is partly or untested, the reason.

        Cells that a partial run lacks leave a claim untested, whatever the others say: they were not left out at random.
        """
        if missing:
            return "untested", missing
        if not seen.keys or math.isnan(seen.measured):
            return "untested", "no cells that bear on it"
        if seen.partly:
            return "partly", seen.partly
        if seen.plain and self.section == OWN:
            return "untested", "a number without an interval: give measured(...) an estimate, or exact=True for a count"
        if math.isnan(seen.low) or math.isnan(seen.high):
            return "untested", "one seed gives no interval"
        open_ends, (low, high) = RELATIONS[self.relation][2], self.holds(seen.expected)
        # An end at infinity is no bound: a ratio may be infinite.
        above = low < seen.low if open_ends and math.isfinite(low) else low <= seen.low
        below = seen.high < high if open_ends and math.isfinite(high) else seen.high <= high
        if above and below:
            return "supported", ""
        if seen.high < low or seen.low > high or (open_ends and (seen.high == low or seen.low == high)):
            return "refuted", ""
        return "untested", "undecided at this scale: the interval reaches across the margin"


CLAIMS: dict[str, Claim] = {}


def claim(
    id: str, statement: str, relation: str, *, blocks: str, predicate: str = "", tolerance: float = 0.0, author: str = OURS,
    quote: str = "", foretold: str = "supported", check: bool = False, seed: int | None = None,
):  # fmt: skip
    """Enter a function (run, finished cells of the blocks) → Measurement in the ledger.

    `predicate` states what it measures, {FITTED} in it the value of that setting; a user's function may do so in its docstring. Its
    module is the claim's section; outside the package that is `own`. There a claim entered again takes the place of the first.
    """
    for what, given, known in (("relation", relation, RELATIONS), ("foretold", foretold, VERDICTS)):
        if given not in known:
            raise ConfigError(f"claim '{id}': {what} '{given}' is not allowed: one of {', '.join(known)}")
    if (author == OURS) != (not quote):
        authors = f"'{QUESTIONER}' and '{ANSWERER}'"
        raise ConfigError(f"claim '{id}': a quote has an author, one of {authors}; ours have none")

    def enter(function: Callable[[Run, pd.DataFrame], Measurement]):
        package, _, module = str(function.__module__).rpartition(".")
        section = RENAMED.get(module, module) if package == HOME else OWN
        if id in CLAIMS and (section != OWN or CLAIMS[id].section != OWN):
            raise ConfigError(f"claim '{id}' of {function.__module__}: the name is taken; give it another")
        assert section in (*SECTIONS, OWN)
        what = predicate or inspect.getdoc(function) or ""
        CLAIMS[id] = Claim(
            id, statement, section, relation, tolerance, tuple(blocks.split()), function, what, author, quote, foretold, check, seed
        )  # fmt: skip
        return function

    return enter


def judge(run: Run) -> pd.DataFrame:
    """Every claim with its verdict: what claims.csv holds.

    `seconds` is the training time of the cells a claim rests on, `command` what trains those of its blocks with their penalties and methods,
    `explored` and the like what an earlier, exploratory run found, for whoever knows one.
    """
    seconds = run.cells.set_index("key")["seconds"]
    seeds = run.cells.set_index("key")["seed"]
    labels = {cell.key: cell.label for cell in run.config.cells}
    rows, wrong = [], []
    for entry in sorted(CLAIMS.values(), key=lambda entry: (*SECTIONS, OWN).index(entry.section)):
        try:
            seen = entry.evidence(run)
        except Exception as error:
            finished, planned = (len(found(*entry.blocks)) for found in (run.block, run.planned))
            saw = f"It saw {finished} of the {planned} cells of its blocks"
            saw += ": it sees none that diverged or is missing."
            if entry.section != OWN:
                error.add_note(saw)
                raise
            wrong.append(f"claim '{entry.id}' failed in {where(error, entry.measure)}. {saw}")
            continue
        verdict, reason = entry.verdict(seen, entry.missing(run))
        only = " ".join(sorted({labels[key] for key in seen.keys if key in labels}))
        blocks = " ".join(name for name in entry.blocks if run.configured(name))
        reason = reason if blocks else ABSENT
        command = f"python -m orthogrid train --config {shlex.quote(run.config.source)} --blocks {blocks} --only {only}"
        rows.append(dict(
            id=entry.id, statement=entry.statement, section=entry.section, predicate=entry.predicate, measured=seen.measured,
            expected=seen.expected, tolerance=entry.tolerance, verdict=verdict, cells=len(seen.keys), relation=entry.relation,
            interval_low=seen.low, interval_high=seen.high, reason=reason, author=entry.author, quote=entry.quote,
            foretold=entry.foretold, blocks=" ".join(entry.blocks), seconds=float(seconds.reindex(list(seen.keys)).sum()),
            command=command if only else "", check=entry.check, seeds=len({seeds[key] for key in seen.keys}), explored="",
            explored_measured=math.nan, explored_low=math.nan, explored_high=math.nan, power=math.nan,
        ))  # fmt: skip
    if wrong:
        raise ConfigError("\n".join(wrong))
    return pd.DataFrame(rows)


def unexpected(verdicts: pd.DataFrame) -> pd.DataFrame:
    """The refuted claims, but for sentences of the thread whose refutation the theory foretells."""
    return verdicts[(verdicts["verdict"] == "refuted") & (verdicts["foretold"] != "refuted")]


def summary(verdicts: pd.DataFrame) -> str:
    """The verdicts in plain text: one line a claim that has a block in the run, their number by verdict, and what is refuted."""
    here = verdicts[verdicts["reason"] != ABSENT]

    def compared(row) -> str:
        values = f"measured {row.measured:.4g}"
        if row.interval_low < row.interval_high:
            values += f" [{row.interval_low:.4g}, {row.interval_high:.4g}]"
        if row.relation == "±":
            return f"{values}, expected {row.expected:.4g} ± {row.tolerance:g}"
        slack = f" (tolerance {row.tolerance:g})" if row.tolerance else ""
        return f"{values}, expected {row.relation} {row.expected:.4g}{slack}"

    lines = []
    for row in here.itertuples():
        seen = "" if math.isnan(row.measured) else f": {compared(row)}"
        lines.append(f"{row.verdict:9}  {row.id:16} {row.statement}{seen}")
    counts = here["verdict"].value_counts()
    lines.append(", ".join(f"{counts.get(word, 0)} {word}" for word in VERDICTS))
    lines += [f"{len(verdicts) - len(here)} more claims: {ABSENT}"] * (len(here) < len(verdicts))
    surprises = set(unexpected(verdicts)["id"])
    for row in verdicts[verdicts["verdict"] == "refuted"].itertuples():
        note = "" if row.id in surprises else ", as the theory foretells of this sentence of the thread"
        lines.append(f"refuted: {row.id} ({compared(row)}){note}")
    return "\n".join(lines)
