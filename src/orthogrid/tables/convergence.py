"""The thread's two logs, its three changes, and the floors of a constant rate."""

from __future__ import annotations

import pandas as pd

from .. import theory
from ..cell import Cell
from ..claims.intervals import mean
from ..claims.select import (
    LOG_A,
    block_size,
    exponents,
    only,
    paired,
    paired_ratio,
    plateau_by_seed,
    predicted_plateau,
    printed_plateau,
)
from ..numbers.convergence import floor_constant
from ..numbers.format import (
    MISSING,
    code,
    d1,
    d2,
    decimals,
    estimate,
    integer,
    median,
    number,
    scientific,
    setting,
    spread,
)
from ..run import LOG_B_CLOSING, Run
from ..views import reads
from .layout import tabular


@reads("thread_a", tables="traces thread log_a log_b")
def thread(run: Run, verdicts: pd.DataFrame) -> str:
    """Thread, this run, closed form. A dash where the run lacks the thread's size or there is no closed form."""
    printed = {log: run.log_a if log == "a" else run.log_b for log in "ab"}
    ours = run.thread.set_index(["log", "quantity", "step"])["ours"]

    def at(log: str, quantity: str, step: int) -> tuple[str, str]:
        form = (lambda v: scientific(v, 3)) if quantity == "orthogonality_fro2" else (lambda v: decimals(v, 3))
        return form(median(only(printed[log], step=step)[quantity])), form(ours.get((log, quantity, step)))

    full = block_size(run, "thread_a")[0] == LOG_A.dimension
    levels, predicted = plateau_by_seed(run), predicted_plateau(run)
    plateau = d1(printed_plateau(run))
    rows = [
        [
            r"A: plateau of $\sum|S_{ij}|$", plateau, d1(median(levels)) if full else MISSING,
            d1(predicted) if full else MISSING,
        ],
        [],
    ]  # fmt: skip
    steps = (1, 10, 100, 200, 500)
    for quantity, name in (("fit", "data loss"), ("orthogonality_fro2", r"$\fnorm S^2$")):
        rows += [[f"B: {name}, step {integer(step)}", *at("b", quantity, step), MISSING] for step in steps]
        rows.append([])
    n, k = Cell().dimension, Cell().samples
    closing = only(run.thread, log="b").set_index("quantity")["ours"]
    for quantity, name, squared in (
        ("distance_rho_l1", r"$\sum|W-\rho|$", 2 * n),
        ("distance_l1", r"$\sum|W-\rho\T|$", 2 * (n - theory.effective_rank(n, k))),
    ):
        model = float(theory.entrywise_l1(n, squared))
        rows.append([f"B: closing {name}", d2(LOG_B_CLOSING[quantity]), d2(closing.get(quantity)), d1(model)])
    return tabular("lrrr", ["Quantity", "Thread", "This run", "Closed form"], rows)


@reads("ablation")
def ablation(run: Run, verdicts: pd.DataFrame) -> str:
    """The thread's three changes: ‖S‖_F and data loss, median [range] over seeds."""
    cells = run.block("ablation")
    rows = []
    for penalty, gradient, form in (
        ("l1_detached", "detached", "absolute"),
        ("fro2_detached", "detached", "squares"),
        ("l1", "attached", "absolute"),
        ("fro2", "attached", "squares"),
    ):
        for reg in (LOG_A.reg, Cell().reg):
            same = only(cells, penalty=penalty, reg=reg)
            shown = [
                f"{number(median(same[c]))} [{spread(same[c])}]" if len(same) else MISSING
                for c in ("orthogonality_fro", "fit")
            ]
            rows.append([gradient, form, setting(reg), *shown])
        rows.append([])
    return tabular("llrrr", ["Gradient", "Form", r"\texttt{reg}", r"$\fnorm S$", "Data loss"], rows[:-1])


@reads("rates")
def floors(run: Run, verdicts: pd.DataFrame) -> str:
    """By penalty, under a constant rate: sum |S| = C n^a lr^b by seed, its size, and what a decaying rate leaves of it."""
    cells = run.block("rates")
    rows = []
    for penalty, same in cells.groupby("penalty"):
        constant = only(same, schedule="constant")
        powers = exponents(constant, "orthogonality_l1", "dimension", "lr")
        ratio = paired_ratio(paired(same, "orthogonality_l1", "schedule", "constant", "cosine"))
        rows.append(
            [
                code(penalty),
                *(estimate(*mean(powers[axis]), d2) for axis in ("dimension", "lr")),
                f"{number(median(floor_constant(constant)), 2)} [{spread(floor_constant(constant), lambda v: number(v, 2))}]",
                number(ratio.value, 2),
            ]
        )
    head = ["Penalty", "$a$", "$b$", r"$\sum|S_{ij}|/(n^2\eta)$", "Cosine/constant"]
    return tabular("lllll", head, rows)
