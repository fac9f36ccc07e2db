"""The thread's own numbers, and what we obtain in their place."""

from __future__ import annotations

import pandas as pd

from ..analysis.select import LOG_A, block_size, only, plateau_by_seed, predicted_plateau, printed_plateau
from ..analysis.settings import EARLY_STEPS, FITTED, ORTHOGONAL
from ..cells.cell import Cell
from ..presenting.formats import MISSING, d0, d1, d2, decimals, digits2, integer, median, scientific, setting
from ..presenting.tables import table, tabular
from ..presenting.values import Value, values
from ..run.run import CIRCLE_START, LOG_B_CLOSING, Run
from ..theory import forms


@values("thread_a", tables="traces log_a")
def thread_values(run: Run) -> dict[str, Value | str]:
    script, levels = Cell(), plateau_by_seed(run)
    return {
        "thread-dimension": integer(script.dimension),
        "thread-samples": integer(script.samples),
        "thread-seed": str(script.seed),
        "thread-reg-a": setting(LOG_A.reg),
        "thread-reg-b": setting(script.reg),
        "thread-a-plateau": d0(printed_plateau(run)),
        "thread-a-entry": digits2(printed_plateau(run) / LOG_A.dimension**2),
        # Block thread_a: plateau, median over seeds, and the closed form.
        "ours-a-plateau": Value(
            d0(median(levels)), median(levels), levels.min(), levels.max(), "thread_a", len(levels)
        ),
        "predicted-a-plateau": d0(predicted_plateau(run)),
        # Last step of log B that is compared digit by digit.
        "thread-b-early-steps": integer(EARLY_STEPS),
        "circle-start": "({:.2f}, {:.2f})".format(*CIRCLE_START),
        # What counts as fitted, and as orthogonal.
        "fit-threshold": setting(FITTED),
        "orthogonal-threshold": setting(ORTHOGONAL),
    }


@table("thread_a", tables="traces thread log_a log_b")
def thread_table(run: Run, verdicts: pd.DataFrame) -> str:
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
        ("distance_l1", r"$\sum|W-\rho\T|$", 2 * (n - forms.effective_rank(n, k))),
    ):
        model = float(forms.entrywise_l1(n, squared))
        rows.append([f"B: closing {name}", d2(LOG_B_CLOSING[quantity]), d2(closing.get(quantity)), d1(model)])
    return tabular("lrrr", ["Quantity", "Thread", "This run", "Closed form"], rows)
