"""Convergence: the thread's two logs, its three changes, and how far absolute values and squares converge."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from ..analysis.intervals import farthest, geometric_mean, mean
from ..analysis.select import (
    best_by_seed,
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
from ..analysis.settings import CONSTANT_WITHIN, EARLY_STEPS, EQUAL_FIT, FITTED, ROUNDING, SIMILAR
from ..cells.cell import Cell
from ..presenting.formats import MISSING, digits2, median, setting
from ..presenting.ledger import ANSWERER, QUESTIONER, UNTESTED, Measurement, claim, measured
from ..presenting.tables import table, tabular
from ..run.run import LOG_A, Run, thread_cells
from ..theory import forms

# The logs.


@claim(
    "log-b", "The second script's output comes out as printed, up to rounding", "≤", blocks="thread_b", seed=Cell().seed,
    predicate="Largest difference to a printed number, over half a unit of its last digit plus {ROUNDING} of it; "
    "steps ≤ {EARLY_STEPS} and the closing line. The same run twice: no sample.",
)  # fmt: skip
def log_b(run: Run, cells: pd.DataFrame) -> Measurement:
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


@claim(
    "log-a",
    "The first script settles where its author saw it settle",
    "≈",
    blocks="thread_a",
    tolerance=0.01,
    predicate="Plateau of sum |S|, mean over seeds, against the printed one, itself one draw of unknown seed.",
)
def log_a(run: Run, cells: pd.DataFrame) -> Measurement:
    if only(run.thread, log="a").empty:
        return UNTESTED
    return measured(mean(plateau_by_seed(run)), printed_plateau(run), cells)


@claim(
    "closing-line", "The second script's closing distances follow without training", "±", blocks="thread_b", tolerance=0.01,
    predicate="Relative deviation of the entrywise distance to rho, or to its transpose, from the Gaussian model, "
    "mean over seeds: whichever reaches farther.",
)  # fmt: skip
def closing_line(run: Run, cells: pd.DataFrame) -> Measurement:
    n, free = cells["dimension"], cells["dimension"] - cells["predicted_rank_effective"]
    to_rho = by_seed(cells["distance_rho_l1"] / forms.entrywise_l1(n, 2 * n) - 1, cells)
    to_target = by_seed(cells["distance_l1"] / forms.entrywise_l1(n, 2 * free) - 1, cells)
    return measured(farthest([mean(to_rho), mean(to_target)], 0.0), 0.0, cells)


@claim(
    "both-low", "Squares with a large weight train both losses to low values", "≤", blocks="thread_b",
    author=ANSWERER, quote="both the “fitting” loss (MSELoss) and the orthogonality penalty train down to low values",
    predicate="Over the runs of the second script, the largest of final over initial data loss and of ‖S‖_F²/n; "
    "low: a ten-thousandth.",
)  # fmt: skip
def both_low(run: Run, cells: pd.DataFrame) -> Measurement:
    first = only(run.traces_of(cells), step=0).set_index("key")["fit"]
    fit = cells["fit"] / cells["key"].map(first)
    squares = cells["orthogonality_fro"] ** 2 / cells["dimension"]
    return measured(max(fit.max(skipna=False), squares.max()), 1e-4, cells)


# The three changes.


@claim(
    "detached", "A detached penalty does not affect the training", "≤", blocks="ablation", tolerance=1e-3, check=True,
    author=ANSWERER, quote="gradients of orthogonal_loss won’t backpropagate",
    predicate="Largest difference of ‖S‖_F between detached runs that share a seed, over their median: they differ "
    "in reg or norm only. Batches of other sizes may round otherwise; an effect of reg would be of the "
    "size of ‖S‖_F itself.",
)  # fmt: skip
def detached_penalty(run: Run, cells: pd.DataFrame) -> Measurement:
    same = detached(cells)
    if same.empty or same.groupby("seed")["key"].count().max() < 2:
        return UNTESTED
    return measured(detached_spread(run) / same["orthogonality_fro"].median(), 0.0, same)


@claim(
    "plateau", "The first script's matrix is as far from orthogonal as plain regression foretells", "≈", blocks="thread_a", tolerance=0.03,
    author=QUESTIONER, quote="The matrix it converges to doesn’t seem to be orthogonal",
    predicate="Plateau of sum |S|, mean over seeds, against the closed form, which is gradient descent's: Adam may "
    "add a little.",
)  # fmt: skip
def plateau(run: Run, cells: pd.DataFrame) -> Measurement:
    return measured(mean(plateau_by_seed(run)), predicted_plateau(run), cells)


# Which penalty gets how far, at its best reg among those that fit the data.


def _fronts(cells: pd.DataFrame, first: str, second: str, schedule: str) -> Measurement:
    """‖S‖_F of one penalty over that of another, each at its best fitted reg, with the most steps."""
    ratio = best_ratio(cells, first, second, schedule=schedule, steps=cells["steps"].max())
    used = cells[cells["penalty"].isin([first, second]) & (cells["schedule"] == schedule)]
    return UNTESTED if math.isnan(ratio.value) else measured(ratio, SIMILAR, used)


@claim(
    "squares", "Under a constant rate absolute values end less orthogonal than squares", ">", blocks="large_convergence",
    author=ANSWERER, quote="Replacing the sum of absolute values with the sum of squares gives a much more natural penalty",
    predicate="Adam: ‖S‖_F of l1 over that of fro2, each at the reg with the smallest median ‖S‖_F among those with "
    "median data loss below {FITTED} after the most steps, geometric mean of paired seeds, against "
    "{SIMILAR}.",
)  # fmt: skip
def squares(run: Run, cells: pd.DataFrame) -> Measurement:
    return _fronts(cells, "l1", "fro2", "constant")


@claim(
    "natural", "And so they do under gradient descent", ">", blocks="convergence_sgd",
    author=ANSWERER, quote="it doesn’t work well for orthogonalizing X",
    predicate="Gradient descent at a constant rate: the same ratio.",
)  # fmt: skip
def natural(run: Run, cells: pd.DataFrame) -> Measurement:
    return _fronts(cells, "l1", "fro2", "constant")


@claim(
    "exact", "In few steps at a decaying rate the norm, not squared, ends more orthogonal than squares", ">", blocks="large_convergence",
    predicate="Adam with a cosine schedule: ‖S‖_F of fro2 over that of fro, each at its best fitted reg, geometric "
    "mean of paired seeds, against {SIMILAR}. An exact penalty: at a large enough reg its minimum has S = "
    "0 whatever the data.",
)  # fmt: skip
def exact(run: Run, cells: pd.DataFrame) -> Measurement:
    return _fronts(cells, "fro2", "fro", "cosine")


@claim(
    "alike",
    "With steps enough and a decaying rate, absolute values and squares end alike",
    "<",
    blocks="convergence",
    predicate="Adam with a cosine schedule: ‖S‖_F of l1 over that of fro2, each at its best fitted reg after the "
    "most steps, geometric mean of paired seeds, against {SIMILAR}: both are left with rounding.",
)
def alike(run: Run, cells: pd.DataFrame) -> Measurement:
    return _fronts(cells, "l1", "fro2", "cosine")


@claim(
    "cosine", "A decaying rate removes the floor of absolute values", "≤", blocks="convergence",
    author=ANSWERER, quote="unless you have a scheme for reducing your learning rate",
    predicate="Adam: ‖S‖_F of l1 under cosine over that under a constant rate, each at its best fitted reg after "
    "the most steps, geometric mean of paired seeds; removed: a hundredth at most.",
)  # fmt: skip
def cosine(run: Run, cells: pd.DataFrame) -> Measurement:
    most = only(cells, steps=cells["steps"].max())
    sides = {schedule: best_by_seed(most, "l1", schedule=schedule) for schedule in ("constant", "cosine")}
    if any(side is None for side in sides.values()):
        return UNTESTED
    pairs = pd.concat(
        [sides["constant"], sides["cosine"]], axis=1, keys=["first", "second"], join="inner"
    ).reset_index()
    return measured(paired_ratio(pairs), 0.01, only(most, penalty="l1"))


@claim(
    "small-reg",
    "With the thread's small weight even an attached penalty changes little",
    ">",
    blocks="ablation",
    predicate="‖S‖_F of an attached penalty at the thread's small reg over that without a gradient, geometric mean "
    "of seeds: of absolute values and squares the one that is changed most; against one half.",
)
def small_reg(run: Run, cells: pd.DataFrame) -> Measurement:
    cells = only(cells, reg=LOG_A.reg)
    plain = detached(cells).groupby("seed")["orthogonality_fro"].median()
    ratios = [
        geometric_mean((only(cells, penalty=name).groupby("seed")["orthogonality_fro"].median() / plain).dropna())
        for name in ("l1", "fro2")
    ]
    return measured(min(ratios), 0.5, cells) if len(plain) else UNTESTED


@claim(
    "reg", "With attached squares the thread's large weight ends more orthogonal, at equal fit", "<", blocks="ablation",
    author=ANSWERER, quote="I substantially increase reg",
    predicate="‖S‖_F of fro2 at the thread's large reg over that at its small one, geometric mean of paired seeds, "
    "against a hundredth; untested if the median fits are neither both below {FITTED} nor within a factor "
    "{EQUAL_FIT}.",
)  # fmt: skip
def reg(run: Run, cells: pd.DataFrame) -> Measurement:
    cells = only(cells, penalty="fro2")
    pairs = paired(cells, "orthogonality_fro", "reg", LOG_A.reg, Cell().reg)
    low, high = sorted(only(cells, reg=value)["fit"].median() for value in (LOG_A.reg, Cell().reg))
    if pairs.empty or not (high < FITTED or high <= EQUAL_FIT * low):
        return UNTESTED
    return measured(paired_ratio(pairs), 0.01, cells)


@table("ablation")
def changes_table(run: Run, verdicts: pd.DataFrame) -> str:
    """The thread's three changes, each alone and together: medians of ‖S‖_F and data loss. Without a gradient reg changes nothing."""
    cells = run.block("ablation")
    rows = []
    for name, words in (("l1_detached", "without a gradient"), ("l1", "absolute values"), ("fro2", "squares")):
        same = only(cells, penalty=name)
        for weight in sorted(same["reg"].unique())[: 1 if name == "l1_detached" else None]:
            here = only(same, reg=weight)
            shown = MISSING if name == "l1_detached" else setting(weight)
            rows.append([words, shown, digits2(median(here["orthogonality_fro"])), digits2(median(here["fit"]))])
    return tabular("llrr", ["Penalty", r"Penalty weight $\reg$", r"$\fnorm S$", "Data loss"], rows)


# What a constant rate leaves.


def _floor(cells: pd.DataFrame, penalty: str, schedule: str = "constant") -> pd.DataFrame:
    return only(cells, penalty=penalty, schedule=schedule, method="adam")


@claim(
    "floor-rate",
    "Under a constant rate the floor of absolute values grows like the rate",
    "±",
    blocks="rates",
    tolerance=0.03,
    predicate="Exponent b in sum |S| = C n^a lr^b over the l1 runs with a constant rate, least squares for each "
    "seed, mean over seeds. The signs of S flip at full step: b = 1.",
)
def floor_rate(run: Run, cells: pd.DataFrame) -> Measurement:
    used = _floor(cells, "l1")
    return measured(mean(exponents(used, "orthogonality_l1", "dimension", "lr")["lr"]), 1.0, used)


@claim(
    "floor-constant", "Its constant is the one that Adam's momentum makes, without a fit", "±", blocks="beta1", tolerance=CONSTANT_WITHIN,
    predicate="Sum |S| over n² lr, mean over the second half of the logged steps, over the mean |S|/lr of the "
    "scalar map with the run's beta1, less 1: the beta1 whose mean over seeds lies farthest off. Partly "
    "if it holds for most of them.",
)  # fmt: skip
def floor_constant(run: Run, cells: pd.DataFrame) -> Measurement:
    late = run.traces_of(cells).merge(cells[["key", "steps"]], on="key")
    late = late[2 * late["step"] > late["steps"]].groupby("key")["orthogonality_l1"].mean()
    ratio = cells["key"].map(late) / cells["predicted_l1_floor"] - 1
    used = cells[ratio.notna()]
    estimates = {name: mean(by_seed(ratio[same.index], same)) for name, same in used.groupby("method")}
    if not estimates:
        return UNTESTED
    off = [name for name, e in estimates.items() if abs(e.value) > CONSTANT_WITHIN]
    some = 0 < 2 * len(off) < len(estimates)
    return measured(farthest(estimates.values(), 0.0), 0.0, used, partly=f"not for {', '.join(off)}" if some else "")


# A remark in the second script.


@claim(
    "flip", "In the script's dimension, multiplying the matrix by -1 flips its determinant", "≈", blocks="thread_b", check=True,
    author=ANSWERER, quote="rho *= -1   # flip determinant -- assumes that rho is odd-dimensional", foretold="refuted",
    predicate="det(-W)/det W = (-1)^n at the dimension of the second script. The comment says that it assumes an "
    "odd one.",
)  # fmt: skip
def flip(run: Run, cells: pd.DataFrame) -> Measurement:
    n, _ = block_size(run, "thread_b")
    return measured((-1.0) ** n, -1.0, cells)  # type: ignore[operator]
