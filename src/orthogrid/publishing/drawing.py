"""Drawing: only what changed is drawn, on all cores.

A drawn figure is kept under a name that tells everything it depends on: the rows, traces and tables that it declares, the
source files that its module imports, and the versions of the libraries. Where all of that is as it was, the PDF is copied.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import signal
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from functools import cached_property
from importlib import metadata
from pathlib import Path

import matplotlib.backends.backend_pdf  # noqa: F401 - before the fork: else each worker imports it when it first saves
import numpy as np
import pandas as pd

from ..cells.sources import files_digest, imported_files
from ..jobs.files import write_bytes
from ..presenting.style import FIGURES, Drawing, in_order, render
from ..run.run import Run, arms
from ..run.views import WHOLE

LIBRARIES = ("matplotlib", "numpy", "pandas")
SECONDS = "seconds.json"  # in the cache: how long each figure took, so that the longest starts first


class FigureError(RuntimeError):
    """A figure could not be drawn. Its text names the figure."""


class Inputs:
    """What figures of a run depend on, as digests. Tables are hashed once, however many figures share them."""

    def __init__(self, run: Run):
        self.run = run

    def digest(self, name: str) -> str:
        """Twenty hex digits that change when a figure may look otherwise."""
        figure = FIGURES[name]
        text = hashlib.sha256()
        for part in (self._libraries, _code(figure), *self._rows(figure.blocks, figure.tables)):
            text.update(len(part).to_bytes(8, "big") + part)
        return text.hexdigest()[:20]

    def _rows(self, blocks: Sequence[str], tables: Sequence[str]) -> Iterator[bytes]:
        run, whole = self.run, WHOLE in blocks
        cells = run.cells if whole else run.planned(*blocks)
        yield "\0".join(run.cells.columns).encode()
        yield self._cells[run.cells["key"].isin(cells["key"]).to_numpy()].tobytes()
        for block in blocks:  # which of the cells each block views
            yield block.encode()
            yield b"" if whole else cells["key"].isin(run.planned(block)["key"]).to_numpy().tobytes()
        yield "\0".join(in_order(list(arms(cells).unique()))).encode()  # their order is that of their definition
        yield run.config.digest.encode() if whole else b""
        for name in tables:
            yield name.encode()
            if name == "traces":
                yield self._traces[run.traces["key"].isin(cells["key"]).to_numpy()].tobytes()
            else:
                table = getattr(run, name)
                yield "\0".join(table.columns).encode()
                yield _hashes(table).tobytes()

    @cached_property
    def _libraries(self) -> bytes:
        return " ".join(f"{library} {metadata.version(library)}" for library in LIBRARIES).encode()

    @cached_property
    def _cells(self) -> np.ndarray:
        return _hashes(self.run.cells)

    @cached_property
    def _traces(self) -> np.ndarray:
        return _hashes(self.run.traces)


def _hashes(table: pd.DataFrame) -> np.ndarray:
    """A number a row, of its values and their types."""
    return pd.util.hash_pandas_object(table, index=False).to_numpy()


def _code(figure: Drawing) -> bytes:
    """Digest of the source files that a figure's module imports within the package, its own among them."""
    return files_digest(imported_files(Path(figure.source))).encode()


class Drawn:
    """The cache: a folder of PDF files named by figure and digest, one a figure."""

    def __init__(self, folder: Path):
        self.folder = folder

    def get(self, name: str, digest: str) -> bytes | None:
        path = self._path(name, digest)
        data = path.read_bytes() if path.exists() else b""
        return data if data.rstrip().endswith(b"%%EOF") else None  # else cut short by whatever happened to the disk

    def put(self, name: str, digest: str, data: bytes, seconds: float) -> None:
        """Keep a figure in place of its older drawings."""
        path = self._path(name, digest)
        write_bytes(data, path)
        write_bytes(json.dumps(self.seconds() | {name: round(seconds, 3)}, indent=0).encode(), self.folder / SECONDS)
        for old in self.folder.glob(f"{name}-*.pdf"):
            if old != path and old.stem.rpartition("-")[0] == name:
                old.unlink(missing_ok=True)

    def seconds(self) -> dict[str, float]:
        """What each figure took when it was last drawn."""
        try:
            return dict(json.loads((self.folder / SECONDS).read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return {}

    def _path(self, name: str, digest: str) -> Path:
        return self.folder / f"{name}-{digest}.pdf"


def draw_figures(
    run: Run,
    names: Iterable[str],
    folder: str | Path,
    progress: Callable[[int, int], None] = lambda done, total: None,
    cache: str | Path | None = None,
    workers: int | None = None,
) -> list[str]:
    """Write figures as PDF files, the same bytes for the same rows; returns the names of those that had to be drawn.

    The others are copied from the cache, by default cache/figures beside the folder. Figures are drawn by `workers` processes,
    by default one a core. Raises FigureError that names every figure that fails, after the others are drawn.
    """
    names, folder = list(names), Path(folder)
    drawn, inputs = Drawn(Path(cache or folder.parent / "cache" / "figures")), Inputs(run)
    digests = {name: inputs.digest(name) for name in names}
    kept = {name: data for name in names if (data := drawn.get(name, digests[name])) is not None}
    for done, (name, data) in enumerate(kept.items(), start=1):
        write_bytes(data, folder / f"{name}.pdf")
        progress(done, len(names))
    before = drawn.seconds()
    missing = sorted((name for name in names if name not in kept), key=lambda name: -before.get(name, float("inf")))
    failures: list[FigureError] = []
    for done, (name, new, seconds) in enumerate(_draw(run, missing, workers or _cores()), start=len(kept) + 1):
        if isinstance(new, FigureError):
            failures.append(new)
            continue
        drawn.put(name, digests[name], new, seconds)
        write_bytes(new, folder / f"{name}.pdf")
        progress(done, len(names))
    if failures:
        raise FigureError("; ".join(map(str, failures))) from failures[0]
    return missing


def _cores() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _draw(run: Run, names: Sequence[str], workers: int) -> Iterator[tuple[str, bytes | FigureError, float]]:
    """(name, PDF or what went wrong, seconds) of each figure as it is done, started in the order given."""
    workers = min(workers, len(names))
    if workers < 2:
        yield from (_drawn(run, name) for name in names)
        return
    # A fork has the run and the libraries at once; a new process would import for longer than most figures take.
    context = multiprocessing.get_context("fork")
    with ProcessPoolExecutor(workers, context, _start_worker, (run,)) as pool:
        futures = {pool.submit(_drawn_by_worker, name): name for name in names}
        for future in as_completed(futures):
            try:
                yield future.result()
            except BrokenProcessPool as error:
                raise FigureError(f"a process that drew figures died, perhaps for want of memory: {error}") from error


def _drawn(run: Run, name: str) -> tuple[str, bytes | FigureError, float]:
    start = time.perf_counter()
    try:
        data: bytes | FigureError = render(run, name)
    except Exception as error:
        data = FigureError(f"figure '{name}': {type(error).__name__}: {error}")
        data.add_note("".join(traceback.format_exception(error)).rstrip())  # a cause would be lost between processes
    return name, data, time.perf_counter() - start


_RUN: Run | None = None  # a worker's own, set once


def _start_worker(run: Run) -> None:
    global _RUN
    _RUN = run
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # a parent's handler would keep a worker from ending


def _drawn_by_worker(name: str) -> tuple[str, bytes | FigureError, float]:
    assert _RUN is not None
    return _drawn(_RUN, name)
