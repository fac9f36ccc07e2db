"""The cost of a step as dimension, samples and batch grow, from the benchmark."""

from __future__ import annotations

import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import NullLocator

from ..bench import FLOOR, scaling
from ..run import Run
from .style import GREY, LAW, MARKERS, canvas, figure

PANELS = {"dimension": "dimension $n$", "samples": "samples $k$", "batch": "batch", "steps": "steps, whole training"}


@figure(tables="bench")
def draw_cost(run: Run) -> Figure:
    """A step over two plain products of its size: points are medians over rounds, bars the range; one line a device."""
    fig, axes = canvas(2.2, 1, len(PANELS), sharey=True)
    devices = list(dict.fromkeys(run.bench["device"].dropna()))
    styles = dict(zip(devices, zip(sns.color_palette("colorblind"), MARKERS, strict=False), strict=False))
    for ax, (axis, label) in zip(axes[0], PANELS.items(), strict=True):
        points = scaling(run.bench, axis)
        if points.empty:
            ax.set_axis_off()  # its ticks are shared with the others
            ax.text(0.5, 0.5, "not measured", transform=ax.transAxes, ha="center", color=GREY, style="italic")
            continue
        _panel(ax, points, axis, styles)
        ax.set_xlabel(f"{label}\n{_setting(points, axis)}")
    if devices:
        axes[0, 0].set_ylabel("step over two products")
        handles = {device: Line2D([], [], color=c, marker=m) for device, (c, m) in styles.items()}
        handles[FLOOR] = Line2D([], [], **LAW)
        fig.legend(handles.values(), handles.keys(), loc="outside lower left", ncols=len(handles))
    return fig


def _panel(ax: Axes, points: pd.DataFrame, axis: str, styles: dict) -> None:
    for device, own in points.groupby("device", sort=False):
        colour, marker = styles[device]
        own = own.sort_values(axis)
        ratio = own["ratio_to_floor"]
        reach = [ratio - own["ratio_low"], own["ratio_high"] - ratio]
        ax.errorbar(
            own[axis], ratio, yerr=reach, color=colour, marker=marker, elinewidth=0.8, capsize=1.5, capthick=0.6
        )
    ax.axhline(1, **LAW)
    ticks = sorted(points[axis].unique())
    ax.set(xscale="log", yscale="log")
    labels = [f"{t:g}" if i == 0 or t > 1.3 * ticks[i - 1] else "" for i, t in enumerate(ticks)]
    ax.set_xticks(ticks, labels, rotation=45)
    ax.set_yticks([1, 2, 3, 5, 8], ["1", "2", "3", "5", "8"])
    ax.xaxis.set_minor_locator(NullLocator())
    ax.yaxis.set_minor_locator(NullLocator())


def _setting(points: pd.DataFrame, axis: str) -> str:
    """What the points of a panel share."""
    shared = {"dimension": "n", "samples": "k", "batch": "batch "}
    parts = [
        f"${symbol}={points[name].iloc[0]:g}$" if len(symbol) == 1 else f"{symbol}{points[name].iloc[0]:g}"
        for name, symbol in shared.items()
        if name != axis and points[name].nunique() == 1
    ]
    return ", ".join(parts) + (", $k=n/16$" if axis == "dimension" else "")
