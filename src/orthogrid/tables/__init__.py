"""The paper's tables as bare LaTeX: one function a table, from a run and its verdicts. Text width is 156 mm."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd

from ..claims import judge
from ..run import Run
from ..store import write_bytes
from .compute import bench_parts, bench_peers, bench_workflow
from .methods import cures, methods
from .penalties import penalties
from .reproduction import answers, claims, cost, grid_axes, versions
from .thread import thread

TABLES: dict[str, Callable[[Run, pd.DataFrame], str]] = {
    table.__name__: table
    for table in (
        answers, thread, penalties, methods, cures, claims, grid_axes, cost, versions,
        bench_peers, bench_parts, bench_workflow,
    )
}  # fmt: skip


def write_tables(run: Run, verdicts: pd.DataFrame | None, paths: Sequence[Path]) -> None:
    """Write the tables named by the files' stems. KeyError for a name that is no table."""
    verdicts = judge(run) if verdicts is None else verdicts
    for path in paths:
        write_bytes(TABLES[path.stem](run, verdicts).encode(), path)
