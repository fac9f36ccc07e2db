"""The tables of a run, and what a section may read of it: the blocks and tables that it declares, and nothing else.

A figure, a table, a section's values and a claim are handed a `View` in which anything undeclared raises. So a declaration can be
trusted: a figure whose blocks are as they were need not be drawn again, and a block that nobody declares is in no figure.
`cells.declarations` reads the same declarations in the source.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property, partial, wraps
from pathlib import Path
from typing import Any, Protocol, cast

import pandas as pd

from ..cells.cell import Cell
from ..cells.config import Config
from ..cells.declarations import WHOLE
from ..jobs.files import read_table
from ..theory import forms


def finished(cells: pd.DataFrame) -> pd.DataFrame:
    """The cells that have a result."""
    return cells[cells["status"] == "ok"]


def derive(cells: pd.DataFrame) -> pd.DataFrame:
    """The cells of a run with what several sections compute of them. λ and μ are the extreme eigenvalues of the Gram matrix.

    `wrong`: the run ended with another sign of the determinant than the target's; False where it has no result.
    `crossed`: the determinant ended with another sign than it began with.
    `arm`: what keeps W orthogonal: the penalty or, for another method than Adam, the method.
    `fit_over_4lambda`, `reg_over_2lambda`, `reg_over_2mu`: the data loss and the weight in units of the sum of squares' theory.
    `reach`: lr · n/√π, how much of the determinant Adam's first step takes where inputs are not centred; above 1 it changes sides.
    `reg_over_threshold`: the weight over the closed form of its penalty's trap; NaN where that is unknown, zero or infinite.
    """
    threshold = cells["predicted_trap_threshold"]
    columns = dict(
        wrong=(cells["det_sign"] * cells["det_sign_target"] < 0) & (cells["status"] == "ok"),
        crossed=cells["det_sign"] * cells["det_sign_start"] < 0,
        arm=cells["penalty"].where(cells["method"] == "adam", cells["method"]),
        fit_over_4lambda=cells["fit"] / forms.wrong_floor(cells["lambda_min"]),
        reg_over_2lambda=cells["reg"] / forms.trap_threshold("fro2", cells["lambda_min"]),
        reg_over_2mu=cells["reg"] / forms.capture_threshold(cells["predicted_lambda_max"]),
        reach=1 - forms.first_step_factor(cells["lr"], cells["dimension"]),
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
    _planned: dict[tuple[str, ...], pd.DataFrame] = field(default_factory=dict, init=False, repr=False)

    @classmethod
    def read(cls, config: Config, root: str | Path, thread_data: str | Path) -> Run:
        """Read a run's folder and the thread's logs."""
        names = ("cells.csv", "membership.csv", "traces.csv.gz", "thread.csv", "predictions.csv")
        files = [*(Path(root, name) for name in names), *(Path(thread_data, f"log_{name}.csv") for name in "ab")]
        cells, *tables = map(read_table, files)
        return cls(config, cells.join(tables[-3].set_index("key").add_prefix("predicted_"), on="key"), *tables)

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


# What a section may read of a run.

RUN_TABLES = ("traces", "thread", "log_a", "log_b")  # what a run has beside its cells


class UndeclaredRead(LookupError):
    """More of a run was read than is declared."""


class View:
    """A run as one of its readers sees it. It reads like a `Run`."""

    def __init__(self, run: Run | View, blocks: Iterable[str] = (), tables: Iterable[str] = ()):
        self._run, self._blocks, self._tables = run, tuple(blocks), tuple(tables)

    def __getattr__(self, name: str) -> Any:
        """What the run has: of blocks, of its tables, or else a part of the whole run: its cells, its config, all traces."""
        if name.startswith("_"):  # asked for by copy and pickle, before there is a run
            raise AttributeError(name)
        if name in ("planned", "block", "configured"):
            return partial(self._ask, name)
        if name in ("trace", "traces_of"):
            self._need_table("traces")
        elif name in RUN_TABLES and name != "traces":
            self._need_table(name)
        else:
            self._need_blocks(WHOLE)
        return getattr(self._run, name)

    def _ask(self, name: str, *blocks: str) -> Any:
        self._need_blocks(*blocks)
        return getattr(self._run, name)(*blocks)

    def _need_blocks(self, *names: str) -> None:
        if undeclared := [name for name in names if not {name, WHOLE} & set(self._blocks)]:
            what = "the whole run" if undeclared[0] == WHOLE else f"block '{undeclared[0]}'"
            raise UndeclaredRead(f"{what} is read, declared are the blocks: {', '.join(self._blocks) or 'none'}")

    def _need_table(self, name: str) -> None:
        if name not in self._tables:
            raise UndeclaredRead(f"table '{name}' is read, declared are: {', '.join(self._tables) or 'none'}")


class Declared(Protocol):
    """A function of a run that states what of it it reads, and the file that it stands in."""

    blocks: tuple[str, ...]
    tables: tuple[str, ...]
    source: str

    def __call__(self, run: Run, *rest: Any) -> Any: ...


def reads(function: Callable, blocks: str, tables: str = "") -> Declared:
    """The function with a view of these blocks and tables, names parted by spaces, in place of the run."""
    blocks_read, tables_read = tuple(blocks.split()), tuple(tables.split())
    if unknown := set(tables_read) - set(RUN_TABLES):
        raise ValueError(f"no table of a run: {', '.join(sorted(unknown))} (tables: {', '.join(RUN_TABLES)})")

    @wraps(function)
    def reader(run: Run, *rest):
        return function(View(run, blocks_read, tables_read), *rest)

    declared = cast(Declared, reader)
    declared.blocks, declared.tables, declared.source = blocks_read, tables_read, function.__code__.co_filename
    return declared
