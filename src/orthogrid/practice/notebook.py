"""Results of `train_batch` as a run's table has them."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace

import pandas as pd

from ..theory.outcomes import with_outcomes
from ..theory.predictions import predict_cells
from ..training.train import Result


def table(results: Sequence[Result]) -> pd.DataFrame:
    """A row a result: the cell's key and settings, what was measured, and `outcome`, the word for where it ended. For a notebook."""
    cells = pd.DataFrame([{"key": r.cell.key, **r.cell.settings, **r.row} for r in results])
    config = SimpleNamespace(cells=list({r.cell.key: r.cell for r in results}.values()))
    return with_outcomes(cells, predict_cells(config))  # type: ignore[arg-type]
