"""Cures: what brings a run back that would be trapped, counted over paired mismatched runs.

Of the runs of one problem and weight only those with the largest number of steps count.
"""

from __future__ import annotations

import pandas as pd

from ..analysis.intervals import share
from ..analysis.select import methods, paired, problems
from ..analysis.settings import PROBLEM
from ..presenting.ledger import UNTESTED, Measurement, claim, measured
from ..run.run import Run

# Ten runs that all come back have a Wilson interval from 0.79 on; so "always" is claimed as more than three quarters.
ALWAYS = 0.75


def _longest(cells: pd.DataFrame, method: str) -> pd.DataFrame:
    """The runs of a method with the largest number of steps among those of their problem and weight."""
    used = methods(cells, method)
    return used[used["steps"] == used.groupby([*PROBLEM, "reg"])["steps"].transform("max")]


def _back(cells: pd.DataFrame, method: str) -> Measurement:
    used = _longest(cells, method)
    return measured(share(~used["wrong"]), 0.5, used)


def _always(cells: pd.DataFrame, method: str) -> Measurement:
    used = _longest(cells, method)
    return measured(share(~used["wrong"]), ALWAYS, used)


@claim(
    "uncured",
    "Without a cure no mismatched run comes back",
    "<",
    blocks="cures",
    predicate="Share of plain Adam runs that end on the right side, against one quarter.",
)
def uncured(run: Run, cells: pd.DataFrame) -> Measurement:
    used = _longest(cells, "adam")
    return measured(share(~used["wrong"]), 1 - ALWAYS, used)


@claim(
    "lifted",
    "One extra output row brings every run to the target",
    ">",
    blocks="cures cures_uniform large_cure",
    predicate="Share of the runs with method lifted that are recovered, clustered by problem, against three "
    "quarters, white and uniform inputs together.",
)
def lifted(run: Run, cells: pd.DataFrame) -> Measurement:
    used = _longest(cells, "lifted")
    return measured(share(used["outcome"] == "recovered", problems(used)), ALWAYS, used)


@claim(
    "lifted-thread", "On the thread's inputs, with its bias, it recovers what plain training leaves on the wrong side", ">",
    blocks="cures_uniform",
    predicate="Of the paired runs that plain Adam leaves on the wrong side, the share that lifted recovers, "
    "clustered by seed, against three quarters.",
)  # fmt: skip
def lifted_thread(run: Run, cells: pd.DataFrame) -> Measurement:
    cells = cells[cells["method"].isin(["adam", "lifted"])]
    good = (cells["outcome"] == "recovered").where(cells["method"] == "lifted", cells["wrong"])
    pairs = paired(cells.assign(good=good.astype(float)), "good", "method", "adam", "lifted", keep=("seed", "reg"))
    left = pairs[pairs["first"] > 0.5]
    return measured(share(left["second"] > 0.5, left["seed"]), ALWAYS, cells) if len(left) else UNTESTED


@claim(
    "reflection",
    "One reflection brings every run back",
    ">",
    blocks="cures",
    predicate="Share of the runs with method reflection that end on the right side, against three quarters. The "
    "reflection maps the twin to the target.",
)
def reflection(run: Run, cells: pd.DataFrame) -> Measurement:
    return _always(cells, "reflection")


@claim(
    "reg-ramp",
    "A small weight first and the large one later brings most runs back",
    ">",
    blocks="cures",
    predicate="Share of the runs with method reg_ramp that end on the right side, against one half. Below 2 lambda "
    "nothing holds a run on the wrong side.",
)
def reg_ramp(run: Run, cells: pd.DataFrame) -> Measurement:
    return _back(cells, "reg_ramp")


@claim(
    "widened",
    "Double width brings most runs back, at equal compute",
    ">",
    blocks="cures",
    predicate="Share of the runs with method widened that end on the right side, against one half: both signs of a "
    "block extend to one component of the larger group.",
)
def widened(run: Run, cells: pd.DataFrame) -> Measurement:
    return _back(cells, "widened")
