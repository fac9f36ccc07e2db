"""The trap: where runs on the wrong side end, where a wrong minimum exists, and whether runs started there stay."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..analysis.intervals import mean, share
from ..analysis.select import by_seed, of_squares, only, outside_margin, problems, resting
from ..analysis.settings import EXISTENCE_SHARE, MOST
from ..cells.shape import spec_name
from ..presenting.ledger import UNTESTED, Measurement, claim, measured, measured_both_ways
from ..presenting.panels import Panel, dots, inside, legend, note, outcome_marks, side_by_side
from ..presenting.style import COLOURS, LAW, UNIT, figure, shades
from ..run.run import Run
from ..theory import forms
from ..theory.outcomes import ALIGNED, NEAR

# Where runs end.


@claim(
    "landscape", "Runs whose loss is flat are at the target, at the trap or beside a saddle that the theorem lists",
    "≥", blocks="floor existence map_twin map_haar capture capture_white large_white large_trap cures_uniform",
    tolerance=1 - MOST,
    predicate="Of Adam's runs whose gradient_norm ends at {FLAT} or less, the share that are recovered, trapped, or "
    "within {NEAR} of the path through the reflection of one eigenvector of G, clustered by problem.",
)  # fmt: skip
def landscape(run: Run, cells: pd.DataFrame) -> Measurement:
    used = resting(of_squares(cells, "adam"))
    beside = (used["overlap"] >= ALIGNED) & (used["off_path"] <= NEAR)
    listed = used["outcome"].isin(["recovered", "trapped"]) | beside
    return measured(share(listed, problems(used)), 1.0, used)


@claim(
    "trap-loss", "A trapped run pays λ(1 - s*)²", "≈", blocks="floor existence map_twin", tolerance=0.02,
    predicate="Data loss over lambda (1 - s*)² of the trapped runs at rest; median over the runs of a seed, mean over "
    "seeds.",
)  # fmt: skip
def trap_loss(run: Run, cells: pd.DataFrame) -> Measurement:
    used = resting(only(of_squares(cells), outcome="trapped"))
    return measured(mean(by_seed(used["fit"] / used["predicted_trap_loss"], used)), 1.0, used)


# Existence.


@claim(
    "existence", "From the twin, runs are trapped above 2λ and recovered below", "≥", blocks="existence map_twin",
    tolerance=1 - EXISTENCE_SHARE,
    predicate="Share of twin-started runs outside a factor {MARGIN} of the threshold that end on the side the theorem "
    "says: wrong of those with reg > 2 lambda, right of the others; the worse of the two, clustered by problem.",
)  # fmt: skip
def existence(run: Run, cells: pd.DataFrame) -> Measurement:
    used = outside_margin(of_squares(cells))
    return measured_both_ways(used["reg_over_2lambda"] > 1, used["wrong"], problems(used), used)


@claim(
    "noise", "With noise in the targets the threshold moves as foretold", "≥", blocks="noise", tolerance=1 - MOST,
    predicate="Share of the twin-started runs on noisy targets whose least-squares weight lies on the target's side, outside a factor "
    "{MARGIN} of the threshold of the noise, that end on the wrong side exactly where reg is above it, clustered by problem.",
)  # fmt: skip
def noise(run: Run, cells: pd.DataFrame) -> Measurement:
    used = cells[(cells["noise"] > 0) & (cells["det_sign_least_squares"] == cells["det_sign_target"])]
    used = outside_margin(used, "reg_over_threshold")
    above = used["reg_over_threshold"] > 1
    return measured(share(used["wrong"] == above, problems(used)), 1.0, used) if above.nunique() == 2 else UNTESTED


# The double well.

WEIGHTS = (1, 2, 4, 20)  # over lambda, of the curves drawn
TOP = 2.5  # of the panel of ends; what lies above is drawn on its edge


@figure("existence map_twin")
def draw_double_well(run: Run) -> Figure:
    """The loss along one reflection at four weights, and where runs end that were started at the twin, against the closed form."""
    cells = run.block("existence", "map_twin")
    exact = cells["key"].isin(run.block("existence")["key"])
    cells = cells.assign(exact=exact)
    cells = cells[(cells["lambda_min"] > 0) & (cells["penalty"] == "fro2")]
    known = pd.DataFrame({"reg": WEIGHTS}) if len(cells) else cells
    panels = [Panel("loss along one reflection", _curves, known, 0.8), Panel("runs started at the twin", _ends, cells)]
    fig = side_by_side(2.3, panels)
    if len(cells):
        legend(fig, outcome_marks(cells) | {"closed form": LAW})
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
    x, y = "reg_over_2lambda", "fit_over_4lambda"
    ax.set_xscale("log")
    low, high = cells[x].min() / 1.5, cells[x].max() * 1.5
    curve = trap_curve("fro2", math.nan, low, high)
    ax.plot(*curve, **LAW)
    ax.plot([low, 1, 1], [0, 0, curve[1][0]], **LAW)
    pale = cells[~cells["exact"]]
    dots(ax, pale.assign(**{y: pale[y].clip(upper=TOP)}), x, y, markersize=2.5, alpha=0.45, clip_on=False)
    dots(ax, cells[cells["exact"]], x, y, markersize=3.2)
    inside(ax, "no wrong\nminimum", (0.04, 0.45), va="center")
    inside(ax, r"at the trap, $\lambda(1-s_*)^2$", (0.98, 0.22), ha="right")
    ax.set(xlabel=UNIT, ylabel=r"final data loss $/\,4\lambda$", ylim=(-0.08, TOP), xlim=(low, high))
    ax.minorticks_off()


def trap_curve(penalty: str, threshold: float, low: float, high: float) -> tuple[np.ndarray, np.ndarray]:
    """Data loss over 4 lambda at the trap, against reg over the threshold or, without one, over 2 lambda.

    In these units it depends on the weight alone, and any unit vector stands for w; but the parabola of huber is
    narrower than its threshold, which is taken as it is.
    """
    name, w = spec_name(penalty), np.ones(1)
    unit = float(forms.trap_threshold(name, 1.0, w))
    x = np.geomspace(max(low, 1.0 + 1e-9 if unit > 0 else low), max(high, 1.0), 200)
    unit = threshold if name == "huber" else unit or forms.trap_threshold("fro2", 1.0)
    return x, forms.trap_loss(x * unit, 1.0, name, w) / forms.wrong_floor(1.0)
