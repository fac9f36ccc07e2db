"""Cures: what brings a run back that would be caught on the wrong side, counted over paired mismatched runs.

Only runs with the largest number of steps count: one a problem.
"""

from __future__ import annotations

import pandas as pd

from ..run import Run
from .intervals import share
from .ledger import Measurement, claim, measured
from .select import methods

# Ten runs that all come back have a Wilson interval from 0.79 on; so "always" is claimed as more than three quarters.
ALWAYS = 0.75


def _longest(cells: pd.DataFrame, method: str) -> pd.DataFrame:
    """The runs of a method at the largest number of steps: shorter ones share their problems."""
    used = methods(cells, method)
    return used[used["steps"] == used["steps"].max()]


def _back(cells: pd.DataFrame, method: str) -> Measurement:
    used = _longest(cells, method)
    return measured(share(~used["wrong"]), 0.5, used)


def _always(cells: pd.DataFrame, method: str) -> Measurement:
    used = _longest(cells, method)
    back = share(~used["wrong"])
    return measured(back, ALWAYS, used, partly="in most runs" if 0.5 <= back.value < ALWAYS else "")


@claim("uncured", "Without a cure most mismatched runs stay on the wrong side", "<", blocks="cures")
def uncured(run: Run, cells: pd.DataFrame) -> Measurement:
    """Share of plain Adam runs that end on the right side, against one half."""
    return _back(cells, "adam")


@claim("reflection", "One reflection brings every run back", ">", blocks="cures")
def reflection(run: Run, cells: pd.DataFrame) -> Measurement:
    """Share of the runs with method reflection that end on the right side, against three quarters; partly from one half. The
    reflection maps the twin to the target."""
    return _always(cells, "reflection")


@claim("restart", "A restart with one row negated brings every run back", ">", blocks="cures")
def restart(run: Run, cells: pd.DataFrame) -> Measurement:
    """Share of the runs with method restart that end on the right side, against three quarters; partly from one half."""
    return _always(cells, "restart")


@claim("reg-ramp", "A small weight first and the large one later brings most runs back", ">", blocks="cures")
def reg_ramp(run: Run, cells: pd.DataFrame) -> Measurement:
    """Share of the runs with method reg_ramp that end on the right side, against one half. Below 2 lambda nothing holds a run
    on the wrong side."""
    return _back(cells, "reg_ramp")


@claim("early-rate", "A large early learning rate brings most runs back", ">", blocks="cures")
def early_rate(run: Run, cells: pd.DataFrame) -> Measurement:
    """Share of the runs with method early_rate that end on the right side, against one half."""
    return _back(cells, "early_rate")


@claim("widened", "Double width brings most runs back", ">", blocks="cures")
def widened(run: Run, cells: pd.DataFrame) -> Measurement:
    """Share of the runs with method widened that end on the right side, against one half: both signs of a block extend to one
    component of the larger group."""
    return _back(cells, "widened")


@claim("weak-landing", "A weak landing step brings no run back", "<", blocks="cures")
def weak_landing(run: Run, cells: pd.DataFrame) -> Measurement:
    """Share of the runs with method landing that end on the right side, against one quarter: its flow cannot cross."""
    used = _longest(cells, "landing")
    return measured(share(~used["wrong"]), 1 - ALWAYS, used)
