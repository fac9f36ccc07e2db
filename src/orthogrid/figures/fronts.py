"""How orthogonal runs end, for how much data loss, and what sets the floor of absolute values."""

from __future__ import annotations

from functools import partial

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from .. import theory
from ..catalog import methods
from ..cell import spec_options
from ..run import Run, arms
from .panels import Panel, bars, decades, inside, limits, note, side_by_side, ticks
from .style import DATA_LOSS, GREY, LAW, MARKERS, S_FRO, SCHEDULES, colour, figure, ordered_arms, word


@figure("large_convergence convergence rates beta1")
def draw_fronts(run: Run) -> Figure:
    """‖S‖_F against data loss along the weight, at both schedules; and the floor of absolute values over rate and momentum."""
    cells = run.block("large_convergence")
    cells = cells if len(cells) else run.block("convergence")
    cells = cells[cells["steps"] == cells["steps"].max()]
    rates, beta1 = run.block("rates"), run.block("beta1")
    sizes = sorted({*rates["dimension"], *beta1["dimension"]})
    panels = [
        Panel(f"{schedule} rate", partial(_front, cells), cells[cells["schedule"] == schedule], 1.15)
        for schedule in SCHEDULES
    ]
    panels += [
        Panel("floor over rate", partial(_rates, sizes), rates[rates["schedule"] == "constant"]),
        Panel("over momentum", partial(_beta1, sizes), beta1[beta1["lr"] == beta1["lr"].min()], 0.9),
    ]
    return side_by_side(2.3, panels)


def _front(every: pd.DataFrame, ax: Axes, cells: pd.DataFrame) -> None:
    """Medians and ranges, a line a penalty, a point a weight; `every` has the cells of both panels, for their limits."""
    ax.set(xscale="log", yscale="log")
    names, told = ordered_arms(every), []
    xlim, ylim = limits(every["fit"], 10), limits(every["orthogonality_fro"], 10)
    for name in names:
        own = cells[arms(cells) == name]
        levels = own.groupby("reg")[["fit", "orthogonality_fro"]].agg(["median", "min", "max"])
        x, y = levels["fit"], levels["orthogonality_fro"]
        reach = [[each["median"] - each["min"], each["max"] - each["median"]] for each in (x, y)]
        style = dict(color=colour(name), marker=MARKERS[names.index(name)], elinewidth=0.6, markersize=3)
        ax.errorbar(x["median"], y["median"], reach[1], reach[0], **style)
        for reg in levels.index[::-1]:
            at = np.array([x["median"][reg], y["median"][reg]])
            place = np.log10(at / [xlim[0], ylim[0]]) / np.log10([xlim[1] / xlim[0], ylim[1] / ylim[0]])
            if all((abs(place - other) > (0.1, 0.06)).any() for other in told):  # no label upon another
                told.append(place)
                note(ax, f"{reg:g}", tuple(at), (3, 2), color=colour(name), fontsize=7, va="bottom")
    if cells["schedule"].iloc[0] == "constant":  # which leaves the lower right empty
        for i, name in enumerate(reversed(names)):
            inside(ax, word(name), (0.98, 0.03 + 0.08 * i), color=colour(name), ha="right")
    ax.set(xlim=xlim, ylim=ylim)
    ax.set_xlabel(f"final {DATA_LOSS}")
    ax.set_ylabel(f"final {S_FRO}")
    decades(ax)
    decades(ax, "x", most=5)


def _rates(sizes: list[int], ax: Axes, cells: pd.DataFrame) -> None:
    """A marker for each of the sizes, which the next panel shares."""
    cells = cells.assign(floor=cells["orthogonality_l1"] / cells["dimension"] ** 2)
    ax.set(xscale="log", yscale="log")
    for name in ordered_arms(cells):
        for j, n in enumerate(sizes):
            some = cells[(cells["penalty"] == name) & (cells["dimension"] == n)]
            if len(some):
                style = dict(color=colour(name), marker=MARKERS[j], markerfacecolor="white", linewidth=0.6)
                bars(ax, some, "lr", "floor", **style)
    rates = np.array(sorted(cells["lr"].unique()))
    ax.plot(rates, theory.l1_floor(1, rates), **LAW)
    ax.set_xlabel(r"learning rate $\eta$")
    ax.set_ylabel(r"final mean $|S_{ij}|$")
    ticks(ax, rates)
    ax.margins(x=0.12, y=0.12)
    decades(ax)


def _beta1(sizes: list[int], ax: Axes, cells: pd.DataFrame) -> None:
    default = methods()["adam"].options["beta1"]
    beta1 = cells["method"].map(lambda spec: spec_options(spec).get("beta1", default))
    cells = cells.assign(beta1=beta1, floor=cells["orthogonality_l1"] / cells["dimension"] ** 2 / cells["lr"])
    for n, some in cells.groupby("dimension"):
        style = dict(color=colour("l1"), marker=MARKERS[sizes.index(n)], markerfacecolor="white", linestyle="none")
        bars(ax, some, "beta1", "floor", **style)
    values = sorted(cells["beta1"].unique())
    ax.plot(values, [theory.l1_constant(value) for value in values], **LAW)
    ax.set(xlabel=r"momentum $\beta_1$", ylim=(0, None), xticks=[0, 0.5, 1])
    ax.set_ylabel(r"final mean $|S_{ij}|\,/\,\eta$")
    style = dict(color=GREY, markerfacecolor="white", linestyle="none")
    handles = [Line2D([], [], **LAW)] + [Line2D([], [], marker=MARKERS[i], **style) for i in range(len(sizes))]
    names = ["law", *(f"$n={n}$" for n in sizes)]
    ax.legend(handles, names, loc="upper right", borderpad=0, borderaxespad=0, handletextpad=0.3, labelspacing=0.25)
