"""The ledger: each claim of the paper as a predicate over a run's rows, with what was measured and a verdict.

A claim stands once, in the module of its section: statement, predicate, relation, tolerance, author. To add one,
write a function from a Run and the finished cells of its blocks to a Measurement and decorate it with `@claim`; its docstring
says what `measured` is and becomes the predicate. The judge (`ledger`) compares measured with expected by relation and
tolerance. A sampled quantity comes with a 90 % interval (`intervals`): the claim is supported if the interval lies wholly
where the relation holds, refuted if wholly outside, and otherwise untested at this scale. Where a claim can hold in
part, its function says when. `tests/test_claims.py` wants rows that support it and rows that refute it.
"""

from . import convergence, cures, identifiability, methods, penalties, precision, trapping  # noqa: F401 (each enters its claims)
from .ledger import ANSWERER, CLAIMS, OURS, QUESTIONER, VERDICTS, Claim, Measurement, judge, summary, unexpected
from .select import (
    EARLY_STEPS,
    FITTED,
    FLOOR_TOLERANCE,
    LOG_A,
    MARGIN,
    NEAR,
    PLATEAU_FROM,
    RECOVERY,
    SETTLED,
    SIMILAR,
    best_fitted,
    caught,
    detached_spread,
    fitted,
    floor_cells,
    floor_ratio,
    law_error,
    map_cells,
    only,
    planned,
    plateau_by_seed,
    predicted_plateau,
    settled,
    squares_ratio,
    thread_like,
    wrong_side,
)  # fmt: skip

__all__ = [
    "ANSWERER", "CLAIMS", "EARLY_STEPS", "FITTED", "FLOOR_TOLERANCE", "LOG_A", "MARGIN", "NEAR", "OURS", "PLATEAU_FROM",
    "QUESTIONER", "RECOVERY", "SETTLED", "SIMILAR", "VERDICTS", "Claim", "Measurement", "best_fitted", "caught",
    "detached_spread", "fitted", "floor_cells", "floor_ratio", "judge", "law_error", "map_cells", "only", "planned",
    "plateau_by_seed", "predicted_plateau", "settled", "squares_ratio", "summary", "thread_like", "unexpected", "wrong_side",
]  # fmt: skip
