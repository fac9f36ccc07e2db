"""The tables of a run, as figures, tables, numbers and claims read them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd

from ..cells.cell import Cell
from ..cells.config import Config
from ..jobs.files import read_table
from ..theory import forms


def membership(config: Config) -> pd.DataFrame:
    """block, key: which cells each block views."""
    return pd.DataFrame(config.membership, columns=["block", "key"])


# The thread's second script is Cell() itself; this is its first, which gave no seed.
LOG_A = Cell(penalty="l1_detached", reg=0.001, steps=10_000)


def thread_cells(cells: pd.DataFrame) -> dict[str, list[str]]:
    """Keys of the cells that are the thread's two scripts: log b its seed alone, log a (no seed given) every seed."""

    def like(cell: Cell, *but: str) -> pd.Series:
        same = pd.Series(True, index=cells.index)
        for name, value in cell.settings.items():
            if name not in but:
                same &= cells[name] == value
        return same & (cells["status"] == "ok")

    return {"a": cells.loc[like(LOG_A, "seed"), "key"].tolist(), "b": cells.loc[like(Cell()), "key"].tolist()}


# Log B's closing line, printed after its last step (entrywise L1 distances of the weight to rho and to its transpose).
LOG_B_CLOSING = {"distance_rho_l1": 12627.76172, "distance_l1": 12255.37109}

CIRCLE_START = (0.01, 1.50)  # the point of the thread's analogy, beside its circle


def compare_thread(cells: pd.DataFrame, traces: pd.DataFrame, log_a: pd.DataFrame, log_b: pd.DataFrame) -> pd.DataFrame:
    """Every number the thread printed beside ours: log, step, quantity, thread, ours, relative_difference.

    For log a `ours` is the median over the seeds. Empty where the run does not contain the thread's cells.
    """
    keys = thread_cells(cells)
    records: list[tuple[str, int, str, float, float]] = []

    def compare(log: str, printed: pd.DataFrame, ours: pd.DataFrame) -> None:
        for name in printed.columns.drop("step"):
            for step, value in zip(printed["step"], printed[name], strict=True):
                if step in ours.index:
                    records.append((log, int(step), name, float(value), float(ours.at[step, name])))

    if keys["a"]:
        # The printed loss contains reg times the penalty, the printed penalty does not.
        printed = log_a.assign(fit=log_a["loss"] - LOG_A.reg * log_a["orthogonality_l1"])
        ours = traces[traces["key"].isin(keys["a"])].groupby("step")[["fit", "orthogonality_l1"]].median()
        compare("a", printed, ours.assign(loss=ours["fit"] + LOG_A.reg * ours["orthogonality_l1"]))
    if keys["b"]:
        ours = traces[traces["key"] == keys["b"][0]].set_index("step")
        squares = ours["orthogonality_fro"] ** 2
        compare("b", log_b, ours.assign(orthogonality_fro2=squares, loss=ours["fit"] + Cell().reg * squares))
        row = cells.set_index("key").loc[keys["b"][0]]
        records += [("b", Cell().steps, name, value, float(row[name])) for name, value in LOG_B_CLOSING.items()]
    table = pd.DataFrame(records, columns=["log", "step", "quantity", "thread", "ours"])
    table["relative_difference"] = (table["ours"] - table["thread"]).abs() / table["thread"].abs()
    return table


def finished(cells: pd.DataFrame) -> pd.DataFrame:
    """The cells that have a result."""
    return cells[cells["status"] == "ok"]


def derive(cells: pd.DataFrame) -> pd.DataFrame:
    """The cells of a run with what several sections compute of them. λ and μ are the extreme eigenvalues of the Gram matrix.

    `wrong`: the run ended with another sign of the determinant than the target's; False where it has no result.
    `crossed`: the determinant ended with another sign than it began with.
    `arm`: what keeps W orthogonal: the penalty or, for another method than Adam, the method.
    `fit_over_4lambda`, `reg_over_2lambda`, `reg_over_2mu`: the data loss and the weight in units of the sum of squares' theory.
    `reg_over_threshold`: the weight over the closed form of its penalty's trap; NaN where that is unknown, zero or infinite.
    """
    threshold = cells["predicted_trap_threshold"]
    columns = dict(
        # A cell without a result has no sign, and a missing number differs from every other.
        wrong=(cells["det_sign"] != cells["det_sign_target"]) & (cells["status"] == "ok"),
        crossed=cells["det_sign"] != cells["det_sign_start"],
        arm=cells["penalty"].where(cells["method"] == "adam", cells["method"]),
        fit_over_4lambda=cells["fit"] / forms.wrong_floor(cells["lambda_min"]),
        reg_over_2lambda=cells["reg"] / forms.trap_threshold("fro2", cells["lambda_min"]),
        reg_over_2mu=cells["reg"] / forms.capture_threshold(cells["predicted_lambda_max"]),
        reg_over_threshold=cells["reg"] / threshold.where(threshold.between(0, math.inf, inclusive="neither")),
    )
    return cells.assign(**columns).copy()  # its columns moved together: selections take half as long


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

    @classmethod
    def read(cls, config: Config, root: str | Path, thread_data: str | Path) -> Run:
        """Read a run's folder and the thread's logs."""
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
        )

    def planned(self, *names: str) -> pd.DataFrame:
        """All configured cells of one or more blocks, each once, also missing and diverged ones; with the columns of `derive`."""
        if names not in self._planned:  # claims, numbers and tables ask for the same blocks many times
            keys = self.membership.loc[self.membership["block"].isin(names), "key"]
            self._planned[names] = self.derived[self.derived["key"].isin(keys)]
        return self._planned[names]

    def configured(self, block: str) -> tuple[Cell, ...]:
        """The cells of a block as the config has them; none where it has no such block."""
        return tuple(cell for each in self.config.blocks if each.name == block for cell in each.cells)

    def block(self, *names: str) -> pd.DataFrame:
        """The finished ones of these; empty where the config has no such block."""
        return finished(self.planned(*names))

    @cached_property
    def finished(self) -> pd.DataFrame:
        """Cells with status ok, with the columns of `derive`."""
        return finished(self.derived)

    @cached_property
    def _planned(self) -> dict[tuple[str, ...], pd.DataFrame]:
        return {}

    @cached_property
    def derived(self) -> pd.DataFrame:
        """All configured cells, with the columns of `derive`."""
        return derive(self.cells)

    def traces_of(self, cells: pd.DataFrame) -> pd.DataFrame:
        """The traces of some cells as they are."""
        return self.traces[self.traces["key"].isin(cells["key"])]

    def trace(self, cells: pd.DataFrame) -> pd.DataFrame:
        """The traces of some cells, each line with its cell's settings and the cell's final columns prefixed `final_`."""
        settings = cells.rename(columns={c: f"final_{c}" for c in self.traces.columns if c in cells and c != "key"})
        return self.traces.merge(settings, on="key", how="inner")
