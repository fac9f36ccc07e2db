"""Identifiability: what k samples determine of W, and what they cannot."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from ..analysis.intervals import geometric_mean, mean
from ..analysis.select import by_seed, fitted, law_error, only, thread_like
from ..analysis.settings import FITTED
from ..presenting.ledger import ANSWERER, QUESTIONER, UNTESTED, Measurement, claim, measured
from ..run.run import Run
from ..theory import forms


@claim(
    "optimal-rho", "The weight that fits the data is rho", "≤", blocks="thread_b identifiability", tolerance=0.1,
    author=QUESTIONER, quote="The optimal weight for the model is certainly rho", foretold="refuted",
    predicate="‖W - rho‖_F over √(2n), the root mean square for unrelated orthogonal matrices, in runs with data "
    "loss below {FITTED}; mean over seeds.",
)  # fmt: skip
def optimal_rho(run: Run, cells: pd.DataFrame) -> Measurement:
    used = fitted(cells)
    return measured(mean(by_seed(used["distance_rho"] / np.sqrt(2 * used["dimension"]), used)), 0.0, used)


@claim(
    "transpose", "With enough samples W becomes the transpose of rho", "≤", blocks="identifiability transition", tolerance=0.1,
    author=ANSWERER, quote="training model.weight to become equal to rho.T",
    predicate="‖W - rhoᵀ‖_F over √(2n) in runs of full rank from a matching start with data loss below {FITTED}; "
    "mean over seeds.",
)  # fmt: skip
def transpose(run: Run, cells: pd.DataFrame) -> Measurement:
    used = fitted(cells)
    used = used[(used["rank"] == used["dimension"]) & (used["determinant"] == "match")]
    return measured(mean(by_seed(used["distance"] / np.sqrt(2 * used["dimension"]), used)), 0.0, used)


@claim(
    "information", "With the thread's samples the distance to the target is the coset law's", "≈",
    blocks="thread_b identifiability", tolerance=0.005,
    author=ANSWERER, quote="enough information to reconstruct the 500x500 matrix rho",
    predicate="Distance ‖W - rhoᵀ‖_F at the thread's dimension and samples, uniform inputs, matching start; mean "
    "over seeds. The law is √(2(n - k)): nothing is known on n - k dimensions.",
)  # fmt: skip
def information(run: Run, cells: pd.DataFrame) -> Measurement:
    used = thread_like(run)
    return (
        measured(mean(by_seed(used["distance"], used)), used["predicted_distance"].median(), used)
        if len(used)
        else UNTESTED
    )


@claim(
    "coset", "Where the data are fitted below n samples, the distance follows the coset law", "≤",
    blocks="identifiability transition", tolerance=0.05,
    predicate="Relative deviation of the distance from the law, without its sign, over runs with data loss below "
    "{FITTED} and at least two free dimensions; median over the runs of a seed, mean over seeds.",
)  # fmt: skip
def coset(run: Run, cells: pd.DataFrame) -> Measurement:
    errors = law_error(fitted(cells))
    used = cells.loc[errors.index]
    return measured(mean(by_seed(errors, used)), 0.0, used)


@claim(
    "rank",
    "The mean's direction is learned by W, not left to the bias",
    "≤",
    blocks="thread_b identifiability",
    predicate="‖D x̂‖ along the samples' mean, in fitted runs with a bias, uniform inputs and fewer samples than "
    "dimensions; mean over seeds. √2 if the bias absorbed the mean, 0 if the weight learned it; the claim "
    "says less than half way.",
)
def rank(run: Run, cells: pd.DataFrame) -> Measurement:
    used = fitted(only(cells, bias=True, inputs="uniform"))
    used = used[(used["samples"] < used["dimension"]) & used["mean_direction"].notna()]
    return measured(mean(by_seed(used["mean_direction"], used)), math.sqrt(2) / 2, used)


@claim(
    "invisible",
    "Below n - 1 samples a wrong determinant costs nothing",
    "≤",
    blocks="regimes",
    predicate="Data loss of mismatched runs with at least two free dimensions, geometric mean over seeds, against "
    "{FITTED}.",
)
def invisible(run: Run, cells: pd.DataFrame) -> Measurement:
    used = only(cells[cells["dimension"] - cells["rank"] > 1], determinant="mismatch")
    return measured(geometric_mean(by_seed(used["fit"], used)), FITTED, used)


@claim(
    "fresh",
    "Fresh white samples identify the target with fewer a step than dimensions",
    "≤",
    blocks="fresh",
    predicate="Distance to rhoᵀ of runs with fresh white samples, fewer a step than dimensions, over the coset "
    "law's for as many fixed ones; matching starts, geometric mean over seeds; a tenth at most.",
)
def fresh(run: Run, cells: pd.DataFrame) -> Measurement:
    used = only(cells, sampling="fresh", determinant="match", inputs="whitened")
    used = used[used["samples"] < used["dimension"]]
    law = forms.coset_distance(used["dimension"], used["samples"])
    return measured(geometric_mean(by_seed(used["distance"] / law, used)), 0.1, used)
