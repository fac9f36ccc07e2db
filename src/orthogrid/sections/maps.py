"""Maps: where every run ended, by the penalty weight and the samples."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

from ..presenting.panels import STACK, canvas, decades, legend, mosaic, outcome_patches
from ..presenting.style import COLOURS, GREY, LAW, REG, UNIT, Nothing, figure, in_order, nonempty, tick_label, word
from ..run.run import Run

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
            # Of many weights there is room for every second.
            shown = [] if regs[arm] == [0] else regs[arm][:: 2 if len(regs[arm]) > 3 else 1]
            ax.set_xticks([regs[arm].index(reg) for reg in shown], [tick_label(reg) for reg in shown])
            if row == 0:
                ax.set_title(word(arm), loc="center")
            ax.tick_params(labelbottom=row == len(sides) - 1)
            ax.set_xlabel(REG if row == len(sides) - 1 and len(regs[arm]) > 1 else "")
            for n in cells["dimension"].unique():  # from here on the data determine W
                ax.axhline(float(np.searchsorted(samples, n, side="right")) - 0.5, color="black", linewidth=0.8)
        axes[row, 0].set_ylabel(f"start {'right' if side == 'match' else 'wrong'}\nsamples $k$")
    legend(fig, outcome_patches(cells["outcome"]) | {"$k=n$": dict(color="black", linewidth=0.8)})
    return fig
