"""Rows and traces on disk: a journal that loses nothing, files named by what they hold, atomic writes.

    results/<run>/journal/<name>.jsonl    one line a finished cell, appended at once; gone when its rows file is written
    results/<run>/rows/<name>.csv         the rows of one training job, written whole
    results/<run>/traces/<name>.csv.gz    their traces

A name is a digest of the cells that the job trains and of their code, so two jobs never write one file. A finished row is
found again by cell key and code digest, wherever among these it lies. Only finished cells are ever written: a failure is
no result.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import json
import os
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from .cell import Cell

# As text, also where every one of them happens to look like a number.
TEXT = dict.fromkeys(("key", "code", "torch", "device", "status"), str)
# Numbers without a fraction, also where some are missing, which pandas would turn into 1.0.
WHOLE = ("rank", "det_sign", "det_sign_start", "det_sign_target")
# How often files are looked for again when another process replaced one between the list and the look.
LOOKS = 5


def read_table(path: Path) -> pd.DataFrame:
    """A CSV of ours, floats to the last bit (pandas ≥ 3.1 reads them so by default)."""
    return pd.read_csv(path, dtype=TEXT)


def write_table(table: pd.DataFrame, path: Path) -> None:
    """Write a CSV (compressed for .gz) whole or not at all, the same bytes for the same table."""
    whole = {name: "Int64" for name in WHOLE if name in table and table[name].notna().any()}
    data = table.astype(whole).to_csv(index=False).encode()
    write_bytes(gzip.compress(data, compresslevel=3, mtime=0) if path.suffix == ".gz" else data, path)


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


def shard_name(cells: Iterable[Cell]) -> str:
    """The name of the files of some cells: twelve hex digits of their keys and code."""
    text = "\n".join(sorted(f"{cell.key} {cell.code}" for cell in cells))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


class Store:
    """The rows of one run."""

    def __init__(self, root: str | Path):
        self.root = Path(root)

    def rows_file(self, name: str) -> Path:
        return self.root / "rows" / f"{name}.csv"

    def traces_file(self, name: str) -> Path:
        return self.root / "traces" / f"{name}.csv.gz"

    def journal_file(self, name: str) -> Path:
        return self.root / "journal" / f"{name}.jsonl"

    def append(self, name: str, records: Iterable[dict[str, Any]]) -> None:
        """Put finished cells ({'row': …, 'trace': […]}) into a journal, on disk before this returns."""
        path = self.journal_file(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab+") as file:
            if file.tell() and not _ends_line(file):
                file.write(b"\n")  # a torn line stays alone and is skipped when read
            file.write("".join(json.dumps(record) + "\n" for record in records).encode())
            file.flush()
            os.fsync(file.fileno())

    def held(self) -> dict[str, dict[str, str]]:
        """For each rows file that has its traces, in the order of names: the code of the rows by cell key.

        By Python's own reader: a plan needs no pandas.
        """
        names: dict[str, dict[str, str]] = {}
        for path in sorted(self.root.glob("rows/*.csv")):
            if not self.traces_file(path.stem).exists():
                continue
            try:
                with path.open(encoding="utf-8", newline="") as file:
                    lines = csv.reader(file)
                    header = next(lines, [])
                    if {"key", "code"} <= set(header):
                        key, code = header.index("key"), header.index("code")
                        names[path.stem] = {row[key]: row[code] for row in lines if len(row) == len(header)}
            except FileNotFoundError:
                continue  # replaced meanwhile; whoever replaced it wrote another
        return names

    def timed_rows(self) -> Iterator[dict[str, str]]:
        """The rows of all rows files, as text; for their times, so whatever code made them."""
        for path in sorted(self.root.glob("rows/*.csv")):
            with path.open(encoding="utf-8", newline="") as file:
                yield from csv.DictReader(file)

    def torch_versions(self, cells: Sequence[Cell]) -> Counter[str]:
        """How many of these cells each version of torch trained."""
        wanted = {cell.key: cell.code for cell in cells}
        seen = {row["key"]: row["torch"] for row in self.timed_rows() if wanted.get(row["key"]) == row["code"]}
        return Counter(seen.values())

    def files_of(self, cells: Sequence[Cell], any_code: bool = False) -> tuple[list[str], set[str]]:
        """The rows files that are needed to find these cells finished with today's code, and the keys found.

        With `any_code` a cell that no file holds with today's code is also found with another's.
        """
        wanted = {cell.key: cell.code for cell in cells}
        held = self.held()
        names, found = [], set()
        for same_code in (True, False) if any_code else (True,):
            for name, codes in held.items():
                new = {
                    key for key, code in codes.items() if key in wanted and (not same_code or code == wanted[key])
                } - found
                if new:
                    names.append(name)
                    found |= new
        return sorted(set(names)), found

    def unfiled(self, cells: Sequence[Cell]) -> list[Cell]:
        """Those of some cells that no rows file holds with today's code."""
        _, found = self.files_of(cells)
        return [cell for cell in cells if cell.key not in found]

    def finished(self, cells: Sequence[Cell]) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Rows and traces of those cells that are finished with today's code, from all rows files and the journals."""
        for look in range(LOOKS):
            try:
                return self._finished(cells)
            except FileNotFoundError:
                if look == LOOKS - 1:
                    raise
        raise AssertionError

    def _finished(self, cells: Sequence[Cell]) -> tuple[pd.DataFrame, pd.DataFrame]:
        wanted = {cell.key: cell.code for cell in cells}
        names, found = self.files_of(cells)
        rows, traces = [], []
        for name in names:
            table = read_table(self.rows_file(name))
            table = table[table["key"].map(wanted) == table["code"]]
            trace = read_table(self.traces_file(name))
            rows.append(table)
            traces.append(trace[trace["key"].isin(table["key"])])
        if len(found) < len(wanted):
            records = [r for r in self._journals() if wanted.get(r["row"]["key"]) == r["row"]["code"]]
            rows.append(pd.DataFrame([r["row"] for r in records]))
            traces.append(pd.DataFrame([{"key": r["row"]["key"], **t} for r in records for t in r["trace"]]))
        rows, traces = ([t for t in tables if len(t)] for tables in (rows, traces))
        if not rows:
            return pd.DataFrame({"key": []}), pd.DataFrame({"key": [], "step": []})
        # The same cell may lie in several places; its values are the same.
        return (
            pd.concat(rows).drop_duplicates("key").reset_index(drop=True),
            pd.concat(traces).drop_duplicates(["key", "step"]).reset_index(drop=True),
        )

    def _journals(self) -> list[dict[str, Any]]:
        records = []
        for path in sorted(self.root.glob("journal/*.jsonl")):
            for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
                try:
                    record = json.loads(line)
                except json.JSONDecodeError:
                    continue  # torn by a crash: that cell is not finished
                if isinstance(record, dict) and {"row", "trace"} <= set(record):
                    records.append(record)
        return records

    def write(self, name: str, cells: Sequence[Cell]) -> None:
        """Write the rows and traces files of some finished cells, ordered by key. Raises KeyError if one is missing."""
        rows, traces = self.finished(cells)
        keys = sorted(cell.key for cell in cells)
        missing = set(keys) - set(rows["key"])
        if missing:
            raise KeyError(f"{len(missing)} cells of {name} are not finished")
        write_table(traces.sort_values(["key", "step"]), self.traces_file(name))
        write_table(rows.set_index("key").loc[keys].reset_index(), self.rows_file(name))

    def settle(self, name: str, cells: Sequence[Cell]) -> set[str]:
        """Turn what a journal holds of some cells into a rows file of its own; returns the keys of those that are finished.

        `name` is the job's; where it holds all of the cells the file has that name, else one by what it holds.
        """
        done = set(self.finished(cells)[0]["key"])
        if len(done) == len({cell.key for cell in cells}):
            if self.held().get(name) != {cell.key: cell.code for cell in cells}:
                self.write(name, cells)
        else:
            if fresh := [cell for cell in self.unfiled(cells) if cell.key in done]:
                self.write(shard_name(fresh), fresh)
        self.journal_file(name).unlink(missing_ok=True)
        return done

    def gather(self, cells: Sequence[Cell]) -> int:
        """One rows file for all that is finished of some cells, in place of the files that hold nothing else; returns how many."""
        names, found = self.files_of(cells)
        held = [cell for cell in cells if cell.key in found]
        if not held:
            return 0
        name = shard_name(held)
        if names != [name]:
            self.write(name, held)
        for other, codes in self.held().items():
            if other != name and set(codes) <= found:
                self.rows_file(other).unlink(missing_ok=True)
                self.traces_file(other).unlink(missing_ok=True)
        return len(held)

    def clear(self, cells: Sequence[Cell]) -> list[Path]:
        """Remove journals, and rows and traces that some cells do not need; nothing while one of the cells is missing."""
        names, found = self.files_of(cells)
        if len(found) < len({cell.key for cell in cells}):
            return []  # a run in pieces: what would be removed holds cells that it still needs
        needed = {self.rows_file(name) for name in names} | {self.traces_file(name) for name in names}
        old = [p for p in (*self.root.glob("rows/*.csv"), *self.root.glob("traces/*.csv.gz")) if p not in needed]
        old += self.root.glob("journal/*.jsonl")
        for path in old:
            path.unlink()
        return old


def _ends_line(file) -> bool:
    file.seek(-1, os.SEEK_END)
    return file.read(1) == b"\n"
