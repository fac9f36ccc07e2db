"""A finished run as figures, tables, numbers and claims read it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import pandas as pd

from .bench import read_bench
from .config import Config
from .store import read_table


def finished(cells: pd.DataFrame) -> pd.DataFrame:
    """The cells that have a result."""
    return cells[cells["status"] == "ok"]


@dataclass
class Run:
    """The tables of one run. `cells` has, beside its columns, the predictions with the prefix `predicted_`."""

    config: Config
    cells: pd.DataFrame
    membership: pd.DataFrame
    traces: pd.DataFrame
    thread: pd.DataFrame
    predictions: pd.DataFrame
    log_a: pd.DataFrame
    log_b: pd.DataFrame
    bench: pd.DataFrame = field(default_factory=read_bench)

    @classmethod
    def read(cls, config: Config, root: str | Path, thread_data: str | Path, bench: Sequence[str | Path] = ()) -> Run:
        """Read a run's folder, the thread's logs and the benchmark's files."""
        root, thread_data = Path(root), Path(thread_data)
        cells, predictions = read_table(root / "cells.csv"), read_table(root / "predictions.csv")
        return cls(
            config,
            cells.merge(
                predictions.set_index("key").add_prefix("predicted_"), left_on="key", right_index=True, how="left"
            ),
            read_table(root / "membership.csv"),
            read_table(root / "traces.csv.gz"),
            read_table(root / "thread.csv"),
            predictions,
            read_table(thread_data / "log_a.csv"),
            read_table(thread_data / "log_b.csv"),
            read_bench(bench),
        )

    def planned(self, *names: str) -> pd.DataFrame:
        """All configured cells of one or more blocks, each once, also missing and diverged ones; with the column `wrong`.

        `wrong` says whether a run ended with another sign of the determinant than the target's.
        """
        keys = self.membership.loc[self.membership["block"].isin(names), "key"]
        return self._sided[self._sided["key"].isin(keys)]

    def block(self, *names: str) -> pd.DataFrame:
        """The finished ones of these; empty where the config has no such block."""
        return finished(self.planned(*names))

    @cached_property
    def finished(self) -> pd.DataFrame:
        """Cells with status ok, with the column `wrong`."""
        return finished(self._sided)

    @cached_property
    def _sided(self) -> pd.DataFrame:
        return self.cells.assign(wrong=self.cells["det_sign"] != self.cells["det_sign_target"])

    def trace(self, cells: pd.DataFrame) -> pd.DataFrame:
        """The traces of some cells, each line with its cell's settings and the cell's final columns prefixed `final_`."""
        settings = cells.rename(columns={c: f"final_{c}" for c in self.traces.columns if c in cells and c != "key"})
        return self.traces.merge(settings, on="key", how="inner")
