"""Convergence: the thread's two logs, its three changes, and what a constant rate leaves."""

from __future__ import annotations

import math

import pandas as pd

from .. import theory
from ..cell import Cell
from ..claims.select import (
    LOG_A,
    best_fitted,
    block_size,
    detached_spread,
    only,
    plateau_by_seed,
    predicted_plateau,
    printed_plateau,
)
from ..claims.settings import EARLY_STEPS, FITTED, SIMILAR
from ..run import CIRCLE_START, LOG_B_CLOSING, Run
from ..views import reads
from .format import (
    MISSING,
    code,
    d1,
    d2,
    integer,
    listed,
    median,
    number,
    percent,
    scientific,
    seeds,
    setting,
    spread,
    word_of,
)

# The thread and our repetition of it.


@reads("thread_a thread_b", tables="traces thread log_a")
def thread_numbers(run: Run) -> dict[str, str]:
    log_b = Cell()
    levels, predicted = plateau_by_seed(run), predicted_plateau(run)
    ours = only(run.thread, log="b").set_index("quantity")["ours"]
    early = only(run.thread, log="b", quantity="fit")
    n, k = block_size(run, "thread_b")

    def model(squared) -> float:
        return math.nan if n is None else float(theory.entrywise_l1(n, squared(n, k)))

    return {
        "thread-dimension": integer(log_b.dimension),
        "thread-samples": integer(log_b.samples),
        "thread-seed": str(log_b.seed),
        "thread-reg-a": setting(LOG_A.reg),
        "thread-reg-b": setting(log_b.reg),
        "thread-a-plateau": d1(printed_plateau(run)),
        # Log B's closing line: entrywise sums |W - rho| and |W - rhoᵀ|.
        "thread-b-rho": d2(LOG_B_CLOSING["distance_rho_l1"]),
        "thread-b-target": d2(LOG_B_CLOSING["distance_l1"]),
        "thread-a-seeds": seeds(run.block("thread_a")),
        "thread-b-seeds": seeds(run.block("thread_b")),
        # Block thread_a: plateau by seed; median and full range over seeds; deviation of the median from the closed form.
        "ours-a-plateau": d1(median(levels)),
        "ours-a-plateau-range": spread(levels, d1),
        "ours-a-plateau-excess": percent(median(levels) / predicted - 1, signed=True),
        "ours-a-plateau-error": percent(abs(median(levels) / predicted - 1)),
        "predicted-a-plateau": d1(predicted),
        # What a dash in the table stands for.
        "thread-dash": "no closed form" if n == log_b.dimension else "no closed form, or a size that this run lacks",
        # Last step of log B that is compared digit by digit, and the largest relative difference in its data loss up to there.
        "thread-b-early-steps": integer(EARLY_STEPS),
        "thread-b-early-error": scientific(early.loc[early["step"] <= EARLY_STEPS, "relative_difference"].max()),
        "ours-b-rho": d2(ours.get("distance_rho_l1")),
        "ours-b-target": d2(ours.get("distance_l1")),
        # The same without training, for the dimension of block thread_b: W is unrelated to rho, and near rhoᵀ on rank k.
        "predicted-b-rho": d1(model(lambda n, k: 2 * n)),
        "predicted-b-target": d1(model(lambda n, k: 2 * (n - theory.effective_rank(n, k)))),
        "circle-start": "({:.2f}, {:.2f})".format(*CIRCLE_START),
    }


# The ablation: median ‖S‖_F over seeds, small reg = log A's, large = log B's.


@reads("ablation")
def ablation_numbers(run: Run) -> dict[str, str]:
    cells = run.block("ablation")

    def final(penalty: str, reg: float, column: str = "orthogonality_fro") -> str:
        return number(median(only(cells, penalty=penalty, reg=reg)[column]))

    small, large = LOG_A.reg, Cell().reg
    return {
        "ablation-seeds": seeds(cells),
        "ablation-base": final("l1_detached", small),
        "ablation-attach": final("l1", small),
        "ablation-attach-square": final("fro2", small),
        "ablation-attach-reg": final("l1", large),
        "ablation-attach-reg-fit": final("l1", large, "fit"),
        "ablation-reg-only": final("l1_detached", large),
        "ablation-all": final("fro2", large),
        "ablation-all-fit": final("fro2", large, "fit"),
        # Largest difference of ‖S‖_F between paired detached cells.
        "ablation-detached-difference": scientific(detached_spread(run)),
    }


# Block convergence: medians over seeds.


def best_whatever_fit(cells: pd.DataFrame, penalty: str) -> pd.Series | None:
    """Median fit and ‖S‖_F of the setting of reg and schedule with the smallest median ‖S‖_F."""
    medians = only(cells, penalty=penalty).groupby(["reg", "schedule"])[["fit", "orthogonality_fro"]].median()
    medians = medians.dropna()
    return None if medians.empty else medians.loc[medians["orthogonality_fro"].idxmin()]


@reads("convergence")
def convergence_numbers(run: Run, verdicts: pd.DataFrame) -> dict[str, str]:
    cells = run.block("convergence")
    largest = cells["reg"].max() if len(cells) else None

    def final(column: str, **settings) -> str:
        return number(median(only(cells, **settings)[column]))

    def best(penalty: str) -> str:
        """The best fitted setting with its name."""
        fitted = best_fitted(run, penalty)
        if fitted is None:
            return rf"{MISSING} (no setting fits)"
        where = rf"{code('reg')} {setting(fitted['reg'])}, {fitted['schedule']} rate"
        return f"{number(fitted['orthogonality_fro'])} ({where}, data loss {number(fitted['fit'], 2)})"

    alone = {name: best_whatever_fit(cells, name) for name in ("l1", "fro2")}
    if any(settings is None for settings in alone.values()):
        word = "not comparable with squares"
    elif alone["l1"]["orthogonality_fro"] >= alone["fro2"]["orthogonality_fro"]:
        word = "not ahead of squares"
    elif alone["l1"]["fit"] < FITTED:
        word = "ahead of squares, with fitted data"
    else:
        word = "ahead of squares, but their data are not fitted in these steps"

    return {
        "conv-seeds": seeds(cells),
        # The price of the largest reg: data loss, constant rate.
        "conv-reg-high": setting(largest),
        "conv-l1-fit-high": final("fit", penalty="l1", reg=largest, schedule="constant"),
        "conv-fro2-fit-high": final("fit", penalty="fro2", reg=largest, schedule="constant"),
        # Smallest median ‖S‖_F over reg and schedule among settings whose median data loss is below the threshold.
        "conv-fit-threshold": setting(FITTED),
        "conv-l1-best": best("l1"),
        "conv-fro2-best": best("fro2"),
        # The same whatever the fit, ‖S‖_F and data loss; "by orthogonality alone absolute values are ...".
        **{
            f"conv-{name}-alone{end}": number(math.nan if settings is None else settings[column], 2)
            for name, settings in alone.items()
            for end, column in (("", "orthogonality_fro"), ("-fit", "fit"))
        },
        "conv-alone-word": word,
        # "By this comparison squares are ...".
        "conv-squares-word": word_of(
            verdicts, "squares", supported="better", partly=f"as good within a factor of {setting(SIMILAR)}", refuted="worse",
            untested="not told apart from absolute values", missing="not comparable",
        ),
    }  # fmt: skip


# Block rates: what a constant rate leaves.


def floor_constant(cells: pd.DataFrame) -> pd.Series:
    """Sum |S| over n² lr."""
    return cells["orthogonality_l1"] / (cells["dimension"] ** 2 * cells["lr"])


@reads("rates convergence")
def rates_numbers(run: Run) -> dict[str, str]:
    cells = run.block("rates")
    l1 = only(cells, penalty="l1")
    constant = only(l1, schedule="constant")
    grid = only(run.block("convergence"), penalty="l1", schedule="constant")
    by_reg = floor_constant(grid).groupby(grid["reg"]).median()
    return {
        "rates-seeds": seeds(cells),
        "rates-dimensions": listed(cells, "dimension"),
        "rates-lrs": listed(cells, "lr"),
        "rates-reg": listed(cells, "reg"),
        # c = sum |S| / (n² lr) over the l1 cells with a constant rate.
        "rates-cells": integer(len(constant)) if len(constant) else MISSING,
        "rates-constant": number(median(floor_constant(constant))),
        "rates-constant-range": spread(floor_constant(constant)),
        # Block convergence, constant rate: the medians of c by reg, smallest and largest reg.
        "rates-reg-lowest": setting(by_reg.index[0] if len(by_reg) else None),
        "rates-reg-lowest-constant": number(by_reg.iloc[0] if len(by_reg) else math.nan),
        "rates-reg-rest": spread(by_reg.iloc[len(by_reg) // 2 :]),
        "rates-reg-rest-from": setting(by_reg.index[len(by_reg) // 2] if len(by_reg) else None),
    }
