"""Which side a run ends on: one start under two weights, and the coin."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..presenting.panels import Panel, decades, inside, limits, mark, note, side_by_side, steps_axis
from ..presenting.style import COLOURS, GREY, LAW, figure
from ..run.run import Run
from ..theory import forms
from .starts import SIDES


@figure("large_trap capture coin", tables="traces")
def draw_crossing(run: Run) -> Figure:
    """One start under two weights, one of which traps it: determinant and data loss over steps; and the coin of block `coin`.

    The start is a mismatched one that recovers under one weight and is trapped under another: that of the smallest seed in block
    large_trap or, where it has none, in capture. The weights are the largest that lets it go and the smallest that traps it.
    """
    pair, coin = run.trace(_pair(run)).sort_values("step"), run.block("coin")
    coin = coin[coin["slow_sign"].notna()]
    panels = [
        Panel("determinant", _determinant, pair),
        Panel("data loss", _losses, pair),
        Panel("a coin?", _coin, coin, 1.1),
    ]
    return side_by_side(2.2, panels)


def _pair(run: Run) -> pd.DataFrame:
    for block in ("large_trap", "capture"):
        cells = run.block(block)
        cells = cells[(cells["determinant"] == "mismatch") & (cells["method"] == "adam")]
        for _, same in cells.groupby("seed"):
            free, held = (same[same["outcome"] == name].sort_values("reg") for name in ("recovered", "trapped"))
            if len(free) and len(held):
                return pd.concat([free.tail(1), held.head(1)])
    return cells.iloc[:0]


def _determinant(ax: Axes, trace: pd.DataFrame) -> None:
    root = np.exp(trace["log_abs_det"] / trace["dimension"])
    trace = trace.assign(det=trace["det_sign"] * trace["det_sign_target"] * root)
    ax.axhline(0, color=GREY, linewidth=0.5)
    for outcome, one in trace.groupby("outcome"):
        ax.plot(one["step"], one["det"], color=COLOURS[outcome], marker=".", markersize=3, linewidth=0.9)
        reg, lam = one["reg"].iloc[0], one["predicted_lambda_min"].iloc[0]
        text = f"{outcome},\n$\\gamma={reg:g}$\n$={float(reg / forms.trap_threshold('fro2', lam)):.2g}\\cdot2\\lambda$"
        place, va = (0.97, "top") if outcome == "recovered" else (0.12, "bottom")  # left of the crossings
        inside(ax, text, (0.02, place), color=COLOURS[outcome], va=va)
    steps_axis(ax, trace["steps"].max())
    ax.set_ylabel(r"$\pm|\det W|^{1/n}$, positive: target’s side")


def _losses(ax: Axes, trace: pd.DataFrame) -> None:
    trace = trace.assign(ratio=trace["fit"] / forms.wrong_floor(trace["predicted_lambda_min"]))
    for outcome, one in trace.groupby("outcome"):
        ax.plot(one["step"], one["ratio"], color=COLOURS[outcome], marker=".", markersize=3, linewidth=0.9)
        if outcome == "trapped":
            trap = one["predicted_trap_loss"].iloc[0] / forms.wrong_floor(one["predicted_lambda_min"].iloc[0])
            ax.axhline(trap, **LAW)
            note(ax, rf"trap: {trap:.2f}$\,(4\lambda)$", (0, trap), (2, -4), va="top")
    ax.set(yscale="log", ylabel=r"data loss $/\,4\lambda$", ylim=limits(trace["ratio"], 10))
    decades(ax)
    steps_axis(ax, trace["steps"].max())


def _coin(ax: Axes, cells: pd.DataFrame) -> None:
    """A dot a run: a row a side of the start and of its part on the light directions, coloured by the side on which it ended."""
    rows = [(start, sign) for start in SIDES for sign in (-1, 1)]
    most = cells.groupby(["determinant", "slow_sign"]).size().max()
    for i, (start, sign) in enumerate(rows):
        same = cells[(cells["determinant"] == start) & (cells["slow_sign"] == sign)].sort_values("wrong")
        for j, wrong in enumerate(same["wrong"]):
            ax.plot(j % 15, i + 0.24 * (j // 15), **mark("trapped" if wrong else "recovered", markersize=3.2))
        right = (~same["wrong"]).sum()
        ax.text(1.0, i, f"{right}/{len(same)}", transform=ax.get_yaxis_transform(), ha="right", va="center", size=7.5)
    names = [f"start {SIDES[start]},\nlight sign {'right' if sign > 0 else 'wrong'}" for start, sign in rows]
    ax.set(ylim=(3.6, -0.9), xlim=(-0.8, 1.3 * min(15, most) + 0.8), xticks=[])
    ax.set_yticks(range(len(rows)), names)
    ax.tick_params(axis="y", length=0)
    ax.spines[["left", "bottom"]].set_visible(False)
    ax.text(1.0, -0.7, "end right", transform=ax.get_yaxis_transform(), ha="right", va="center", size=7.5)
    agree = ((cells["slow_sign"] > 0) == ~cells["wrong"]).mean()
    ax.set_xlabel(f"{100 * agree:.0f}$\\,$% end where the light sign says")
