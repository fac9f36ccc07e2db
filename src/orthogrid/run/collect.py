"""A run's tables, collected from the rows of its training jobs.

They are written piece by piece: but for the config itself, a million cells need no more memory than fifty thousand.
"""

from __future__ import annotations

import json
import math
import os
import pickle
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from datetime import date
from functools import partial
from pathlib import Path
from tempfile import SpooledTemporaryFile
from typing import Any

import pandas as pd

from ..cells.components import ConfigError
from ..cells.config import Config
from ..jobs.files import write_bytes, write_table, writing
from ..jobs.sealed import parse_traces
from ..jobs.store import Store
from ..theory.outcomes import with_outcomes
from .thread import compare_thread, thread_cells

HERE = Path(__file__).parents[1]  # whose repository is asked
PIECE = 50_000  # cells that are in memory at once
SPOOL_BYTES = 2 * 10**8  # of all pieces together; what is more waits on disk
SUMMARISED = ("key", "status", "code", "torch", "device", "seconds")  # what the summary is of


class RowsError(ConfigError):
    """The rows do not hold the configured cells."""


def collect(
    config: Config,
    names: Sequence[str],
    predictions: pd.DataFrame,
    logs: tuple[pd.DataFrame, pd.DataFrame],
    more: Mapping[str, Any] | None = None,
    folder: str | Path | None = None,
    progress: Callable[[float], None] = lambda share: None,
    size: int = PIECE,
) -> None:
    """Write cells.csv, traces.csv.gz, membership.csv, thread.csv and run.json (with `more`) from the rows files of these names.

    Raises RowsError as `pieces` does.
    """
    folder = Path(folder or config.root)
    summarised, threads = [], []
    with writing(folder / "cells.csv") as cells_file, writing(folder / "traces.csv.gz") as traces_file:
        for number, (rows, header, traces) in enumerate(pieces(config, names, size)):
            cells = with_outcomes(rows, predictions)
            write_table(cells, cells_file, header=number == 0)
            traces_file.writelines(f"{text}\n" for text in ([header] if number == 0 else []) + list(traces.values()))
            summarised.append(cells[list(SUMMARISED)])
            keys = [key for same in thread_cells(cells).values() for key in same]
            threads.append((cells[cells["key"].isin(keys)], parse_traces([header, *(traces[key] for key in keys)])))
            progress(min(1.0, (number + 1) * size / len(config.cells)))
    write_table(pd.DataFrame(config.membership, columns=["block", "key"]), folder / "membership.csv")
    cells, traces = (pd.concat(parts, ignore_index=True) for parts in zip(*threads, strict=True))
    write_table(compare_thread(cells, traces, *logs), folder / "thread.csv")
    summed = summary(config, pd.concat(summarised, ignore_index=True)) | dict(more or {})
    write_bytes((json.dumps(summed, indent=2) + "\n").encode(), folder / "run.json")


def pieces(
    config: Config, names: Sequence[str], size: int = PIECE
) -> Iterator[tuple[pd.DataFrame, str, dict[str, str]]]:
    """The configured cells in the config's order, so many at once: their rows, the traces' header, the traces' text by key.

    A missing cell raises RowsError; in a run marked partial it is a row with status `missing`. A partial run also takes rows
    that other code made, where there are none of today's: `run.json` says how many.
    """
    store = Store(config.root)
    cells = {cell.key: cell for cell in config.cells}
    keys = list(cells)
    whose = store.where(config.cells, config.partial, names)
    missing = [key for key in keys if key not in whose]
    if missing and not (config.partial and whose):
        way = "run the same command again to train them, or mark the run partial: true"
        way = "take partial: true from the config, for a partial run trains none" if config.partial else way
        one = f"{missing[0]} for one ({cells[missing[0]]})"
        raise RowsError(f"{len(missing)} of {len(keys)} cells have no row, {one}; {way}")
    columns: dict[str, None] = {}  # in their order
    place = {key: i // size for i, key in enumerate(keys)}
    header = "key,step"
    with ExitStack() as stack:
        count = math.ceil(len(keys) / size)
        open_spool = partial(SpooledTemporaryFile, SPOOL_BYTES // count, dir=str(config.root))
        spools = [stack.enter_context(open_spool()) for _ in range(count)]
        for number, name in enumerate(names):
            rows, traces = store.rows(name), store.trace_texts(name)
            if number and traces["key"] != header:
                raise RowsError(
                    f"the traces of {store.file('traces', name)} have other columns than those of other files; train its cells again"
                )
            header = traces["key"]
            columns |= dict.fromkeys(rows.columns)
            rows = rows[rows["key"].map(whose) == name].drop_duplicates("key")
            for piece, part in rows.groupby(rows["key"].map(place)):
                pickle.dump((part, {key: traces[key] for key in part["key"]}), spools[int(piece)])
        for piece, spool in enumerate(spools):
            here = keys[piece * size : (piece + 1) * size]
            blank = [{"key": key, **cells[key].settings, "status": "missing"} for key in here if key not in whose]
            parts: list[pd.DataFrame] = []
            texts: dict[str, str] = {}
            for part, some in _dumped(spool):
                parts.append(part)
                texts |= some
            parts += [pd.DataFrame(blank)] if blank else []
            rows = pd.concat(parts, ignore_index=True).set_index("key").loc[here].reset_index()
            yield rows.reindex(columns=list(columns)), header, {key: texts[key] for key in here if key in texts}


def _dumped(file: Any) -> Iterator[tuple[pd.DataFrame, dict[str, str]]]:
    """What was pickled into a file, one after the other."""
    file.seek(0)
    while True:
        try:
            yield pickle.load(file)
        except EOFError:
            return


def summary(config: Config, cells: pd.DataFrame) -> dict[str, Any]:
    """What run.json holds: what the run is, how much of it is there, and what made its rows; the same wherever it is collected."""
    there, rows = cells[cells["status"] != "missing"], Path(config.root) / "rows"
    codes = {cell.key: cell.code for cell in config.cells}

    def counts(column: str) -> dict[str, int]:
        return {name: int(count) for name, count in there[column].value_counts().items()}

    return {
        "run": config.run, "title": config.title, "cells": len(cells), "finished": len(there),
        "partial": len(there) < len(cells), "digest": config.digest,
        "of_other_code": int((there["key"].map(codes) != there["code"]).sum()),
        "torch": counts("torch"), "device": counts("device"), "minutes": round(float(there["seconds"].sum()) / 60, 1),
        "commit": _committed(rows, "%h") or _commit(), "date": rows_date(rows),
    }  # fmt: skip


def _commit() -> str:
    """The commit that the source stands at, with + where it was edited since; empty where there is no git."""
    commit = git("rev-parse", "--short", "HEAD")
    return commit + ("+" if commit and git("status", "--porcelain", ".") else "")


def rows_date(rows: Path) -> str:
    """The day of the newest rows: of their commit where they are tracked, of the files else; empty without any."""
    files = list(rows.glob("*.csv.gz"))
    if not files:
        return ""
    return _committed(rows, "%cs") or date.fromtimestamp(max(file.stat().st_mtime for file in files)).isoformat()


def _committed(rows: Path, what: str) -> str:
    """Of the last commit that brought tracked rows, what this format of git's shows. Empty where they are edited or not tracked.

    Asked of their traces, which keep their bytes where rows are only given the digest of rewritten code: they are renamed then.
    """
    if git("status", "--porcelain", str(rows.resolve())):
        return ""
    brought = ("log", "-1", "-M", "--diff-filter=AM", f"--format={what}", "--")
    return git(*brought, str(rows.resolve().with_name("traces"))) or git(*brought, str(rows.resolve()))


def git(*asked: str) -> str:
    """What git says in the project's own repository; empty where there is none.

    Never in a folder of results: a repository that came with one could name programs for git to run.
    """
    silent = ("-c", "core.fsmonitor=false", "-c", f"core.hooksPath={os.devnull}")
    command = ["git", "-C", str(HERE), *silent, *asked]
    try:
        done = subprocess.run(command, capture_output=True, encoding="utf-8", errors="replace", check=True)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return done.stdout.strip()
