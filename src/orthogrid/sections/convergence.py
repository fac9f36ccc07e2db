"""Convergence: the thread's three changes, how far absolute values and squares converge, and what a constant rate leaves."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..analysis import select
from ..analysis.intervals import farthest, geometric_mean, mean
from ..analysis.select import only
from ..analysis.settings import CONSTANT_WITHIN, EQUAL_FIT, FITTED, SIMILAR
from ..cells.cell import Cell
from ..cells.components import methods
from ..cells.shape import spec_options
from ..presenting.formats import MISSING, digits2, median, setting
from ..presenting.ledger import ANSWERER, QUESTIONER, UNTESTED, Measurement, claim, measured
from ..presenting.panels import Panel, bars, decades, inside, legend, limits, note, side_by_side, ticks
from ..presenting.style import DATA_LOSS, GREY, LAW, MARKERS, S_FRO, SCHEDULES, colour, figure, in_order, word
from ..presenting.tables import table, tabular
from ..run.run import Run
from ..run.thread import LOG_A
from ..theory import forms

# The three changes.


@claim(
    "detached", "A detached penalty does not affect the training", "≤", blocks="ablation", tolerance=1e-3, check=True,
    author=ANSWERER, quote="gradients of orthogonal_loss won’t backpropagate",
    predicate="Largest difference of ‖S‖_F between detached runs that share a seed, over their median: they differ in "
    "reg or norm only. Batches of other sizes may round otherwise; an effect of reg would be of the size of "
    "‖S‖_F itself.",
)  # fmt: skip
def detached_penalty(run: Run, cells: pd.DataFrame) -> Measurement:
    same = select.detached(cells)
    if same.empty or same.groupby("seed")["key"].count().max() < 2:
        return UNTESTED
    groups = same.groupby("seed")["orthogonality_fro"]
    spread = (groups.max() - groups.min()).max()
    return measured(spread / same["orthogonality_fro"].median(), 0.0, same)


@claim(
    "plateau", "The first script's matrix is as far from orthogonal as plain regression foretells", "≈",
    blocks="thread_a", tolerance=0.03, author=QUESTIONER,
    quote="The matrix it converges to doesn’t seem to be orthogonal",
    predicate="Plateau of sum |S|, mean over seeds, against the closed form, which is gradient descent's: Adam may add "
    "a little.",
)  # fmt: skip
def plateau(run: Run, cells: pd.DataFrame) -> Measurement:
    return measured(mean(select.plateau_by_seed(run)), select.predicted_plateau(run), cells)


# Which penalty gets how far, at its best reg among those that fit the data.


def _fronts(cells: pd.DataFrame, first: str, second: str, schedule: str) -> Measurement:
    """‖S‖_F of one penalty over that of another, each at its best fitted reg, with the most steps."""
    used = only(cells[cells["penalty"].isin([first, second])], schedule=schedule)
    longest = only(used, steps=cells["steps"].max())
    ratio = select.best_ratio(*(select.best_fitted(longest, penalty=name) for name in (first, second)))
    return UNTESTED if math.isnan(ratio.value) else measured(ratio, SIMILAR, used)


@claim(
    "squares", "Under a constant rate absolute values end less orthogonal than squares", ">",
    blocks="large_convergence", author=ANSWERER,
    quote="Replacing the sum of absolute values with the sum of squares gives a much more natural penalty",
    predicate="Adam: ‖S‖_F of l1 over that of fro2, each at the reg with the smallest median ‖S‖_F among those with "
    "median data loss below {FITTED} after the most steps, geometric mean of paired seeds, against {SIMILAR}.",
)  # fmt: skip
def squares(run: Run, cells: pd.DataFrame) -> Measurement:
    return _fronts(cells, "l1", "fro2", "constant")


@claim(
    "natural", "And so they do under gradient descent", ">", blocks="convergence_sgd", author=ANSWERER,
    quote="it doesn’t work well for orthogonalizing X",
    predicate="Gradient descent at a constant rate: the same ratio.",
)  # fmt: skip
def natural(run: Run, cells: pd.DataFrame) -> Measurement:
    return _fronts(cells, "l1", "fro2", "constant")


@claim(
    "exact", "In few steps at a decaying rate the norm, not squared, ends more orthogonal than squares", ">",
    blocks="large_convergence",
    predicate="Adam with a cosine schedule: ‖S‖_F of fro2 over that of fro, each at its best fitted reg, geometric mean "
    "of paired seeds, against {SIMILAR}. An exact penalty: at a large enough reg its minimum has S = 0 "
    "whatever the data.",
)  # fmt: skip
def exact(run: Run, cells: pd.DataFrame) -> Measurement:
    return _fronts(cells, "fro2", "fro", "cosine")


@claim(
    "alike", "With steps enough and a decaying rate, absolute values and squares end alike", "<", blocks="convergence",
    predicate="Adam with a cosine schedule: ‖S‖_F of l1 over that of fro2, each at its best fitted reg after the most "
    "steps, geometric mean of paired seeds, against {SIMILAR}: both are left with rounding.",
)  # fmt: skip
def alike(run: Run, cells: pd.DataFrame) -> Measurement:
    return _fronts(cells, "l1", "fro2", "cosine")


@claim(
    "cosine", "A decaying rate removes the floor of absolute values", "≤", blocks="convergence", author=ANSWERER,
    quote="unless you have a scheme for reducing your learning rate",
    predicate="Adam: ‖S‖_F of l1 under cosine over that under a constant rate, each at its best fitted reg after the "
    "most steps, geometric mean of paired seeds; removed: a hundredth at most.",
)  # fmt: skip
def cosine(run: Run, cells: pd.DataFrame) -> Measurement:
    used = only(cells, penalty="l1", steps=cells["steps"].max())
    sides = [select.best_fitted(used, schedule=schedule) for schedule in ("cosine", "constant")]
    return measured(select.best_ratio(*sides), 0.01, used) if all(map(len, sides)) else UNTESTED


@claim(
    "small-reg", "With the thread's small weight even an attached penalty changes little", ">", blocks="ablation",
    predicate="‖S‖_F of an attached penalty at the thread's small reg over that without a gradient, geometric mean of "
    "seeds: of absolute values and squares the one that is changed most; against one half.",
)  # fmt: skip
def small_reg(run: Run, cells: pd.DataFrame) -> Measurement:
    cells = only(cells, reg=LOG_A.reg)
    plain = select.detached(cells).groupby("seed")["orthogonality_fro"].median()
    sides = [only(cells, penalty=name).groupby("seed")["orthogonality_fro"].median() for name in ("l1", "fro2")]
    ratios = [geometric_mean((side / plain).dropna()) for side in sides]
    return measured(min(ratios), 0.5, cells) if len(plain) else UNTESTED


@claim(
    "reg", "With attached squares the thread's large weight ends more orthogonal, at equal fit", "<", blocks="ablation",
    author=ANSWERER, quote="I substantially increase reg",
    predicate="‖S‖_F of fro2 at the thread's large reg over that at its small one, geometric mean of paired seeds, "
    "against a hundredth; untested if the median fits are neither both below {FITTED} nor within a factor "
    "{EQUAL_FIT}.",
)  # fmt: skip
def reg(run: Run, cells: pd.DataFrame) -> Measurement:
    cells = only(cells, penalty="fro2")
    pairs = select.paired(cells, "orthogonality_fro", "reg", LOG_A.reg, Cell().reg)
    low, high = sorted(only(cells, reg=value)["fit"].median() for value in (LOG_A.reg, Cell().reg))
    if pairs.empty or not (high < FITTED or high <= EQUAL_FIT * low):
        return UNTESTED
    return measured(select.paired_ratio(pairs), 0.01, cells)


@table("ablation")
def changes_table(run: Run, verdicts: pd.DataFrame) -> str:
    """The thread's three changes, each alone and together: medians of ‖S‖_F and data loss. Without a gradient reg changes nothing."""
    cells = run.block("ablation")
    rows = []
    for name, words in (("l1_detached", "without a gradient"), ("l1", "absolute values"), ("fro2", "squares")):
        same = only(cells, penalty=name)
        for weight in sorted(same["reg"].unique())[: 1 if name == "l1_detached" else None]:
            here = only(same, reg=weight)
            shown = MISSING if name == "l1_detached" else setting(weight)
            rows.append([words, shown, digits2(median(here["orthogonality_fro"])), digits2(median(here["fit"]))])
    return tabular("llrr", ["Penalty", r"Penalty weight $\reg$", r"$\fnorm S$", "Data loss"], rows)


# What a constant rate leaves.


@claim(
    "floor-rate", "Under a constant rate the floor of absolute values grows like the rate", "±", blocks="rates",
    tolerance=0.05,
    predicate="Exponent b in sum |S| = C n^a lr^b over the l1 runs with a constant rate, least squares for each seed, "
    "mean over seeds. The signs of S flip at full step: b = 1.",
)  # fmt: skip
def floor_rate(run: Run, cells: pd.DataFrame) -> Measurement:
    used = only(cells, penalty="l1", schedule="constant", method="adam")
    return measured(mean(select.exponents(used, "orthogonality_l1", "dimension", "lr")["lr"]), 1.0, used)


@claim(
    "floor-constant", "Its constant is the one that Adam's momentum makes, without a fit", "±", blocks="beta1",
    tolerance=CONSTANT_WITHIN,
    predicate="Sum |S| over n² lr, mean over the second half of the logged steps, over the mean |S|/lr of the scalar "
    "map with the run's beta1, less 1: the beta1 whose mean over seeds lies farthest off. Partly if it holds "
    "for most of them.",
)  # fmt: skip
def floor_constant(run: Run, cells: pd.DataFrame) -> Measurement:
    late = run.traces_of(cells).merge(cells[["key", "steps"]], on="key")
    late = late[2 * late["step"] > late["steps"]].groupby("key")["orthogonality_l1"].mean()
    ratio = cells["key"].map(late) / cells["predicted_l1_floor"] - 1
    used = cells[ratio.notna()]
    estimates = {name: mean(select.by_seed(ratio[same.index], same)) for name, same in used.groupby("method")}
    if not estimates:
        return UNTESTED
    off = [name for name, e in estimates.items() if abs(e.value) > CONSTANT_WITHIN]
    some = 0 < 2 * len(off) < len(estimates)
    return measured(farthest(estimates.values(), 0.0), 0.0, used, partly=f"not for {', '.join(off)}" if some else "")


# A remark in the second script.


@claim(
    "flip", "In the script's dimension, multiplying the matrix by -1 flips its determinant", "≈", blocks="thread_b",
    check=True, author=ANSWERER, quote="rho *= -1   # flip determinant -- assumes that rho is odd-dimensional",
    foretold="refuted",
    predicate="det(-W)/det W = (-1)^n at the dimension of the second script. The comment says that it assumes an odd "
    "one.",
)  # fmt: skip
def flip(run: Run, cells: pd.DataFrame) -> Measurement:
    n, _ = select.block_size(run, "thread_b")
    return measured((-1.0) ** n, -1.0, cells)  # type: ignore[operator]


# How orthogonal runs end, for how much data loss, and what sets the floor of absolute values.

PANEL = np.array([95.0, 125.0])  # points: how large a front is, nearly
SIDES = ((1, 0), (-1, 0), (1, 1), (1, -1), (-1, 1), (-1, -1), (0, 1), (0, -1))


@figure("large_convergence convergence rates beta1")
def draw_fronts(run: Run) -> Figure:
    """‖S‖_F against data loss along the weight, at both schedules; and the floor of absolute values over rate and momentum."""
    cells = run.block("large_convergence")
    cells = cells if len(cells) else run.block("convergence")
    cells = cells[cells["steps"] == cells["steps"].max()]
    rates, beta1 = run.block("rates"), run.block("beta1")
    sizes = sorted({*rates["dimension"], *beta1["dimension"]})
    fronts = {schedule: cells[cells["schedule"] == schedule] for schedule in SCHEDULES}
    panels = [
        *(Panel(f"{schedule} rate", partial(_front, cells), front, 1.15) for schedule, front in fronts.items()),
        Panel("floor over rate", partial(_rates, sizes), rates[rates["schedule"] == "constant"]),
        Panel("over momentum", partial(_beta1, sizes), beta1[beta1["lr"] == beta1["lr"].min()], 0.9),
    ]
    return side_by_side(2.3, panels)


def _front(every: pd.DataFrame, ax: Axes, cells: pd.DataFrame) -> None:
    """Medians and ranges, a line a penalty, a point a weight; `every` has the cells of both panels, for their limits."""
    ax.set(xscale="log", yscale="log")
    names, paths = in_order(every["arm"]), {}
    xlim, ylim = limits(every["fit"], 10), limits(every["orthogonality_fro"], 10)
    for name in names:
        own = cells[cells["arm"] == name]
        if own.empty:
            continue
        levels = own.groupby("reg")[["fit", "orthogonality_fro"]].agg(["median", "min", "max"])
        x, y = levels["fit"], levels["orthogonality_fro"]
        reach = [[each["median"] - each["min"], each["max"] - each["median"]] for each in (x, y)]
        style = dict(color=colour(name), marker=MARKERS[names.index(name)], elinewidth=0.6, markersize=3)
        ax.errorbar(x["median"], y["median"], reach[1], reach[0], **style)
        paths[name] = pd.Series(list(np.stack([x["median"], y["median"]], axis=1)), index=levels.index)
    _weights(ax, paths, np.array([xlim, ylim]))
    if cells["schedule"].iloc[0] == "constant":  # which leaves the lower right empty
        for i, name in enumerate(reversed(names)):
            inside(ax, word(name), (0.98, 0.03 + 0.08 * i), color=colour(name), ha="right")
    ax.set(xlim=xlim, ylim=ylim, xlabel=f"final {DATA_LOSS}", ylabel=f"final {S_FRO}")
    decades(ax)
    decades(ax, "x", most=5)


def _weights(ax: Axes, paths: dict[str, pd.Series], box: np.ndarray) -> None:
    """The weight beside each point, where there is most room for it; none where there is none. The ends of a line come first."""
    spots = {name: {r: PANEL * np.log10(at / box[:, 0]) / np.log10(box[:, 1] / box[:, 0]) for r, at in path.items()}
             for name, path in paths.items()}  # fmt: skip
    lines = [list(spot.values()) for spot in spots.values()]
    pieces = [pair for line in lines for pair in zip([line[0], *line], line, strict=False)]
    taken = np.concatenate([np.linspace(a, b, 25) for a, b in pieces])
    ends = [(name, reg) for name in paths for reg in (min(paths[name].index), max(paths[name].index))]
    inner = [(name, reg) for name in paths for reg in paths[name].index]
    for name, reg in dict.fromkeys([*ends, *inner]):
        size = np.array([4.0 * len(f"{reg:g}"), 6.5])
        places = [spots[name][reg] + side * (size / 2 + 3) for side in map(np.array, SIDES)]
        room = [(abs(taken - place) - size / 2).max(axis=1).min() for place in places]
        best = int(np.argmax(room))
        if room[best] > 1:
            at, shift = tuple(paths[name][reg]), tuple(places[best] - spots[name][reg])
            note(ax, f"{reg:g}", at, shift, color=colour(name), fontsize=7, ha="center", va="center")
            corners = np.array([(0, 0), (1, 1), (1, -1), (-1, 1), (-1, -1)])
            taken = np.concatenate([taken, places[best] + size / 2 * corners])


def _rates(sizes: list[int], ax: Axes, cells: pd.DataFrame) -> None:
    """A marker for each of the sizes, which the next panel shares."""
    cells = cells.assign(floor=cells["orthogonality_l1"] / cells["dimension"] ** 2)
    ax.set(xscale="log", yscale="log")
    for name in in_order(cells["arm"]):
        for j, n in enumerate(sizes):
            some = cells[(cells["penalty"] == name) & (cells["dimension"] == n)]
            if len(some):
                style: dict[str, Any] = dict(marker=MARKERS[j], markerfacecolor="white", linewidth=0.6)
                bars(ax, some, "lr", "floor", color=colour(name), **style)
    rates = np.array(sorted(cells["lr"].unique()))
    ax.plot(rates, forms.l1_floor(1, rates), **LAW)
    ax.set(xlabel=r"learning rate $\eta$", ylabel=r"final mean $|S_{ij}|$")
    ticks(ax, rates[::-2])  # every second: there is no room for more
    ax.margins(x=0.12, y=0.12)
    decades(ax)


def _beta1(sizes: list[int], ax: Axes, cells: pd.DataFrame) -> None:
    default = methods()["adam"].options["beta1"]
    beta1 = cells["method"].map(lambda spec: spec_options(spec).get("beta1", default))
    cells = cells.assign(beta1=beta1, floor=cells["orthogonality_l1"] / cells["dimension"] ** 2 / cells["lr"])
    for n, some in cells.groupby("dimension"):
        style: dict[str, Any] = dict(marker=MARKERS[sizes.index(n)], markerfacecolor="white", linestyle="none")
        bars(ax, some, "beta1", "floor", color=colour("l1"), **style)
    values = sorted(cells["beta1"].unique())
    ax.plot(values, [forms.l1_constant(value) for value in values], **LAW)
    ax.set(xlabel=r"momentum $\beta_1$", ylabel=r"final mean $|S_{ij}|\,/\,\eta$", ylim=(0, None), xticks=[0, 0.5, 1])
    style = dict(color=GREY, markerfacecolor="white", linestyle="none")
    entries = {"law": LAW} | {f"$n={n}$": dict(marker=MARKERS[i], **style) for i, n in enumerate(sizes)}
    legend(ax, entries, loc="upper right", borderpad=0, borderaxespad=0, handletextpad=0.3, labelspacing=0.25)
