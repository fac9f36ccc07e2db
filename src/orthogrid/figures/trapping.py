"""From which weight on a run ends on the wrong side: started at the twin, and at random."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from .. import theory
from ..cell import spec_name
from ..run import Run
from .style import (
    GREY,
    LAW,
    MARKERS,
    OUTCOMES,
    absent,
    arms,
    canvas,
    decades,
    figure,
    mark_missing,
    missing_handle,
    number,
    ordered_arms,
    side,
    title,
)

BOUND = dict(color="0.1", linestyle=":", linewidth=1.2)
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


@figure("capture capture_fast")
def draw_capture(run: Run) -> Figure:
    """Share of the runs from random starts that end on the wrong side: a panel a penalty and side of the start, a line a rate."""
    cells = run.planned("capture", "capture_fast")
    if not (cells["status"] == "ok").any():
        return absent("capture", "capture_fast")
    cells = _with_law(cells[cells["predicted_lambda_min"] > 0])
    middle = cells["predicted_lambda_min"].drop_duplicates().median()  # the runs of one weight share a place
    cells = cells.assign(x=cells["reg"] / theory.trap_threshold("fro2", middle))
    names, rates = ordered_arms(cells), sorted(cells["lr"].unique())
    panels = [(arm, start) for arm in names for start in ("mismatch", "match")]
    colours = dict(zip(rates, sns.color_palette("colorblind"), strict=False))
    fig, axes = canvas(2.3, 1, len(panels), sharey=True, sharex=True)
    for ax, (arm, start) in zip(axes[0], panels, strict=True):
        here = cells[(cells["arm"] == arm) & (cells["determinant"] == start)]
        ax.set_xscale("log")
        for j, lr in enumerate(rates):
            shares = here[(here["lr"] == lr) & (here["status"] == "ok")].groupby("x")["wrong"].mean()
            ax.plot(shares.index, shares, color=colours[lr], marker=MARKERS[j], markersize=4 - 0.5 * j)
        mark_missing(ax, here, "x")
        held = _holds(here) / theory.trap_threshold("fro2", 1.0)
        if not math.isnan(held):
            ax.axvline(held, **LAW)
        ax.set_title(f"{arm}, start {'wrong' if start == 'mismatch' else 'right'}")
        ax.set(ylim=(-0.06, 1.06), yticks=[0, 0.5, 1], xlabel=UNIT)
        ax.minorticks_off()
    axes[0, 0].set_ylabel("share that ends wrong")
    handles = {f"lr {number(lr)}": Line2D([], [], color=colours[lr], marker=MARKERS[j]) for j, lr in enumerate(rates)}
    handles |= {"twin held from here on": Line2D([], [], **LAW), **missing_handle(cells)}
    fig.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=len(handles))
    return fig


BINS = 4  # a decade of reg/2 lambda
STACK = ("trapped", "unfinished", "recovered")  # from below


@figure("capture_white large_white large_trap capture")
def draw_outcomes(run: Run) -> Figure:
    """Share of random starts by outcome, stacked, against reg/2 lambda in bins: a column a kind of inputs, a row a side of the start."""
    cells = run.block("capture_white", "large_white", "large_trap", "capture")
    cells = cells[(cells["penalty"] == "fro2") & (cells["predicted_lambda_min"] > 0) & (cells["init"] == "haar")]
    if not len(cells):
        return absent("capture_white", "large_white", "large_trap", "capture")
    cells = cells.assign(
        place=np.floor(np.log10(cells["reg"] / theory.trap_threshold("fro2", cells["predicted_lambda_min"])) * BINS),
        spread=cells["predicted_lambda_max"] / cells["predicted_lambda_min"],
    )
    kinds = [kind for kind in ("whitened", "uniform") if kind in set(cells["inputs"])]
    sides = [start for start in ("mismatch", "match") if start in set(cells["determinant"])]
    fig, axes = canvas(0.7 + 1.35 * len(sides), len(sides), len(kinds), sharey=True, sharex="col")
    for column, kind in enumerate(kinds):
        for row, start in enumerate(sides):
            ax = axes[row, column]
            here = cells[(cells["inputs"] == kind) & (cells["determinant"] == start)]
            _stack(ax, here)
            ax.axvline(1, **LAW)
            ax.axvline(cells.loc[cells["inputs"] == kind, "spread"].median(), **BOUND)
            ax.set(xscale="log", ylim=(0, 1), yticks=[0, 0.5, 1])
            if row == 0:
                ax.set_title(f"{'white' if kind == 'whitened' else kind} inputs", pad=10)
            if row == len(sides) - 1:
                ax.set_xlabel(UNIT)
            if column == 0:
                ax.set_ylabel(f"start {'wrong' if start == 'mismatch' else 'right'}")
            decades(ax, "x")
            ax.grid(False)
    fig.supylabel("share of runs", fontsize=8)
    handles = {name: Patch(facecolor=OUTCOMES[name]["color"], alpha=0.75) for name in STACK}
    handles |= {r"$\gamma=2\lambda$": Line2D([], [], **LAW), r"$\gamma=2\mu$, median": Line2D([], [], **BOUND)}
    fig.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=len(handles))
    return fig


def _stack(ax: Axes, cells: pd.DataFrame) -> None:
    """Bars over the bins, with the number of runs above each."""
    for place, same in cells.groupby("place"):
        left, width = 10 ** (place / BINS), 10 ** ((place + 1) / BINS) - 10 ** (place / BINS)
        bottom = 0.0
        for name in STACK:
            share = (same["outcome"] == name).mean()
            ax.bar(
                left,
                share,
                width,
                bottom,
                align="edge",
                color=OUTCOMES[name]["color"],
                alpha=0.75,
                edgecolor="white",
                linewidth=0.4,
            )
            bottom += share
        ax.annotate(
            f"{len(same)}",
            (10 ** ((place + 0.5) / BINS), 1),
            xytext=(0, 1),
            textcoords="offset points",
            ha="center",
            fontsize=6,
            color=GREY,
        )
