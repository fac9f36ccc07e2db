"""The thread's own numbers, and what we obtain in their place."""

from __future__ import annotations

from ..cell import Cell
from ..claims.select import LOG_A, block_size, plateau_by_seed, predicted_plateau, printed_plateau
from ..claims.settings import EARLY_STEPS, FITTED, ORTHOGONAL
from ..run import CIRCLE_START, Run
from ..views import reads
from .format import d1, integer, median, seeds, setting


@reads("thread_a thread_b", tables="traces log_a")
def thread_numbers(run: Run) -> dict[str, str]:
    log_b = Cell()
    n, _ = block_size(run, "thread_b")
    return {
        "thread-dimension": integer(log_b.dimension),
        "thread-samples": integer(log_b.samples),
        "thread-seed": str(log_b.seed),
        "thread-reg-a": setting(LOG_A.reg),
        "thread-reg-b": setting(log_b.reg),
        "thread-a-plateau": d1(printed_plateau(run)),
        "thread-a-seeds": seeds(run.block("thread_a")),
        "thread-b-seeds": seeds(run.block("thread_b")),
        # Block thread_a: plateau, median over seeds, and the closed form.
        "ours-a-plateau": d1(median(plateau_by_seed(run))),
        "predicted-a-plateau": d1(predicted_plateau(run)),
        # What a dash in the table stands for.
        "thread-dash": "no closed form" if n == log_b.dimension else "no closed form, or a size that this run lacks",
        # Last step of log B that is compared digit by digit.
        "thread-b-early-steps": integer(EARLY_STEPS),
        "circle-start": "({:.2f}, {:.2f})".format(*CIRCLE_START),
    }


@reads()
def settings_numbers(run: Run) -> dict[str, str]:
    """What counts as fitted, and as orthogonal."""
    return {"fit-threshold": setting(FITTED), "orthogonal-threshold": setting(ORTHOGONAL)}
