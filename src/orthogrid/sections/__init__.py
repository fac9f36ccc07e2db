"""The paper: one module a section with its claims, tables and values; the ledger; what is handed to LaTeX.

A claim stands once, in the module of its section: statement, predicate, relation, tolerance, author. To add one,
write a function from a Run and the finished cells of its blocks to a Measurement and decorate it with `@claim`, whose `predicate`
says what `measured` is. The judge (`ledger`) compares measured with expected by relation and tolerance. A sampled quantity comes with a 90 % interval (`analysis.intervals`): the claim is supported if the interval lies wholly
where the relation holds, refuted if wholly outside, and otherwise untested at this scale. Where a claim can hold in
part, its function says when. `tests/test_claims.py` wants rows that support it and rows that refute it. A claim may also
stand in a user's own file (`code:` in a config).
"""

from ..presenting.ledger import (
    ANSWERER,
    CLAIMS,
    OURS,
    QUESTIONER,
    VERDICTS,
    Claim,
    Measurement,
    claim,
    judge,
    measured,
    summary,
    unexpected,
)
from . import convergence, cures, identifiability, methods, penalties, precision, reproduction, thread, trapping  # noqa: F401 - each enters its claims, tables and values

__all__ = [
    "ANSWERER", "CLAIMS", "OURS", "QUESTIONER", "VERDICTS", "Claim", "Measurement", "claim", "judge", "measured", "summary",
    "unexpected",
]  # fmt: skip
