"""Maps over the grid: how every run ended, by weight and samples."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ..presenting.panels import canvas, legend, outcome_patches
from ..presenting.style import COLOURS, LAW, REG, Nothing, figure, nonempty, number, ordered_arms, word
from ..run.run import Run, arms


def mosaic(ax: Axes, cells: pd.DataFrame, x: str, y: str, columns: Sequence, rows: Sequence) -> None:
    """A tile for each value of x and y, cut into a strip a run, coloured by outcome; white where a run has no result."""
    order = list(COLOURS)
    for (column, row), same in cells.groupby([x, y]):
        if column not in columns or row not in rows:
            continue
        ended = same["outcome"].where(same["status"] == "ok", same["status"])
        ended = sorted(ended[ended != "missing"], key=order.index)
        i, j, width = list(columns).index(column), list(rows).index(row), 0.92 / len(same)
        left = i - 0.46 + width * np.arange(len(ended))
        ax.bar(left, 0.9, width, j - 0.45, align="edge", color=[COLOURS[name] for name in ended], linewidth=0)
        ax.bar(i, 0.9, 0.92, j - 0.45, color="none", edgecolor="0.75", linewidth=0.3)
    ax.set(xlim=(-0.5, len(columns) - 0.5), ylim=(-0.5, len(rows) - 0.5))
    for place, values in ((ax.set_xticks, columns), (ax.set_yticks, rows)):
        place(range(len(values)), [value if isinstance(value, str) else number(value) for value in values])
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)


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
    kinds = (
        ("started at the twin", "twin", "mismatch"),
        ("random, on the wrong side", "haar", "mismatch"),
        ("random, on the right side", "haar", "match"),
    )
    panels = [(title, cells[(cells["init"] == i) & (cells["determinant"] == d)]) for title, i, d in kinds]
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
    law = {r"$\gamma=2\lambda$, median over seeds": Line2D([], [], **LAW | dict(linestyle="-"))}
    legend(fig, outcome_patches(cells["outcome"]) | law)
    return fig


@figure("grid")
def draw_grid(run: Run) -> Figure:
    """The full cross: how every run ended, a panel for each penalty and determinant."""
    nonempty(run.block("grid"))
    cells = run.planned("grid")
    cells = cells.assign(arm=arms(cells))
    names, sides = ordered_arms(cells), sorted(cells["determinant"].unique(), reverse=True)
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
    legend(fig, outcome_patches(cells["outcome"]) | {"$k=n$": Line2D([], [], color="black", linewidth=0.8)})
    return fig
