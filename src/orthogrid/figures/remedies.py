"""What brings trapped runs back, and what methods with a hard constraint reach and cost."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ..analysis.select import at_best_rate, roughness
from ..presenting.panels import bars, canvas, decades, inside, legend, limits, list_rows, outcome_patches, sided
from ..presenting.style import COLOURS, DATA_LOSS, LAW, ROUGHNESS, figure, nonempty, word
from ..run.run import Run
from ..theory import forms

STACK = ("recovered", "unfinished", "unfinished, wrong side", "trapped", "diverged")  # from the left
CURES = {
    "adam": "no cure",
    "reg_ramp": "weight ramped up",
    "early_rate": "large rate early",
    "restart": "fresh restart",
    "reflection": "reflection",
    "widened": "twice as wide",
    "lifted": "one row more",
}


@figure("cures cures_uniform large_trap large_cure")
def draw_remedies(run: Run) -> Figure:
    """How runs from the wrong side end under each cure, stacked: a column a setting, a row a cure, with the number recovered."""
    large = run.block("large_trap", "large_cure")
    parts = [run.block("cures"), run.block("cures_uniform"), large[large["determinant"] == "mismatch"]]
    columns = [same for part in parts for _, same in part.groupby(["reg", "steps"])]
    here = nonempty(pd.concat(parts))
    present = here["method"].unique()
    names: list[str] = [name for name in CURES if name in present] + sorted(set(present) - set(CURES))
    fig, axes = canvas(0.8 + 0.17 * len(names), 1, len(columns), sharey=True)
    before = ""
    for ax, same in zip(axes[0], columns, strict=True):
        one = same.iloc[0]
        title = f"{word(one['inputs'])} inputs, $n={one['dimension']}$"
        for i, name in enumerate(names):
            _stack(ax, i, same[same["method"] == name])
        list_rows(ax, [CURES.get(name) or name for name in names])
        ax.set(xlim=(0, 1), xticks=[])
        ax.set_xlabel(f"$\\gamma={one['reg']:g}$\n{one['steps']} steps", linespacing=1.15)
        ax.spines[:].set_visible(False)
        ax.set_title(title if title != before else "")
        before = title
    legend(fig, outcome_patches(sided(here)))
    return fig


def _stack(ax: Axes, row: int, cells: pd.DataFrame) -> None:
    left = 0.0
    for name in STACK:
        count = int((sided(cells) == name).sum())
        if count:
            ax.barh(row, count / len(cells), 0.78, left, color=COLOURS[name], edgecolor="white", linewidth=0.5)
            style = dict(
                ha="center", va="center_baseline", size=7, color="black" if name.startswith("unfinished") else "white"
            )
            ax.text(left + count / len(cells) / 2, row, f"{count}", **style)
            left += count / len(cells)


@figure("methods step_cost")
def draw_methods(run: Run) -> Figure:
    """Cost of a step, and at its best rate orthogonality and data loss of every method, a row a method, sorted by cost."""
    cells, costs = run.block("methods"), run.block("step_cost")
    everything = nonempty(pd.concat([cells, costs]))
    largest = everything[everything["dimension"] == everything["dimension"].max()]
    order = largest.groupby("method")["seconds_per_step"].median()
    names = sorted(everything["method"].unique(), key=lambda name: order.get(name, 0))
    row = {name: i for i, name in enumerate(names)}
    fig, axes = canvas(0.8 + 0.155 * len(names), 1, 3, sharey=True)
    left, middle, right = axes[0]
    for j, (n, some) in enumerate(everything[everything["seconds_per_step"] > 0].groupby("dimension")):
        some = some.assign(ms=1e3 * some["seconds_per_step"], row=some["method"].map(row))
        style = dict(color=("0.5", "0.1", "0.3")[j % 3], marker="os^"[j % 3], linestyle="none")
        bars(left, some, "row", "ms", across=True, **style)
        inside(left, f"$n={n}$", (0.98, 0.97 - 0.07 * j), ha="right", va="top", color=style["color"])
    left.set(xscale="log", xlabel="milliseconds a step")
    cells = pd.concat([at_best_rate(same) for _, same in cells.groupby("method")]) if len(cells) else cells
    cells = cells.assign(roughness=roughness(cells), row=cells["method"].map(row))
    few = cells["samples"] < cells["dimension"]
    for j, (some, label) in enumerate(((cells[few], "$k<n$"), (cells[~few], "$k>n$"))):
        some = some.assign(row=some["row"] + (-0.15, 0.15)[j])
        style = dict(color=("#44aa99", "#882255")[j], marker="Pv"[j], linestyle="none")
        bars(middle, some, "row", "roughness", across=True, **style)
        inside(middle, label, (0.98, 0.97 - 0.07 * j), ha="right", va="top", color=style["color"])
    middle.set(xscale="log", xlabel=ROUGHNESS)
    some = cells[~few & (cells["predicted_lambda_min"] > 0)]
    some = some.assign(ratio=some["fit"] / forms.wrong_floor(some["predicted_lambda_min"]))
    low, high = limits(some["ratio"], 8)  # the rest is drawn on the left edge
    for (start, wrong), same in some.groupby(["determinant", "wrong"]):
        place = same["row"] + (0.15 if start == "mismatch" else -0.15)
        style = dict(color="black" if start == "mismatch" else "0.55", marker="o" if start == "mismatch" else "D")
        face = style["color"] if wrong else "white"
        right.plot(same["ratio"].clip(lower=1.7 * low), place, linestyle="none", markerfacecolor=face, **style)
    right.axvline(1, **LAW)
    right.set(xscale="log", xlim=(low, max(high, 3)), xlabel=rf"final {DATA_LOSS} $/\,4\lambda$")
    titles = ("cost", "orthogonality", "data loss, $k>n$")
    for letter, said, ax in zip("abc", titles, axes[0], strict=True):
        list_rows(ax, names)
        decades(ax, "x", most=5)
        ax.set_title(rf"$\mathbf{{{letter}}}$  {said}")
    dot = dict(linestyle="none", marker="o", color="black")
    handles = {
        "start wrong": Line2D([], [], **dot),
        "start right": Line2D([], [], **dot | dict(marker="D", color="0.55", markerfacecolor="white")),
        "hollow: ended right": Line2D([], [], **dot, markerfacecolor="white"),
        r"$4\lambda$": Line2D([], [], **LAW),
    }
    legend(fig, handles)
    return fig
