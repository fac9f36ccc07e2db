"""Panels and what is drawn in them: layout, labels, axes, markers, bars and bands."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.patheffects import Stroke

from ..analysis.intervals import share
from .style import COLOURS, GREY, TEXT_WIDTH, Nothing, tick_label


def canvas(height: float, rows: int = 1, columns: int = 1, **options) -> tuple[Figure, np.ndarray]:
    """A figure of the text's width and an array of axes, always two-dimensional. Height in inches."""
    fig = Figure(figsize=(TEXT_WIDTH, height), layout="constrained")
    fig.get_layout_engine().set(w_pad=0.03, h_pad=0.03, wspace=0.03, hspace=0.03)
    return fig, fig.subplots(rows, columns, squeeze=False, **options)


class Panel(NamedTuple):
    """A part of a figure: what it says, how it is drawn from which cells, and how wide it is beside others."""

    title: str
    draw: Callable[[Axes, pd.DataFrame], None]
    cells: pd.DataFrame
    width: float = 1


def side_by_side(height: float, panels: Sequence[Panel]) -> Figure:
    """Panels with cells, lettered where there are several."""
    panels = [panel for panel in panels if len(panel.cells)]
    if not panels:
        raise Nothing
    fig, axes = canvas(height, 1, len(panels), width_ratios=[panel.width for panel in panels])
    for letter, ax, panel in zip("abcdefgh", axes[0], panels, strict=False):
        panel.draw(ax, panel.cells)
        ax.set_title((rf"$\mathbf{{{letter}}}$  " if len(panels) > 1 else "") + panel.title)
    fig.align_xlabels([ax for ax in axes[0] if ax.get_xlabel()])
    return fig


def legend(where: Figure | Axes, entries: Mapping[str, dict | Patch], **style) -> None:
    """Words and, for each, an area or the style of a line: without a style of its own below everything."""
    handles = [Line2D([], [], **entry) if isinstance(entry, dict) else entry for entry in entries.values()]
    style = style or dict(loc="outside lower center", ncols=min(len(entries), 7), borderaxespad=0.1)
    where.legend(handles, entries.keys(), **style)


def note(ax: Axes, text: str, at: tuple[float, float], shift: tuple[float, float] = (0, 0), **style) -> None:
    """A label inside a panel, at a point of its data; `shift` is in points. Over lines it keeps a white rim."""
    style = dict(color=GREY, fontsize=8, textcoords="offset points", zorder=9, linespacing=1.05) | style
    rim = [Stroke(linewidth=2, foreground="white")]
    for effects in (rim, None):  # the rim alone is drawn as a path: text with effects could not be searched or copied
        ax.annotate(text, at, xytext=shift, path_effects=effects, **style)


def inside(ax: Axes, text: str, at: tuple[float, float], **style) -> None:
    """A label at a place of the panel."""
    note(ax, text, at, xycoords="axes fraction", **style)


def steps_axis(ax: Axes, last: float) -> None:
    """Steps on a logarithmic axis that still has a place for step 0."""
    ax.set_xscale("symlog", linthresh=1, linscale=0.5)
    ax.set_xlim(-0.1, last * 1.15)
    powers = range(math.floor(math.log10(max(last, 1))) + 1)
    ax.set_xticks([0, *(10.0**p for p in powers)], ["0", *(tick_label(10.0**p) for p in powers)])
    ax.set_xlabel("step")


def decades(ax: Axes, axis: str = "y", most: int = 6) -> None:
    """Label a few decades of a logarithmic axis or, where it spans hardly more than one, plain numbers."""
    which, (low, high) = (ax.yaxis, ax.get_ylim()) if axis == "y" else (ax.xaxis, ax.get_xlim())
    if low > 0 and math.log10(high / low) > 2:
        which.set_major_locator(mpl.ticker.LogLocator(numticks=most))
        which.set_minor_locator(mpl.ticker.NullLocator())
    else:
        which.set_major_locator(mpl.ticker.LogLocator(subs=(1, 2, 5)))
        which.set_major_formatter(mpl.ticker.FuncFormatter(lambda value, _: f"{value:g}"))
        which.set_minor_formatter(mpl.ticker.NullFormatter())


def ticks(ax: Axes, values: Sequence[float] | np.ndarray, always: Sequence[float] = ()) -> None:
    """Mark these places of a logarithmic horizontal axis and no others; label, beside those of `always`, those that have room."""
    labelled, reach = list(always), np.ptp(np.log(values)) or 1.0
    for value in sorted(values, reverse=True):
        if all(abs(np.log(value / other)) > 0.17 * reach for other in labelled):
            labelled.append(value)
    ax.set_xticks(values, [tick_label(value) if value in labelled else "" for value in values])
    ax.xaxis.set_minor_locator(mpl.ticker.NullLocator())


def list_rows(ax: Axes, names: Sequence[str]) -> None:
    """Names down the vertical axis, the first on top."""
    ax.set_ylim(len(names) - 0.4, -0.6)
    ax.set_yticks(range(len(names)), names)
    ax.tick_params(axis="y", length=0)


# Marks.


def mark(outcome: str, **style) -> dict:
    """How a run that ended so is drawn: filled where it was trapped, hollow where not, a cross where it ended nowhere."""
    shapes = {
        "trapped": "o",
        "recovered": "D",
        "unidentified": "s",
        "decided wrong": "v",
        "unfinished": "x",
        "diverged": "+",
    }
    face = COLOURS[outcome] if outcome == "trapped" else "white"
    edge = "0.55" if outcome == "unfinished" else COLOURS[outcome]
    basic = dict(
        marker=shapes[outcome], color=edge, markerfacecolor=face, markeredgewidth=0.8, linestyle="none", markersize=3.5
    )
    return basic | style


def outcome_marks(cells: pd.DataFrame) -> dict[str, dict]:
    """For a legend: the outcomes that some cells have."""
    return {name: mark(name) for name in COLOURS if name in set(cells["outcome"])}


def outcome_patches(outcomes: pd.Series) -> dict[str, Patch]:
    """The same as areas."""
    return {name: Patch(color=COLOURS[name]) for name in COLOURS if name in set(outcomes)}


def dots(ax: Axes, cells: pd.DataFrame, x: str, y: str, **style) -> None:
    """One marker a run, by its outcome."""
    for outcome, some in cells[cells["status"] == "ok"].groupby("outcome"):
        ax.plot(some[x], some[y], **mark(outcome, **style))


# Medians, and bars over the full range.
RANGE = dict(estimator="median", errorbar=("pi", 100), err_style="bars", err_kws=dict(elinewidth=0.7))


def bars(ax: Axes, cells: pd.DataFrame, x: str, y: str, across: bool = False, **style) -> None:
    """Medians of y over x, joined, with bars over the full range; `across` has x on the vertical axis."""
    import seaborn as sns  # here, for it takes a second, and numbers and tables need none of it

    cells = cells.dropna(subset=[y])
    if cells.empty:
        return
    edge = dict(markeredgecolor=style.get("color"), markeredgewidth=mpl.rcParams["lines.markeredgewidth"])
    # Columns without names: seaborn would write these at the axes.
    left, up = (cells[name].to_numpy() for name in ((y, x) if across else (x, y)))
    sns.lineplot(x=left, y=up, orient="y" if across else "x", ax=ax, **RANGE | edge | style)


# Outcomes of runs with enough samples, as they are stacked; the recovered come last.
STACK = ("diverged", "trapped", "decided wrong", "unfinished", "recovered")


def counted_row(ax: Axes, row: int, cells: pd.DataFrame) -> None:
    """How runs ended as a bar across, from the recovered on the left; each part has its count."""
    left = 0.0
    for name in reversed(STACK):
        if count := int((cells["outcome"] == name).sum()):
            part = count / len(cells)
            ax.barh(row, part, 0.78, left, color=COLOURS[name], edgecolor="white", linewidth=0.5)
            ink = "black" if name in ("unfinished", "decided wrong") else "white"
            if part > 0.04:
                ax.text(left + part / 2, row, f"{count}", ha="center", va="center_baseline", size=7, color=ink)
            left += part


def wrong_shares(ax: Axes, cells: pd.DataFrame, x: str, **style) -> None:
    """The share of the runs at each x that end on the wrong side, with Wilson's interval."""
    found = cells.groupby(x)["wrong"].apply(share)
    value, low, high = np.array(found.tolist()).T
    ax.errorbar(found.index, value, yerr=[value - low, high - value], elinewidth=0.7, **style)


def over_steps(ax: Axes, trace: pd.DataFrame, column: str, colour, **style) -> pd.Series:
    """Median over runs at each step, and a band over their range; returns the medians."""
    # By hand: seaborn's aggregation takes a second for a hundred steps.
    levels = trace.groupby("step")[column].agg(["median", "min", "max"])
    ax.plot(levels.index, levels["median"], color=colour, **style)
    ax.fill_between(levels.index, levels["min"], levels["max"], color=colour, alpha=0.18, linewidth=0)
    return levels["median"]


def limits(values: pd.Series, decades_at_most: float = 14) -> tuple[float, float]:
    """Limits of a logarithmic axis for some values; what lies many decades below the top is cut."""
    values = values[(values > 0) & np.isfinite(values)]
    if values.empty:
        return 0.1, 10
    high = values.max() * 2
    return max(values.min() / 2, high / 10**decades_at_most), high


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
        place(range(len(values)), [value if isinstance(value, str) else tick_label(value) for value in values])
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
