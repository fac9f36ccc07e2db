"""What the ledger's levels amount to over all of its intervals."""

from __future__ import annotations

import pandas as pd

from ..claims.intervals import LEVEL
from ..run import Run
from ..views import reads
from .format import MISSING, integer, number


@reads()
def limitations_numbers(run: Run, verdicts: pd.DataFrame) -> dict[str, str]:
    intervals = int((verdicts["interval_low"] < verdicts["interval_high"]).sum())
    return {
        # Claims with an interval; how many of these miss their quantity on average, each at its own level.
        "limits-intervals": integer(intervals) if intervals else MISSING,
        "limits-missed": number((1 - LEVEL) * intervals, 2) if intervals else MISSING,
    }
