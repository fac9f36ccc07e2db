"""How orthogonal runs end, for how much data loss, and what sets the floor of absolute values."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ..cells.components import methods
from ..cells.shape import spec_options
from ..presenting.panels import Panel, bars, decades, inside, limits, note, side_by_side, ticks
from ..presenting.style import DATA_LOSS, GREY, LAW, MARKERS, S_FRO, SCHEDULES, colour, figure, ordered_arms, word
from ..run.run import Run, arms
from ..theory import forms

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
    names, paths = ordered_arms(every), {}
    xlim, ylim = limits(every["fit"], 10), limits(every["orthogonality_fro"], 10)
    for name in names:
        own = cells[arms(cells) == name]
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
    ax.set(xlim=xlim, ylim=ylim)
    ax.set_xlabel(f"final {DATA_LOSS}")
    ax.set_ylabel(f"final {S_FRO}")
    decades(ax)
    decades(ax, "x", most=5)


def _weights(ax: Axes, paths: dict[str, pd.Series], box: np.ndarray) -> None:
    """The weight beside each point, where there is most room for it; none where there is none. The ends of a line come first."""
    spots = {name: {r: PANEL * np.log10(at / box[:, 0]) / np.log10(box[:, 1] / box[:, 0]) for r, at in path.items()}
             for name, path in paths.items()}  # fmt: skip
    lines = [list(spot.values()) for spot in spots.values()]
    taken = np.concatenate(
        [np.linspace(a, b, 25) for line in lines for a, b in zip([line[0], *line], line, strict=False)]
    )
    ends = [(name, reg) for name in paths for reg in (min(paths[name].index), max(paths[name].index))]
    inner = [(name, reg) for name in paths for reg in paths[name].index]
    for name, reg in dict.fromkeys([*ends, *inner]):
        size = np.array([4.0 * len(f"{reg:g}"), 6.5])
        places = [spots[name][reg] + side * (size / 2 + 3) for side in map(np.array, SIDES)]
        room = [(abs(taken - place) - size / 2).max(axis=1).min() for place in places]
        best = int(np.argmax(room))
        if room[best] > 1:
            shift = tuple(places[best] - spots[name][reg])
            note(
                ax, f"{reg:g}", tuple(paths[name][reg]), shift, color=colour(name), fontsize=7, ha="center", va="center"
            )
            taken = np.concatenate(
                [taken, places[best] + size / 2 * np.array([(0, 0), (1, 1), (1, -1), (-1, 1), (-1, -1)])]
            )


def _rates(sizes: list[int], ax: Axes, cells: pd.DataFrame) -> None:
    """A marker for each of the sizes, which the next panel shares."""
    cells = cells.assign(floor=cells["orthogonality_l1"] / cells["dimension"] ** 2)
    ax.set(xscale="log", yscale="log")
    for name in ordered_arms(cells):
        for j, n in enumerate(sizes):
            some = cells[(cells["penalty"] == name) & (cells["dimension"] == n)]
            if len(some):
                style: dict[str, Any] = dict(
                    color=colour(name), marker=MARKERS[j], markerfacecolor="white", linewidth=0.6
                )
                bars(ax, some, "lr", "floor", **style)
    rates = np.array(sorted(cells["lr"].unique()))
    ax.plot(rates, forms.l1_floor(1, rates), **LAW)
    ax.set_xlabel(r"learning rate $\eta$")
    ax.set_ylabel(r"final mean $|S_{ij}|$")
    ticks(ax, rates[::-2])  # every second: there is no room for more
    ax.margins(x=0.12, y=0.12)
    decades(ax)


def _beta1(sizes: list[int], ax: Axes, cells: pd.DataFrame) -> None:
    default = methods()["adam"].options["beta1"]
    beta1 = cells["method"].map(lambda spec: spec_options(spec).get("beta1", default))
    cells = cells.assign(beta1=beta1, floor=cells["orthogonality_l1"] / cells["dimension"] ** 2 / cells["lr"])
    for n, some in cells.groupby("dimension"):
        style: dict[str, Any] = dict(
            color=colour("l1"), marker=MARKERS[sizes.index(n)], markerfacecolor="white", linestyle="none"
        )
        bars(ax, some, "beta1", "floor", **style)
    values = sorted(cells["beta1"].unique())
    ax.plot(values, [forms.l1_constant(value) for value in values], **LAW)
    ax.set(xlabel=r"momentum $\beta_1$", ylim=(0, None), xticks=[0, 0.5, 1])
    ax.set_ylabel(r"final mean $|S_{ij}|\,/\,\eta$")
    style = dict(color=GREY, markerfacecolor="white", linestyle="none")
    handles = [Line2D([], [], **LAW)] + [Line2D([], [], marker=MARKERS[i], **style) for i in range(len(sizes))]
    names = ["law", *(f"$n={n}$" for n in sizes)]
    ax.legend(handles, names, loc="upper right", borderpad=0, borderaxespad=0, handletextpad=0.3, labelspacing=0.25)
