"""What methods with a hard constraint reach and cost, and which cures bring a trapped run back."""

from __future__ import annotations

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from .. import theory
from ..analysis.select import at_best_rate, roughness
from ..run import Run
from .style import (
    DATA_LOSS,
    DISTANCE,
    GREY,
    LAW,
    ROUGHNESS,
    absent,
    canvas,
    decades,
    figure,
    limits,
    list_rows,
    side,
    size_of,
    span,
)


def _names(cells: pd.DataFrame) -> list[str]:
    """The methods in the config's order: a table of methods names the penalty of plain Adam."""
    return list(cells["label"].unique())


def _labelled(cells: pd.DataFrame) -> pd.DataFrame:
    plain = cells["method"] == "adam"
    return cells.assign(label=cells["method"].where(~plain, "adam, " + cells["penalty"]))


def _dots(ax: Axes, cells: pd.DataFrame, column: str, names: list[str], aside: float, **style) -> None:
    """Medians in each method's row with the full range."""
    values = cells.loc[cells["status"] == "ok", ["label", column]].dropna()
    if len(values):
        some = values.groupby("label")[column].apply(span)
        middle, below, above = np.array(some.tolist()).T
        places = [names.index(name) + aside for name in some.index]
        ax.errorbar(middle, places, xerr=[below, above], linestyle="none", elinewidth=0.7, markeredgewidth=0.8, **style)


@figure("methods step_cost")
def draw_methods(run: Run) -> Figure:
    """Cost of a step, and at its best rate orthogonality and data loss of every method, a row a method, sorted by cost."""
    cells, costs = run.planned("methods"), run.planned("step_cost")
    everything = pd.concat([cells, costs])
    if not (everything["status"] == "ok").any():
        return absent("methods", "step_cost")
    cells, costs, everything = map(_labelled, (cells, costs, everything))
    largest = everything[everything["dimension"] == everything["dimension"].max()]
    order = largest.groupby("label")["seconds_per_step"].median()
    names = sorted(_names(everything), key=lambda name: (np.isnan(order.get(name, np.nan)), order.get(name, 0)))
    fig, axes = canvas(0.95 + 0.185 * len(names), 1, 3, sharey=True)
    left, middle, right = axes[0]
    colours = sns.color_palette("colorblind")

    sizes = sorted(everything["dimension"].unique())
    greys = sns.color_palette("Greys", 2 * len(sizes) + 1)[2::2]  # colours are the other panels'
    for j, n in enumerate(sizes):
        some = everything[everything["dimension"] == n].assign(ms=lambda c: 1e3 * c["seconds_per_step"])
        finished = set(some.loc[some["status"] == "ok", "label"])
        for name in sorted(
            set(some["label"]) - finished
        ):  # other sizes may have results in this row: a cross on the axis
            cross = dict(color=greys[j], marker="x", markersize=4, linestyle="none", clip_on=False)
            left.plot(0, names.index(name), transform=left.get_yaxis_transform(), **cross)
        _dots(left, some[some["ms"] > 0], "ms", names, 0.0, color=greys[j], marker="os^D"[j % 4])
    left.set(xscale="log", xlabel="milliseconds a step")
    handles = {
        f"$n={n}$": Line2D([], [], color=greys[j], marker="os^D"[j % 4], linestyle="none") for j, n in enumerate(sizes)
    }

    cells = pd.concat([at_best_rate(same) for _, same in cells.groupby("method")]) if len(cells) else cells
    cells = cells.assign(roughness=roughness(cells))
    few = cells["samples"] < cells["dimension"]
    for j, (some, label) in enumerate(((cells[few], "$k<n$"), (cells[~few], "$k>n$"))):
        style = dict(color=colours[5 + 4 * j], marker="Pv"[j])
        _dots(middle, some, "roughness", names, (-0.16, 0.16)[j], **style)
        if len(some):
            handles[label] = Line2D([], [], linestyle="none", **style)
    middle.set(xscale="log", xlabel=ROUGHNESS)
    middle.set_title(size_of(cells) if len(cells) else "")

    some = cells[~few & (cells["predicted_lambda_min"] > 0)]
    some = some.assign(ratio=some["fit"] / theory.wrong_floor(some["predicted_lambda_min"]))
    low, high = limits(some.loc[some["status"] == "ok", "ratio"], 8)  # the rest is drawn on the left edge
    for wrong in (False, True):
        for row in some[(some["wrong"] == wrong) & (some["status"] == "ok")].itertuples():
            aside = 0.16 * (1 if row.determinant == "mismatch" else -1)
            style = side(
                colours[1 if row.determinant == "mismatch" else 2], wrong, "o" if row.determinant == "mismatch" else "D"
            )
            right.plot(max(row.ratio, 1.7 * low), names.index(row.label) + aside, **style)
    right.axvline(1, **LAW)
    right.set(xscale="log", xlim=(low, max(high, 3)), xlabel=rf"final {DATA_LOSS} $/\,4\lambda$")
    right.set_title(size_of(some) if len(some) else "")
    for ax, part in ((left, everything), (middle, cells), (right, some)):
        list_rows(ax, names, part, "label")
        decades(ax, "x", most=5)
    handles |= {
        "start: mismatch": Line2D([], [], **side(colours[1], True)),
        "start: match": Line2D([], [], **side(colours[2], True, "D")),
        "ended right": Line2D([], [], **side(GREY, False)),
        r"$4\lambda$": Line2D([], [], **LAW),
    }
    if (everything["status"] != "ok").any():
        handles["no result"] = Line2D([], [], color=GREY, marker="x", markersize=4, linestyle="none")
    fig.legend(
        handles.values(),
        handles.keys(),
        loc="outside lower center",
        ncols=len(handles),
        columnspacing=0.8,
        handlelength=1.5,
    )
    return fig


@figure("cures")
def draw_cures(run: Run) -> Figure:
    """Distance to the target after each cure, one marker a run, a panel a budget, with the count of recovered runs."""
    cells = run.planned("cures")
    if not (cells["status"] == "ok").any():
        return absent("cures")
    cells = _labelled(cells)
    names, budgets = _names(cells), sorted(cells["steps"].unique())
    fig, axes = canvas(0.85 + 0.2 * len(names), 1, len(budgets), sharey=True, sharex=True)
    colours = sns.color_palette("colorblind")
    reach = cells["distance"].max()
    for ax, steps in zip(axes[0], budgets, strict=True):
        here = cells[cells["steps"] == steps]
        for i, name in enumerate(names):
            some = here[(here["label"] == name) & (here["status"] == "ok")].sort_values("seed")
            spread = np.linspace(-0.22, 0.22, len(some)) if len(some) > 1 else np.zeros(len(some))
            for offset, row in zip(spread, some.itertuples(), strict=True):
                style = side(colours[1 if row.wrong else 0], row.wrong, "o" if row.wrong else "D")
                ax.plot(row.distance, i + offset, **style)
            if len(some):
                ax.text(
                    1.02,
                    i,
                    f"{(~some['wrong']).sum()}/{len(some)}",
                    transform=ax.get_yaxis_transform(),
                    va="center",
                    fontsize=7,
                )
        ax.text(1.02, 1.0, "back", transform=ax.transAxes, va="bottom", fontsize=7)
        ax.axvline(theory.TWIN_DISTANCE, **LAW)
        list_rows(ax, names, here, "label")
        ax.set_title(f"{steps:g} steps, {size_of(here)}")
        ax.set(xlim=(-0.04 * reach, 1.04 * reach), xlabel=DISTANCE)
    handles = {
        "ended on the wrong side": Line2D([], [], **side(colours[1], True)),
        "back on the target's side": Line2D([], [], **side(colours[0], False, "D")),
        "twin": Line2D([], [], **LAW),
    }
    fig.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=3)
    return fig
