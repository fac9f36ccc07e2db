"""Where W ends: near the target, elsewhere on its coset, or at the trap."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure, SubFigure
from matplotlib.lines import Line2D

from .. import theory
from ..run import Run
from .style import (
    DATA_LOSS,
    DISTANCE,
    GREY,
    LAW,
    MARKERS,
    OUTCOMES,
    SCHEDULES,
    absent,
    bars,
    canvas,
    decades,
    figure,
    limits,
    mark_missing,
    missing_block,
    missing_handle,
    say_absent,
    stacked,
)


def _dot(colour, marker: str = "o", fill: bool = True) -> Line2D:
    """A marker for a legend."""
    face = colour if fill else "white"
    return Line2D([], [], color=colour, marker=marker, linestyle="none", markerfacecolor=face)


@figure("identifiability transition fresh")
def draw_identifiability(run: Run) -> Figure:
    """Distance to the target against samples, with the law of the coset; fresh samples; other points of the coset."""
    fig, (above, below) = stacked((2.4, 2.3))
    _by_samples(above, run)
    _by_sampling(below, run)
    return fig


def _by_samples(fig: SubFigure, run: Run) -> None:
    main, near = run.block("identifiability"), run.block("transition")
    if not len(main) and not len(near):
        return say_absent(fig.subplots(), missing_block("identifiability", "transition"))
    panels: list[tuple[pd.DataFrame, str]] = [(main, "")]
    for bias in sorted(near["bias"].unique(), reverse=True) or [True]:
        panels.append((near[near["bias"] == bias], "with bias" if bias else "without bias"))
    axes = fig.subplots(1, len(panels), squeeze=False, width_ratios=[1.25, *[1] * (len(panels) - 1)])
    inputs = sorted(set(main["inputs"]) | set(near["inputs"]))
    palette = dict(zip(inputs, sns.color_palette("colorblind"), strict=False))
    for i, (ax, (cells, note)) in enumerate(zip(axes[0], panels, strict=True)):
        if not len(cells):
            say_absent(ax, missing_block("transition" if i else "identifiability"))
            continue
        near_n = i > 0
        for j, kind in enumerate(inputs):
            style = dict(color=palette[kind], marker=MARKERS[j], markerfacecolor=palette[kind] if j == 0 else "white")
            for n, one in cells[cells["inputs"] == kind].groupby("dimension"):
                some = one.assign(x=one["samples"] - n if near_n else one["samples"])
                bars(ax, some, "x", "distance", linestyle="none", **style)
                k = np.unique(np.round(np.concatenate([np.geomspace(1, 2 * n, 200), np.arange(n - 30, n + 2)])))
                k = k[(k >= one["samples"].min()) & (k <= one["samples"].max())]
                law = theory.coset_distance(n, [theory.effective_rank(n, int(each), kind) for each in k])
                if near_n:  # with one free direction the distance is 0 or 2: no law for n - r < 2
                    law = np.where(law >= theory.coset_distance(2, 0), law, np.nan)
                ax.plot(
                    k - n if near_n else k,
                    law,
                    color=palette[kind],
                    linestyle=SCHEDULES["cosine"],
                    linewidth=0.9,
                )
        heading = ", ".join(filter(None, [f"$n={'/'.join(map(str, cells['dimension'].unique()))}$", note]))
        ax.set_title(f"{heading}, {cells['seed'].nunique()} seeds" if i == 0 else heading)
        if near_n:
            ax.axvline(0, color=GREY, linewidth=0.8)
            ax.set_xscale("symlog", linthresh=1, linscale=0.6)
            ax.set_xlabel("samples − dimension, $k-n$")
            ax.set_yscale("log")
            reach = (cells["samples"] - cells["dimension"]).abs().max()
            powers = [10**p for p in range(math.floor(math.log10(max(reach, 1))) + 1)]
            ticks = sorted({0, *powers, *(-p for p in powers)})
            ax.set_xlim(-1.4 * reach, 1.4 * reach)
            ax.set_xticks(ticks, [f"{t:+d}".replace("-", "−") if t else "0" for t in ticks])
            ax.set_ylabel(DISTANCE if i == 1 else "")
            decades(ax)
        else:
            for n in cells["dimension"].unique():
                ax.axvline(n, color=GREY, linewidth=0.8)
                ax.annotate(
                    "$k=n$",
                    (n, 1),
                    xycoords=("data", "axes fraction"),
                    xytext=(-2, -2),
                    ha="right",
                    va="top",
                    textcoords="offset points",
                    color=GREY,
                )
            ax.set_xscale("log")
            decades(ax, "x")
            ax.set_ylim(bottom=0)
            ax.set_xlabel("samples $k$")
            ax.set_ylabel(DISTANCE)
    for ax in axes[0, 2:]:  # the panels around k = n share their scale
        ax.set_ylim(limits(near["distance"]))
        ax.tick_params(labelleft=False)
    if len(near):
        axes[0, 1].set_ylim(limits(near["distance"]))
    handles = [_dot(palette[k], MARKERS[j], fill=j == 0) for j, k in enumerate(inputs)]
    handles.append(Line2D([], [], color=GREY, linestyle=SCHEDULES["cosine"], linewidth=0.9))
    law = r"law $\sqrt{2(n-r)}$ at the rank $r$ of each kind of input"
    fig.legend(handles, [f"{k} inputs" for k in inputs] + [law], loc="outside lower center", ncols=3)


def _by_sampling(fig: SubFigure, run: Run) -> None:
    """Fixed against fresh samples for each kind of input, and where on the coset runs with fixed ones end."""
    cells, main = run.planned("fresh"), run.block("identifiability")
    kinds = sorted(cells["inputs"].unique()) or [""]
    axes = fig.subplots(1, len(kinds) + 1, squeeze=False)
    colours = sns.color_palette("colorblind")
    styles = {"fixed": dict(color=colours[7], marker="o"), "fresh": dict(color=colours[2], marker="D")}
    for ax, kind in zip(axes[0], kinds, strict=False):
        here = cells[cells["inputs"] == kind]
        done = here[here["status"] == "ok"]
        if not len(done):
            say_absent(ax, missing_block("fresh"))
            continue
        for sampling, some in done.groupby("sampling"):
            bars(ax, some, "samples", "distance", linestyle="-", linewidth=0.8, **styles[sampling])
        n = int(here["dimension"].median())
        k = np.arange(here["samples"].min(), min(n - 2, here["samples"].max()) + 1)
        ax.plot(k, theory.coset_distance(n, [theory.effective_rank(n, int(each), kind) for each in k]), **LAW)
        mark_missing(ax, here, "samples")
        ax.set(xscale="log", yscale="log")
        ax.axvline(n, color=GREY, linewidth=0.8)
        ax.set_title(f"{kind} inputs, $n={n}$, {done['seed'].nunique()} seeds")
        ax.set_ylim(limits(cells.loc[cells["status"] == "ok", "distance"]))
        ticks = sorted(here["samples"].unique())
        ax.set_xticks(ticks, [str(k) for k in ticks])
        ax.minorticks_off()
        ax.set_xlabel("samples a step")
        decades(ax)
    axes[0, 0].set_ylabel(DISTANCE)
    handles = {
        f"{name}": Line2D([], [], linewidth=0.8, **style)
        for name, style in styles.items()
        if name in set(cells["sampling"])
    }
    handles |= missing_handle(cells)
    ax = axes[0, -1]
    some = main[main["inputs"] == "whitened"] if (main["inputs"] == "whitened").any() else main
    if not len(some):
        say_absent(ax, missing_block("identifiability"))
    else:
        points = (
            ("distance", r"to $\rho^\mathsf{T}$", colours[1], "s"),
            ("distance_start", "to the start", colours[4], "^"),
            ("distance_nearest", "to the nearest solution", colours[9], "v"),
        )
        for column, label, colour, marker in points:
            bars(ax, some, "samples", column, color=colour, marker=marker, markerfacecolor="white", linewidth=0.8)
            handles[label] = Line2D([], [], color=colour, marker=marker, markerfacecolor="white", linewidth=0.8)
        n = int(some["dimension"].median())
        k = np.arange(some["samples"].min(), n - 1)
        rank = [theory.effective_rank(n, int(each), some["inputs"].iloc[0]) for each in k]
        ax.plot(k, theory.coset_distance(n, rank), **LAW)
        ax.set_title(f"{some['inputs'].iloc[0]} inputs, fixed, $n={n}$")
        ax.set(xlabel="samples $k$", ylabel="distance, Frobenius norm", ylim=(-0.4, None))
    handles[r"law $\sqrt{2(n-r)}$"] = Line2D([], [], **LAW)
    fig.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=len(handles), columnspacing=1.0)


@figure("floor")
def draw_floor(run: Run) -> Figure:
    """Final data loss of mismatched runs against that of the trap, a panel a kind of inputs, coloured by outcome. One marker a run."""
    cells = run.block("floor")
    cells = cells[cells["predicted_trap_loss"] > 0]
    if not len(cells):
        return absent("floor")
    kinds = sorted(cells["inputs"].unique())
    fig, axes = canvas(2.6, 1, len(kinds), sharey=True, sharex=True)
    low, high = limits(cells["predicted_trap_loss"])
    bottom, top = limits(cells["fit"], math.log10(high / low) + 2)  # the rest is drawn on the lower edge
    present = [outcome for outcome in OUTCOMES if outcome in set(cells["outcome"])]
    for ax, kind in zip(axes[0], kinds, strict=True):
        for outcome in present:
            some = cells[(cells["inputs"] == kind) & (cells["outcome"] == outcome)]
            ax.plot(some["predicted_trap_loss"], some["fit"].clip(lower=1.2 * bottom), **OUTCOMES[outcome])
        ax.plot([low, high], [low, high], **LAW)
        ax.set(xscale="log", yscale="log", xlim=(low, high), ylim=(bottom, top))
        ax.set_xlabel(r"data loss of the trap, $\lambda(1-s_*)^2$")
        ax.set_title(f"{kind} inputs")
        decades(ax)
        decades(ax, "x")
    axes[0, 0].set_ylabel(f"final {DATA_LOSS}")
    handles = {outcome: Line2D([], [], **OUTCOMES[outcome]) for outcome in present}
    handles["equal"] = Line2D([], [], **LAW)
    fig.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=len(handles))
    return fig
