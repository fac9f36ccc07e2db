"""A finished run as figures, tables, numbers and claims read it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import pandas as pd

from .bench import read_bench
from .cell import Cell
from .config import Config
from .store import read_table


def finished(cells: pd.DataFrame) -> pd.DataFrame:
    """The cells that have a result."""
    return cells[cells["status"] == "ok"]


def arms(cells: pd.DataFrame) -> pd.Series:
    """What keeps W orthogonal in each cell: its penalty or, for another method than Adam, the method."""
    return cells["penalty"].where(cells["method"] == "adam", cells["method"])


@dataclass
class Run:
    """The tables of one run. `cells` has, beside its columns, the predictions with the prefix `predicted_`.

    The tables are not to be changed: what is derived from them is kept. `dataclasses.replace` makes a run with others.
    """

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

        `wrong` says whether a run ended with another sign of the determinant than the target's; False where none ended.
        """
        if names not in self._planned:  # claims, numbers and tables ask for the same blocks many times
            keys = self.membership.loc[self.membership["block"].isin(names), "key"]
            self._planned[names] = self._sided[self._sided["key"].isin(keys)]
        return self._planned[names]

    def configured(self, block: str) -> tuple[Cell, ...]:
        """The cells of a block as the config has them; none where it has no such block."""
        return tuple(cell for each in self.config.blocks if each.name == block for cell in each.cells)

    def block(self, *names: str) -> pd.DataFrame:
        """The finished ones of these; empty where the config has no such block."""
        return finished(self.planned(*names))

    @cached_property
    def finished(self) -> pd.DataFrame:
        """Cells with status ok, with the column `wrong`."""
        return finished(self._sided)

    @cached_property
    def arms(self) -> list[str]:
        """What keeps W orthogonal anywhere in the run, in order of appearance: figures number their colours by it."""
        return list(arms(self.cells).unique())

    @cached_property
    def _planned(self) -> dict[tuple[str, ...], pd.DataFrame]:
        return {}

    @cached_property
    def _sided(self) -> pd.DataFrame:
        # A cell without a result has no sign, and a missing number differs from every other.
        wrong = (self.cells["det_sign"] != self.cells["det_sign_target"]) & (self.cells["status"] == "ok")
        return self.cells.assign(wrong=wrong).copy()  # its columns moved together: selections take half as long

    def traces_of(self, cells: pd.DataFrame) -> pd.DataFrame:
        """The traces of some cells as they are."""
        return self.traces[self.traces["key"].isin(cells["key"])]

    def from_traces(self, function: Callable[[pd.DataFrame, pd.DataFrame], pd.DataFrame]) -> pd.DataFrame:
        """What a function of all traces and all cells gives, computed once a run."""
        if function not in self._from_traces:
            self._from_traces[function] = function(self.traces, self.cells)
        return self._from_traces[function]

    @cached_property
    def _from_traces(self) -> dict[Callable, pd.DataFrame]:
        return {}

    def trace(self, cells: pd.DataFrame) -> pd.DataFrame:
        """The traces of some cells, each line with its cell's settings and the cell's final columns prefixed `final_`."""
        settings = cells.rename(columns={c: f"final_{c}" for c in self.traces.columns if c in cells and c != "key"})
        return self.traces.merge(settings, on="key", how="inner")
