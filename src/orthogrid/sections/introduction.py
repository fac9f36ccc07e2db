"""The figure of the first page: what no gradient, few samples and a barrier do, and what undoes them."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ..analysis.select import best_fitted, printed_plateau
from ..cells.cell import Cell
from ..presenting.panels import Panel, bars, decades, inside, mark, note, over_steps, side_by_side
from ..presenting.style import COLOURS, INPUTS, LAW, PLAIN, colour, figure, word
from ..run.run import Run
from ..theory import forms

PRINTED = dict(color="black", marker="o", linestyle="none", markersize=2, zorder=5)
PLATEAU = ("thread_a", "large_convergence")  # the blocks of the first panel


@figure("thread_a thread_b large_convergence identifiability cures", tables="traces log_a")
def draw_teaser(run: Run) -> Figure:
    """Why it is hard, in three panels: a penalty without gradient, too few samples, a barrier; and what cures the first and the last."""
    panels = [
        Panel("no gradient, a plateau", partial(_plateau, run), run.block(*PLATEAU), 1.25),
        Panel("few samples, another matrix", partial(_samples, run), run.block("identifiability", "thread_b"), 0.9),
        Panel("wrong side, a trap", _well, run.block("cures"), 1.05),
    ]
    return side_by_side(2.25, panels)


def _plateau(run: Run, ax: Axes, cells: pd.DataFrame) -> None:
    """Mean |S_ij| over steps: without a gradient, and of each penalty, under a cosine rate, at its best weight that fits."""
    trace = run.trace(cells).assign(mean=lambda t: t["orthogonality_l1"] / t["dimension"] ** 2)
    a, large = (trace[trace["key"].isin(run.block(name)["key"])] for name in PLATEAU)
    printed = run.log_a[run.log_a["step"] > 0]
    ax.set(xscale="log", yscale="log", xlabel="step")
    ax.plot(printed["step"], printed["orthogonality_l1"] / Cell().dimension ** 2, **PRINTED)
    last = cells["steps"].max()
    level = mean = printed_plateau(run) / Cell().dimension ** 2
    if len(a):
        over_steps(ax, a[a["step"] > 0], "mean", PLAIN)
        level = (a["predicted_detached_plateau"] / a["dimension"] ** 2).median()
        ax.plot([30, 1.15 * last], [level, level], **LAW)
    text = f"no gradient: stays at {mean:.2g}\n($\\sum|S_{{ij}}|={printed_plateau(run):.0f}$)"
    note(ax, text, (1.15 * last, level), (0, 6), ha="right", linespacing=1.2)
    curves = []
    for penalty in ("l1", "fro2", "fro"):
        best = best_fitted(run.block("large_convergence"), penalty=penalty, schedule="cosine")
        if len(best):
            some = large[large["key"].isin(best["key"])]
            curves.append((penalty, some, f"{word(penalty)}, $\\gamma={best['reg'].iloc[0]:g}$"))
    ends = [(over_steps(ax, some[some["step"] > 0], "mean", colour(name)), name, text) for name, some, text in curves]
    ax.set(xlim=(0.9, 1.15 * last), ylim=(None, 80 * level))
    apart, height = np.ptp(np.log(ax.get_ylim())) / 12, -math.inf
    for line, name, text in sorted(ends, key=lambda end: end[0].iloc[-1]):
        height = max(np.log(line.iloc[-1]), height + apart)  # labels that do not touch
        note(ax, text, (line.index[-1], np.exp(height)), (3, 0), color=colour(name), va="center")
    decades(ax)
    decades(ax, "x")
    ax.set_ylabel("mean $|S_{ij}|$,  $S=WW^\\mathrm{T}-I$")


def _samples(run: Run, ax: Axes, cells: pd.DataFrame) -> None:
    """Distance over that of an unrelated orthogonal matrix, √(2n), against samples over dimension, for the thread's inputs."""
    cells = cells[(cells["inputs"] == "uniform") & (cells["determinant"] == "match")]
    cells = cells.assign(x=cells["samples"] / cells["dimension"], y=cells["distance"] / np.sqrt(2 * cells["dimension"]))
    share = np.concatenate([1 - np.linspace(1, 0, 200) ** 2, [max(1.1, cells["x"].max())]])
    ax.plot(share, forms.coset_distance(1, np.minimum(share, 1)) / np.sqrt(2), **LAW)
    thread = cells["key"].isin(run.block("thread_b")["key"])
    bars(ax, cells[~thread], "x", "y", color=INPUTS["uniform"][0], marker="o", linestyle="none", zorder=4)
    bars(ax, cells[thread], "x", "y", color="black", marker="*", markersize=8, linestyle="none", zorder=5)
    if thread.any():
        k, x, y = cells.loc[thread, ["samples", "x", "y"]].median()
        text = f"the thread, $k={k:g}$: {100 * y:.0f}$\\,$% of\nan unrelated matrix"
        note(ax, text, (x, 1.03), (4, 0), va="bottom", color="black")
    note(ax, r"law $\sqrt{1-k/n}$", (0.6, np.sqrt(0.4)), (4, 1))
    ax.set(xlabel="samples over dimension, $k/n$", ylabel=r"distance to the target $/\sqrt{2n}$")
    ax.set(ylim=(-0.03, 1.32), xlim=(-0.02, None), yticks=[0, 0.5, 1])


def _well(ax: Axes, cells: pd.DataFrame) -> None:
    """The loss along one reflection at the runs' own weight, with and without an extra output row, and where runs of both kinds ended."""
    cells = cells[(cells["method"].isin(["adam", "lifted"])) & (cells["steps"] == cells["steps"].max())]
    unit, ratio = float(forms.wrong_floor(1.0)), float(cells["reg_over_2lambda"].median())
    reg = ratio * float(forms.trap_threshold("fro2", 1.0))
    s = np.linspace(-1.18, 1.18, 400)
    loss = cells["fit"] + cells["reg"] * cells["orthogonality_fro"] ** 2
    cells = cells.assign(y=loss / forms.wrong_floor(cells["lambda_min"]))
    for method, outcome in (("adam", "trapped"), ("lifted", "recovered")):
        every, lifted = cells[cells["method"] == method], method == "lifted"
        ax.plot(s, forms.path_loss(s, reg, 1.0, lifted=lifted) / unit, color=COLOURS[outcome])
        ax.plot(every["position"], every["y"], **mark(outcome, markersize=4.5, zorder=6))
        if len(every):
            count = int((every["outcome"] == outcome).sum())
            text = f"{count} of {len(every)} {outcome}"
            at, va = ((0.5, 0.02), "bottom") if lifted else ((0.5, 0.52), "center")
            text = f"one row more:\n{text}" if lifted else text.replace(" trapped", "\ntrapped")
            inside(ax, text, at, color=COLOURS[outcome], ha="center", va=va)
    top = float(forms.path_loss(0.0, reg, 1.0)) / unit
    note(ax, f"$\\gamma={2 * ratio:.3g}\\lambda$", (0.2, 0.95 * top), (3, 2), color=COLOURS["trapped"])
    ax.set(xlabel="position $s$ on the path", ylabel=r"loss $/\,4\lambda$", ylim=(-0.3 * top, 1.06 * top))
    ax.set_xticks([-1, 0, 1], ["−1, twin", "0", "1, target"])
    ax.yaxis.set_major_locator(MaxNLocator(4, integer=True))
