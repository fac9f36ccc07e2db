"""What a section may read of a run: the blocks and tables that it declares, and nothing else.

A figure, a table, a section's values and a claim are handed a `View` in which anything undeclared raises. So a declaration can be
trusted: a figure whose blocks are as they were need not be drawn again, and a block that nobody declares is in no figure.
`cells.declarations` reads the same declarations in the source.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import wraps
from typing import Any, Protocol, cast

import pandas as pd

from ..cells.cell import Cell
from ..cells.declarations import WHOLE
from .run import Run, finished

RUN_TABLES = ("traces", "thread", "log_a", "log_b")  # what a run has beside its cells


class UndeclaredRead(LookupError):
    """More of a run was read than is declared."""


class View:
    """A run as one of its readers sees it. It reads like a `Run`."""

    def __init__(self, run: Run | View, blocks: Iterable[str] = (), tables: Iterable[str] = ()):
        self._run, self._blocks, self._tables = run, tuple(blocks), tuple(tables)

    def planned(self, *names: str) -> pd.DataFrame:
        self._need_blocks(*names)
        return self._run.planned(*names)

    def block(self, *names: str) -> pd.DataFrame:
        return finished(self.planned(*names))

    def configured(self, block: str) -> tuple[Cell, ...]:
        self._need_blocks(block)
        return self._run.configured(block)

    def traces_of(self, cells: pd.DataFrame) -> pd.DataFrame:
        self._need_table("traces")
        return self._run.traces_of(cells)

    def trace(self, cells: pd.DataFrame) -> pd.DataFrame:
        self._need_table("traces")
        return self._run.trace(cells)

    def __getattr__(self, name: str) -> Any:
        """Another table, or else a part of the whole run: its cells, its config, all traces."""
        if name.startswith("_"):  # asked for by copy and pickle, before there is a run
            raise AttributeError(name)
        if name in RUN_TABLES and name != "traces":
            self._need_table(name)
        else:
            self._need_blocks(WHOLE)
        return getattr(self._run, name)

    def _need_blocks(self, *names: str) -> None:
        for name in names:
            if name not in self._blocks and WHOLE not in self._blocks:
                what = "the whole run" if name == WHOLE else f"block '{name}'"
                raise UndeclaredRead(f"{what} is read, declared are the blocks: {', '.join(self._blocks) or 'none'}")

    def _need_table(self, name: str) -> None:
        if name not in self._tables:
            raise UndeclaredRead(f"table '{name}' is read, declared are: {', '.join(self._tables) or 'none'}")


class Declared(Protocol):
    """A function of a run that states what of it it reads."""

    blocks: tuple[str, ...]
    tables: tuple[str, ...]

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
    declared.blocks, declared.tables = blocks_read, tables_read
    return declared
