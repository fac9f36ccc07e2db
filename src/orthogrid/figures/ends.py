"""Where W ends: near the target, elsewhere on its coset, or at its reflected twin."""

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


@figure("regimes")
def draw_regimes(run: Run) -> Figure:
    """Final data loss and distance below, at and above rank n - 1, by determinant. One marker a run."""
    cells = run.block("regimes")
    if not len(cells):
        return absent("regimes")
    cells = cells.sort_values(["predicted_rank", "samples"])
    groups = cells[["dimension", "predicted_rank", "samples"]].drop_duplicates()

    def label(n: float, r: float, k: float) -> str:
        rank = "$r=n$" if r == n else f"$r=n-{n - r:g}$"
        beyond = "$k=n$" if k == n else f"$k=n{k - n:+g}$"
        return f"{rank}\n{beyond}"

    labels = [label(*row) for row in groups.itertuples(index=False)]
    cells = cells.assign(regime=[label(*row) for row in cells[["dimension", "predicted_rank", "samples"]].to_numpy()])
    determinants = sorted(cells["determinant"].unique())
    palette = dict(zip(determinants, sns.color_palette("colorblind"), strict=False))
    markers = dict(zip(determinants, "o^", strict=False))
    fig, axes = canvas(2.3, 1, 2)
    quantities = (
        ("fit", "predicted_wrong_floor", f"final {DATA_LOSS}"),
        ("distance", "predicted_distance", DISTANCE),
    )
    for ax, (column, law_column, name) in zip(axes[0], quantities, strict=True):
        if column == "fit":
            ax.set_yscale("log")
        for i, text in enumerate(labels):
            here = cells[cells["regime"] == text]
            for j, determinant in enumerate(determinants):
                values = here.loc[here["determinant"] == determinant, column].to_numpy()
                centre = i + 0.36 * (j - (len(determinants) - 1) / 2)
                spread = np.linspace(-0.14, 0.14, len(values)) if len(values) > 1 else np.zeros(len(values))
                ax.plot(
                    centre + spread,
                    values,
                    color=palette[determinant],
                    marker=markers[determinant],
                    linestyle="none",
                    markerfacecolor="white",
                    markeredgewidth=0.8,
                )
                if len(values):
                    ax.hlines(
                        np.median(values),
                        centre - 0.17,
                        centre + 0.17,
                        color=palette[determinant],
                        linewidth=1.6,
                    )
            law = here[law_column].median()
            # With one free direction the distance is 0 or 2; the root mean square of the two is no run's.
            if law > (0 if column == "fit" else theory.coset_distance(1, 0)):
                ax.hlines(law, i - 0.42, i + 0.42, **LAW)
        if column == "distance":
            ax.axhline(theory.TWIN_DISTANCE, color=GREY, linewidth=0.8, linestyle=":")
            ax.annotate("twin", (0, theory.TWIN_DISTANCE), xytext=(-8, 2), textcoords="offset points", color=GREY)
            ax.set_ylim(bottom=-0.05 * cells["distance"].max())
        else:
            decades(ax)
        ax.set_xticks(range(len(labels)), labels)
        ax.set_xlim(-0.55, len(labels) - 0.45)
        ax.grid(False, axis="x")
        ax.set_ylabel(name)
    handles = [
        Line2D([], [], color=palette[d], marker=markers[d], markerfacecolor="white", linewidth=1.6)
        for d in determinants
    ]
    handles.append(Line2D([], [], **LAW))
    names = [f"determinant: {d}" for d in determinants]
    names.append(r"closed form: $4\lambda$ (left), $\sqrt{2(n-r)}$ (right)")
    fig.legend(handles, names, loc="outside lower center", ncols=len(names))
    return fig


@figure("floor")
def draw_floor(run: Run) -> Figure:
    """What mismatched runs with more samples than dimensions end with, against 4 lambda and distance 2."""
    cells = run.block("floor")
    cells = cells[cells["lambda_min"] > 0]
    if not len(cells):
        return absent("floor")
    samples = sorted(cells["samples"].unique())
    colours = dict(zip(samples, sns.color_palette("viridis_r", len(samples) + 1)[1:], strict=True))
    kinds = sorted(cells["bias"].unique(), reverse=True)
    fig, axes = canvas(2.75, 1, 2)
    left, right = axes[0]
    for k in samples:
        for j, bias in enumerate(kinds):
            for wrong in (True, False):
                some = cells[(cells["samples"] == k) & (cells["bias"] == bias) & (cells["wrong"] == wrong)]
                style = dict(color=colours[k], markerfacecolor=colours[k] if wrong else "white", markeredgewidth=0.8)
                left.plot(
                    theory.wrong_floor(some["lambda_min"]),
                    some["fit"],
                    marker=MARKERS[j],
                    linestyle="none",
                    **style,
                )
    reach = limits(pd.Series(theory.wrong_floor(cells["lambda_min"])))
    left.plot(reach, reach, **LAW)
    left.set(xscale="log", yscale="log", ylabel="final data loss")
    left.set_xlabel(r"floor of the wrong component, $4\lambda$")
    decades(left)

    palette = sns.color_palette("colorblind")
    targets = (
        ("distance", r"to $\rho^\mathsf{T}$", palette[0], "o"),
        ("distance_twin", "to the twin", palette[1], "D"),
    )
    for column, _, colour, marker in targets:
        side = -1 if column == "distance" else 1
        for i, k in enumerate(samples):
            here = cells[cells["samples"] == k].sort_values(["bias", "seed"])
            place = i + side * 0.2 + np.linspace(-0.12, 0.12, len(here))
            for x, y, wrong in zip(place, here[column], here["wrong"], strict=True):
                right.plot(
                    x,
                    y,
                    color=colour,
                    marker=marker,
                    linestyle="none",
                    markeredgewidth=0.8,
                    markerfacecolor=colour if wrong else "white",
                )
    right.axhline(theory.TWIN_DISTANCE, **LAW)
    right.set_xticks(range(len(samples)), [str(k) for k in samples])
    right.set_xlim(-0.5, len(samples) - 0.5)
    right.set_ylim(bottom=-0.04 * cells[["distance", "distance_twin"]].max().max())
    right.grid(False, axis="x")
    right.set(xlabel="samples $k$", ylabel="distance, Frobenius norm")

    handles = [_dot(colours[k], "s") for k in samples]
    names = [f"$k={k}$" for k in samples]
    if len(kinds) > 1:
        handles += [_dot(GREY, MARKERS[j]) for j in range(len(kinds))]
        names += ["with bias" if bias else "without bias" for bias in kinds]
    handles += [_dot(colour, marker) for _, _, colour, marker in targets]
    names += [label for _, label, _, _ in targets]
    handles += [_dot(GREY, "o"), _dot(GREY, "o", fill=False), Line2D([], [], **LAW)]
    names += ["ended wrong", "crossed", "closed form"]
    fig.legend(handles, names, loc="outside lower center", ncols=7, columnspacing=1.0, handletextpad=0.3)
    return fig
