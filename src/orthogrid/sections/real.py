"""Real inputs: the laws on the spectra of digits and words, and what one row more does there."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from ..analysis.intervals import share
from ..analysis.select import of_squares, outside_margin, paired, problems
from ..analysis.settings import ALWAYS, MOST
from ..cells.inputs import DATA
from ..presenting.ledger import UNTESTED, Measurement, claim, measured, measured_both_ways
from ..presenting.panels import Panel, counted_row, decades, legend, list_rows, outcome_patches, side_by_side
from ..presenting.style import GREY, figure, nonempty
from ..run.run import Run


@claim(
    "real-trap", "On digits and words, too, the twin holds a run exactly above 2λ", "≥", blocks="real_twin",
    tolerance=1 - MOST,
    predicate="Share of twin-started runs on real inputs outside a factor {MARGIN} of 2 lambda that end wrong if reg is above it and "
    "right if not; the worse of the two, clustered by problem.",
)  # fmt: skip
def real_trap(run: Run, cells: pd.DataFrame) -> Measurement:
    used = outside_margin(of_squares(cells))
    return measured_both_ways(used["reg_over_2lambda"] > 1, used["wrong"], problems(used), used)


@claim(
    "real-row", "Between 2λ and 2μ one row more recovers what plain training does not", ">", blocks="real",
    predicate="Of the runs on real inputs, of either side, with reg between 2 lambda and 2 mu that plain Adam does not recover, the "
    "share that lifted recovers, clustered by seed; against three quarters.",
)  # fmt: skip
def real_row(run: Run, cells: pd.DataFrame) -> Measurement:
    used = _between(cells)
    good = used.assign(good=(used["outcome"] == "recovered").astype(float))
    keep = ("seed", "inputs", "dimension", "reg", "determinant")
    pairs = paired(good, "good", "method", "adam", "lifted", keep=keep)
    left = pairs[pairs["first"] < 0.5]
    return measured(share(left["second"] > 0.5, left["seed"]), ALWAYS, used) if len(left) else UNTESTED


def _between(cells: pd.DataFrame) -> pd.DataFrame:
    """Runs whose weight lies between the two thresholds."""
    return cells[(cells["reg_over_2lambda"] > 1) & (cells["reg_over_2mu"] < 1)]


# The figure: where usual weights lie, and what one row more does there.

SPECTRA = DATA / "spectra.csv"  # of eight sets: name, samples, dimension, lambda_min, lambda_max
USUAL = 1e-3, 0.1  # penalty weights that people take where the loss is a mean
BAND = "0.88"
METHODS = {"adam": "plain", "lifted": "one row more"}


@figure("real")
def draw_real(run: Run) -> Figure:
    """The two thresholds of eight sets of samples, for a mean loss; and how runs end below, between and above the thresholds."""
    cells = nonempty(run.block("real"))
    panels = [
        Panel("thresholds", _thresholds, pd.read_csv(SPECTRA), 1.15),
        Panel("how runs end", _ends, cells),
    ]
    fig = side_by_side(2.2, panels)
    legend(fig, {"0.001 to 0.1": Patch(color=BAND)} | outcome_patches(cells["outcome"]))
    return fig


def _thresholds(ax: Axes, sets: pd.DataFrame) -> None:
    """A line a set, from 2 lambda to 2 mu over samples times dimension: the data loss of a mean is smaller by that factor."""
    entries = sets["samples"] * sets["dimension"]
    low, high = (2 * sets[f"lambda_{end}"] / entries for end in ("min", "max"))
    order = np.argsort(-low.to_numpy())
    ax.axvspan(*USUAL, color=BAND, linewidth=0)
    for row, i in enumerate(order):
        ax.plot([low[i], high[i]], [row, row], color=GREY, marker="|", markersize=6)
    ax.set(xscale="log", xlabel="penalty weight, mean loss")
    list_rows(ax, [sets["name"][i] for i in order])
    decades(ax, "x")


def _ends(ax: Axes, cells: pd.DataFrame) -> None:
    """A bar a region and method, both sides of the start together."""
    regions = np.select(
        [cells["reg_over_2lambda"] < 1, cells["reg_over_2mu"] < 1], ["below $2\\lambda$", "between"], "above $2\\mu$"
    )
    rows = [(region, method) for region in ("below $2\\lambda$", "between", "above $2\\mu$") for method in METHODS]
    for i, (region, method) in enumerate(rows):
        some = cells[(regions == region) & (cells["method"] == method)]
        if len(some):
            counted_row(ax, i, some)
    list_rows(ax, [f"{region}, {METHODS[method]}" for region, method in rows])
    ax.set(xlim=(0, 1), xticks=[])
    ax.spines[:].set_visible(False)
