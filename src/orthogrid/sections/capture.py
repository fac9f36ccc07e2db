"""Capture: which random starts the trap catches, by weight and learning rate."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.ticker import NullLocator

from ..analysis.intervals import bracketed, share
from ..analysis.select import boundaries, of_squares, only, outside_margin, problems, random_starts
from ..analysis.settings import MARGIN, MOST, NEARBY, WARM
from ..presenting.formats import out_of
from ..presenting.ledger import ANSWERER, UNTESTED, Measurement, claim, measured, measured_both_ways
from ..presenting.panels import (
    STACK,
    Panel,
    canvas,
    decades,
    inside,
    legend,
    limits,
    mark,
    mosaic,
    note,
    outcome_patches,
    side_by_side,
    steps_axis,
    wrong_shares,
)
from ..presenting.style import (
    COLOURS,
    GREY,
    INPUTS,
    LAW,
    MARKERS,
    REG,
    UNIT,
    Nothing,
    figure,
    in_order,
    nonempty,
    word,
)
from ..presenting.values import Value, values
from ..run.run import Run
from ..theory import forms
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
    return cells.assign(beyond=-cells["start_cosine"] - ratios.map(boundary))


@values("heavy")
def heavy_values(run: Run) -> dict[str, Value | str]:
    """The share of starts that change sides, and how many of these were foretold."""
    used = _foretold(random_starts(run.block("heavy")))
    crossed = used[used["crossed"]]
    return {"heavy-foretold": Value(out_of(crossed[crossed["beyond"] > 0], crossed), blocks="heavy", cells=len(used))}


# Adam's first steps.


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


# Where random starts end, by weight and learning rate.

SIDES = {"mismatch": "wrong", "match": "right"}


@figure("capture_white large_white large_trap capture")
def draw_outcomes(run: Run) -> Figure:
    """Share of random starts by outcome, stacked, against reg/2 lambda in bins: a column a kind of problem, a row a side of the start."""
    kinds = {"white": "capture_white large_white", "uniform, no bias": "capture", "uniform, bias": "large_trap"}
    groups = {name: _against_threshold(run.block(*blocks.split())) for name, blocks in kinds.items()}
    groups = {name: cells for name, cells in groups.items() if len(cells)}
    nonempty(pd.concat(groups.values()) if groups else pd.DataFrame())
    widths = [max(np.ptp(np.log10([1, *cells["x"]])), 1) + 0.6 for cells in groups.values()]
    fig, axes = canvas(2.9, 2, len(groups), sharey=True, sharex="col", width_ratios=widths)
    for column, (name, cells) in enumerate(groups.items()):
        for row, (start, side) in enumerate(SIDES.items()):
            ax = axes[row, column]
            ax.set(xscale="log", ylim=(0, 1), yticks=[0, 0.5, 1])
            _stack(ax, cells[cells["determinant"] == start])
            for place, style in ((1, "--"), (cells["spread"].median(), ":")):
                if style == ":" and place < 1.2:
                    continue  # where they are one
                line = ax.axvline(place, **LAW | dict(linestyle=style, zorder=5))
                line.set_path_effects([withStroke(linewidth=2.4, foreground="white")])
            ax.set_ylabel("" if column else f"start on the {side} side\nshare of runs")
            decades(ax, "x")
        sizes = sorted(cells["dimension"].unique())
        axes[0, column].set_title(f"{name}, $n={'$, $'.join(map(str, sizes))}$", pad=11)
        axes[1, column].set_xlabel(UNIT)
    handles = outcome_patches(pd.concat(groups.values())["outcome"])
    lines = {r"$\gamma=2\lambda$": "--", r"$\gamma=2\mu$, median": ":"}
    legend(fig, handles | {text: LAW | dict(linestyle=style) for text, style in lines.items()})
    return fig


def _against_threshold(cells: pd.DataFrame) -> pd.DataFrame:
    """Random starts under the sum of squares with x, their reg over 2 lambda, and the spread mu/lambda of their problem."""
    known = (cells["lambda_min"] > 0) & (cells["penalty"] == "fro2") & (cells["init"] == "haar")
    cells = cells[known]
    return cells.assign(x=cells["reg_over_2lambda"], spread=cells["predicted_lambda_max"] / cells["lambda_min"])


def _stack(ax: Axes, cells: pd.DataFrame) -> None:
    """Bars over bins of the weight, with the number of runs above each; an edge of the bins is at the threshold."""
    logs = np.log10(cells["x"])
    bins = 3 if (cells["spread"] < 2).all() else 2  # a decade
    for place, same in cells.groupby(np.floor(logs * bins)):
        left, right = 10 ** (place / bins), 10 ** ((place + 1) / bins)
        bottom = 0.0
        for name in STACK:
            part = (same["outcome"] == name).mean()
            style = dict(color=COLOURS[name], edgecolor="white", linewidth=0.4)
            ax.bar(left, part, right - left, bottom, align="edge", **style)
            bottom += part
        style = dict(xytext=(0, 1), textcoords="offset points", ha="center", fontsize=7, color=GREY)
        ax.annotate(f"{len(same)}", (np.sqrt(left * right), 1), **style)


@figure("first_step", tables="traces")
def draw_first_step(run: Run) -> Figure:
    """Share of the starts that Adam's first steps move to the other side, against the rate times n/√π: a line a kind of inputs."""
    cells = nonempty(run.block("first_step"))
    kinds = {
        "uniform, first step": (only(cells, inputs="uniform", warmup=0), 1),
        "uniform, 50 steps of warm-up": (only(cells, inputs="uniform", warmup=WARM), WARM),
        "normal, first step": (only(cells, inputs="normal", warmup=0), 1),
    }
    fig, axes = canvas(2.0, 1, cells["dimension"].nunique(), sharey=True)
    handles = {}
    for ax, (n, _) in zip(axes[0], cells.groupby("dimension"), strict=True):
        for j, (name, (some, step)) in enumerate(kinds.items()):
            here = some[some["dimension"] == n]
            style = dict(color=(*(colour for colour, _ in INPUTS.values()), GREY)[j], marker=MARKERS[j])
            wrong_shares(ax, here.assign(wrong=_moved(run, here, step)), "reach", **style)
            handles[name] = style
        ax.axvline(1, **LAW)
        ax.set(xscale="log", ylim=(-0.04, 1.08), yticks=[0, 0.5, 1], xlabel=r"$\eta n/\sqrt{\pi}$")
        ax.set_title(f"$n={n}$")
        ax.xaxis.set_minor_locator(NullLocator())
    axes[0, 0].set_ylabel("share on the other side")
    legend(fig, handles)
    return fig


# One start under two weights, and one heavy direction.


@figure("large_trap capture heavy", tables="traces")
def draw_crossing(run: Run) -> Figure:
    """One start under two weights, one of which traps it: determinant and data loss over steps; and who flips in block `heavy`.

    The start is a mismatched one that recovers under one weight and is trapped under another: that of the smallest seed in block
    large_trap or, where it has none, in capture. The weights are the largest that lets it go and the smallest that traps it.
    """
    pair, flips = run.trace(_pair(run)).sort_values("step"), _foretold(random_starts(run.block("heavy")))
    runs = [Panel("determinant", _determinant, pair), Panel("data loss", _losses, pair)]
    return side_by_side(2.2, [*runs, Panel("who changes sides", _flips, flips, 1.1)])


def _pair(run: Run) -> pd.DataFrame:
    for block in ("large_trap", "capture"):
        cells = run.block(block)
        cells = cells[(cells["determinant"] == "mismatch") & (cells["method"] == "adam")]
        for _, same in cells.groupby("seed"):
            free, held = (same[same["outcome"] == name].sort_values("reg") for name in ("recovered", "trapped"))
            if len(free) and len(held):
                return pd.concat([free.tail(1), held.head(1)])
    return cells.iloc[:0]


def _determinant(ax: Axes, trace: pd.DataFrame) -> None:
    root = np.exp(trace["log_abs_det"] / trace["dimension"])
    trace = trace.assign(det=trace["det_sign"] * trace["det_sign_target"] * root)
    ax.axhline(0, color=GREY, linewidth=0.5)
    for outcome, one in trace.groupby("outcome"):
        ax.plot(one["step"], one["det"], color=COLOURS[outcome], marker=".", markersize=3, linewidth=0.9)
        reg, ratio = one[["reg", "reg_over_2lambda"]].iloc[0]
        text = f"{outcome},\n$\\gamma={reg:g}$\n$={ratio:.2g}\\cdot2\\lambda$"
        place, va = (0.97, "top") if outcome == "recovered" else (0.12, "bottom")  # left of the crossings
        inside(ax, text, (0.02, place), color=COLOURS[outcome], va=va)
    steps_axis(ax, trace["steps"].max())
    ax.set_ylabel(r"$\pm|\det W|^{1/n}$, positive: target’s side")


def _losses(ax: Axes, trace: pd.DataFrame) -> None:
    trace = trace.assign(ratio=trace["fit"] / forms.wrong_floor(trace["lambda_min"]))
    for outcome, one in trace.groupby("outcome"):
        ax.plot(one["step"], one["ratio"], color=COLOURS[outcome], marker=".", markersize=3, linewidth=0.9)
        if outcome == "trapped":
            trap = one["predicted_trap_loss"].iloc[0] / forms.wrong_floor(one["lambda_min"].iloc[0])
            ax.axhline(trap, **LAW)
            note(ax, rf"trap: {trap:.2f}$\,(4\lambda)$", (0, trap), (2, -4), va="top")
    ax.set(yscale="log", ylabel=r"data loss $/\,4\lambda$", ylim=limits(trace["ratio"], 10))
    decades(ax)
    steps_axis(ax, trace["steps"].max())


def _flips(ax: Axes, cells: pd.DataFrame) -> None:
    """A dot a run, of either side: a row a weight, placed by the start's cosine, filled where it changed sides."""
    regs = sorted(cells["reg"].unique())
    for i, reg in enumerate(regs):
        same = cells[cells["reg"] == reg].sort_values("start_cosine")
        for j, (cosine, crossed) in enumerate(zip(same["start_cosine"], same["crossed"], strict=True)):
            ax.plot(cosine, i + 0.11 * (j % 7 - 3), **mark("trapped" if crossed else "recovered", markersize=3))
        place = -boundary(round(float((same["predicted_lambda_max"] / reg).median()), 2))
        ax.plot([place, place], [i - 0.46, i + 0.46], **LAW)
    ax.set_yticks(range(len(regs)), [f"$\\gamma={reg:g}$" for reg in regs])
    ax.set(ylim=(len(regs) - 0.4, -0.6), xlabel=r"$c=e^{\mathsf{T}}\rho W_0e$; line: $-c_*$")
    ax.tick_params(axis="y", length=0)


# Maps over the grid: how every run ended, by weight and samples.


def _place(value: float, regs: Sequence[float]) -> float:
    """Where a weight lies on a map's axis: between the centres of its neighbours, by logarithm."""
    logs = np.log(regs)
    if len(regs) < 2 or not 0 < value < math.inf:
        return math.nan
    at, step = np.interp(np.log(value), logs, np.arange(len(regs))), np.diff(logs)
    at += min(0, (np.log(value) - logs[0]) / step[0]) + max(0, (np.log(value) - logs[-1]) / step[-1])
    return float(np.clip(at, -0.5, len(regs) - 0.5))


@figure("map_twin map_haar")
def draw_map(run: Run) -> Figure:
    """How runs end, over samples and weight, with the boundary of existence: from the twin and from random starts of both sides."""
    cells = run.planned("map_twin", "map_haar")
    starts = {("twin", "mismatch"): "started at the twin"}
    starts |= {("haar", start): f"random, on the {side} side" for start, side in SIDES.items()}
    panels = [(title, cells[(cells["init"] == i) & (cells["determinant"] == d)]) for (i, d), title in starts.items()]
    panels = [(title, here) for title, here in panels if (here["status"] == "ok").any()]
    if not panels:
        raise Nothing
    # Each panel has its own axes: twin and Haar starts are mapped where each says most.
    widths = [here["reg"].nunique() for _, here in panels]
    fig, axes = canvas(2.2, 1, len(panels), width_ratios=widths)
    for ax, (title, here) in zip(axes[0], panels, strict=True):
        samples, regs = sorted(here["samples"].unique()), sorted(here["reg"].unique())
        mosaic(ax, here, "reg", "samples", regs, samples)
        thresholds = here.groupby("samples")["predicted_trap_threshold"].median().reindex(samples)
        x = np.repeat([_place(value, regs) for value in thresholds], 2)
        y = np.repeat(np.arange(len(samples) + 1), 2)[1:-1] - 0.5
        ax.plot(x, y, color="white", linewidth=2.4)
        ax.plot(x, y, color="black", linewidth=1.1)
        ax.set_title(title)
        ax.set_xlabel(REG)
    axes[0, 0].set_ylabel("samples $k$")
    law = {r"$\gamma=2\lambda$, median over seeds": LAW | dict(linestyle="-")}
    legend(fig, outcome_patches(cells["outcome"]) | law)
    return fig


@figure("grid")
def draw_grid(run: Run) -> Figure:
    """The full cross: how every run ended, a panel for each penalty and determinant."""
    nonempty(run.block("grid"))
    cells = run.planned("grid")
    names, sides = in_order(cells["arm"]), sorted(cells["determinant"].unique(), reverse=True)
    samples = sorted(cells["samples"].unique())
    regs = {arm: sorted(cells.loc[cells["arm"] == arm, "reg"].unique()) for arm in names}
    widths = [max(len(regs[arm]), 1.5) for arm in names]
    height = 0.7 + max(0.9, 0.2 * len(samples)) * len(sides)
    fig, axes = canvas(height, len(sides), len(names), sharey=True, width_ratios=widths)
    for row, side in enumerate(sides):
        for ax, arm in zip(axes[row], names, strict=True):
            here = cells[(cells["arm"] == arm) & (cells["determinant"] == side)]
            mosaic(ax, here, "reg", "samples", regs[arm], samples)
            if regs[arm] == [0]:
                ax.set_xticks([])
            if row == 0:
                ax.set_title(word(arm), loc="center")
            ax.tick_params(labelbottom=row == len(sides) - 1)
            ax.set_xlabel(REG if row == len(sides) - 1 and len(regs[arm]) > 1 else "")
            for n in cells["dimension"].unique():  # from here on the data determine W
                ax.axhline(float(np.searchsorted(samples, n, side="right")) - 0.5, color="black", linewidth=0.8)
        axes[row, 0].set_ylabel(f"start {'right' if side == 'match' else 'wrong'}\nsamples $k$")
    legend(fig, outcome_patches(cells["outcome"]) | {"$k=n$": dict(color="black", linewidth=0.8)})
    return fig
