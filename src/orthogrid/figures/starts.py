"""Where random starts end, by weight and learning rate."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke
from matplotlib.ticker import NullLocator

from ..analysis.intervals import share
from ..presenting.panels import canvas, decades, legend, outcome_patches, sided
from ..presenting.style import COLOURS, GREY, LAW, MARKERS, UNIT, figure, nonempty, shades
from ..run.run import Run
from ..theory import forms

STACK = ("trapped", "unfinished, wrong side", "unfinished", "recovered")  # from below
SIDES = {"mismatch": "wrong", "match": "right"}


@figure("capture_white large_white large_trap capture")
def draw_outcomes(run: Run) -> Figure:
    """Share of random starts by outcome, stacked, against reg/2 lambda in bins: a column a kind of problem, a row a side of the start."""
    groups = {
        "white": run.block("capture_white", "large_white"),
        "uniform, no bias": run.block("capture"),
        "uniform, bias": run.block("large_trap"),
    }
    groups = {name: _against_threshold(cells) for name, cells in groups.items()}
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
    legend(fig, handles | {text: Line2D([], [], **LAW | dict(linestyle=style)) for text, style in lines.items()})
    return fig


def _against_threshold(cells: pd.DataFrame) -> pd.DataFrame:
    """Random starts under the sum of squares with x, their reg over 2 lambda, and the spread mu/lambda of their problem."""
    known = (cells["predicted_lambda_min"] > 0) & (cells["penalty"] == "fro2") & (cells["init"] == "haar")
    cells = cells[known]
    x = cells["reg"] / forms.trap_threshold("fro2", cells["predicted_lambda_min"])
    return cells.assign(x=x, spread=cells["predicted_lambda_max"] / cells["predicted_lambda_min"])


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
    middle = cells["predicted_lambda_min"].drop_duplicates().median()  # the runs of one weight share a place
    cells = cells.assign(x=cells["reg"] / forms.trap_threshold("fro2", middle))
    fig, axes = canvas(2.0, 1, 2, sharey=True)
    colours, handles = shades(sorted(cells["lr"].unique())), {}
    for ax, (start, side) in zip(axes[0], SIDES.items(), strict=True):
        for j, (lr, some) in enumerate(cells[cells["determinant"] == start].groupby("lr")):
            found = some.groupby("x")["wrong"].apply(share)
            value, low, high = np.array(found.tolist()).T
            place = found.index * 1.06 ** (j - 0.5)  # side by side
            style = dict(color=colours[lr], marker=MARKERS[j], elinewidth=0.7)
            ax.errorbar(place, value, yerr=[value - low, high - value], **style)
            handles[rf"$\eta={lr:g}$, {some['steps'].iloc[0]:g} steps"] = Line2D(
                [], [], color=colours[lr], marker=MARKERS[j]
            )
        ax.set(xscale="log", ylim=(-0.04, 1.08), yticks=[0, 0.5, 1], xlabel=UNIT)
        ax.axvline(1, **LAW)
        ax.axvline(cells["spread"].median(), **LAW | dict(linestyle=":"))
        ax.set_title(f"start on the {side} side")
        ax.xaxis.set_minor_locator(NullLocator())
    axes[0, 0].set_ylabel("share that ends wrong")
    legend(fig, handles)
    return fig
