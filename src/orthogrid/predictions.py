"""What the theory says each cell should give, from its problem alone and before any training.

Drawing and decomposing problems takes most of the time, so what was found is kept. Torch is imported where one is drawn.
"""

from __future__ import annotations

import io
import math
import os
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import cached_property
from importlib import metadata
from pathlib import Path

import numpy as np
import pandas as pd

from . import catalog, theory
from .cell import Cell, spec_name, spec_options
from .config import Config
from .store import write_bytes
from .workers import CONTEXT

COLUMNS = (
    "key", "rank", "rank_effective", "lambda_min", "w_max2", "w_l1", "distance", "wrong_floor", "trap_threshold",
    "trap_position", "trap_loss", "detached_plateau",
)  # fmt: skip


# Rank, smallest eigenvalue and w = rhoᵀv of a problem.
Spectrum = tuple[int, float, np.ndarray]
Progress = Callable[[int, int], None]


def predict_cells(
    config: Config, progress: Progress = lambda done, total: None, cache: str | Path | None = None
) -> pd.DataFrame:
    """One row a cell. `distance` is √(2(n - effective rank)); the trap's columns are for a run on the wrong side.

    `w_max2` is max w_i² and `w_l1` is ‖w‖₁. Paired cells share their problem, which is drawn once; with a folder `cache` it is
    drawn once for all runs of the same code. `progress` hears of problems that are drawn.
    """
    problems = list(dict.fromkeys(cell.problem for cell in config.cells))
    spectra = _spectra(problems, progress, Kept(Path(cache)) if cache else None)
    rows = []
    for cell in config.cells:
        rank, lam, w = spectra[cell.problem]
        n = cell.dimension
        effective = theory.effective_rank(n, cell.samples, cell.inputs, cell.sampling)
        detached = cell.method == "adam" and not catalog.penalties()[spec_name(cell.penalty)].attached
        rows.append(
            (
                cell.key, rank, effective, lam, *(_shape(w) if lam > 0 else (math.nan, math.nan)),
                float(theory.coset_distance(n, effective)), float(theory.wrong_floor(lam)),
                *(predict_trap(cell, lam, w) if lam > 0 else (math.nan, math.nan, math.nan)),
                float(theory.detached_plateau(n, effective)) if detached else math.nan,
            )
        )  # fmt: skip
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _spectra(problems: Sequence[Cell], progress: Progress, kept: Kept | None) -> dict[Cell, Spectrum]:
    """The spectra of problems: kept ones, and new ones drawn on all cores and kept from now on."""
    held = kept.read() if kept else {}
    spectra = {problem: held[problem.key] for problem in problems if problem.key in held}
    new = [problem for problem in problems if problem not in spectra]
    if not new:
        return spectra
    for done, (problem, spectrum) in enumerate(zip(new, _draw(new), strict=True), start=1):
        spectra[problem] = spectrum
        progress(done, len(new))
    if kept:
        kept.write(held | {problem.key: spectra[problem] for problem in new})
    return spectra


def _draw(problems: Sequence[Cell]) -> Iterator[Spectrum]:
    """Their spectra, as they come: a process a core, each with one thread of LAPACK's. Threads would wait for Python's lock."""
    import torch

    how = {"initializer": torch.set_num_threads, "initargs": (1,)}
    with ProcessPoolExecutor(os.cpu_count(), CONTEXT, **how) as pool:
        yield from pool.map(_spectrum, problems)


def _spectrum(problem: Cell) -> Spectrum:
    from .numerics.problem import draw_problem

    drawn = draw_problem(problem)
    return drawn.rank, drawn.lambda_min, (drawn.rho.double().mT @ drawn.weakest).numpy()


class Kept:
    """Spectra by problem key in one file of a folder, named by the code and the library that found them."""

    def __init__(self, folder: Path):
        self.folder = folder

    @cached_property
    def path(self) -> Path:
        return self.folder / f"{catalog.digest_of(('predictions', '_spectrum'))}-{metadata.version('torch')}.npz"

    def read(self) -> dict[str, Spectrum]:
        """All that are kept; none where the file is missing or damaged, of which its checksums tell."""
        try:
            with np.load(self.path) as file:
                keys, ranks, lams, sizes, values = (file[name] for name in ("keys", "ranks", "lams", "sizes", "values"))
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error):
            return {}
        parts = np.split(values, np.cumsum(sizes)[:-1])
        return {
            str(key): (int(rank), float(lam), w) for key, rank, lam, w in zip(keys, ranks, lams, parts, strict=True)
        }

    def write(self, spectra: Mapping[str, Spectrum]) -> None:
        """In place of what other code found."""
        ranks, lams, parts = zip(*spectra.values(), strict=True)
        data = io.BytesIO()
        np.savez(
            data,
            keys=list(spectra),
            ranks=ranks,
            lams=lams,
            sizes=[len(w) for w in parts],
            values=np.concatenate(parts),
        )
        write_bytes(data.getvalue(), self.path)
        for old in self.folder.glob("*.npz"):
            if old != self.path:
                old.unlink(missing_ok=True)


def _shape(w: np.ndarray) -> tuple[float, float]:
    return float(np.square(w).max()), float(np.abs(w).sum())


def predict_trap(cell: Cell, lam: float, w: np.ndarray) -> tuple[float, float, float]:
    """Threshold, position and data loss of the trap: that of the cell's penalty, also for the cures, which keep it.

    A hard constraint is the limit of a large reg: trapped at the twin whatever reg is (Proposition "constrained methods").
    Nothing holds a method that looks on both sides, nor a run whose penalty has no gradient. Of penalties and methods of a
    user's own the theory knows no more than their traits.
    """
    method, penalty = catalog.methods()[spec_name(cell.method)], catalog.penalties()[spec_name(cell.penalty)]
    if method.both_sides or (method.uses_penalty and not penalty.attached):
        return math.inf, math.nan, math.nan
    ours = {entry.kind: Path(entry.file).is_relative_to(catalog.SOURCE) for entry in (method, penalty)}
    if not method.uses_penalty and (ours["method"] or method.keeps == "on"):
        return 0.0, theory.TWIN_POSITION, float(theory.wrong_floor(lam))
    if not all(ours.values()):
        return math.nan, math.nan, math.nan
    penalty, delta = penalty.name, (penalty.options | spec_options(cell.penalty)).get("delta", math.inf)
    return (
        float(theory.trap_threshold(penalty, lam, w, delta)),
        float(theory.trap_position(cell.reg, lam, penalty, w, delta)),
        float(theory.trap_loss(cell.reg, lam, penalty, w, delta)),
    )
