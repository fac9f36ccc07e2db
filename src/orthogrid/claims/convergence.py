"""Convergence: the thread's two logs, its three changes, and how far absolute values and squares converge."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from .. import theory
from ..cell import Cell
from ..run import LOG_A, Run, thread_cells
from .intervals import farthest, mean
from .ledger import ANSWERER, QUESTIONER, UNTESTED, Measurement, claim, measured
from .select import (
    best_ratio,
    block_size,
    by_seed,
    detached,
    detached_spread,
    exponents,
    only,
    paired,
    paired_ratio,
    plateau_by_seed,
    predicted_plateau,
    printed_plateau,
)
from .settings import EARLY_STEPS, EQUAL_FIT, FITTED, ROUNDING, SIMILAR

# The logs.


@claim(
    "log-b", "The second script's output comes out as printed, up to rounding", "≤", blocks="thread_b", seed=Cell().seed
)  # fmt: skip
def log_b(run: Run, cells: pd.DataFrame) -> Measurement:
    """Largest difference to a printed number, over half a unit of its last digit plus {ROUNDING} of it; steps ≤ {EARLY_STEPS}
    and the closing line. The same run twice: no sample."""
    table = only(run.thread, log="b")
    early = table["step"] <= EARLY_STEPS
    # Formats of the script: losses with three decimals, the penalty with three digits, the closing distances with five.
    unit = pd.Series(np.nan, index=table.index)
    unit[early & table["quantity"].isin(["fit", "loss"])] = 1e-3
    # At step 0 the penalty is rounding alone.
    squares = early & (table["quantity"] == "orthogonality_fro2") & (table["step"] > 0)
    unit[squares] = 10 ** (np.floor(np.log10(table.loc[squares, "thread"])) - 2)
    unit[table["quantity"].isin(["distance_l1", "distance_rho_l1"])] = 1e-5
    compared = table[unit.notna()]
    if compared.empty:
        return UNTESTED
    allowed = unit[compared.index] / 2 + ROUNDING * compared["thread"].abs()
    excess = (compared["ours"] - compared["thread"]).abs() / allowed
    return measured(excess.max(skipna=False), 1.0, cells[cells["key"].isin(thread_cells(cells)["b"])])


@claim("log-a", "The first script settles where its author saw it settle", "≈", blocks="thread_a", tolerance=0.01)
def log_a(run: Run, cells: pd.DataFrame) -> Measurement:
    """Plateau of sum |S|, mean over seeds, against the printed one, itself one draw of unknown seed."""
    if only(run.thread, log="a").empty:
        return UNTESTED
    return measured(mean(plateau_by_seed(run)), printed_plateau(run), cells)


@claim(
    "closing-line", "The second script's closing distances follow without training", "±", blocks="thread_b", tolerance=0.01
)  # fmt: skip
def closing_line(run: Run, cells: pd.DataFrame) -> Measurement:
    """Relative deviation of the entrywise distance to rho, or to its transpose, from the Gaussian model, mean over seeds:
    whichever reaches farther."""
    n, free = cells["dimension"], cells["dimension"] - cells["predicted_rank_effective"]
    to_rho = by_seed(cells["distance_rho_l1"] / theory.entrywise_l1(n, 2 * n) - 1, cells)
    to_target = by_seed(cells["distance_l1"] / theory.entrywise_l1(n, 2 * free) - 1, cells)
    return measured(farthest([mean(to_rho), mean(to_target)], 0.0), 0.0, cells)


@claim(
    "both-low", "Squares with a large weight train both losses to low values", "≤", blocks="thread_b",
    author=ANSWERER, quote="both the “fitting” loss (MSELoss) and the orthogonality penalty train down to low values",
)  # fmt: skip
def both_low(run: Run, cells: pd.DataFrame) -> Measurement:
    """Over the runs of the second script, the largest of final over initial data loss and of ‖S‖_F²/n; low: a thousandth."""
    first = only(run.traces_of(cells), step=0).set_index("key")["fit"]
    fit = cells["fit"] / cells["key"].map(first)
    squares = cells["orthogonality_fro"] ** 2 / cells["dimension"]
    return measured(max(fit.max(skipna=False), squares.max()), 1e-3, cells)


@claim(
    "not-orthogonal", "The first script's matrix is not orthogonal", "≥", blocks="thread_a",
    author=QUESTIONER, quote="The matrix it converges to doesn’t seem to be orthogonal",
)  # fmt: skip
def not_orthogonal(run: Run, cells: pd.DataFrame) -> Measurement:
    """Final ‖S‖_F, mean over seeds; 1 is what the loss of one whole direction makes it."""
    return measured(mean(by_seed(cells["orthogonality_fro"], cells)), 1.0, cells)


# The three changes.


@claim(
    "detached", "A detached penalty does not affect the training", "≤", blocks="ablation", tolerance=1e-3, check=True,
    author=ANSWERER, quote="gradients of orthogonal_loss won’t backpropagate",
)  # fmt: skip
def detached_penalty(run: Run, cells: pd.DataFrame) -> Measurement:
    """Largest difference of ‖S‖_F between detached runs that share a seed, over their median: they differ in reg or norm
    only. Batches of other sizes may round otherwise; an effect of reg would be of the size of ‖S‖_F itself."""
    same = detached(cells)
    if same.empty or same.groupby("seed")["key"].count().max() < 2:
        return UNTESTED
    return measured(detached_spread(run) / same["orthogonality_fro"].median(), 0.0, same)


@claim(
    "plateau", "Plain regression predicts the plateau of the detached penalty", "≈", blocks="thread_a", tolerance=0.05
)
def plateau(run: Run, cells: pd.DataFrame) -> Measurement:
    """Plateau of sum |S|, mean over seeds, against the closed form, which is gradient descent's: Adam may add a little."""
    return measured(mean(plateau_by_seed(run)), predicted_plateau(run), cells)


@claim(
    "squares", "At their best fitted settings squares end more orthogonal than absolute values", "<", blocks="convergence",
    author=ANSWERER, quote="Replacing the sum of absolute values with the sum of squares gives a much more natural penalty",
)  # fmt: skip
def squares(run: Run, cells: pd.DataFrame) -> Measurement:
    """‖S‖_F of fro2 over that of l1, each at its setting with the smallest median ‖S‖_F among those with median data loss
    below {FITTED}; geometric mean of paired seeds; 0 or inf where one has no fitted setting. Partly within a factor {SIMILAR}."""
    used = cells[cells["penalty"].isin(["fro2", "l1"])]
    if used["penalty"].nunique() < 2:
        return UNTESTED
    ratio = best_ratio(run, "fro2", "l1")
    close = 1 / SIMILAR <= ratio.value <= SIMILAR
    return measured(ratio, 1.0, used, partly="the two are as good within a factor of two" if close else "")


@claim(
    "natural", "Under gradient descent absolute values end far less orthogonal than squares", ">", blocks="convergence",
    author=ANSWERER, quote="it doesn’t work well for orthogonalizing X",
)  # fmt: skip
def natural(run: Run, cells: pd.DataFrame) -> Measurement:
    """‖S‖_F of l1 over that of fro2 as in `squares`, within each schedule: the smaller ratio against {SIMILAR}. Partly if only
    one schedule shows it, as the theory of the floor expects of a constant rate."""
    used = cells[cells["penalty"].isin(["fro2", "l1"])]
    ratios = [best_ratio(run, "l1", "fro2", schedule=s) for s in sorted(used["schedule"].unique())]
    ratios = sorted((r for r in ratios if not math.isnan(r.value)), key=lambda r: r.value)
    if not ratios:
        return UNTESTED
    one = ratios[0].high <= SIMILAR < ratios[-1].low
    return measured(ratios[0], SIMILAR, used, partly="under one schedule of the rate only" if one else "")


@claim(
    "reg", "With attached squares the larger weight ends more orthogonal, at equal fit", "<", blocks="ablation",
    author=ANSWERER, quote="I substantially increase reg",
)  # fmt: skip
def reg(run: Run, cells: pd.DataFrame) -> Measurement:
    """‖S‖_F of fro2 at the thread's large reg over that at its small one, geometric mean of paired seeds; partly if the
    median fits are neither both below {FITTED} nor within a factor {EQUAL_FIT}."""
    cells = only(cells, penalty="fro2")
    pairs = paired(cells, "orthogonality_fro", "reg", LOG_A.reg, Cell().reg)
    if pairs.empty:
        return UNTESTED
    ratio = paired_ratio(pairs)
    low, high = sorted(only(cells, reg=value)["fit"].median() for value in (LOG_A.reg, Cell().reg))
    equal = high < FITTED or high <= EQUAL_FIT * low
    return measured(ratio, 1.0, cells, partly="" if equal or ratio.value >= 1 else "the fit is not equal")


# What a constant rate leaves.


def _floor(cells: pd.DataFrame, penalty: str, schedule: str = "constant") -> pd.DataFrame:
    return only(cells, penalty=penalty, schedule=schedule, method="adam")


@claim(
    "floor-rate",
    "Under a constant rate the floor of absolute values grows like the rate",
    "±",
    blocks="rates",
    tolerance=0.15,
)
def floor_rate(run: Run, cells: pd.DataFrame) -> Measurement:
    """Exponent b in sum |S| = C n^a lr^b over the l1 runs with a constant rate, least squares for each seed, mean over seeds.
    The signs of S flip at full step: b = 1."""
    used = _floor(cells, "l1")
    return measured(mean(exponents(used, "orthogonality_l1", "dimension", "lr")["lr"]), 1.0, used)


@claim(
    "floor-size",
    "That floor of the entrywise sum grows like the square of the dimension",
    "±",
    blocks="rates",
    tolerance=0.3,
)
def floor_size(run: Run, cells: pd.DataFrame) -> Measurement:
    """Exponent a of the same fits: every one of n² entries of S jitters at a size of the rate, whatever n."""
    used = _floor(cells, "l1")
    return measured(mean(exponents(used, "orthogonality_l1", "dimension", "lr")["dimension"]), 2.0, used)


@claim(
    "cosine", "A decaying rate removes the floor of absolute values", "≤", blocks="rates",
    author=ANSWERER, quote="unless you have a scheme for reducing your learning rate",
)  # fmt: skip
def cosine(run: Run, cells: pd.DataFrame) -> Measurement:
    """Sum |S| of l1 under cosine over that under a constant rate, geometric mean of paired runs; removed: a tenth at most."""
    used = only(cells, penalty="l1", method="adam")
    pairs = paired(used, "orthogonality_l1", "schedule", "constant", "cosine")
    return measured(paired_ratio(pairs), 0.1, used)


@claim(
    "softer", "Squares under the same constant rate come closer than absolute values", "<", blocks="rates",
    author=ANSWERER, quote="the sum-of-squares is “softer.”",
)  # fmt: skip
def softer(run: Run, cells: pd.DataFrame) -> Measurement:
    """Sum |S| of fro2 over that of l1 under a constant rate, geometric mean of paired runs; partly within a factor {SIMILAR}."""
    used = cells[(cells["schedule"] == "constant") & cells["penalty"].isin(["l1", "fro2"])]
    ratio = paired_ratio(paired(used, "orthogonality_l1", "penalty", "l1", "fro2", apart=["reg"]))
    close = 1 / SIMILAR <= ratio.value <= SIMILAR
    return measured(ratio, 1.0, used, partly="the two are as close within a factor of two" if close else "")


# A remark in the second script.


@claim(
    "flip", "In the script's dimension, multiplying the matrix by -1 flips its determinant", "≈", blocks="thread_b", check=True,
    author=ANSWERER, quote="rho *= -1   # flip determinant -- assumes that rho is odd-dimensional", foretold="partly",
)  # fmt: skip
def flip(run: Run, cells: pd.DataFrame) -> Measurement:
    """det(-W)/det W = (-1)^n at the dimension of the second script; partly if that is even, for the comment assumes an odd one."""
    n, _ = block_size(run, "thread_b")
    return measured((-1.0) ** n, -1.0, cells, partly="" if n % 2 else "in odd dimensions only, as its comment says")
