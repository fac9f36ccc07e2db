"""How orthogonal runs end, and what sets it: learning rate, dimension, number format."""

from __future__ import annotations

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import NullLocator

from .. import theory
from ..analysis.intervals import share
from ..analysis.select import exponents
from ..cell import AXES
from ..run import Run, finished
from .style import (
    GREY,
    LAW,
    MARKERS,
    MONO,
    S_FRO,
    SCHEDULES,
    absent,
    arm_styles,
    arms,
    bars,
    canvas,
    decades,
    figure,
    mark_missing,
    missing_block,
    missing_handle,
    mono,
    number,
    ordered_arms,
    say_absent,
)

POWER_LAW = 0.9  # share of the logarithms' variance that a power law explains where its exponents are shown


def _explained(cells: pd.DataFrame, column: str, fit: pd.Series) -> float:
    """Share of the variance of log column over all cells that a power law with these exponents explains."""
    if not len(cells) or not fit.notna().all():
        return 0.0
    predicted = sum(power * np.log(cells[axis].astype(float)) for axis, power in fit.items())
    return float(np.corrcoef(predicted, np.log(cells[column]))[0, 1] ** 2) if np.ptp(predicted) else 0.0


@figure("rates")
def draw_rates(run: Run) -> Figure:
    """Floor of sum |S| per entry against the learning rate: a panel a penalty, a colour a dimension."""
    cells = run.planned("rates")
    if not len(finished(cells)):
        return absent("rates")
    cells = cells.assign(arm=arms(cells), floor=cells["orthogonality_l1"] / cells["dimension"] ** 2)
    names, sizes = ordered_arms(cells), sorted(cells["dimension"].unique())
    colours = dict(zip(sizes, sns.color_palette("viridis_r", len(sizes) + 1)[1:], strict=True))
    fig, axes = canvas(2.45, 1, len(names), sharey=True)
    for i, arm in enumerate(names):
        ax, here = axes[0, i], cells[cells["arm"] == arm]
        ax.set(xscale="log", yscale="log")
        for (n, schedule), one in finished(here).groupby(["dimension", "schedule"]):
            face = colours[n] if schedule == "constant" else "white"
            bars(
                ax,
                one,
                "lr",
                "floor",
                color=colours[n],
                linestyle=SCHEDULES.get(schedule, ":"),
                marker=MARKERS[sizes.index(n) % len(MARKERS)],
                markerfacecolor=face,
            )
        if arm == "l1":
            rates = np.array(sorted(here["lr"].unique()))
            ax.plot(rates, theory.l1_floor(1, rates), **LAW, zorder=3)
        mark_missing(ax, here, "lr")
        notes = []  # where a power law describes the floor
        for schedule in [s for s in SCHEDULES if s in set(here["schedule"])]:
            some = finished(here[here["schedule"] == schedule])
            fit = exponents(some, "orthogonality_l1", "dimension", "lr").mean()
            if _explained(some, "orthogonality_l1", fit) > POWER_LAW:
                notes.append(rf"{schedule}: $n^{{{fit['dimension']:.1f}}}\eta^{{\,{fit['lr']:.1f}}}$".replace("-", "−"))
        ax.set_title(arm, **MONO, pad=25)
        for line, note in enumerate(reversed(notes)):
            style = dict(xycoords="axes fraction", textcoords="offset points", ha="center", fontsize=7, color=GREY)
            ax.annotate(note, (0.5, 1), xytext=(0, 2 + 11 * line), **style)
        ax.set_xticks(sorted(here["lr"].unique()), [number(lr) for lr in sorted(here["lr"].unique())])
        ax.xaxis.set_minor_locator(NullLocator())
        ax.set_xlabel(r"learning rate $\eta$")
        ax.margins(x=0.12)
        decades(ax)
    axes[0, 0].set_ylabel(r"final $\sum|S_{ij}|\,/\,n^2$")
    handles = {
        f"$n={n}$": Line2D([], [], color=colours[n], marker=MARKERS[j % len(MARKERS)]) for j, n in enumerate(sizes)
    }
    for schedule in [s for s in SCHEDULES if s in set(cells["schedule"])]:
        face = GREY if schedule == "constant" else "white"
        handles[schedule] = Line2D([], [], color=GREY, linestyle=SCHEDULES[schedule], marker="o", markerfacecolor=face)
    if "l1" in names:
        handles[rf"${theory.l1_constant():.2g}\,\eta$"] = Line2D([], [], **LAW)
    handles |= missing_handle(cells)
    fig.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=len(handles))
    return fig


@figure("precision scaling", tables="arms")
def draw_precision(run: Run) -> Figure:
    """Number format and size: orthogonality and share on the wrong side by format, cost and error by dimension."""
    formats, sizes = run.planned("precision"), run.planned("scaling")
    if not len(finished(formats)) and not len(finished(sizes)):
        return absent("precision", "scaling")
    fig, axes = canvas(2.5, 1, 4)
    styles = arm_styles(run)
    formats = formats.assign(arm=arms(formats))
    if len(finished(formats)):
        _formats(axes[0, 0], axes[0, 1], formats, styles)
    else:
        for ax in axes[0, :2]:
            say_absent(ax, missing_block("precision").replace(": ", ":\n"))
    if len(finished(sizes)):
        _growth(axes[0, 2], sizes, "seconds_per_step", "seconds a step", (2, 3))
        _growth(axes[0, 3], sizes, "orthogonality_fro", S_FRO, (1,))
    else:
        for ax in axes[0, 2:]:
            say_absent(ax, missing_block("scaling").replace(": ", ":\n"))
    names = ordered_arms(formats)
    handles = {arm: Line2D([], [], color=styles[arm]["color"], marker=styles[arm]["marker"]) for arm in names}
    handles |= missing_handle(pd.concat([formats, sizes]))
    if handles:
        mono(fig.legend(handles.values(), handles.keys(), loc="outside lower left", ncols=len(handles)), names)
    return fig


def _formats(left: Axes, right: Axes, cells: pd.DataFrame, styles: dict[str, dict]) -> None:
    names = [name for name in AXES["dtype"].choices if name in set(cells["dtype"])]  # from fine to coarse
    arm_names = ordered_arms(cells)
    aside = dict(zip(arm_names, 0.16 * (np.arange(len(arm_names)) - (len(arm_names) - 1) / 2), strict=True))
    cells = cells.assign(place=cells["dtype"].map(names.index) + cells["arm"].map(aside))
    # Where the data determine W, what a finite weight gives up for them hides what the format does.
    few, match = cells["samples"] < cells["dimension"], cells["determinant"] == "match"
    easy = cells.loc[match & few if (match & few).any() else match, "key"]
    wrong = (cells["determinant"] == "mismatch") & (cells["predicted_lambda_min"] > 0)
    for arm in arm_names:
        own = finished(cells[cells["arm"] == arm])
        bars(left, own[own["key"].isin(easy)], "place", "orthogonality_fro", **styles[arm], linestyle="none")
        sides = own[wrong.reindex(own.index)]
        ended = sides["wrong"].groupby(sides["place"]).apply(share)
        if len(ended):
            value, low, high = np.array(ended.tolist()).T
            right.errorbar(
                ended.index,
                value,
                yerr=[value - low, high - value],
                elinewidth=0.8,
                capsize=1.5,
                capthick=0.6,
                **styles[arm],
                linestyle="none",
            )
    left.set(yscale="log", ylabel=S_FRO)
    decades(left)
    right.set(ylim=(-0.06, 1.06), yticks=[0, 0.5, 1], ylabel="share on the wrong side")
    mark_missing(left, cells[cells["key"].isin(easy)], "place")
    mark_missing(right, cells[wrong], "place")
    for ax in (left, right):
        ax.set_xticks(range(len(names)), names, rotation=35, ha="right", rotation_mode="anchor", **MONO)
        ax.set_xlim(-0.5, len(names) - 0.5)
        ax.grid(False, axis="x")


def _growth(ax: Axes, cells: pd.DataFrame, column: str, label: str, powers: tuple[int, ...]) -> None:
    """Medians over the dimension, with guides that grow like its powers, drawn through the largest dimension's median."""
    ax.set(xscale="log", yscale="log")
    some = finished(cells)
    bars(ax, some, "dimension", column, color=sns.color_palette("colorblind")[0], marker="o")
    ticks = sorted(cells["dimension"].unique())
    last = some["dimension"].max()
    end, low = some.loc[some["dimension"] == last, column].median(), some[column].min() / 2
    for power in powers:
        n = np.array([max(ticks[0], last * (low / end) ** (1 / power)), last])  # from where it enters the panel
        guide = end * (n / last) ** power
        ax.plot(n, guide, color=GREY, linewidth=0.7, linestyle=":")
        name = f"$n^{power}$" if power > 1 else "$n$"
        ax.annotate(name, (n[0], guide[0]), xytext=(4, 0), textcoords="offset points", color=GREY, fontsize=7)
    ax.set_ylim(bottom=low / 1.2)
    fit = exponents(some, column, "dimension").mean()
    if fit.notna().all() and len(fit):
        ax.set_title(f"fitted: $n^{{{fit['dimension']:.2f}}}$", color=GREY, fontsize=7)
    mark_missing(ax, cells, "dimension")
    ax.set_xticks(ticks, [f"{t:g}" for t in ticks])
    ax.xaxis.set_minor_locator(NullLocator())
    ax.set(xlabel="dimension $n$", ylabel=label)
    ax.margins(x=0.12)
    decades(ax)
