"""Precision and size: what the number format sets, and how error and cost grow with the dimension."""

from __future__ import annotations

from functools import partial

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..analysis.intervals import Estimate, farthest, share_difference
from ..analysis.select import exponents, only, paired, paired_ratio
from ..analysis.settings import COARSER
from ..cells.cell import AXES
from ..presenting.ledger import UNTESTED, Measurement, claim, measured
from ..presenting.panels import Panel, bars, decades, inside, note, side_by_side, ticks, wrong_shares
from ..presenting.style import GREY, MARKERS, S_FRO, colour, figure, in_order, word
from ..run.run import Run

DTYPES = AXES["dtype"].choices  # from fine to coarse


def coarsening(cells: pd.DataFrame) -> dict[tuple[str, str, str], Estimate]:
    """(penalty, format, next coarser format present) → ‖S‖_F with the coarser over that with the finer, over paired runs."""
    ratios = {}
    for penalty, same in cells.groupby("penalty"):
        present = [name for name in DTYPES if (same["dtype"] == name).any()]
        for fine, coarse in zip(present, present[1:], strict=False):
            ratios[penalty, fine, coarse] = paired_ratio(paired(same, "orthogonality_fro", "dtype", fine, coarse))
    return ratios


@claim(
    "dtype-floor", "Each coarser number format ends less orthogonal than the next finer one", ">", blocks="precision",
    predicate="‖S‖_F with each format over that with the next finer one, for each penalty, matching starts, geometric "
    "mean of paired runs: the smallest of these ratios, against {COARSER}. Partly where some steps show it "
    "and others do not.",
)  # fmt: skip
def dtype_floor(run: Run, cells: pd.DataFrame) -> Measurement:
    used = only(cells, determinant="match")
    ratios = {f"{fine} to {coarse} with {name}": ratio for (name, fine, coarse), ratio in coarsening(used).items()}
    if not ratios:
        return UNTESTED
    equal = [name for name, ratio in ratios.items() if ratio.value <= COARSER]
    smallest = min(ratios.values(), key=lambda ratio: ratio.value)
    some = smallest.high <= COARSER and any(ratio.low > COARSER for ratio in ratios.values())
    return measured(smallest, COARSER, used, partly=f"not from {', '.join(equal)}" if some else "")


@claim(
    "dtype-crossing", "The number format does not decide which side a run ends on", "±", blocks="precision precision_side",
    tolerance=0.25,
    predicate="Share of mismatched fro2 starts with lambda > 0 that end wrong with another format minus that with "
    "float32, over paired runs: the format whose interval reaches farthest. Equal: within a quarter, which "
    "ten pairs without discord establish.",
)  # fmt: skip
def dtype_crossing(run: Run, cells: pd.DataFrame) -> Measurement:
    used = only(cells, determinant="mismatch", penalty="fro2")
    used = used[used["lambda_min"] > 0]
    differences = []
    for other in DTYPES:
        pairs = paired(used, "wrong", "dtype", "float32", other)
        if other != "float32" and len(pairs):
            differences.append(share_difference(pairs["first"] > 0.5, pairs["second"] > 0.5))
    return measured(farthest(differences, 0.0), 0.0, used)


@figure("precision scaling")
def draw_precision(run: Run) -> Figure:
    """Number format and size: orthogonality and share on the wrong side by format, cost and error by dimension."""
    formats, sizes = run.block("precision"), run.block("scaling")
    # Where the data determine W, what a finite weight gives up for them hides what the format does.
    few, match = formats["samples"] < formats["dimension"], formats["determinant"] == "match"
    easy = formats[match & few] if (match & few).any() else formats[match]
    panels = [
        Panel("starts on the right side", _orthogonality, easy),
        Panel("… on the wrong side", _sides, formats[~match & (formats["lambda_min"] > 0)]),
        Panel("time of a step", partial(_growth, "seconds_per_step", "seconds", (2, 3)), sizes, 0.9),
        Panel("orthogonality", partial(_growth, "orthogonality_fro", S_FRO, (1,)), sizes, 0.9),
    ]
    return side_by_side(2.1, panels)


def _by_format(ax: Axes, cells: pd.DataFrame) -> pd.DataFrame:
    """The cells with their arm, its colour named in the panel, and their place on an axis of formats."""
    names = [name for name in DTYPES if name in set(cells["dtype"])]
    present = in_order(cells["arm"])
    aside = {arm: 0.18 * (i - (len(present) - 1) / 2) for i, arm in enumerate(present)}
    ax.set_xticks(range(len(names)), names, rotation=35, ha="right", rotation_mode="anchor")
    ax.set_xlim(-0.5, len(names) - 0.5)
    return cells.assign(place=cells["dtype"].map(names.index) + cells["arm"].map(aside))


def _orthogonality(ax: Axes, cells: pd.DataFrame) -> None:
    cells = _by_format(ax, cells)
    for j, (arm, own) in enumerate(cells.groupby("arm")):
        bars(ax, own, "place", "orthogonality_fro", color=colour(arm), marker=MARKERS[j], linestyle="none")
        inside(ax, word(arm), (0.02, 0.98 - 0.09 * j), va="top", color=colour(arm))
    ax.set(yscale="log", ylabel=S_FRO)
    ax.margins(y=0.25)
    decades(ax)


def _sides(ax: Axes, cells: pd.DataFrame) -> None:
    cells = _by_format(ax, cells)
    for j, (arm, own) in enumerate(cells.groupby("arm")):
        wrong_shares(ax, own, "place", color=colour(arm), marker=MARKERS[j], linestyle="none")
    ax.set(ylim=(-0.04, 1.04), yticks=[0, 0.5, 1], ylabel="share that ends wrong")


def _growth(column: str, label: str, powers: tuple[int, ...], ax: Axes, cells: pd.DataFrame) -> None:
    """Medians over the dimension, with guides that grow like its powers, drawn through the largest dimension's median."""
    ax.set(xscale="log", yscale="log")
    bars(ax, cells, "dimension", column, color=colour("fro2"), marker="o")
    sizes = sorted(cells["dimension"].unique())
    end, low = cells.loc[cells["dimension"] == sizes[-1], column].median(), cells[column].min() / 2
    for power in powers:
        first = max(sizes[0], sizes[-1] * (low / end) ** (1 / power))  # where it enters the panel
        n = np.array([first, sizes[-1]])
        guide = end * (n / sizes[-1]) ** power
        ax.plot(n, guide, color=GREY, linewidth=0.7, linestyle=":")
        note(ax, f"$n^{power}$" if power > 1 else "$n$", (n[0], guide[0]), (4, -1))
    ax.set(ylim=(low / 1.2, None), xlabel="dimension $n$", ylabel=label)
    fit = exponents(cells, column, "dimension").mean()
    if len(fit) and fit.notna().all():
        inside(ax, f"fit: $n^{{{fit['dimension']:.2f}}}$", (0.02, 0.98), va="top")
    ticks(ax, sizes)
    ax.margins(x=0.12)
    decades(ax)
