"""From which weight on each penalty holds a run on the wrong side: started at the twin, and at random."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from .. import theory
from ..cell import spec_name
from ..run import Run
from .style import (
    GREY,
    LAW,
    MARKERS,
    SCHEDULES,
    absent,
    arms,
    canvas,
    figure,
    mark_missing,
    missing_handle,
    number,
    ordered_arms,
    side,
    title,
)

UNIT = r"$\gamma/2\lambda$"  # what a penalty without a positive threshold is drawn against


def _with_law(cells: pd.DataFrame) -> pd.DataFrame:
    """Planned cells with their arm and the penalty's threshold over lambda."""
    return cells.assign(arm=arms(cells), relative=cells["predicted_trap_threshold"] / cells["predicted_lambda_min"])


def _holds(cells: pd.DataFrame) -> float:
    """Median threshold over lambda where it is positive and finite, else NaN."""
    value = cells["relative"].median()
    return value if 0 < value < math.inf else math.nan


def _trap_curve(penalty: str, threshold: float, low: float, high: float) -> tuple[np.ndarray, np.ndarray]:
    """Data loss over 4 lambda at the trap, against reg over the threshold or, without one, over 2 lambda.

    In these units it depends on the weight alone, and any unit vector stands for w; but the parabola of huber is
    narrower than its threshold, which is taken as it is.
    """
    name, w = spec_name(penalty), np.ones(1)
    unit = float(theory.trap_threshold(name, 1.0, w))
    x = np.geomspace(max(low, 1.0 + 1e-9 if unit > 0 else low), max(high, 1.0), 200)
    unit = threshold if name == "huber" else unit or theory.trap_threshold("fro2", 1.0)
    return x, theory.trap_loss(x * unit, 1.0, name, w) / theory.wrong_floor(1.0)


@figure("law")
def draw_law(run: Run) -> Figure:
    """Data loss where runs from the twin end, against the weight in units of each penalty's threshold. One marker a run."""
    cells = run.planned("law")
    if not (cells["status"] == "ok").any():
        return absent("law")
    cells = _with_law(cells[cells["predicted_lambda_min"] > 0])
    # Penalties with a threshold first: these share the axis.
    names = sorted(ordered_arms(cells), key=lambda arm: math.isnan(_holds(cells[cells["arm"] == arm])))
    unit = cells.groupby("arm")["relative"].transform("median")
    unit = cells["relative"].where((unit > 0) & (unit < math.inf), theory.trap_threshold("fro2", 1.0))
    cells = cells.assign(x=cells["reg"] / (unit * cells["predicted_lambda_min"]))
    cells = cells.assign(y=cells["fit"] / theory.wrong_floor(cells["predicted_lambda_min"]))
    across = min(len(names), 4)
    bands = math.ceil(len(names) / across)
    fig, axes = canvas(0.55 + 1.12 * bands, bands, across, sharey=True, sharex=True)
    colours = sns.color_palette("colorblind")
    low, high = cells["x"].min() / 1.6, cells["x"].max() * 1.6
    for i in range(bands * across):
        ax = axes[i // across, i % across]
        if i >= len(names):
            ax.set_axis_off()
            continue
        here = cells[cells["arm"] == names[i]]
        held = _holds(here)
        ax.set_xscale("log")
        if not math.isnan(held):
            ax.axvline(1, color=GREY, linewidth=0.8)
        ax.plot(*_trap_curve(names[i], held, low, high), **LAW)
        for wrong, some in here[here["status"] == "ok"].groupby("wrong"):
            ax.plot(
                some["x"], some["y"], **side(colours[1 if wrong else 0], wrong, "o" if wrong else "D"), markersize=3
            )
        mark_missing(ax, here, "x")
        title(ax, names[i])
        if i + across >= len(names):  # nothing below it
            ax.set_xlabel(UNIT if math.isnan(held) else r"$\gamma/\gamma^*$")
            ax.tick_params(labelbottom=True)
        if not math.isnan(held):
            note = rf"$\gamma^*={float(f'{held:.2g}'):g}\,\lambda$"
        else:
            note = r"$\gamma^*=0$" if here["relative"].median() == 0 else r"no $\gamma^*$"
            note += f", {UNIT}"
        ax.text(0.03, 0.93, note, transform=ax.transAxes, va="top", color=GREY, fontsize=7)
    last = axes[-1, 0]
    last.set(xlim=(low, high), ylim=(-0.08, max(1.28, min(1.05 * cells["y"].max(), 2))), yticks=[0, 0.5, 1])
    powers = range(math.ceil(math.log10(low)), math.floor(math.log10(high)) + 1)
    step = 1 + (len(powers) > 5)
    last.set_xticks([10.0**p for p in powers if p % step == 0])
    last.minorticks_off()
    fig.supylabel(r"final data loss / $4\lambda$", fontsize=8)
    handles = {
        "ended on the wrong side": Line2D([], [], **side(colours[1], True)),
        "crossed to the target's side": Line2D([], [], **side(colours[0], False, "D")),
        "closed form": Line2D([], [], **LAW),
        r"$\gamma=\gamma^*$": Line2D([], [], color=GREY, linewidth=0.8),
        **missing_handle(cells),
    }
    fig.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=len(handles))
    return fig


def _shares(ax: Axes, cells: pd.DataFrame, x: str, **style) -> None:
    shares = cells.groupby(x)["wrong"].mean()
    ax.plot(shares.index, shares, **style)


@figure("capture")
def draw_capture(run: Run) -> Figure:
    """Share of the runs from random starts that end on the wrong side: a panel a penalty, a line a rate and determinant."""
    cells = run.planned("capture")
    if not (cells["status"] == "ok").any():
        return absent("capture")
    cells = _with_law(cells[cells["predicted_lambda_min"] > 0])
    middle = cells["predicted_lambda_min"].drop_duplicates().median()  # the runs of one weight share a place
    cells = cells.assign(x=cells["reg"] / theory.trap_threshold("fro2", middle))
    names, rates = ordered_arms(cells), sorted(cells["lr"].unique())
    colours = dict(zip(rates, sns.color_palette("viridis_r", len(rates) + 1)[1:], strict=True))
    rows = [d for d in ("mismatch", "match") if d in set(cells["determinant"])]
    fig, axes = canvas(0.8 + 1.15 * len(rows), len(rows), len(names), sharey=True, sharex=True)
    for column, arm in enumerate(names):
        for row, determinant in enumerate(rows):
            ax = axes[row, column]
            here = cells[(cells["arm"] == arm) & (cells["determinant"] == determinant)]
            ax.set_xscale("log")
            for j, lr in enumerate(rates):
                one = here[here["lr"] == lr]
                aside = 1.09 ** (j - (len(rates) - 1) / 2)  # lines of equal shares would hide one another
                one = one.assign(x=one["x"] * aside)
                style = dict(color=colours[lr], marker=MARKERS[j], markersize=4 - 0.4 * j)
                style |= dict(linestyle=SCHEDULES["constant"] if determinant == "mismatch" else SCHEDULES["cosine"])
                style |= dict(markerfacecolor=colours[lr] if determinant == "mismatch" else "white")
                _shares(ax, one[one["status"] == "ok"], "x", **style)
            mark_missing(ax, here, "x")
            held = _holds(here) / theory.trap_threshold("fro2", 1.0)
            if not math.isnan(held):
                ax.axvline(held, **LAW)
            if row == 0:
                title(ax, arm)
            if column == 0:
                ax.set_ylabel(determinant)
            ax.set(ylim=(-0.06, 1.06), yticks=[0, 0.5, 1], xlabel=UNIT if row == len(rows) - 1 else "")
            ax.minorticks_off()
    fig.supylabel("share that ends on the wrong side", fontsize=8)
    handles = {f"lr {number(lr)}": Line2D([], [], color=colours[lr], marker=MARKERS[j]) for j, lr in enumerate(rates)}
    always = [arm for arm in names if cells.loc[cells["arm"] == arm, "relative"].median() == 0]
    held = "twin held from here on" + (f" ({', '.join(always)}: anywhere)" if always else "")
    handles |= {held: Line2D([], [], **LAW), **missing_handle(cells)}
    fig.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=len(handles))
    return fig
