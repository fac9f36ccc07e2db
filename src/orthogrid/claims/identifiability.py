"""Identifiability: what k samples determine of W, and what they cannot."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from .. import theory
from ..run import Run
from .intervals import TINY, geometric_mean, mean
from .ledger import ANSWERER, QUESTIONER, UNTESTED, Measurement, claim, measured
from .select import by_seed, crossed, fitted, law_error, only, paired, paired_ratio, thread_like
from .settings import FITTED


@claim(
    "optimal-rho", "The weight that fits the data is rho", "≤", blocks="thread_b identifiability", tolerance=0.1,
    author=QUESTIONER, quote="The optimal weight for the model is certainly rho", foretold="refuted",
)  # fmt: skip
def optimal_rho(run: Run, cells: pd.DataFrame) -> Measurement:
    """‖W - rho‖_F over √(2n), the root mean square for unrelated orthogonal matrices, in runs with data loss below {FITTED};
    mean over seeds."""
    used = fitted(cells)
    return measured(mean(by_seed(used["distance_rho"] / np.sqrt(2 * used["dimension"]), used)), 0.0, used)


@claim(
    "transpose", "With enough samples W becomes the transpose of rho", "≤", blocks="identifiability transition", tolerance=0.1,
    author=ANSWERER, quote="training model.weight to become equal to rho.T",
)  # fmt: skip
def transpose(run: Run, cells: pd.DataFrame) -> Measurement:
    """‖W - rhoᵀ‖_F over √(2n) in runs of full rank from a matching start with data loss below {FITTED}; mean over seeds."""
    used = fitted(cells)
    used = used[(used["rank"] == used["dimension"]) & (used["determinant"] == "match")]
    return measured(mean(by_seed(used["distance"] / np.sqrt(2 * used["dimension"]), used)), 0.0, used)


@claim(
    "information", "With the thread's samples the distance to the target is the coset law's", "≈",
    blocks="thread_b identifiability", tolerance=0.005,
    author=ANSWERER, quote="enough information to reconstruct the 500x500 matrix rho",
)  # fmt: skip
def information(run: Run, cells: pd.DataFrame) -> Measurement:
    """Distance ‖W - rhoᵀ‖_F at the thread's dimension and samples, uniform inputs, matching start; mean over seeds. The law
    is √(2(n - k)): nothing is known on n - k dimensions."""
    used = thread_like(run)
    return (
        measured(mean(by_seed(used["distance"], used)), used["predicted_distance"].median(), used)
        if len(used)
        else UNTESTED
    )


@claim(
    "coset", "Where the data are fitted below n samples, the distance follows the coset law", "≤",
    blocks="identifiability transition", tolerance=0.05,
)  # fmt: skip
def coset(run: Run, cells: pd.DataFrame) -> Measurement:
    """Relative deviation of the distance from the law, without its sign, over runs with data loss below {FITTED} and at least
    two free dimensions; median over the runs of a seed, mean over seeds."""
    errors = law_error(fitted(cells))
    used = cells.loc[errors.index]
    return measured(mean(by_seed(errors, used)), 0.0, used)


@claim(
    "rank",
    "The mean's direction is learned by W, not left to the bias",
    "≤",
    blocks="thread_b identifiability",
)
def rank(run: Run, cells: pd.DataFrame) -> Measurement:
    """‖D x̂‖ along the samples' mean, in fitted runs with a bias, uniform inputs and fewer samples than dimensions; mean over
    seeds. √2 if the bias absorbed the mean, 0 if the weight learned it; the claim says less than half way."""
    used = fitted(only(cells, bias=True, inputs="uniform"))
    used = used[(used["samples"] < used["dimension"]) & used["mean_direction"].notna()]
    return measured(mean(by_seed(used["mean_direction"], used)), math.sqrt(2) / 2, used)


@claim("not-nearest", "The solution found is not the one nearest the start", "≥", blocks="identifiability thread_b")
def not_nearest(run: Run, cells: pd.DataFrame) -> Measurement:
    """Distance to the zero-loss orthogonal matrix nearest the start, over the coset law's distance between two of them, in
    fitted runs with at least two free dimensions; mean over seeds. A tenth is beyond what an imperfect fit explains."""
    used = fitted(cells)
    used = used[used["dimension"] - used["predicted_rank_effective"] >= 2]
    return measured(mean(by_seed(used["distance_nearest"] / used["predicted_distance"], used)), 0.1, used)


@claim("invisible", "Below n - 1 samples a wrong determinant costs nothing", "≤", blocks="regimes")
def invisible(run: Run, cells: pd.DataFrame) -> Measurement:
    """Data loss of mismatched runs with at least two free dimensions, geometric mean over seeds, against {FITTED}."""
    used = only(cells[cells["dimension"] - cells["rank"] > 1], determinant="mismatch")
    return measured(geometric_mean(by_seed(used["fit"], used)), FITTED, used)


@claim(
    "twin-zero",
    "With one free dimension the wrong solution fits and lies at distance 2",
    "≈",
    blocks="regimes",
    tolerance=0.02,
)
def twin_zero(run: Run, cells: pd.DataFrame) -> Measurement:
    """Distance ‖W - rhoᵀ‖_F of mismatched runs with one free dimension that kept their sign and fit the data, mean over seeds."""
    used = fitted(only(cells[cells["dimension"] - cells["rank"] == 1], determinant="mismatch"))
    used = used[used["wrong"]]
    return measured(mean(by_seed(used["distance"], used)), theory.TWIN_DISTANCE, used)


@claim("fresh", "Fresh samples identify the target with fewer a step than dimensions", "≤", blocks="fresh")
def fresh(run: Run, cells: pd.DataFrame) -> Measurement:
    """Distance to rhoᵀ of runs with fresh samples, fewer a step than dimensions, over the coset law's for as many fixed ones;
    matching starts, geometric mean over seeds; a tenth at most."""
    used = only(cells, sampling="fresh", determinant="match")
    used = used[used["samples"] < used["dimension"]]
    law = theory.coset_distance(used["dimension"], used["samples"])
    return measured(geometric_mean(by_seed(used["distance"] / law, used)), 0.1, used)


@claim(
    "conditioning", "Near k = n uniform inputs are fitted far more slowly than whitened ones", "≥", blocks="transition"
)
def conditioning(run: Run, cells: pd.DataFrame) -> Measurement:
    """Data loss with uniform inputs over that with whitened ones after as many steps, k within 5 % of n, lambda > 0, matching
    starts that kept their sign, so that no wrong side enters; geometric mean of paired runs; ten times at least."""
    used = only(cells[(cells["samples"] / cells["dimension"] - 1).abs() <= 0.05], determinant="match")
    used = used[(used["lambda_min"] > 0) & ~crossed(used)]
    used = used.assign(fit=used["fit"].clip(lower=TINY))
    return measured(paired_ratio(paired(used, "fit", "inputs", "whitened", "uniform")), 10.0, used)
