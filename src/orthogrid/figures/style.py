"""What all figures share: size, fonts, colours, axes, and the register of figures."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Collection
from functools import wraps
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.legend import Legend
from matplotlib.lines import Line2D

from .. import catalog
from ..cell import spec_name
from ..run import Run, arms
from ..views import reads

TEXT_WIDTH = 156 / 25.4  # inches: figures are drawn at the size they are printed
GREY = "0.35"
LAW = dict(color="0.1", linestyle=(0, (5, 2)), linewidth=1.0)  # every closed form looks like this
MARKERS = "osD^vP*X<>hpd"
MONO = dict(family="DejaVu Sans Mono", fontsize=6.5)
MISSING = dict(color="0.55", marker="|", linestyle="none", markersize=5, markeredgewidth=0.7)  # planned, no result
SCHEDULES = {"constant": "-", "cosine": (0, (3, 1.5))}
S_FRO = r"$\|WW^\mathsf{T}-I\|_F$"
ROUGHNESS = r"$\|S\|_F/\sqrt{n}$"
DISTANCE = r"$\|W-\rho^\mathsf{T}\|_F$"
DATA_LOSS = "data loss"
REG = r"reg $\gamma$"
# How a run that ended so is marked: colours and shapes apart.
OUTCOMES = {
    "recovered": dict(color="#0173b2", marker="D", linestyle="none", markerfacecolor="white", markeredgewidth=0.8),
    "trapped": dict(color="#d55e00", marker="o", linestyle="none"),
    "unidentified": dict(color="#029e73", marker="s", linestyle="none", markerfacecolor="white", markeredgewidth=0.8),
    "unfinished": dict(color="0.5", marker="x", linestyle="none", markeredgewidth=0.8),
}

STYLE = {
    **sns.axes_style("ticks"),
    "font.family": "STIXGeneral",  # goes with the paper's Latin Modern, and ships with matplotlib
    "mathtext.fontset": "stix",
    "font.size": 8,
    "axes.labelsize": 8,
    "axes.titlesize": 8,
    "legend.fontsize": 7.5,
    "legend.title_fontsize": 7.5,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "0.9",
    "grid.linewidth": 0.5,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "xtick.minor.size": 1.5,
    "ytick.minor.size": 1.5,
    "lines.linewidth": 1.1,
    "lines.markersize": 3.5,
    "legend.frameon": False,
    "legend.handlelength": 2.2,
    "hatch.linewidth": 0.5,
    "hatch.color": "0.6",
    "pdf.fonttype": 42,
}

FIGURES: dict[str, Callable[[Run], Figure]] = {}


def figure(blocks: str = "", tables: str = "") -> Callable[[Callable[[Run], Figure]], Callable[[Run], Figure]]:
    """Register `draw_<name>` as the figure <name>, drawn in the paper's style from these blocks and tables alone.

    Outside the package a figure entered again takes the place of the first.
    """

    def enter(function: Callable[[Run], Figure]) -> Callable[[Run], Figure]:
        narrowed = reads(blocks, tables)(function)

        @wraps(narrowed)  # with what it reads
        def styled(run: Run) -> Figure:
            with mpl.rc_context(STYLE):
                return narrowed(run)

        styled.source, name = function.__code__.co_filename, function.__name__.removeprefix("draw_")
        if name in FIGURES and _of_package(FIGURES[name]) and not _of_package(styled):
            raise catalog.ConfigError(f"figure '{name}' of {styled.source}: the name is taken; give it another")
        FIGURES[name] = styled
        return styled

    return enter


def _of_package(drawing: Callable[[Run], Figure]) -> bool:
    return Path(drawing.source).is_relative_to(Path(__file__).parent)


def render(run: Run, name: str) -> bytes:
    """A figure as PDF, the same bytes for the same rows."""
    buffer = io.BytesIO()
    with mpl.rc_context(STYLE):  # some settings act only when a figure is written
        FIGURES[name](run).savefig(buffer, format="pdf", metadata={"CreationDate": None})
    return buffer.getvalue()


def arm_styles(run: Run) -> dict[str, dict]:
    """Colour and marker of every arm in the run, the same in all figures.

    Arms are numbered in the order of their definition, baselines without a penalty's gradient last, so that
    the clearest colours go to those that are compared; arms with options follow in order of appearance.
    """
    detached = catalog.having("penalty", attached=False)
    ordered = sorted(in_order(run.arms), key=lambda arm: spec_name(arm) in detached)
    palette = sns.color_palette("colorblind")
    palette += sns.husl_palette(max(len(ordered) - len(palette), 1), l=0.45)
    return {arm: dict(color=palette[i], marker=MARKERS[i % len(MARKERS)]) for i, arm in enumerate(ordered)}


def ordered_arms(cells: pd.DataFrame) -> list[str]:
    """The arms of some cells, in the order of their definition."""
    return in_order(list(arms(cells).unique()))


def in_order(present: list[str]) -> list[str]:
    """Arms in the order of their definition; those with options follow in the order given."""
    known = [*catalog.penalties(), *catalog.methods()]
    return [arm for arm in known if arm in present] + [arm for arm in present if arm not in known]


def canvas(height: float, rows: int = 1, columns: int = 1, **options) -> tuple[Figure, np.ndarray]:
    """A figure of the text's width and an array of axes, always two-dimensional. Height in inches."""
    fig = Figure(figsize=(TEXT_WIDTH, height), layout="constrained")
    fig.get_layout_engine().set(w_pad=0.04, h_pad=0.05, wspace=0.02, hspace=0.02)
    return fig, fig.subplots(rows, columns, squeeze=False, **options)


def stacked(heights: Collection[float]) -> tuple[Figure, list[SubFigure]]:
    """A figure of the text's width cut into parts, one above the other, each with axes and a legend of its own."""
    fig, axes = canvas(sum(heights))
    axes[0, 0].remove()
    return fig, list(fig.subfigures(len(heights), 1, height_ratios=heights, squeeze=False)[:, 0])


def say_absent(ax: Axes, text: str = "not in this run") -> None:
    """An empty panel that says why it is empty."""
    ax.set(xticks=[], yticks=[])
    ax.grid(False)
    ax.text(0.5, 0.5, text, transform=ax.transAxes, ha="center", va="center", color=GREY, style="italic")


def absent(*blocks: str, height: float = 1.2) -> Figure:
    """A figure in place of one whose blocks have no result."""
    fig, axes = canvas(height)
    say_absent(axes[0, 0], missing_block(*blocks))
    return fig


def missing_block(*blocks: str) -> str:
    """block law: not in this run"""
    return f"block{'s' * (len(blocks) > 1)} {' and '.join(blocks)}: not in this run"


def steps_axis(ax: Axes, last: float) -> None:
    """Steps on a logarithmic axis that still has a place for step 0."""
    ax.set_xscale("symlog", linthresh=1, linscale=0.5)
    ax.set_xlim(-0.1, last * 1.15)
    top = math.floor(math.log10(max(last, 1)))
    ax.set_xticks([0, *(10.0**power for power in range(top + 1))])
    ax.set_xlabel("step")


def decades(ax: Axes, axis: str = "y", most: int = 6) -> None:
    """Label a few decades of a logarithmic axis or, where it spans hardly more than one, plain numbers."""
    which, (low, high) = (ax.yaxis, ax.get_ylim()) if axis == "y" else (ax.xaxis, ax.get_xlim())
    if low > 0 and math.log10(high / low) > 1.5:
        which.set_major_locator(mpl.ticker.LogLocator(numticks=most))
        which.set_minor_locator(mpl.ticker.NullLocator())
    else:
        which.set_major_locator(mpl.ticker.LogLocator(subs=(1, 2, 5)))
        which.set_major_formatter(mpl.ticker.FuncFormatter(lambda value, _: f"{value:g}"))
        which.set_minor_formatter(mpl.ticker.NullFormatter())


def number(value: float) -> str:
    """0.001 → 10⁻³, 30 → 30: as short as a tick label should be."""
    if value > 0 and not 0.01 <= value < 1000 and math.isclose(math.log10(value) % 1, 0, abs_tol=1e-9):
        return rf"$10^{{{round(math.log10(value))}}}$"
    return f"{value:g}"


def title(ax: Axes, arm: str, slanted: bool = False) -> None:
    """An arm's name above a panel, spelled and set as in the text; slanted where panels are narrow."""
    if slanted:
        ax.set_title(arm, **MONO, rotation=30, ha="left", x=0)
    else:
        ax.set_title(arm.replace("(", "\n(") if len(arm) > 13 else arm, **MONO)


def mono(legend: Legend, names: Collection[str]) -> None:
    """Set the names among a legend's labels as in the text."""
    for text in legend.get_texts():
        if text.get_text() in names:
            text.set(**MONO)


def side(colour, wrong: bool, marker: str = "o") -> dict:
    """The marker of runs that ended on the wrong side (filled) or on the right one (hollow)."""
    return dict(
        color=colour,
        marker=marker,
        markerfacecolor=colour if wrong else "white",
        markeredgewidth=0.8,
        linestyle="none",
    )


def mark_missing(ax: Axes, cells: pd.DataFrame, x: str) -> None:
    """A tick on the horizontal axis wherever a planned cell has no result: not trained, or diverged."""
    places = cells.loc[cells["status"] != "ok", x].dropna().unique()
    if len(places):  # an unclipped line without points would upset the layout
        ax.plot(places, np.zeros(len(places)), transform=ax.get_xaxis_transform(), clip_on=False, **MISSING)


def missing_handle(cells: pd.DataFrame) -> dict[str, Line2D]:
    """The legend's entry for missing cells, if there are any."""
    return {"no result": Line2D([], [], **MISSING)} if (cells["status"] != "ok").any() else {}


def list_rows(ax: Axes, names: Collection[str], cells: pd.DataFrame | None = None, by: str = "") -> None:
    """Names down the vertical axis, the first on top; a row of `cells[by]` without any result says so."""
    ax.set_ylim(len(names) - 0.4, -0.6)
    ax.set_yticks(range(len(names)), names, **MONO)
    ax.tick_params(axis="y", length=0)
    if cells is not None:
        finished = set(cells.loc[cells["status"] == "ok", by])
        for i, name in enumerate(names):
            if name not in finished:
                place = (0.03, i)
                ax.text(
                    *place, "no result", transform=ax.get_yaxis_transform(), va="center", color=GREY, style="italic"
                )


def size_of(cells: pd.DataFrame) -> str:
    """n = 100, k = 10, 3 seeds: whatever of it the cells have in common."""
    parts = []
    for column, symbol in (("dimension", "n"), ("samples", "k")):
        values = cells[column].unique()
        if len(values) == 1:
            parts.append(f"${symbol}={values[0]:g}$")
    seeds = cells["seed"].nunique()
    return ", ".join([*parts, f"{seeds} seed{'s' * (seeds > 1)}"])


def span(values: pd.Series) -> tuple[float, float, float]:
    """Median, and how far the full range reaches below and above it."""
    middle = values.median()
    return middle, middle - values.min(), values.max() - middle


def bars(ax: Axes, cells: pd.DataFrame, x: str, y: str, **style) -> None:
    """Medians of y over x, joined, with bars over the full range."""
    groups = cells.groupby(x)[y].apply(span)
    if len(groups):
        middle, below, above = np.array(groups.tolist()).T
        ax.errorbar(groups.index, middle, yerr=[below, above], elinewidth=0.8, capsize=1.5, capthick=0.6, **style)


def limits(values: pd.Series, decades_at_most: float = 14) -> tuple[float, float]:
    """Limits of a logarithmic axis for some values; what lies many decades below the top is cut."""
    values = values[(values > 0) & np.isfinite(values)]
    if values.empty:
        return 0.1, 10
    high = values.max() * 2
    return max(values.min() / 2, high / 10**decades_at_most), high
