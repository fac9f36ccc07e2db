"""The remedy: what brings a run back that would be trapped, counted over paired mismatched runs.

Of the runs of one problem and weight only those with the largest number of steps count.
"""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..analysis.intervals import share
from ..analysis.select import methods, paired, problems
from ..analysis.settings import PROBLEM
from ..presenting.ledger import UNTESTED, Measurement, claim, measured
from ..presenting.panels import canvas, legend, list_rows, outcome_patches, sided
from ..presenting.style import COLOURS, figure, nonempty, word
from ..run.run import Run

# Ten runs that all come back have a Wilson interval from 0.79 on; so "always" is claimed as more than three quarters.
ALWAYS = 0.75


def _longest(cells: pd.DataFrame, method: str) -> pd.DataFrame:
    """The runs of a method with the largest number of steps among those of their problem and weight."""
    used = methods(cells, method)
    return used[used["steps"] == used.groupby([*PROBLEM, "reg"])["steps"].transform("max")]


def _right(cells: pd.DataFrame, method: str, expected: float) -> Measurement:
    """The share of the longest runs of a method that end on the right side."""
    used = _longest(cells, method)
    return measured(share(~used["wrong"]), expected, used)


@claim(
    "uncured", "Without a cure no mismatched run comes back", "<", blocks="cures",
    predicate="Share of plain Adam runs that end on the right side, against one quarter.",
)  # fmt: skip
def uncured(run: Run, cells: pd.DataFrame) -> Measurement:
    return _right(cells, "adam", 1 - ALWAYS)


@claim(
    "lifted", "One extra output row brings every run to the target", ">", blocks="cures cures_uniform large_cure",
    predicate="Share of the runs with method lifted that are recovered, clustered by problem, against three quarters, "
    "white and uniform inputs together.",
)  # fmt: skip
def lifted(run: Run, cells: pd.DataFrame) -> Measurement:
    used = _longest(cells, "lifted")
    return measured(share(used["outcome"] == "recovered", problems(used)), ALWAYS, used)


@claim(
    "lifted-thread", "On the thread's inputs, with its bias, it recovers what plain training leaves on the wrong side",
    ">", blocks="cures_uniform",
    predicate="Of the paired runs that plain Adam leaves on the wrong side, the share that lifted recovers, clustered "
    "by seed, against three quarters.",
)  # fmt: skip
def lifted_thread(run: Run, cells: pd.DataFrame) -> Measurement:
    cells = cells[cells["method"].isin(["adam", "lifted"])]
    good = (cells["outcome"] == "recovered").where(cells["method"] == "lifted", cells["wrong"])
    pairs = paired(cells.assign(good=good.astype(float)), "good", "method", "adam", "lifted", keep=("seed", "reg"))
    left = pairs[pairs["first"] > 0.5]
    return measured(share(left["second"] > 0.5, left["seed"]), ALWAYS, cells) if len(left) else UNTESTED


@claim(
    "reflection", "One reflection brings every run back", ">", blocks="cures",
    predicate="Share of the runs with method reflection that end on the right side, against three quarters. The "
    "reflection maps the twin to the target.",
)  # fmt: skip
def reflection(run: Run, cells: pd.DataFrame) -> Measurement:
    return _right(cells, "reflection", ALWAYS)


@claim(
    "reg-ramp", "A small weight first and the large one later brings most runs back", ">", blocks="cures",
    predicate="Share of the runs with method reg_ramp that end on the right side, against one half. Below 2 lambda "
    "nothing holds a run on the wrong side.",
)  # fmt: skip
def reg_ramp(run: Run, cells: pd.DataFrame) -> Measurement:
    return _right(cells, "reg_ramp", 0.5)


@claim(
    "widened", "Double width brings most runs back, at equal compute", ">", blocks="cures",
    predicate="Share of the runs with method widened that end on the right side, against one half: both signs of a "
    "block extend to one component of the larger group.",
)  # fmt: skip
def widened(run: Run, cells: pd.DataFrame) -> Measurement:
    return _right(cells, "widened", 0.5)


STACK = ("recovered", "unfinished", "unfinished, wrong side", "trapped", "diverged")  # from the left
CURES = {
    "adam": "no cure", "reg_ramp": "weight ramped up", "early_rate": "large rate early", "restart": "fresh restart",
    "reflection": "reflection", "widened": "twice as wide", "lifted": "one row more",
}  # fmt: skip


@figure("cures cures_uniform large_trap large_cure")
def draw_remedies(run: Run) -> Figure:
    """How runs from the wrong side end under each cure, stacked: a column a setting, a row a cure, with the number recovered."""
    large = run.block("large_trap", "large_cure")
    parts = [run.block("cures"), run.block("cures_uniform"), large[large["determinant"] == "mismatch"]]
    columns = [same for part in parts for _, same in part.groupby(["reg", "steps"])]
    here = nonempty(pd.concat(parts))
    present = here["method"].unique()
    names: list[str] = [name for name in CURES if name in present] + sorted(set(present) - set(CURES))
    fig, axes = canvas(0.8 + 0.17 * len(names), 1, len(columns), sharey=True)
    before = ""
    for ax, same in zip(axes[0], columns, strict=True):
        one = same.iloc[0]
        title = f"{word(one['inputs'])} inputs, $n={one['dimension']}$"
        for i, name in enumerate(names):
            _stack(ax, i, same[same["method"] == name])
        list_rows(ax, [CURES.get(name) or name for name in names])
        ax.set(xlim=(0, 1), xticks=[])
        ax.set_xlabel(f"$\\gamma={one['reg']:g}$\n{one['steps']} steps", linespacing=1.15)
        ax.spines[:].set_visible(False)
        ax.set_title(title if title != before else "")
        before = title
    legend(fig, outcome_patches(sided(here)))
    return fig


def _stack(ax: Axes, row: int, cells: pd.DataFrame) -> None:
    left = 0.0
    for name in STACK:
        count = int((sided(cells) == name).sum())
        if count:
            ax.barh(row, count / len(cells), 0.78, left, color=COLOURS[name], edgecolor="white", linewidth=0.5)
            ink = "black" if name.startswith("unfinished") else "white"
            place = left + count / len(cells) / 2
            ax.text(place, row, f"{count}", ha="center", va="center_baseline", size=7, color=ink)
            left += count / len(cells)
