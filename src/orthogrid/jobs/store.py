"""Rows and traces on disk: a journal that loses nothing, and files named by what they hold.

    results/<run>/journal/<name>.jsonl    one line a finished cell, appended at once; gone when its rows file is written
    results/<run>/rows/<name>.csv.gz      the rows of one training job, written whole
    results/<run>/traces/<name>.csv.gz    their traces
    results/<run>/shards/<name>.trained   says that these two are there, for Snakemake, which has nothing else of rows in hand
    results/<run>/code/<digest>.json      what the code was made of that trained some rows: tells what changed when it does
    results/<run>/damaged/                files that were found damaged

A name is a digest of the cells that the job trains and of their code, so two jobs never write one file. A finished row is
found again by cell key and code digest, wherever among these it lies. Only finished cells are ever written: a failure is
no result. Each row carries a checksum of itself and its trace: what does not agree with it counts as not there, and is
trained again.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import json
import os
import re
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import StringIO
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..cells.cell import Cell
from .files import open_own, read_table, table_text, write_bytes

if TYPE_CHECKING:  # a plan needs no pandas, which takes longer to load than the plan to make
    import pandas as pd

SUFFIX = ".csv.gz"
CHECKSUM = "checksum"
# What a store calls its files: what has another name is somebody else's.
OWN_NAME = re.compile(r"((rows|traces)-)?[0-9a-f]{12}(\.csv\.gz|\.jsonl|\.trained)")
# How often files are looked for again when another process replaced one between the list and the look.
LOOKS = 5


def parse_traces(texts: Sequence[str]) -> pd.DataFrame:
    """A table of traces from its header and the lines of some cells."""
    return read_table(StringIO("\n".join(texts)))


def shard_name(cells: Iterable[Cell]) -> str:
    """The name of the files of some cells: twelve hex digits of their keys and code."""
    return _name({cell.key: cell.code for cell in cells})


def _name(codes: dict[str, str]) -> str:
    return _digest("\n".join(sorted(f"{key} {code}" for key, code in codes.items())))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]


@dataclass(frozen=True)
class RowsFile:
    """A rows file as text: its header, those of its lines that agree with their checksums, and whether it is without damage."""

    header: str
    lines: list[str]
    whole: bool

    @property
    def codes(self) -> dict[str, str]:
        """The code of each row, by cell key."""
        return {_key(line): line.rsplit(",", 2)[1] for line in self.lines}

    def table(self) -> pd.DataFrame:
        """The rows, without their checksums."""
        return read_table(StringIO("\n".join([self.header, *self.lines]))).drop(columns=CHECKSUM)


class Store:
    """The rows of one run."""

    def __init__(self, root: str | Path):
        self.root = Path(root)
        self._read: dict[str, tuple[tuple[int, ...], RowsFile]] = {}

    def rows_file(self, name: str) -> Path:
        return self.root / "rows" / f"{name}{SUFFIX}"

    def traces_file(self, name: str) -> Path:
        return self.root / "traces" / f"{name}{SUFFIX}"

    def rows_files(self) -> list[Path]:
        """Those that there are, in the order of names."""
        return sorted(self.root.glob(f"rows/*{SUFFIX}"))

    def holds(self, name: str) -> bool:
        """Whether a rows file is there, undamaged and with the cells that its name stands for."""
        try:
            file = self.sound(name)
        except FileNotFoundError:
            return False
        return file.whole and _name(file.codes) == name

    def mark_file(self, name: str) -> Path:
        return self.root / "shards" / f"{name}.trained"

    def mark(self, name: str) -> None:
        """Mark a rows file as there, no earlier than it was written. Raises FileNotFoundError where it is not."""
        path = self.mark_file(name)
        written = max(file.stat().st_mtime_ns for file in (self.rows_file(name), self.traces_file(name)))
        if not path.exists() or path.stat().st_mtime_ns < written:
            write_bytes(b"", path)
            os.utime(path, ns=(written, written))

    def unmark(self) -> None:
        """Take the marks off rows files that are gone. A job writes rows before their mark, so one at work keeps its own."""
        for path in self.root.glob("shards/*.trained"):
            if not self.rows_file(path.stem).exists():
                path.unlink(missing_ok=True)

    def journal_file(self, name: str) -> Path:
        return self.root / "journal" / f"{name}.jsonl"

    def keep_code(self, code: str, parts: dict[str, str]) -> None:
        """Keep what a code digest is made of."""
        path = self.root / "code" / f"{code}.json"
        if not path.exists():
            write_bytes((json.dumps(parts, indent=0) + "\n").encode(), path)

    def code_parts(self, code: str) -> dict[str, str] | None:
        """What a code digest is made of, where it was kept."""
        try:
            return json.loads((self.root / "code" / f"{code}.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None

    def append(self, name: str, records: Iterable[dict[str, Any]]) -> None:
        """Put finished cells ({'row': …, 'trace': […]}) into a journal, on disk before this returns."""
        path = self.journal_file(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        with open_own(path) as file:
            if file.tell() and not _ends_line(path):
                file.write("\n")  # a torn line stays alone and is skipped when read
            file.write("".join(map(_line, records)))
            file.flush()
            os.fsync(file.fileno())

    def held(self) -> dict[str, dict[str, str]]:
        """For each rows file that has its traces, in the order of names: the code of its sound rows by cell key.

        By Python's own reader: a plan needs no pandas.
        """
        return {name: file.codes for name, file in self._files()}

    def _files(self) -> Iterator[tuple[str, RowsFile]]:
        for path in self.rows_files():
            name = path.name.removesuffix(SUFFIX)
            try:
                yield name, self.sound(name)
            except FileNotFoundError:
                continue  # without traces, or replaced meanwhile; whoever replaced it wrote another

    def sound(self, name: str) -> RowsFile:
        """A rows file, each row held against its checksum. Raises FileNotFoundError, also where the traces are missing."""
        paths = self.rows_file(name), self.traces_file(name)
        stamp = tuple(number for path in paths for number in (path.stat().st_mtime_ns, path.stat().st_size))
        if name not in self._read or self._read[name][0] != stamp:
            self._read[name] = stamp, _check(*paths)
        return self._read[name][1]

    def rows(self, name: str) -> pd.DataFrame:
        """The sound rows of a rows file."""
        return self.sound(name).table()

    def traces(self, name: str) -> pd.DataFrame:
        """The traces of these rows."""
        of_key = self.trace_texts(name)
        return parse_traces([of_key[key] for key in ("key", *self.sound(name).codes)])

    def trace_texts(self, name: str) -> dict[str, str]:
        """All traces of a rows file as they stand there: the lines of each by cell key, their header under `key`."""
        return _by_key(_readable(self.traces_file(name))[0])

    def damaged(self) -> dict[str, str]:
        """What to tell of the rows files that were damaged or edited, by name."""
        return {
            name: f"{self.rows_file(name)}, or its traces, was damaged or edited: "
            f"{len(file.lines)} of its cells agree with their checksums; the others count as not there, and are trained again "
            "where the config asks for them."
            for name, file in self._files()
            if not file.whole
        }

    def set_aside(self) -> list[str]:
        """Move damaged files to damaged/; their sound rows go on in files of their own. Returns a line to tell for each."""
        told, aside = self.damaged(), self.root / "damaged"
        for name in told:
            file = self.sound(name)
            kept = (file.table(), self.traces(name)) if file.lines else None
            aside.mkdir(exist_ok=True)
            for kind, old in (("rows", self.rows_file(name)), ("traces", self.traces_file(name))):
                os.replace(old, aside / f"{kind}-{old.name}")
            if kept:
                self.put(_name(file.codes), *kept)
        return [f"{line} It is now in {aside}." for line in told.values()]

    def timed_rows(self) -> Iterator[dict[str, str]]:
        """The rows of all rows files, as text; for their times, so whatever code made them."""
        for _, file in self._files():
            yield from csv.DictReader([file.header, *file.lines])

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
        names: list[str] = []
        found: set[str] = set()
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
        import pandas as pd

        wanted = {cell.key: cell.code for cell in cells}
        names, found = self.files_of(cells)
        rows, traces = [], []
        for name in names:
            table, trace = self.rows(name), self.traces(name)
            table = table[table["key"].map(wanted) == table["code"]]
            rows.append(table)
            traces.append(trace[trace["key"].isin(table["key"])])
        if len(found) < len(wanted):
            records = self._journals(wanted)
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

    def journalled(self, cells: Sequence[Cell]) -> int:
        """How many of these cells a job had finished that was killed, or is at work."""
        return len({record["row"]["key"] for record in self._journals({cell.key: cell.code for cell in cells})})

    def _journals(self, wanted: Mapping[str, str]) -> list[dict[str, Any]]:
        """The sound records of these cells, by key with their code."""
        records = []
        for path in sorted(self.root.glob("journal/*.jsonl")):
            for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
                try:
                    record = json.loads(line)
                except json.JSONDecodeError:
                    continue  # torn by a crash, or damaged: that cell is not finished
                sound = isinstance(record, dict) and record.pop(CHECKSUM, None) == _digest(json.dumps(record))
                if sound and wanted.get(record["row"]["key"]) == record["row"]["code"]:
                    records.append(record)
        return records

    def write(self, name: str, cells: Sequence[Cell]) -> None:
        """Write the rows and traces files of some finished cells, ordered by key. Raises KeyError if one is missing."""
        rows, traces = self.finished(cells)
        keys = sorted(cell.key for cell in cells)
        missing = set(keys) - set(rows["key"])
        if missing:
            raise KeyError(f"{len(missing)} cells of {name} are not finished")
        self.put(name, rows.set_index("key").loc[keys].reset_index(), traces)

    def put(self, name: str, rows: pd.DataFrame, traces: pd.DataFrame) -> None:
        """Write a rows file and its traces, each row with its checksum."""
        trace = table_text(traces.sort_values(["key", "step"]))
        columns, *lines = _lines(table_text(rows))
        of_key = _by_key(trace)
        sealed = [f"{line},{_seal(columns, line, of_key)}" for line in lines]
        for path, text in (
            (self.traces_file(name), trace),
            (self.rows_file(name), "\n".join([f"{columns},{CHECKSUM}", *sealed, ""])),
        ):
            write_bytes(gzip.compress(text.encode(), compresslevel=9, mtime=0), path)

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
        old = [p for p in (*self.rows_files(), *self.root.glob(f"traces/*{SUFFIX}")) if p not in needed]
        old += [*self.root.glob("journal/*.jsonl"), *self.root.glob("damaged/*"), *self.root.glob("shards/*.trained")]
        marks = {self.mark_file(name) for name in names}
        linked = [path for path in (self.root, *self.root.iterdir()) if path.is_symlink()]
        old = [p for p in old if p not in marks and OWN_NAME.fullmatch(p.name) and p.parent not in linked]
        for path in old:
            path.unlink()
        return old


def _line(record: dict[str, Any]) -> str:
    """A journal's line. Of log |det| five decimals are kept: what is left of a zero is float32's."""
    trace = [point | {"log_abs_det": round(point["log_abs_det"], 5)} for point in record["trace"]]
    kept = {"row": record["row"], "trace": trace}
    return json.dumps(kept | {CHECKSUM: _digest(json.dumps(kept))}) + "\n"


def _ends_line(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"


def _readable(path: Path) -> tuple[str, bool]:
    """What can be read of a compressed file: all of it, or what comes before its first damage; and whether it is all."""
    pieces, whole = [], True
    with gzip.open(path, "rb") as file:
        try:
            while piece := file.read1(1 << 20):
                pieces.append(piece)
        except (EOFError, zlib.error, gzip.BadGzipFile):
            whole = False
    return b"".join(pieces).decode(errors="replace"), whole


def _check(rows: Path, traces: Path) -> RowsFile:
    (text, rows_whole), (trace, traces_whole) = _readable(rows), _readable(traces)
    header, *lines = _lines(text)
    columns, _, last = header.rpartition(",")
    if not (columns.startswith("key,") and columns.endswith(",code") and last == CHECKSUM):
        return RowsFile(header, [], False)
    of_key = _by_key(trace)
    sound = [line for line in lines if line.rpartition(",")[2] == _seal(columns, line.rpartition(",")[0], of_key)]
    return RowsFile(header, sound, len(sound) == len(lines) and rows_whole and traces_whole)


def _lines(text: str) -> list[str]:
    return text.removesuffix("\n").split("\n")


def _key(line: str) -> str:
    return line.split(",", 1)[0]


def _by_key(traces: str) -> dict[str, str]:
    """The lines of traces by cell key, their header under `key`."""
    return {key: "\n".join(lines) for key, lines in groupby(_lines(traces), _key)}


def _seal(columns: str, row: str, traces: dict[str, str]) -> str:
    """The checksum of a cell: of its row, its trace, and the names of their columns."""
    return _digest("\n".join([columns, row, traces.get("key", ""), traces.get(_key(row), "")]))
