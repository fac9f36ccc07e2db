"""Rows and traces on disk: a journal that loses nothing, and files named by what they hold.

    results/<run>/journal/<name>.jsonl    one line a finished cell, appended at once; gone when its rows file is written
    results/<run>/rows/<name>.csv.gz      the rows of one training job, written whole
    results/<run>/traces/<name>.csv.gz    their traces
    results/<run>/shards/<name>.trained   a mark that these two are there: the only output of training that Snakemake knows
    results/<run>/code/<digest>.json      the parts of the code that trained some rows, to name what changed since
    results/<run>/damaged/                files that were found damaged

A name is a digest of the cells that the job trains and of their code, so two jobs never write one file. A finished row is
found again by cell key and code digest, wherever among these it lies. Only finished cells are written: a failure is no
result. A row that does not agree with its checksum counts as missing.
"""

from __future__ import annotations

import csv
import gzip
import json
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..cells.cell import Cell
from .files import open_own, stat_file, write_bytes
from .sealed import CHECKSUM, RowsFile, by_key, check, digest, parse_traces, readable, sealed

if TYPE_CHECKING:  # a plan needs no pandas, which takes longer to load than the plan to make
    import pandas as pd

# The files of a run by what they hold, with the name that `shard_name` gives or a code digest.
FILES = {
    "rows": "rows/{}.csv.gz", "traces": "traces/{}.csv.gz", "journal": "journal/{}.jsonl", "mark": "shards/{}.trained",
    "code": "code/{}.json",
}  # fmt: skip
# Columns that say where and when a row was made. The others say what came out.
PROVENANCE = ("seconds", "seconds_per_step", "device", "torch", "code")
# The names of a store's files: a file of another name is somebody else's.
OWN_NAME = re.compile(r"((rows|traces)-)?[0-9a-f]{12}(\.csv\.gz|\.jsonl|\.trained)")


def shard_name(cells: Iterable[Cell]) -> str:
    """The name of the files of some cells: twelve hex digits of their keys and code."""
    return _name(_codes(cells))


def _codes(cells: Iterable[Cell]) -> dict[str, str]:
    """The code of each cell, by key."""
    return {cell.key: cell.code for cell in cells}


def _name(codes: Mapping[str, str]) -> str:
    return digest("\n".join(sorted(f"{key} {code}" for key, code in codes.items())))


class Store:
    """The rows of one run."""

    def __init__(self, root: str | Path):
        self.root = Path(root)
        self._read: dict[str, tuple[tuple[int, ...], RowsFile]] = {}

    def file(self, kind: str, name: str) -> Path:
        """The place of a file, for a kind of FILES."""
        return _place(self.root, FILES[kind], name)

    def pair(self, name: str) -> tuple[Path, Path]:
        """The places of a rows file and its traces."""
        return self.file("rows", name), self.file("traces", name)

    def _listed(self, kind: str) -> list[Path]:
        """The files of a kind in the order of names. A folder that cannot be read raises, where a glob would find it empty."""
        folder, _, ending = FILES[kind].partition("/{}")
        try:
            names = os.listdir(self.root / folder)
        except FileNotFoundError:
            return []
        return [self.file(kind, name.removesuffix(ending)) for name in sorted(names) if name.endswith(ending)]

    def mark(self, name: str) -> None:
        """Mark a rows file as there, no earlier than it was written. Raises FileNotFoundError where it is not."""
        path = self.file("mark", name)
        written = max(file.stat().st_mtime_ns for file in self.pair(name))
        if not path.exists() or path.stat().st_mtime_ns < written:
            write_bytes(b"", path)
            os.utime(path, ns=(written, written))

    def unmark(self) -> None:
        """Remove the marks of rows files that are gone. A job writes rows before their mark, so one at work keeps its own."""
        for path in self._listed("mark"):
            if not self.file("rows", path.stem).exists():
                path.unlink(missing_ok=True)

    def holds(self, name: str) -> bool:
        """Whether a rows file is there, undamaged and with the cells that its name stands for."""
        try:
            file = self.sound(name)
        except FileNotFoundError:
            return False
        return file.whole and _name(file.codes) == name

    def keep_code(self, code: str, parts: dict[str, str]) -> None:
        """Put the parts of some code on record."""
        if not (path := self.file("code", code)).exists():
            write_bytes((json.dumps(parts, indent=0) + "\n").encode(), path)

    def code_parts(self, code: str) -> dict[str, str] | None:
        """The parts of some code; None where they are not on record."""
        try:
            stat_file(path := self.file("code", code))
            return json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            return None

    def append(self, name: str, records: Iterable[dict[str, Any]]) -> None:
        """Put finished cells ({'row': …, 'trace': […]}) into a journal, on disk before this returns."""
        path = self.file("journal", name)
        path.parent.mkdir(parents=True, exist_ok=True)
        with open_own(path) as file:
            # The first line end closes a line that was torn by a crash. Such a line, and an empty one, is skipped when read.
            file.write("\n" + "".join(map(_line, records)))
            file.flush()
            os.fsync(file.fileno())

    def held(self) -> dict[str, dict[str, str]]:
        """For each rows file that has its traces, in the order of names: the code of its sound rows by cell key."""
        return {name: file.codes for name, file in self._files()}

    def _files(self) -> Iterator[tuple[str, RowsFile]]:
        for path in self._listed("rows"):
            name = path.name.partition(".")[0]
            with suppress(FileNotFoundError):  # without traces, or replaced meanwhile by another file
                yield name, self.sound(name)

    def sound(self, name: str) -> RowsFile:
        """A rows file, each row held against its checksum. Raises FileNotFoundError, also where the traces are missing."""
        paths = self.pair(name)
        stamp = tuple(number for stat in map(stat_file, paths) for number in (stat.st_mtime_ns, stat.st_size))
        if name not in self._read or self._read[name][0] != stamp:
            self._read[name] = stamp, check(*paths)
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
        return by_key(readable(self.file("traces", name))[0])

    def damaged(self) -> dict[str, str]:
        """A message for each rows file that was damaged or edited, by name."""
        return {
            name: f"{self.file('rows', name)}, or its traces, was damaged or edited: "
            f"{len(file.lines)} of its cells agree with their checksums; the others count as not there, and are trained again "
            "where the config asks for them."
            for name, file in self._files()
            if not file.whole
        }

    def set_aside(self) -> list[str]:
        """Move damaged files to damaged/ and write their sound rows to files of their own. Returns a message for each."""
        messages, aside = self.damaged(), self.root / "damaged"
        for name in messages:
            file = self.sound(name)
            tables = (file.table(), self.traces(name)) if file.lines else None
            aside.mkdir(exist_ok=True)
            for old in self.pair(name):
                os.replace(old, aside / f"{old.parent.name}-{old.name}")
            if tables:
                self.put(_name(file.codes), *tables)
        return [f"{message} It is now in {aside}." for message in messages.values()]

    def timed_rows(self) -> Iterator[dict[str, str]]:
        """The rows of all rows files, as text; for their times, so whatever code made them."""
        for _, file in self._files():
            if file.lines:  # without them the header may be anything, and too much for a reader
                yield from csv.DictReader([file.header, *file.lines])

    def torch_versions(self, cells: Sequence[Cell]) -> Counter[str]:
        """How many of these cells each version of torch trained, by the rows that `where` takes."""
        wanted, seen = _codes(cells), dict[str, str]()
        for row in self.timed_rows():
            if wanted.get(row["key"]) == row["code"]:
                seen.setdefault(row["key"], row["torch"])
        return Counter(seen.values())

    def contradictions(self, cells: Sequence[Cell]) -> list[str]:
        """A message for each two rows files that hold other values of the same cells under today's code."""
        wanted, held, first = _codes(cells), self.held(), dict[str, tuple[str, dict[str, Any]]]()
        count = Counter(key for codes in held.values() for key in codes if codes[key] == wanted.get(key))
        differ: Counter[tuple[str, str]] = Counter()
        for name, codes in held.items():
            if any(count[key] > 1 for key in codes):
                for row in csv.DictReader([self.sound(name).header, *self.sound(name).lines]):
                    if count[row["key"]] > 1 and row["code"] == wanted[row["key"]]:
                        values = {
                            each: _number(text) for each, text in row.items() if each not in (*PROVENANCE, CHECKSUM)
                        }
                        before, there = first.setdefault(row["key"], (name, values))
                        differ[before, name] += there != values
        return [
            f"{self.file('rows', one)} and {self.file('rows', other)} hold other values of {number} cells under the same "
            "code. Those of the first are taken; move the file away that is wrong."
            for (one, other), number in differ.items()
            if number
        ]

    def where(
        self, cells: Sequence[Cell], any_code: bool = False, names: Iterable[str] | None = None
    ) -> dict[str, str]:
        """The rows file to take each cell from, by key: the first that holds it with today's code. Without one it is left out.

        With `any_code` such a cell is taken from the first that holds it with another's. `names`: no other files are looked at.
        """
        wanted = _codes(cells)
        files = self._files() if names is None else ((name, self.sound(name)) for name in names)
        today: dict[str, str] = {}
        other: dict[str, str] = {}
        for name, file in files:
            codes = file.codes
            for key in codes.keys() & wanted.keys():
                (today if codes[key] == wanted[key] else other).setdefault(key, name)
        return other | today if any_code else today

    def unfiled(self, cells: Sequence[Cell]) -> list[Cell]:
        """The cells that no rows file holds with today's code."""
        found = self.where(cells)
        return [cell for cell in cells if cell.key not in found]

    def finished(self, cells: Sequence[Cell]) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Rows and traces of the cells that are finished with today's code, from all rows files and the journals."""
        for _ in range(4):
            with suppress(FileNotFoundError):  # another job has put a damaged file aside: it is listed no more
                return self._finished(cells)
        return self._finished(cells)

    def _finished(self, cells: Sequence[Cell]) -> tuple[pd.DataFrame, pd.DataFrame]:
        import pandas as pd

        wanted = _codes(cells)
        records = list(self._journals(wanted))
        filed = self.where(cells)
        records = [record for record in records if record["row"]["key"] not in filed]
        rows, traces = [], []
        for name in sorted({*filed.values()}):
            table, trace = self.rows(name), self.traces(name)
            rows.append(table[table["key"].map(wanted) == table["code"]])
            traces.append(trace[trace["key"].isin(rows[-1]["key"])])
        if records:
            rows.append(pd.DataFrame([r["row"] for r in records]))
            traces.append(pd.DataFrame([{"key": r["row"]["key"], **t} for r in records for t in r["trace"]]))
        if not rows:
            return pd.DataFrame({"key": []}), pd.DataFrame({"key": [], "step": []})
        # The same cell may lie in several places; its values are the same.
        return (
            pd.concat(rows).drop_duplicates("key").reset_index(drop=True),
            pd.concat(traces).drop_duplicates(["key", "step"]).reset_index(drop=True),
        )

    def finished_keys(self, cells: Sequence[Cell]) -> set[str]:
        """The keys of these cells, without reading their tables. Those that no rows file holds are in a job's journal."""
        return {record["row"]["key"] for record in self._journals(_codes(cells))} | self.where(cells).keys()

    def _journals(self, wanted: Mapping[str, str]) -> Iterator[dict[str, Any]]:
        """The sound records of these cells, by key with their code. To be read before the rows files.

        A job writes its rows before its journal goes: what was in a journal that is gone is in a rows file.
        """
        for path in self._listed("journal"):
            text = ""
            with suppress(FileNotFoundError):
                stat_file(path)
                text = path.read_text(encoding="utf-8", errors="replace")
            for line in text.splitlines():
                try:
                    record = json.loads(line)
                except (ValueError, RecursionError):
                    continue  # torn by a crash, or damaged: that cell is not finished
                sound = isinstance(record, dict) and record.pop(CHECKSUM, None) == digest(json.dumps(record))
                if sound and wanted.get(record["row"]["key"]) == record["row"]["code"]:
                    yield record

    def write(self, cells: Sequence[Cell]) -> str:
        """Write the rows and traces files of some finished cells, ordered by key, unless they are there. Returns their name.

        Raises KeyError where a cell is not finished.
        """
        if not self.holds(name := shard_name(cells)):
            rows, traces = self.finished(cells)
            self.put(name, rows.set_index("key").loc[sorted(cell.key for cell in cells)].reset_index(), traces)
        return name

    def put(self, name: str, rows: pd.DataFrame, traces: pd.DataFrame) -> None:
        """Write a rows file and its traces, each row with its checksum. They are on the disk before this returns."""
        rows_text, traces_text = sealed(rows, traces)
        rows_file, traces_file = self.pair(name)
        for path, text in ((traces_file, traces_text), (rows_file, rows_text)):
            write_bytes(gzip.compress(text.encode(), compresslevel=9, mtime=0), path, sync=True)

    def settle(self, name: str, cells: Sequence[Cell]) -> None:
        """Write a job's finished cells to a rows file, then delete the journal of that name.

        The file holds all cells of the job or, while some are not finished, those that no other file holds.
        """
        done = self.finished_keys(cells)
        whole = all(cell.key in done for cell in cells)
        if fresh := cells if whole else [cell for cell in self.unfiled(cells) if cell.key in done]:
            self.write(fresh)
        self.file("journal", name).unlink(missing_ok=True)

    def gather(self, cells: Sequence[Cell]) -> int:
        """Write all that is filed of some cells to one rows file, and remove the files that hold nothing else.

        Returns how many cells these are. Files that contradict each other all stay, for a person to choose.
        """
        found = self.where(cells)
        if (there := [cell for cell in cells if cell.key in found]) and not self.contradictions(there):
            name = self.write(there)
            for other, codes in self.held().items():
                if other != name and codes.keys() <= found.keys():
                    for path in self.pair(other):
                        path.unlink(missing_ok=True)
        return len(there)

    def clear(self, cells: Sequence[Cell]) -> list[Path]:
        """Remove journals, marks, damaged files, and the rows and traces that some cells do not need. Returns what was removed.

        Nothing is removed while one of the cells is missing, nor what another name or a link says is somebody else's.
        """
        found = self.where(cells)
        if len(found) < len({cell.key for cell in cells}):
            return []
        needed = {self.file(kind, name) for name in found.values() for kind in ("rows", "traces", "mark")}
        kinds = ("damaged/*", *(pattern.format("*") for kind, pattern in FILES.items() if kind != "code"))
        linked = [path for path in (self.root, *self.root.iterdir()) if path.is_symlink()]
        old = [path for kind in kinds for path in sorted(self.root.glob(kind)) if path not in needed]
        old = [path for path in old if OWN_NAME.fullmatch(path.name) and path.parent not in linked]
        for path in old:
            path.unlink()
        return old


@cache  # a plan of many files spends its time on their paths
def _place(root: Path, pattern: str, name: str) -> Path:
    return root / pattern.format(name)


def _line(record: dict[str, Any]) -> str:
    """A journal's line. Of log |det| five decimals are kept: what is left of a zero is float32's."""
    trace = [point | {"log_abs_det": round(point["log_abs_det"], 5)} for point in record["trace"]]
    rounded = {"row": record["row"], "trace": trace}
    return json.dumps(rounded | {CHECKSUM: digest(json.dumps(rounded))}) + "\n"


def _number(text: str) -> float | str:
    """A field as it is compared: whether a number is written as 1 or 1.0 depends on the other rows of its file."""
    try:
        return float(text)
    except ValueError:
        return text
