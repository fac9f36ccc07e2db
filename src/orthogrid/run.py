"""The tables of a run: collected from the rows of its training jobs, and as figures, tables, numbers and claims read them."""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from .cell import Cell
from .config import Config
from .store import Store, read_table

# What a run without any file has.
BLANK = pd.DataFrame({"key": [], "code": [], "step": []})


class RowsError(ValueError):
    """The rows do not hold the configured cells."""


def collect_cells(config: Config, names: Sequence[str]) -> pd.DataFrame:
    """One row for each configured cell, in the config's order, from rows files by name.

    A missing cell raises RowsError; in a run marked partial it is a row with status `missing`. A partial run also takes rows
    that other code made, where there are none of today's: `run.json` says how many.
    """
    store, wanted = Store(config.root), {cell.key: cell for cell in config.cells}
    codes = {key: cell.code for key, cell in wanted.items()}
    rows = pd.concat([store.rows(name) for name in names], ignore_index=True) if names else BLANK
    rows = rows[rows["key"].isin(wanted)]
    today = rows["key"].map(codes) == rows["code"]
    rows = pd.concat([rows[today], rows[~today]]) if config.partial else rows[today]
    rows = rows.drop_duplicates("key")  # the same cell may lie in several places; its values are the same
    held = set(rows["key"])
    missing = [key for key in wanted if key not in held]
    if missing and not config.partial:
        raise RowsError(
            f"{len(missing)} of {len(wanted)} cells have no row, {missing[0]} for one ({wanted[missing[0]]}); "
            "run the same command again to train them, or mark the run partial: true"
        )
    blank = pd.DataFrame([{"key": key, **wanted[key].settings, "status": "missing"} for key in missing])
    rows = pd.concat([rows, blank], ignore_index=True) if missing else rows
    return rows.set_index("key").loc[list(wanted)].reset_index()


def collect_traces(config: Config, names: Sequence[str]) -> pd.DataFrame:
    """The traces of the configured cells, in their order: key, step and the metrics at logged steps."""
    store, wanted = Store(config.root), {cell.key: i for i, cell in enumerate(config.cells)}
    parts = [store.traces(name) for name in names]
    traces = pd.concat([part[part["key"].isin(wanted)] for part in parts] or [BLANK], ignore_index=True)
    traces = traces.drop_duplicates(["key", "step"])
    return traces.iloc[(traces["key"].map(wanted) * 1e9 + traces["step"]).argsort(kind="stable")]


def summary(config: Config, cells: pd.DataFrame) -> dict[str, Any]:
    """What run.json holds: what the run is, how much of it is there, and what made it."""
    there = cells[cells["status"] != "missing"]
    codes = {cell.key: cell.code for cell in config.cells}

    def counts(column: str) -> dict[str, int]:
        return {name: int(count) for name, count in there[column].value_counts().items()}

    return {
        "run": config.run, "title": config.title, "cells": len(cells), "finished": len(there),
        "partial": len(there) < len(cells), "digest": config.digest,
        "of_other_code": int((there["key"].map(codes) != there["code"]).sum()),
        "torch": counts("torch"), "device": counts("device"), "minutes": round(float(there["seconds"].sum()) / 60, 1),
        "python": platform.python_version(), "commit": _commit(), "date": _date(Path(config.root) / "rows"),
    }  # fmt: skip


def _commit() -> str:
    """The commit that the source stands at, with + where it was edited since; empty where there is no git."""
    folder = Path(__file__).parent
    commit = _git(folder, "rev-parse", "--short", "HEAD")
    return commit + ("+" if commit and _git(folder, "status", "--porcelain", ".") else "")


def _date(rows: Path) -> str:
    """The day of the newest rows: of their commit where they are tracked, of the files else; empty without any."""
    files = list(rows.glob("*.csv.gz"))
    if not files:
        return ""
    committed = "" if _git(rows, "status", "--porcelain", ".") else _git(rows, "log", "-1", "--format=%cs", "--", ".")
    return committed or date.fromtimestamp(max(file.stat().st_mtime for file in files)).isoformat()


def _git(folder: Path, *asked: str) -> str:
    """What git says of a folder; empty where there is no git."""
    command = ["git", "-C", str(folder), *asked]
    try:
        done = subprocess.run(command, capture_output=True, encoding="utf-8", errors="replace", check=True)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return done.stdout.strip()


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

    def trace(self, cells: pd.DataFrame) -> pd.DataFrame:
        """The traces of some cells, each line with its cell's settings and the cell's final columns prefixed `final_`."""
        settings = cells.rename(columns={c: f"final_{c}" for c in self.traces.columns if c in cells and c != "key"})
        return self.traces.merge(settings, on="key", how="inner")
