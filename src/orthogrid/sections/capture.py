"""Capture: which random starts the trap catches, by weight and learning rate."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..analysis.intervals import bracketed, share
from ..analysis.select import boundaries, of_squares, only, outside_margin, problems, random_starts
from ..analysis.settings import MARGIN, MOST, NEARBY, WARM
from ..presenting.formats import out_of
from ..presenting.ledger import ANSWERER, UNTESTED, Measurement, claim, measured, measured_both_ways
from ..presenting.panels import (
    Panel,
    decades,
    inside,
    mark,
    side_by_side,
    wrong_shares,
)
from ..presenting.style import (
    COLOURS,
    GREY,
    INPUTS,
    LAW,
    UNIT,
    figure,
)
from ..presenting.values import Value, values
from ..run.run import Run
from ..theory.heavy import boundary


@claim(
    "white", "Where all directions weigh alike, wrong starts stay wrong exactly above 2λ, and right ones end right",
    "≥", blocks="capture_white large_white", tolerance=1 - MOST,
    predicate="Share of random starts with white inputs outside a factor {MARGIN} of 2 lambda that end wrong if they "
    "began wrong above it, and right otherwise; the worst of the three cases, each clustered by problem.",
)  # fmt: skip
def white(run: Run, cells: pd.DataFrame) -> Measurement:
    used = outside_margin(only(random_starts(cells), inputs="whitened"))
    began, above = used["determinant"] == "mismatch", used["reg_over_2lambda"] > 1
    cases = [(began & above, used["wrong"]), (began & ~above, ~used["wrong"]), (~began, ~used["wrong"])]
    if not all(case.any() for case, _ in cases):
        return UNTESTED
    return measured(min(share(ends[case], problems(used[case])) for case, ends in cases), 1.0, used)


def _spread(cells: pd.DataFrame, determinant: str) -> pd.DataFrame:
    """Random starts of Adam with uniform inputs and reg between 2 lambda and 2 mu, a factor MARGIN off both."""
    used = only(random_starts(cells), determinant=determinant, inputs="uniform", method="adam")
    return used[(used["reg_over_2lambda"] > MARGIN) & (used["reg_over_2mu"] < 1 / MARGIN)]


@claim(
    "existence-not-capture", "With uniform inputs many wrong starts pass the trap", ">", blocks="map_haar large_trap",
    predicate="Share of mismatched random starts of Adam, uniform inputs and a bias, with reg between 2 lambda and 2 "
    "mu, a factor {MARGIN} off both, that end on the right side, clustered by problem; against a quarter.",
)  # fmt: skip
def existence_not_capture(run: Run, cells: pd.DataFrame) -> Measurement:
    used = _spread(cells, "mismatch")
    return measured(share(~used["wrong"], problems(used)), 0.2, used)


@claim(
    "match-wrong", "There, some right starts end on the wrong side", ">", blocks="map_haar large_trap",
    predicate="Share of the matching starts in the same range that end on the wrong side, clustered by problem; against "
    "a tenth.",
)  # fmt: skip
def match_wrong(run: Run, cells: pd.DataFrame) -> Measurement:
    used = _spread(cells, "match")
    return measured(share(used["wrong"], problems(used)), 0.1, used)


@claim(
    "bound", "Without a bias no run changes its side above 2μ", "≤", blocks="bound capture real", tolerance=1 - MOST,
    predicate="Share of random starts without a bias, reg above {MARGIN} · 2 mu, whose determinant changes its sign, "
    "clustered by problem. Proved for the flow, run with Adam.",
)  # fmt: skip
def bound(run: Run, cells: pd.DataFrame) -> Measurement:
    used = only(random_starts(cells), bias=False)
    used = used[used["reg_over_2mu"] > MARGIN]
    return measured(share(used["crossed"], problems(used)), 0.0, used)


@claim(
    "heavy", "With one heavy direction a start changes sides exactly if it points against the target there", "≥",
    blocks="heavy", tolerance=0.15,
    predicate="Share of random starts, by gradient descent with small steps, that change sides if start_cosine is below "
    "-c*(mu/reg) and keep theirs if not; those within {NEARBY} of -c* are set aside; the worse of the two, clustered by seed.",
)  # fmt: skip
def heavy(run: Run, cells: pd.DataFrame) -> Measurement:
    used = _foretold(random_starts(cells))
    used = used[used["beyond"].abs() > NEARBY]
    return measured_both_ways(used["beyond"] > 0, used["crossed"], used["seed"], used)


def _foretold(cells: pd.DataFrame) -> pd.DataFrame:
    """Cells with `beyond`: how far their start's cosine lies below -c*, where positive it is to change sides."""
    ratios = (cells["predicted_lambda_max"] / cells["reg"]).round(2)
    return cells.assign(ratio=ratios, beyond=-cells["start_cosine"] - ratios.map(boundary))


@values("heavy")
def heavy_values(run: Run) -> dict[str, Value | str]:
    """The share of starts that change sides, and how many of these were foretold."""
    used = _foretold(random_starts(run.block("heavy")))
    crossed = used[used["crossed"]]
    return {"heavy-foretold": Value(out_of(crossed[crossed["beyond"] > 0], crossed), blocks="heavy", cells=len(used))}


# Adam's first steps.

# What is drawn of them: the words, inputs, warm-up, the step after which sides are compared, colour and marker.
FIRST_STEPS = (
    ("uniform, first step", "uniform", 0, 1, INPUTS["uniform"]),
    (f"{WARM} steps of warm-up", "uniform", WARM, WARM, INPUTS["whitened"]),
    ("around zero, first step", "normal", 0, 1, (GREY, "s")),
)


def _moved(run: Run, cells: pd.DataFrame, step: int) -> pd.Series:
    """Whether each cell's determinant had another sign after so many steps than at the start."""
    trace = run.traces_of(cells)
    signs = trace[trace["step"] == step].set_index("key")["det_sign"]
    return cells["key"].map(signs) * cells["det_sign_start"] < 0


@claim(
    "first-step", "Adam's first step changes the side of uncentred starts exactly where rate times dimension exceeds 1.77", "≥",
    blocks="first_step", tolerance=1 - MOST,
    predicate="Share of the starts with uniform inputs, without bias and warm-up, outside a factor {MARGIN} of lr · n = √π, whose "
    "determinant changes its sign in the first step if lr is above it and keeps it if not; the worse of the two, clustered by problem.",
)  # fmt: skip
def first_step(run: Run, cells: pd.DataFrame) -> Measurement:
    used = outside_margin(only(cells, inputs="uniform", warmup=0), "reach")
    return measured_both_ways(used["reach"] > 1, _moved(run, used, 1), problems(used), used)


@claim(
    "warm-up", "With a warm-up few of them do", "<", blocks="first_step",
    predicate="Share of the starts whose rate is {MARGIN} times √π/n or more, with a warm-up, that end their first {WARM} steps on "
    "the other side than they began on, clustered by problem; against a quarter.",
)  # fmt: skip
def warm_up(run: Run, cells: pd.DataFrame) -> Measurement:
    used = only(cells, inputs="uniform")
    used = used[(used["warmup"] >= WARM) & (used["reach"] > MARGIN)]
    return measured(share(_moved(run, used, WARM), problems(used)), 0.25, used)


@claim(
    "norms", "White inputs: norms capture in the reverse order of how they hold the twin", ">", blocks="capture_norms",
    predicate="The reg from which mismatched random starts end wrong under fro over that under nuclear, geometric mean "
    "over seeds; both hold the twin from 2 lambda on. Against {MARGIN}; of starts held at S = 0 throughout it "
    "would be √(3n/8).",
)  # fmt: skip
def norms(run: Run, cells: pd.DataFrame) -> Measurement:
    nuclear, fro = (boundaries(only(cells, penalty=name, determinant="mismatch")) for name in ("nuclear", "fro"))
    both = nuclear.add_suffix("_nuclear").join(fro.add_suffix("_fro"), how="inner")
    if both.empty:
        return UNTESTED
    used = cells[cells["penalty"].isin(["nuclear", "fro"]) & cells["seed"].isin(both.index)]
    ratio = bracketed(both["low_fro"] / both["high_nuclear"], both["high_fro"] / both["low_nuclear"])
    return measured(ratio, MARGIN, used)


# The thread on the two sides.


@claim(
    "determinant", "With a large weight, a run that starts on the wrong side stays there", "≥", blocks="floor regimes",
    tolerance=1 - MOST, author=ANSWERER, quote="able to train model.weight to become rho",
    predicate="Share of the mismatched runs with white inputs and a reg above {MARGIN} · 2 lambda that end on the wrong "
    "side, clustered by problem.",
)  # fmt: skip
def determinant(run: Run, cells: pd.DataFrame) -> Measurement:
    used = only(of_squares(cells), determinant="mismatch", inputs="whitened")
    used = used[used["reg_over_2lambda"] > MARGIN]
    return measured(share(used["wrong"], problems(used)), 1.0, used)


@claim(
    "fortuitous", "A run changes the determinant's sign only by a step that jumps", "≤", blocks="existence",
    tolerance=0.05, author=ANSWERER,
    quote="the optimizer could take a large, fortuitous step that flips the sign of the determinant of model.weight, but this would be highly unlikely",
    foretold="refuted",
    predicate="Share of runs of plain gradient descent, in double precision and below 2 lambda/{MARGIN}, that end with "
    "another sign than they began with: it moves W by far less than 1 a step, so none of them jumps.",
)  # fmt: skip
def fortuitous(run: Run, cells: pd.DataFrame) -> Measurement:
    used = of_squares(cells, "sgd")
    used = used[used["reg_over_2lambda"] < 1 / MARGIN]
    return measured(share(used["crossed"], problems(used)), 0.0, used)


# The three quantities that decide a side.


@figure("first_step heavy capture_white map_haar large_trap", tables="traces")
def draw_sides(run: Run) -> Figure:
    """Which runs change sides: Adam's first step by rate times dimension, the heavy direction by c and mu/reg, random starts by reg."""
    white, uniform = (random_starts(run.block(*names.split())) for names in ("capture_white", "map_haar large_trap"))
    ends = pd.concat([only(white, determinant="mismatch"), only(uniform, inputs="uniform", method="adam", bias=True)])
    panels = [
        Panel("Adam’s first step", partial(_first_steps, run), run.block("first_step")),
        Panel("one heavy direction", _heavy_starts, _foretold(random_starts(run.block("heavy"))), 1.1),
        Panel("random starts", _random_ends, ends, 1.25),
    ]
    return side_by_side(2.5, panels)


def _first_steps(run: Run, ax: Axes, cells: pd.DataFrame) -> None:
    """The share that is on the other side after the first step, over rate times dimension; all dimensions together."""
    cells = cells.assign(product=(cells["lr"] * cells["dimension"]).round(3))
    for name, inputs, warmup, step, (colour, marker) in FIRST_STEPS:
        some = only(cells, inputs=inputs, warmup=warmup)
        wrong_shares(ax, some.assign(wrong=_moved(run, some, step)), "product", color=colour, marker=marker, label=name)
    _share_axes(ax, math.sqrt(math.pi), xlabel=r"rate times dimension, $\eta n$", ylabel="share on the other side")


def _heavy_starts(ax: Axes, cells: pd.DataFrame) -> None:
    """A dot a run, by its start's cosine with the target in the heavy direction and by mu/reg; filled where it changed sides."""
    for crossed, same in cells.groupby("crossed"):
        style = mark("trapped" if crossed else "recovered", marker="o", markersize=3)
        ax.plot(same["ratio"], same["start_cosine"], **style)
    ratios = sorted(cells["ratio"].unique())
    ax.plot(ratios, [-boundary(ratio) for ratio in ratios], **LAW | dict(linestyle="-"))
    low, high = cells["start_cosine"].min(), cells["start_cosine"].max()
    ax.set(xlabel=r"$\mu/\gamma$", ylabel=r"cosine $c$ of the start", ylim=(1.4 * low, 1.4 * high))
    inside(ax, "filled: changes sides", (0.97, 0.04), ha="right", va="bottom", color=COLOURS["trapped"])
    inside(ax, "keeps its side", (0.97, 0.97), ha="right", va="top", color=COLOURS["recovered"])


def _random_ends(ax: Axes, cells: pd.DataFrame) -> None:
    """The share that ends wrong, in bins of half a decade of reg over 2 lambda: white inputs, and uniform ones by side of the start."""
    middle = 10 ** ((np.floor(2 * np.log10(cells["reg_over_2lambda"])) + 0.5) / 2)
    cells = cells.assign(bin=middle)
    kinds = {
        "white, wrong start": (only(cells, inputs="whitened"), INPUTS["whitened"]),
        "uniform, wrong start": (only(cells, inputs="uniform", determinant="mismatch"), INPUTS["uniform"]),
        "uniform, right start": (only(cells, inputs="uniform", determinant="match"), (GREY, "s")),
    }
    for name, (same, (colour, marker)) in kinds.items():
        if len(same):
            wrong_shares(ax, same, "bin", color=colour, marker=marker, label=name)
    _share_axes(ax, 1.0, xlabel=UNIT, ylabel="share that ends wrong")


def _share_axes(ax: Axes, threshold: float, **labels: str) -> None:
    """Shares over a logarithmic axis, with a line at the threshold and the words for the curves above them."""
    ax.plot([threshold, threshold], [0, 1.08], **LAW)
    ax.set(xscale="log", ylim=(-0.05, 1.75), yticks=[0, 0.5, 1], **labels)
    decades(ax, "x")
    ax.legend(loc="upper left", handlelength=1.2, borderaxespad=0)
