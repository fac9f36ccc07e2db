"""Identifiability: what k samples determine of W, and what they cannot."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..analysis.intervals import geometric_mean, mean
from ..analysis.select import block_size, by_seed, fitted, only
from ..analysis.settings import FITTED
from ..presenting.ledger import ANSWERER, QUESTIONER, UNTESTED, Measurement, claim, measured
from ..presenting.panels import Panel, bars, decades, inside, limits, note, side_by_side, ticks
from ..presenting.style import DISTANCE, GREY, INPUTS, LAW, figure, word
from ..run.run import Run
from ..theory import forms


@claim(
    "optimal-rho", "The weight that fits the data is rho", "≤", blocks="thread_b identifiability", tolerance=0.1,
    author=QUESTIONER, quote="The optimal weight for the model is certainly rho", foretold="refuted",
    predicate="‖W - rho‖_F over √(2n), the root mean square for unrelated orthogonal matrices, in runs with data loss "
    "below {FITTED}; mean over seeds.",
)  # fmt: skip
def optimal_rho(run: Run, cells: pd.DataFrame) -> Measurement:
    used = fitted(cells)
    return measured(mean(by_seed(used["distance_rho"] / np.sqrt(2 * used["dimension"]), used)), 0.0, used)


@claim(
    "transpose", "With enough samples W becomes the transpose of rho", "≤", blocks="identifiability transition",
    tolerance=0.1, author=ANSWERER, quote="training model.weight to become equal to rho.T",
    predicate="‖W - rhoᵀ‖_F over √(2n) in runs of full rank from a matching start with data loss below {FITTED}; mean "
    "over seeds.",
)  # fmt: skip
def transpose(run: Run, cells: pd.DataFrame) -> Measurement:
    used = fitted(cells)
    used = used[(used["rank"] == used["dimension"]) & (used["determinant"] == "match")]
    return measured(mean(by_seed(used["distance"] / np.sqrt(2 * used["dimension"]), used)), 0.0, used)


@claim(
    "information", "With the thread's samples the distance to the target is the coset law's", "≈",
    blocks="thread_b identifiability", tolerance=0.005, author=ANSWERER,
    quote="enough information to reconstruct the 500x500 matrix rho",
    predicate="Distance ‖W - rhoᵀ‖_F at the thread's dimension and samples, uniform inputs, matching start; mean over "
    "seeds. The law is √(2(n - k)): nothing is known on n - k dimensions.",
)  # fmt: skip
def information(run: Run, cells: pd.DataFrame) -> Measurement:
    n, k = block_size(run, "thread_b")
    used = only(cells, samples=k, dimension=n, inputs="uniform", determinant="match", bias=True)
    law = used["predicted_distance"].median()
    return measured(mean(by_seed(used["distance"], used)), law, used) if len(used) else UNTESTED


@claim(
    "coset", "Where the data are fitted below n samples, the distance follows the coset law", "≤",
    blocks="identifiability transition", tolerance=0.05,
    predicate="Relative deviation of the distance from the law, without its sign, over runs with data loss below "
    "{FITTED} and at least two free dimensions; median over the runs of a seed, mean over seeds.",
)  # fmt: skip
def coset(run: Run, cells: pd.DataFrame) -> Measurement:
    used = fitted(cells)
    # With one free dimension the distance is 0 or 2, and the law, a root mean square, tells nothing of a run.
    used = used[used["dimension"] - used["predicted_rank_effective"] >= 2]
    errors = (used["distance"] / used["predicted_distance"] - 1).abs()
    return measured(mean(by_seed(errors, used)), 0.0, used)


@claim(
    "rank", "The mean's direction is learned by W, not left to the bias", "≤", blocks="thread_b identifiability",
    predicate="‖D x̂‖ along the samples' mean, in fitted runs with a bias, uniform inputs and fewer samples than "
    "dimensions; mean over seeds. √2 if the bias absorbed the mean, 0 if the weight learned it; the claim "
    "says less than half way.",
)  # fmt: skip
def rank(run: Run, cells: pd.DataFrame) -> Measurement:
    used = fitted(only(cells, bias=True, inputs="uniform"))
    used = used[(used["samples"] < used["dimension"]) & used["mean_direction"].notna()]
    return measured(mean(by_seed(used["mean_direction"], used)), math.sqrt(2) / 2, used)


@claim(
    "invisible", "Below n - 1 samples a wrong determinant costs nothing", "≤", blocks="regimes",
    predicate="Data loss of mismatched runs with at least two free dimensions, geometric mean over seeds, against "
    "{FITTED}.",
)  # fmt: skip
def invisible(run: Run, cells: pd.DataFrame) -> Measurement:
    used = only(cells[cells["dimension"] - cells["rank"] > 1], determinant="mismatch")
    return measured(geometric_mean(by_seed(used["fit"], used)), FITTED, used)


@claim(
    "fresh", "Fresh white samples identify the target with fewer a step than dimensions", "≤", blocks="fresh",
    predicate="Distance to rhoᵀ of runs with fresh white samples, fewer a step than dimensions, over the coset law's "
    "for as many fixed ones; matching starts, geometric mean over seeds; a tenth at most.",
)  # fmt: skip
def fresh(run: Run, cells: pd.DataFrame) -> Measurement:
    used = only(cells, sampling="fresh", determinant="match", inputs="whitened")
    used = used[used["samples"] < used["dimension"]]
    law = forms.coset_distance(used["dimension"], used["samples"])
    return measured(geometric_mean(by_seed(used["distance"] / law, used)), 0.1, used)


@figure("identifiability transition fresh")
def draw_samples(run: Run) -> Figure:
    """Distance to the target against samples with the law of the coset: at the largest dimension, around k = n, with fresh samples."""
    main, near, fresh = (run.block(name) for name in ("identifiability", "transition", "fresh"))
    fresh = fresh[fresh["inputs"] == fresh["inputs"].max()]  # white ones, where there are any
    panels = [
        Panel(f"few to many, {_size(main)}", _main, main, 1.1),
        Panel(f"near $k=n$, {_size(near)}", _near, near, 1.2),
        Panel(f"fresh samples, {_size(fresh)}", _fresh, fresh, 0.8),
    ]
    return side_by_side(2.25, panels)


def _size(cells: pd.DataFrame) -> str:
    return "$n=" + ", ".join(map(str, sorted(cells["dimension"].unique()))) + "$"


def _law(cells: pd.DataFrame, inputs: str, k: np.ndarray) -> np.ndarray:
    """√(2(n - r)) of a kind of inputs; with one free direction the distance is 0 or 2, and where none is left 0."""
    n = int(cells["dimension"].max())
    law = forms.coset_distance(n, [forms.effective_rank(n, int(each), inputs) for each in k])
    return np.where(law >= forms.coset_distance(2, 0), law, np.nan)


def _by_inputs(ax: Axes, cells: pd.DataFrame, x: str, k: np.ndarray, at: np.ndarray) -> None:
    """Runs of every kind of inputs over column x, hollow without a bias, and the law over k at the places `at`."""
    kinds = sorted(cells["inputs"].unique())
    for i, kind in enumerate(kinds):
        colour, marker = INPUTS[kind]
        for bias, some in cells[cells["inputs"] == kind].groupby("bias"):
            step = 1 + 0.03 * (i - (len(kinds) - 1) / 2) if x == "samples" else 1
            some = some.assign(place=some[x] * step)
            style: dict[str, Any] = dict(color=colour, marker=marker, linestyle="none", markersize=4.2 - i)
            bars(ax, some, "place", "distance", markerfacecolor=colour if bias else "white", **style)
        ax.plot(at, _law(cells, kind, k), **LAW | dict(color=colour))


def _main(ax: Axes, cells: pd.DataFrame) -> None:
    n = cells["dimension"].max()
    k = np.unique(np.concatenate([np.geomspace(cells["samples"].min(), n, 200).round(), np.arange(n - 10, n + 1)]))
    _by_inputs(ax, cells, "samples", k, k)
    ax.axvline(n, color=GREY, linewidth=0.5)
    first = cells[cells["samples"] == cells["samples"].min()]
    place = first["samples"].iloc[0], first["distance"].median()
    unrelated = math.sqrt(2 * n)
    note(ax, f"{place[1]:.1f}; an unrelated\nmatrix: {unrelated:.1f}", place, (-1, -20), va="top")
    inside(ax, r"law $\sqrt{2(n-r)}$", (0.04, 0.45), va="top")
    for i, kind in enumerate(sorted(cells["inputs"].unique())):
        inside(ax, f"{word(kind)} inputs", (0.04, 0.04 + 0.1 * i), color=INPUTS[kind][0], va="bottom")
    ax.set(xscale="log", ylim=(-0.03 * unrelated, 1.12 * unrelated), xlabel="samples $k$", ylabel=DISTANCE)
    ticks(ax, sorted({*cells["samples"].unique(), n}), [n])


def _near(ax: Axes, cells: pd.DataFrame) -> None:
    n = cells["dimension"].max()
    cells = cells.assign(x=cells["samples"] - cells["dimension"])
    k = np.arange(cells["samples"].min(), n + 1)
    _by_inputs(ax, cells, "x", k, k - n)
    ax.axvline(0, color=GREY, linewidth=0.5)
    ax.set_xscale("symlog", linthresh=1, linscale=0.6)
    reach = cells["x"].abs().max()
    powers = [10**p for p in range(math.floor(math.log10(max(reach, 1))) + 1)]
    places = sorted({0, *powers, *(-p for p in powers)})
    ax.set(yscale="log", xlim=(-1.4 * reach, 1.4 * reach), ylim=limits(cells["distance"]), ylabel=DISTANCE)
    ax.set_xticks(places, [f"{t:+d}".replace("-", "−") if t else "0" for t in places])
    ax.set_xlabel("samples − dimension, $k-n$")
    if cells["bias"].nunique() > 1:
        inside(ax, "filled: with bias\nhollow: without", (0.02, 0.02), va="bottom")
    decades(ax)


def _fresh(ax: Axes, cells: pd.DataFrame) -> None:
    n, kind = cells["dimension"].max(), cells["inputs"].iloc[0]
    colour, marker = INPUTS[kind]
    for sampling, some in cells.groupby("sampling"):
        fixed = sampling == "fixed"
        style: dict[str, Any] = dict(color=colour if fixed else "black", marker=marker if fixed else "v", linewidth=0.8)
        bars(ax, some, "samples", "distance", linestyle="none" if fixed else "-", **style)
        last = some[some["samples"] == some["samples"].min()]
        place, text = (last["samples"].iloc[0], last["distance"].median()), f"fixed, {word(kind)}" if fixed else "fresh"
        shift, style = ((3, -7), dict(va="top")) if fixed else ((3, 5), dict(va="bottom", color="black"))
        note(ax, text, place, shift, **dict(color=colour) | style)
    k = np.arange(cells["samples"].min(), n + 1)
    ax.plot(k, _law(cells, kind, k), **LAW | dict(color=colour))
    ax.axvline(n, color=GREY, linewidth=0.5)
    ax.set(xscale="log", yscale="log", ylim=limits(cells["distance"]), xlabel="samples in a step", ylabel=DISTANCE)
    ticks(ax, sorted(cells["samples"].unique()))
    decades(ax)
