"""Real inputs: the laws on the spectra of digits and words, and what one row more does there."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..analysis.intervals import share
from ..analysis.select import of_squares, outside_margin, paired, problems
from ..analysis.settings import ALWAYS, MOST
from ..presenting.ledger import UNTESTED, Measurement, claim, measured, measured_both_ways
from ..presenting.panels import canvas, decades, legend, outcome_patches, shares_of
from ..presenting.style import LAW, UNIT, figure, nonempty, word
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


@figure("real")
def draw_real(run: Run) -> Figure:
    """How runs on real inputs end, stacked over the weight: a column a set and dimension, a row a method, both sides together."""
    cells = nonempty(run.block("real"))
    sets = [same for _, same in cells.groupby(["inputs", "dimension"])]
    names = [name for name in ("adam", "lifted") if name in set(cells["method"])]
    fig, axes = canvas(2.6, len(names), len(sets), sharey=True, sharex="col")
    for column, same in enumerate(sets):
        for row, method in enumerate(names):
            _stack(axes[row, column], same[same["method"] == method])
        one = same.iloc[0]
        axes[0, column].set_title(f"{word(one['inputs'])}, $n={one['dimension']}$")
        axes[-1, column].set_xlabel(UNIT)
    for row, method in enumerate(names):
        axes[row, 0].set_ylabel({"adam": "plain", "lifted": "one row more"}[method])
    legend(fig, outcome_patches(cells["outcome"]) | {r"$\gamma=2\lambda$ and $2\mu$": LAW})
    return fig


def _stack(ax: Axes, cells: pd.DataFrame) -> None:
    """Bars at each weight, over the median of 2 lambda; lines at the two thresholds."""
    cells = cells.assign(x=cells["reg"] / (2 * cells["lambda_min"].median()))
    shares_of(ax, cells, "x")
    for place in (1, float((cells["predicted_lambda_max"] / cells["lambda_min"]).median())):
        ax.axvline(place, **LAW)
    ax.set(xscale="log", ylim=(0, 1), yticks=[0, 0.5, 1])
    decades(ax, "x")
