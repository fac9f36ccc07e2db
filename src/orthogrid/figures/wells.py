"""Where wrong minima are, and whether runs started there stay: the double well, and the law for every penalty."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ..cells.shape import spec_name
from ..presenting.panels import Panel, canvas, dots, inside, legend, note, outcome_marks, side_by_side
from ..presenting.style import COLOURS, GREY, LAW, UNIT, figure, nonempty, ordered_arms, shades, word
from ..run.run import Run, arms
from ..theory import forms

WEIGHTS = (1, 2, 4, 20)  # over lambda, of the curves drawn
TOP = 2.5  # of the panel of ends; what lies above is drawn on its edge


@figure("existence map_twin")
def draw_double_well(run: Run) -> Figure:
    """The loss along one reflection at four weights, and where runs end that were started at the twin, against the closed form."""
    cells = run.block("existence", "map_twin")
    exact = cells["key"].isin(run.block("existence")["key"])
    cells = cells.assign(exact=exact)
    cells = cells[(cells["predicted_lambda_min"] > 0) & (cells["penalty"] == "fro2")]
    known = pd.DataFrame({"reg": WEIGHTS}) if len(cells) else cells
    panels = [
        Panel("loss along one reflection", _curves, known, 0.8),
        Panel("runs started at the twin", _ends, cells),
    ]
    fig = side_by_side(2.3, panels)
    if len(cells):
        handles = outcome_marks(cells) | {"closed form": Line2D([], [], **LAW)}
        legend(fig, handles)
    return fig


def _curves(ax: Axes, cells: pd.DataFrame) -> None:
    s = np.linspace(-1.3, 1.3, 500)
    unit = float(forms.wrong_floor(1.0))
    colours = shades(sorted(cells["reg"]))
    top = 2.2
    for reg in cells["reg"]:
        h = forms.path_loss(s, reg, 1.0) / unit
        ax.plot(s, h, color=colours[reg])
        steep = h[np.abs(s) < 0.5].max() > top  # its name is then beside a flank, else on the ridge, the lowest below
        where = s[(s > -0.9) & (h > 1.7)][0] if steep else -0.1
        style = dict(va="center") if steep else dict(ha="center", va="top" if reg == cells["reg"].min() else "bottom")
        place = where, float(forms.path_loss(where, reg, 1.0)) / unit
        shift = (3, 0) if steep else (0, -6 if style["va"] == "top" else 4)
        note(ax, f"$\\gamma={reg if reg > 1 else ''}\\lambda$", place, shift, color=colours[reg], **style)
        least = float(forms.trap_position(reg, 1.0))
        if not math.isnan(least):
            ax.plot(least, forms.path_loss(least, reg, 1.0) / unit, "o", color=COLOURS["trapped"], zorder=5)
    ax.plot(1, 0, "D", color=COLOURS["recovered"], markerfacecolor="white", zorder=5)
    ax.set(xlabel="position $s$ on the path", ylabel=r"loss $/\,4\lambda$", ylim=(-0.12, top), xlim=(-1.3, 1.3))
    ax.set_xticks([-1, -0.5, 0, 1], ["−1, twin", "−1/2", "0", "1, target"])


def _ends(ax: Axes, cells: pd.DataFrame) -> None:
    cells = cells.assign(x=cells["reg"] / forms.trap_threshold("fro2", cells["predicted_lambda_min"]))
    cells = cells.assign(y=cells["fit"] / forms.wrong_floor(cells["predicted_lambda_min"]))
    ax.set_xscale("log")
    low, high = cells["x"].min() / 1.5, cells["x"].max() * 1.5
    curve = _trap_curve("fro2", math.nan, low, high)
    ax.plot(*curve, **LAW)
    ax.plot([low, 1, 1], [0, 0, curve[1][0]], **LAW)
    pale = cells[~cells["exact"]]
    dots(ax, pale.assign(y=pale["y"].clip(upper=TOP)), "x", "y", markersize=2.5, alpha=0.45, clip_on=False)
    dots(ax, cells[cells["exact"]], "x", "y", markersize=3.2)
    inside(ax, "no wrong\nminimum", (0.04, 0.45), va="center")
    inside(ax, r"at the trap, $\lambda(1-s_*)^2$", (0.98, 0.45), ha="right")
    ax.set(xlabel=UNIT, ylabel=r"final data loss $/\,4\lambda$", ylim=(-0.08, TOP), xlim=(low, high))
    ax.minorticks_off()


def _trap_curve(penalty: str, threshold: float, low: float, high: float) -> tuple[np.ndarray, np.ndarray]:
    """Data loss over 4 lambda at the trap, against reg over the threshold or, without one, over 2 lambda.

    In these units it depends on the weight alone, and any unit vector stands for w; but the parabola of huber is
    narrower than its threshold, which is taken as it is.
    """
    name, w = spec_name(penalty), np.ones(1)
    unit = float(forms.trap_threshold(name, 1.0, w))
    x = np.geomspace(max(low, 1.0 + 1e-9 if unit > 0 else low), max(high, 1.0), 200)
    unit = threshold if name == "huber" else unit or forms.trap_threshold("fro2", 1.0)
    return x, forms.trap_loss(x * unit, 1.0, name, w) / forms.wrong_floor(1.0)


@figure("law")
def draw_law(run: Run) -> Figure:
    """Data loss where runs from the twin end, against the weight in units of each penalty's threshold. One marker a run."""
    cells = run.block("law")
    cells = nonempty(cells[cells["predicted_lambda_min"] > 0])
    cells = cells.assign(arm=arms(cells), relative=cells["predicted_trap_threshold"] / cells["predicted_lambda_min"])
    held = cells.groupby("arm")["relative"].median().where(lambda value: (value > 0) & (value < math.inf))
    # Penalties with a threshold first: these share the axis.
    names = sorted(ordered_arms(cells), key=lambda arm: math.isnan(held[arm]))
    unit = cells["relative"].where(cells["arm"].map(held).notna(), forms.trap_threshold("fro2", 1.0))
    cells = cells.assign(x=cells["reg"] / (unit * cells["predicted_lambda_min"]))
    cells = cells.assign(y=cells["fit"] / forms.wrong_floor(cells["predicted_lambda_min"]))
    across = min(len(names), 4)
    bands = math.ceil(len(names) / across)
    fig, axes = canvas(0.5 + 1.1 * bands, bands, across, sharey=True, sharex=True)
    low, high = cells["x"].min() / 1.6, cells["x"].max() * 1.6
    for ax in axes.flat[len(names) :]:
        ax.set_axis_off()
    for i, (ax, name) in enumerate(zip(axes.flat, names, strict=False)):
        here = cells[cells["arm"] == name]
        ax.set_xscale("log")
        if not math.isnan(held[name]):
            ax.axvline(1, color=GREY, linewidth=0.5)
        ax.plot(*_trap_curve(name, held[name], low, high), **LAW)
        dots(ax, here, "x", "y", markersize=3)
        told = f"$\\gamma_{{*}}={float(f'{held[name]:.2g}'):g}\\,\\lambda$"
        if math.isnan(held[name]):
            told = r"$\gamma_{*}=0$" if here["relative"].median() == 0 else r"no $\gamma_{*}$"
        ax.set_title(f"{word(name)}, {told}")
        if i + across >= len(names):  # nothing below it
            ax.set_xlabel(UNIT if math.isnan(held[name]) else r"$\gamma/\gamma_{*}$")
            ax.tick_params(labelbottom=True)
    last = axes[-1, 0]
    last.set(xlim=(low, high), ylim=(-0.08, max(1.28, min(1.05 * cells["y"].max(), 2))), yticks=[0, 0.5, 1])
    powers = range(math.ceil(math.log10(low)), math.floor(math.log10(high)) + 1)
    last.set_xticks([10.0**p for p in powers if p % (1 + (len(powers) > 5)) == 0])
    last.minorticks_off()
    fig.supylabel(r"final data loss $/\,4\lambda$", fontsize=8)
    law = {"closed form": Line2D([], [], **LAW), r"$\gamma=\gamma_{*}$": Line2D([], [], color=GREY, linewidth=0.5)}
    legend(fig, outcome_marks(cells) | law)
    return fig
