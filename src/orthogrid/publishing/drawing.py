"""Drawing: only what changed is drawn, on all cores.

A drawn figure is cached under a digest of everything it depends on: the rows, traces and tables that it declares, the source files
that its module imports, and the versions of the libraries. Where all of that is as it was, the PDF is copied.
"""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import signal
import traceback
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from importlib import metadata
from itertools import chain
from pathlib import Path

import matplotlib.backends.backend_pdf  # noqa: F401 - before the fork: else each worker imports it when it first saves
import pandas as pd
import seaborn  # noqa: F401 - likewise

from .. import sections  # noqa: F401 - enters the figures
from ..cells.config import Config
from ..cells.declarations import WHOLE, figures
from ..cells.sources import files_digest, imported_files
from ..jobs.failures import where
from ..jobs.files import write_bytes
from ..presenting import panels
from ..presenting.generic import drawing_of
from ..presenting.style import absent, as_pdf, in_order
from ..run.run import RUN_TABLES, Declared, Run

LIBRARIES = ("matplotlib", "numpy", "pandas")


class FigureError(RuntimeError):
    """A figure could not be drawn. Its text names the figure."""


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
    by default one a core, those of most cells first. Raises FigureError that names every figure that fails, after the others are drawn;
    in the place of one that fails stands why.
    """
    names, folder = list(names), Path(folder)
    cache = Path(cache or folder.parent / "cache" / "figures")
    cached = {name: cache / f"{name}-{digest}.pdf" for name, digest in digests(run, names).items()}
    missing = [name for name, path in cached.items() if not _is_whole(path)]
    missing.sort(key=lambda name: -len(run.planned(*drawing_of(name).blocks)))
    copied = ((name, cached[name].read_bytes()) for name in names if name not in missing)
    done, failures = 0, []
    for name, data in chain(copied, _draw(run, missing, workers or os.cpu_count() or 1)):
        if isinstance(data, FigureError):
            failures.append(data)
            data = as_pdf(absent(str(data)))
        elif name in missing:
            for old in cache.glob(f"{name}-*.pdf"):
                if old.stem.rpartition("-")[0] == name:
                    old.unlink(missing_ok=True)
            write_bytes(data, cached[name])
        write_bytes(data, folder / f"{name}.pdf")
        progress(done := done + 1, len(names))
    if failures:
        raise FigureError("\n".join(map(str, failures))) from failures[0]
    return missing


def digests(run: Run, names: Iterable[str]) -> dict[str, str]:
    """By figure, twenty hex digits that change when it may look otherwise."""
    # A number a row, of its values and their types; once a table, however many figures share it.
    tables = {name: getattr(run, name) for name in ("cells", *RUN_TABLES)}
    hashes = {name: pd.util.hash_pandas_object(table, index=False).to_numpy() for name, table in tables.items()}
    libraries = " ".join(f"{library} {metadata.version(library)}" for library in LIBRARIES)

    def parts(drawing: Declared) -> Iterator[bytes]:
        whole = WHOLE in drawing.blocks
        cells = run.derived if whole else run.planned(*drawing.blocks)
        # The files that its module imports, and those that all figures share.
        code = files_digest(imported_files(Path(drawing.source), Path(panels.__file__)))
        yield f"{libraries} {run.config.digest if whole else ''} {code}".encode()
        for block in drawing.blocks:  # which of the cells each block views
            yield block.encode()
            yield b"" if whole else cells["key"].isin(run.planned(block)["key"]).to_numpy().tobytes()
        yield " ".join(in_order(cells["arm"])).encode()  # their order is that of their definition
        for name in ("cells", *drawing.tables):
            table = tables[name]
            yield " ".join([name, *table.columns]).encode()
            own = table["key"].isin(cells["key"]).to_numpy() if name in ("cells", "traces") else slice(None)
            yield hashes[name][own].tobytes()

    def digest(drawing: Declared) -> str:
        return hashlib.sha256(b"".join(len(part).to_bytes(8, "big") + part for part in parts(drawing))).hexdigest()[:20]

    return {name: digest(drawing_of(name)) for name in names}


def _is_whole(path: Path) -> bool:
    """Whether a cached PDF is there and was not cut short by whatever happened to the disk."""
    return path.exists() and path.read_bytes().rstrip().endswith(b"%%EOF")


_RUN: Run  # which workers inherit


def _draw(run: Run, names: list[str], workers: int) -> Iterator[tuple[str, bytes | FigureError]]:
    """(name, PDF or what went wrong) of each figure as it is done, started in the order given."""
    global _RUN
    _RUN, workers = run, min(workers, len(names))
    if workers < 2:
        yield from map(_drawn, names)
        return
    # A fork has the run and the libraries at once; a new process would import for longer than most figures take.
    # A parent's handler of SIGTERM would prevent a worker from ending.
    context, to_end = multiprocessing.get_context("fork"), (signal.SIGTERM, signal.SIG_DFL)
    with ProcessPoolExecutor(workers, context, signal.signal, to_end) as pool:
        for future in as_completed([pool.submit(_drawn, name) for name in names]):
            try:
                yield future.result()
            except BrokenProcessPool as error:
                raise FigureError(f"a process that drew figures died, perhaps for want of memory: {error}") from error


def _drawn(name: str) -> tuple[str, bytes | FigureError]:
    try:
        return name, as_pdf(drawing_of(name)(_RUN))
    except Exception as error:
        failure = FigureError(f"figure '{name}' failed in {where(error, drawing_of(name))}")
        failure.add_note("".join(traceback.format_exception(error)).rstrip())  # a cause would be lost between processes
        return name, failure


def write_captions(config: Config, names: Iterable[str], folder: Path) -> None:
    """Write `<name>.rst` beside each figure, for Snakemake's report: what it shows, and what the blocks ask that it is drawn from."""
    questions = {block.name: block.question for block in config.blocks}
    known = figures(config)
    for name in names:
        shows = known[name].text if name in known else ""  # as the source has it: Python may drop docstrings
        lines = [" ".join(shows.split("\n\n")[0].split()), ""]
        for block in drawing_of(name).blocks:
            if block != WHOLE and block in questions:
                lines += [f"- ``{block}``: {_escaped(questions[block])}".rstrip(": ")]
        write_bytes(("\n".join(lines).strip() + "\n").encode(), folder / f"{name}.rst")


def _escaped(text: str) -> str:
    return "".join(f"\\{sign}" if sign in "\\*`_|<>" else sign for sign in text)
