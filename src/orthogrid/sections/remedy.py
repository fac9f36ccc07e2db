"""The remedy: what brings a run back that would be trapped, counted over paired mismatched runs.

Of the runs of one problem and weight only those with the largest number of steps count.
"""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from ..analysis.intervals import share, share_difference
from ..analysis.select import methods, only, paired, problems
from ..analysis.settings import ALWAYS, CLOSE, MOST, PROBLEM, SAME_LOSS
from ..cells.shape import spec_options
from ..presenting.formats import out_of
from ..presenting.ledger import UNTESTED, Measurement, claim, measured, measured_both_ways
from ..presenting.panels import canvas, counted_row, legend, list_rows, outcome_patches
from ..presenting.style import figure, nonempty, word
from ..presenting.values import Value, values
from ..run.run import Run
from ..theory import forms


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
    "tall", "With more outputs than inputs all starts of a problem end at one loss, whatever the targets", "≥",
    blocks="tall tall_l1 tall_noise", tolerance=1 - MOST,
    predicate="Share of the problems, each under one penalty, whose starts end within {SAME_LOSS} of the least of their total losses, "
    "relative: layers with one output more towards targets that no orthogonal matrix is near, and lifted with noise. Clustered by seed.",
)  # fmt: skip
def tall(run: Run, cells: pd.DataFrame) -> Measurement:
    used = cells[_options(cells, "more") | (cells["method"] == "lifted")]
    same = _one_loss(used)
    return measured(share(same["same"], same["seed"]), 1.0, used)


@claim(
    "wide", "With fewer they do not: such a layer keeps its traps", "<", blocks="tall tall_l1",
    predicate="The same share for layers with two outputs fewer; against one half.",
)  # fmt: skip
def wide(run: Run, cells: pd.DataFrame) -> Measurement:
    used = cells[_options(cells, "fewer")]
    same = _one_loss(used)
    return measured(share(same["same"], same["seed"]), 0.5, used)


def _options(cells: pd.DataFrame, name: str) -> pd.Series:
    """Whether a cell's model has this option."""
    return cells["model"].map(lambda spec: name in spec_options(spec)).astype(bool)


def _one_loss(cells: pd.DataFrame) -> pd.DataFrame:
    """A row a problem and penalty with at least two starts: `seed`, and `same`: whether all end at one total loss."""
    total = cells["fit"] + cells["reg"] * cells["penalty_value"]
    kind = cells["model"].str.replace(r",start=[\d.]+", "", regex=True)  # the last of its options
    problem = ["dimension", "samples", "inputs", "noise", "penalty", "reg", "method", "kind", "seed"]
    found = cells.assign(total=total, kind=kind).groupby(problem)["total"].agg(["min", "max", "size"]).reset_index()
    found = found[found["size"] > 1]
    return found.assign(same=found["max"] <= (1 + SAME_LOSS) * found["min"])


@values("tall tall_l1 tall_noise")
def tall_values(run: Run) -> dict[str, Value | str]:
    """Of the problems of layers with as many outputs as inputs, those whose starts end at one loss."""
    cells = run.block("tall", "tall_l1", "tall_noise")
    square = cells[~_options(cells, "more") & ~_options(cells, "fewer") & (cells["method"] == "adam")]
    same = _one_loss(square)
    return {"tall-square": Value(out_of(same[same["same"]], same), blocks="tall tall_l1 tall_noise", cells=len(square))}


@claim(
    "row-constrained", "It does so under hard constraints as well", ">", blocks="constraints",
    predicate="Share of the wrong-sided starts that PyTorch's and geotorch's parametrizations with one output more recover, clustered by "
    "seed, against three quarters; the method with the smallest share.",
)  # fmt: skip
def row_constrained(run: Run, cells: pd.DataFrame) -> Measurement:
    used = cells[cells["method"].str.contains("rows")]
    shares = [share(same["outcome"] == "recovered", same["seed"]) for _, same in used.groupby("method")]
    return measured(min(shares), ALWAYS, used) if shares else UNTESTED


@claim(
    "row-weight", "The trap holds the row where its data loss counts more than 1 + 1/|s*| times", "≥", blocks="row_weight",
    tolerance=1 - MOST,
    predicate="Share of the runs of lifted from the twin, its weight c at least {CLOSE} times off 1 + 1/|s*| either way, that end wrong "
    "if c is above it and right if not; the worse of the two, clustered by problem.",
)  # fmt: skip
def row_weight(run: Run, cells: pd.DataFrame) -> Measurement:
    weights = cells["method"].map(lambda spec: spec_options(spec).get("weight", 1.0))
    trap = forms.trap_position(cells["reg"], cells["lambda_min"])
    ratio = weights / forms.row_weight_bound(trap)
    used, ratio = cells[ratio.notna()], ratio.dropna()
    used = used.assign(above=ratio > 1)[(ratio > CLOSE) | (ratio < 1 / CLOSE)]
    return measured_both_ways(used["above"], used["wrong"], problems(used), used)


@claim(
    "row-harmless", "On right starts the row does no harm, also far above 2μ", "≥", blocks="stiff real", tolerance=0.1,
    predicate="Right-sided starts on real inputs with reg above 2 mu: the share that lifted recovers less that of plain Adam, paired by "
    "problem and weight.",
)  # fmt: skip
def row_harmless(run: Run, cells: pd.DataFrame) -> Measurement:
    used = only(cells, determinant="match")
    used = used[used["reg_over_2mu"] > 1]
    good = used.assign(good=(used["outcome"] == "recovered").astype(float))
    keep = ("seed", "reg", "inputs", "dimension", "samples", "steps")
    pairs = paired(good, "good", "method", "adam", "lifted", keep=keep)
    return measured(share_difference(pairs["first"] > 0.5, pairs["second"] > 0.5), 0.0, used)


CURES = {
    "adam": "no cure", "reg_ramp": "weight ramped up", "reflection": "reflection", "lifted": "one row more",
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
            counted_row(ax, i, same[same["method"] == name])
        list_rows(ax, [CURES.get(name) or name for name in names])
        ax.set(xlim=(0, 1), xticks=[])
        ax.set_xlabel(f"$\\gamma={one['reg']:g}$\n{one['steps']} steps", linespacing=1.15)
        ax.spines[:].set_visible(False)
        ax.set_title(title if title != before else "")
        before = title
    legend(fig, outcome_patches(here["outcome"]))
    return fig
