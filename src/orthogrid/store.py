"""Rows and traces on disk: a journal that loses nothing, files named by what they hold, atomic writes.

    results/<run>/journal/<family>.jsonl   one line a finished cell, appended at once
    results/<run>/rows/<group>.csv         the rows of one training job, written whole
    results/<run>/traces/<group>.csv.gz    their traces

A finished row is found again by cell key and code digest, wherever among these it lies. Only finished cells are ever
written: a failure is no result.
"""

from __future__ import annotations

import gzip
import json
import os
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from .cell import Cell
from .config import group_name

# As text, also where every one of them happens to look like a number.
TEXT = dict.fromkeys(("key", "code", "torch", "device", "status"), str)


def read_table(path: Path) -> pd.DataFrame:
    """A CSV of ours, floats to the last bit (pandas ≥ 3.1 reads them so by default)."""
    return pd.read_csv(path, dtype=TEXT)


def write_table(table: pd.DataFrame, path: Path) -> None:
    """Write a CSV (compressed for .gz) whole or not at all, the same bytes for the same table."""
    data = table.to_csv(index=False).encode()
    write_bytes(gzip.compress(data, compresslevel=6, mtime=0) if path.suffix == ".gz" else data, path)


def write_bytes(data: bytes, path: Path) -> None:
    """Write a file atomically: readers see the old one or the new one, never half."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


class Store:
    """The rows of one run."""

    def __init__(self, root: str | Path):
        self.root = Path(root)

    def rows_file(self, group: str) -> Path:
        return self.root / "rows" / f"{group}.csv"

    def traces_file(self, group: str) -> Path:
        return self.root / "traces" / f"{group}.csv.gz"

    def journal_file(self, family: str) -> Path:
        return self.root / "journal" / f"{family}.jsonl"

    def append(self, family: str, records: Iterable[dict[str, Any]]) -> None:
        """Put finished cells ({'row': …, 'trace': […]}) into the journal, on disk before this returns."""
        path = self.journal_file(family)
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab+") as file:
            if file.tell() and not _ends_line(file):
                file.write(b"\n")  # a torn line stays alone and is skipped when read
            file.write("".join(json.dumps(record) + "\n" for record in records).encode())
            file.flush()
            os.fsync(file.fileno())

    def finished(self, cells: Sequence[Cell]) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Rows and traces of those cells that are finished with today's code, from the journal and all rows files."""
        wanted = {cell.key: cell.code for cell in cells}
        rows, traces = [], []
        for family in dict.fromkeys(cell.family for cell in cells):
            records = [r for r in self._journal(family) if wanted.get(r["row"]["key"]) == r["row"]["code"]]
            rows.append(pd.DataFrame([r["row"] for r in records]))
            traces.append(pd.DataFrame([{"key": r["row"]["key"], **t} for r in records for t in r["trace"]]))
            for path in sorted(self.root.glob(f"rows/{family}-*.csv")):
                trace_path = self.traces_file(path.stem)
                if not trace_path.exists():
                    continue
                table = read_table(path)
                table = table[table["key"].map(wanted) == table["code"]]
                if len(table):
                    trace = read_table(trace_path)
                    rows.append(table)
                    traces.append(trace[trace["key"].isin(table["key"])])
        rows = [t for t in rows if len(t)]
        if not rows:
            return pd.DataFrame({"key": []}), pd.DataFrame({"key": [], "step": []})
        # The same cell may lie in several places; its values are the same.
        return (
            pd.concat(rows).drop_duplicates("key").reset_index(drop=True),
            pd.concat([t for t in traces if len(t)]).drop_duplicates(["key", "step"]).reset_index(drop=True),
        )

    def _journal(self, family: str) -> list[dict[str, Any]]:
        path = self.journal_file(family)
        records = []
        for line in path.read_text().splitlines() if path.exists() else []:
            try:
                records.append(json.loads(line))
            except json.JSONDecodeError:
                continue  # torn by a crash: that cell is not finished
        return records

    def write_group(self, group: str, cells: Sequence[Cell]) -> None:
        """Write a group's rows and traces files from finished cells, ordered by key. Raises KeyError if one is missing."""
        rows, traces = self.finished(cells)
        keys = sorted(cell.key for cell in cells)
        missing = set(keys) - set(rows["key"])
        if missing:
            raise KeyError(f"{len(missing)} cells of {group} are not finished")
        write_table(traces.sort_values(["key", "step"]), self.traces_file(group))
        write_table(rows.set_index("key").loc[keys].reset_index(), self.rows_file(group))

    def write_finished(self, cells: Sequence[Cell]) -> int:
        """Write what is finished of some cells, a group for each family, and remove files that hold nothing else; returns how many."""
        families: dict[str, list[Cell]] = {}
        done = set(self.finished(cells)[0]["key"])
        for cell in cells:
            if cell.key in done:
                families.setdefault(cell.family, []).append(cell)
        for family, held in families.items():
            group = group_name(held)
            self.write_group(group, held)
            keys = {cell.key for cell in held}
            for path in self.root.glob(f"rows/{family}-*.csv"):
                if path.stem != group and set(read_table(path)["key"]) <= keys:
                    path.unlink()
                    self.traces_file(path.stem).unlink(missing_ok=True)
        return len(done)

    def clear(self, keep: Sequence[str]) -> list[Path]:
        """Remove journals, and rows and traces of other groups than those to keep; nothing until all of those are written."""
        written = [self.rows_file(group) for group in keep] + [self.traces_file(group) for group in keep]
        if not all(path.exists() for path in written):
            return []  # a run in pieces: what would be removed holds cells that it still needs
        old = [p for p in (*self.root.glob("rows/*.csv"), *self.root.glob("traces/*.csv.gz")) if p not in written]
        old += self.root.glob("journal/*.jsonl")
        for path in old:
            path.unlink()
        return old


def _ends_line(file) -> bool:
    file.seek(-1, os.SEEK_END)
    return file.read(1) == b"\n"
