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

from ..analysis.intervals import NOTHING, Estimate, bracketed, mean, share
from ..analysis.select import boundaries, of_squares, only, outside_margin, paired, problems, random_starts
from ..analysis.settings import MARGIN, MOST
from ..presenting.formats import MISSING, digits2, out_of
from ..presenting.ledger import ANSWERER, UNTESTED, Measurement, claim, measured
from ..presenting.panels import (
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
    sided,
    steps_axis,
    wrong_shares,
)
from ..presenting.style import (
    COLOURS,
    GREY,
    LAW,
    MARKERS,
    REG,
    UNIT,
    Nothing,
    figure,
    in_order,
    nonempty,
    shades,
    word,
)
from ..presenting.values import FORMS, Value, values
from ..run.run import Run
from ..theory import forms


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
    "mu, a factor {MARGIN} off both, that end on the right side, clustered by problem; against a fifth.",
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


def _crossed(cells: pd.DataFrame, expected: float) -> Measurement:
    """The share that changes its side of random starts, uniform inputs, with reg above MARGIN times 2 mu."""
    used = only(random_starts(cells), inputs="uniform")
    used = used[used["reg_over_2mu"] > MARGIN]
    return measured(share(used["crossed"], problems(used)), expected, used)


@claim(
    "bound", "Without a bias no run changes its side above 2μ", "≤", blocks="capture", tolerance=1 - MOST,
    predicate="Share of random starts without a bias, reg above {MARGIN} · 2 mu, whose determinant changes its sign, "
    "clustered by problem. Proved for the flow, run with Adam.",
)  # fmt: skip
def bound(run: Run, cells: pd.DataFrame) -> Measurement:
    return _crossed(cells, 0.0)


@claim(
    "bound-bias", "With a bias some do", ">", blocks="map_haar large_trap",
    predicate="The same share with a bias and uncentred inputs, which the theorem does not cover; against a twentieth.",
)  # fmt: skip
def bound_bias(run: Run, cells: pd.DataFrame) -> Measurement:
    return _crossed(cells, 0.05)


@claim(
    "coin", "Where the gap is wide, the start's light sign tells the side of the flow more often than not", ">",
    blocks="coin",
    predicate="Share of random starts, by gradient descent with small steps, that end on the side of `slow_sign`, "
    "clustered by seed, since both sides of a seed share their samples; against one half, for the gap is "
    "finite.",
)  # fmt: skip
def coin(run: Run, cells: pd.DataFrame) -> Measurement:
    used = _light_signed(cells)
    return measured(share((used["slow_sign"] > 0) == ~used["wrong"], used["seed"]), 0.5, used)


def _light_signed(cells: pd.DataFrame) -> pd.DataFrame:
    """Random starts of either side whose light sign is known."""
    used = random_starts(cells)
    return used[used["slow_sign"].notna()]


@values("coin")
def coin_values(run: Run) -> dict[str, Value | str]:
    """How often the light sign wins where it contradicts the side of the start."""
    used = _light_signed(run.block("coin"))
    against = used[(used["slow_sign"] > 0) != (used["determinant"] == "match")]
    won = against[(against["slow_sign"] > 0) == ~against["wrong"]]
    return {"coin-against": Value(out_of(won, against), blocks="coin", cells=len(against))}


@claim(
    "rate",
    "At an equal product of rate and steps, a tenfold rate changes the share that ends wrong by less than a quarter",
    "±", blocks="capture capture_fast", tolerance=0.25,
    predicate="Between 2 lambda and 2 mu, a factor {MARGIN} off both: whether a mismatched random start ends wrong at "
    "the largest rate less whether it does at the smallest; mean over the paired runs of a seed, then over "
    "seeds.",
)  # fmt: skip
def rate(run: Run, cells: pd.DataFrame) -> Measurement:
    used = _spread(cells, "mismatch")
    return measured(_rate_effect(used), 0.0, used)


def _rate_effect(cells: pd.DataFrame) -> Estimate:
    """The share that ends wrong at the largest rate less that at the smallest: mean over the paired runs of a seed, then over seeds."""
    pairs = paired(cells, "wrong", "lr", cells["lr"].min(), cells["lr"].max(), apart=["steps"], keep=("seed", "reg"))
    change = (pairs["second"] - pairs["first"]).groupby(pairs["seed"]).mean()
    return mean(change) if cells["lr"].nunique() > 1 else NOTHING


@values("capture capture_fast")
def rate_values(run: Run) -> dict[str, Value | str]:
    """The same for starts on the right side, and how far a step of Adam can move s at the largest rate. Read off the rows: no claim."""
    used = _spread(run.block("capture", "capture_fast"), "match")
    if used["lr"].nunique() < 2:
        return {"rate-right-points": MISSING, "largest-step": MISSING}
    effect = _rate_effect(used)
    step = forms.largest_step(used["dimension"].max(), used["lr"].max())
    return {
        "rate-right-points": Value(FORMS["points"](effect.value), *effect, "capture capture_fast", len(used)),
        "largest-step": Value(digits2(step), step),
    }


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

STACK = ("trapped", "unfinished, wrong side", "unfinished", "recovered")  # from below
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
    handles = outcome_patches(sided(pd.concat(groups.values())))
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
            part = (sided(same) == name).mean()
            style = dict(color=COLOURS[name], edgecolor="white", linewidth=0.4)
            ax.bar(left, part, right - left, bottom, align="edge", **style)
            bottom += part
        style = dict(xytext=(0, 1), textcoords="offset points", ha="center", fontsize=7, color=GREY)
        ax.annotate(f"{len(same)}", (np.sqrt(left * right), 1), **style)


@figure("capture capture_fast")
def draw_capture(run: Run) -> Figure:
    """Share of the runs from random starts that end on the wrong side, with Wilson's interval: a panel a side, a line a learning rate."""
    cells = nonempty(_against_threshold(run.block("capture", "capture_fast")))
    middle = cells["lambda_min"].drop_duplicates().median()  # the runs of one weight share a place
    cells = cells.assign(x=cells["reg"] / forms.trap_threshold("fro2", middle))
    fig, axes = canvas(2.0, 1, 2, sharey=True)
    colours, handles = shades(sorted(cells["lr"].unique())), {}
    for ax, (start, side) in zip(axes[0], SIDES.items(), strict=True):
        for j, (lr, some) in enumerate(cells[cells["determinant"] == start].groupby("lr")):
            aside = some.assign(x=some["x"] * 1.06 ** (j - 0.5))  # of those of the other rate
            style = dict(color=colours[lr], marker=MARKERS[j])
            wrong_shares(ax, aside, "x", **style)
            handles[rf"$\eta={lr:g}$, {some['steps'].iloc[0]:g} steps"] = style
        ax.set(xscale="log", ylim=(-0.04, 1.08), yticks=[0, 0.5, 1], xlabel=UNIT)
        ax.axvline(1, **LAW)
        ax.axvline(cells["spread"].median(), **LAW | dict(linestyle=":"))
        ax.set_title(f"start on the {side} side")
        ax.xaxis.set_minor_locator(NullLocator())
    axes[0, 0].set_ylabel("share that ends wrong")
    legend(fig, handles)
    return fig


# One start under two weights, and the coin.


@figure("large_trap capture coin", tables="traces")
def draw_crossing(run: Run) -> Figure:
    """One start under two weights, one of which traps it: determinant and data loss over steps; and the coin of block `coin`.

    The start is a mismatched one that recovers under one weight and is trapped under another: that of the smallest seed in block
    large_trap or, where it has none, in capture. The weights are the largest that lets it go and the smallest that traps it.
    """
    pair, coin = run.trace(_pair(run)).sort_values("step"), run.block("coin")
    coin = coin[coin["slow_sign"].notna()]
    runs = [Panel("determinant", _determinant, pair), Panel("data loss", _losses, pair)]
    return side_by_side(2.2, [*runs, Panel("a coin?", _coin, coin, 1.1)])


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


def _coin(ax: Axes, cells: pd.DataFrame) -> None:
    """A dot a run: a row a side of the start and of its part on the light directions, coloured by the side on which it ended."""
    rows = [(start, sign) for start in SIDES for sign in (-1, 1)]
    most = cells.groupby(["determinant", "slow_sign"]).size().max()
    for i, (start, sign) in enumerate(rows):
        same = cells[(cells["determinant"] == start) & (cells["slow_sign"] == sign)].sort_values("wrong")
        for j, wrong in enumerate(same["wrong"]):
            ax.plot(j % 15, i + 0.24 * (j // 15), **mark("trapped" if wrong else "recovered", markersize=3.2))
        right = (~same["wrong"]).sum()
        ax.text(1.0, i, f"{right}/{len(same)}", transform=ax.get_yaxis_transform(), ha="right", va="center", size=7.5)
    names = [f"start {SIDES[start]},\nlight sign {'right' if sign > 0 else 'wrong'}" for start, sign in rows]
    ax.set(ylim=(3.6, -0.9), xlim=(-0.8, 1.3 * min(15, most) + 0.8), xticks=[])
    ax.set_yticks(range(len(rows)), names)
    ax.tick_params(axis="y", length=0)
    ax.spines[["left", "bottom"]].set_visible(False)
    ax.text(1.0, -0.7, "end right", transform=ax.get_yaxis_transform(), ha="right", va="center", size=7.5)
    agree = ((cells["slow_sign"] > 0) == ~cells["wrong"]).mean()
    ax.set_xlabel(f"{100 * agree:.0f}$\\,$% end where the light sign says")


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
