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
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from ..cells import components
from ..cells.cell import Cell
from ..cells.config import Config
from ..cells.shape import ProblemSettings, spec_name, spec_options
from ..cells.sources import PACKAGE, digest_of
from ..jobs.files import write_bytes
from ..jobs.workers import CONTEXT
from . import forms

COLUMNS = (
    "key", "rank", "rank_effective", "lambda_min", "lambda_next", "lambda_max", "w_max2", "w_l1", "distance", "wrong_floor",
    "trap_threshold", "trap_position", "trap_loss", "pass_loss", "next_loss", "capture_threshold", "l1_floor",
    "detached_plateau",
)  # fmt: skip


class Spectrum(NamedTuple):
    """What predictions need of a problem: rank and eigenvalues of its Gram matrix G, and the image of its weakest direction."""

    rank: int
    smallest: float  # eigenvalue of G
    following: float  # the next larger one; NaN where all are equal
    largest: float
    least: float  # singular value of the least-squares weight: 1 without noise
    w: np.ndarray  # rhoᵀv


Progress = Callable[[int, int], None]
FEW = 16  # problems that are drawn here: to start processes would take longer, and a script would be run anew in each


def predict_cells(
    config: Config, progress: Progress = lambda done, total: None, cache: str | Path | None = None
) -> pd.DataFrame:
    """One row a cell. `distance` is √(2(n - effective rank)); the trap's columns are for a run on the wrong side.

    `w_max2` is max w_i² and `w_l1` is ‖w‖₁. Paired cells share their problem, which is drawn once; with a folder `cache` it is
    drawn once for all runs of the same code. Of networks nothing is said. `progress` hears of problems that are drawn.
    """
    layers = [cell for cell in config.cells if not components.models()[spec_name(cell.model)].network]
    problems = {cell.problem: cell for cell in reversed(layers)}
    spectra = _spectra(problems, progress, cache_file(Path(cache)) if cache else None)
    said = {cell.key: _predict(cell, spectra[cell.problem]) for cell in layers}
    rows = [{"key": cell.key} | said.get(cell.key, {}) for cell in config.cells]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _predict(cell: Cell, of: Spectrum) -> dict[str, float]:
    """By column; one that is left out is NaN."""
    n, lam = cell.dimension, of.smallest
    effective = forms.effective_rank(n, cell.samples, cell.inputs, cell.sampling)
    said = {
        "rank": of.rank, "rank_effective": effective,
        "lambda_min": lam, "lambda_next": of.following, "lambda_max": of.largest,
        "distance": float(forms.coset_distance(n, effective)), "wrong_floor": float(forms.wrong_floor(lam)),
    }  # fmt: skip
    penalty, method = spec_name(cell.penalty), spec_name(cell.method)
    if method in ("adam", "sgd") and not components.penalties()[penalty].attached:
        said["detached_plateau"] = float(forms.detached_plateau(n, effective))
    if method == "adam" and penalty == "l1" and cell.schedule == "constant":
        options = components.methods()["adam"].options | spec_options(cell.method)
        said["l1_floor"] = float(forms.l1_floor(n, cell.lr, options["beta1"]))
    if lam > 0:
        threshold, position, loss = predict_trap(cell, of)
        said |= {"trap_threshold": threshold, "trap_position": position, "trap_loss": loss}
        said |= {"w_max2": float(np.square(of.w).max()), "w_l1": float(np.abs(of.w).sum())}
        if threshold > 0 and penalty in forms.OF_SINGULAR_VALUES:
            said["capture_threshold"] = float(forms.capture_threshold(of.largest, penalty))
        if threshold == forms.trap_threshold("fro2", lam) and penalty == "fro2":
            said["pass_loss"], said["next_loss"] = map(float, forms.critical_losses(cell.reg, lam, of.following))
    return said


def _spectra(
    problems: Mapping[ProblemSettings, Cell], progress: Progress, kept: Path | None
) -> dict[ProblemSettings, Spectrum]:
    """The spectra of problems, each given with a cell that has it: kept ones, and new ones drawn on all cores and kept from now on."""
    held = read_kept(kept) if kept else {}
    new = [problem for problem in problems if problem.key not in held]
    drawn = _draw([problems[problem] for problem in new]) if new else []
    for done, (problem, spectrum) in enumerate(zip(new, drawn, strict=True), start=1):
        held[problem.key] = spectrum
        progress(done, len(new))
    if kept and new:
        write_kept(held, kept)
    return {problem: held[problem.key] for problem in problems}


def _draw(cells: Sequence[Cell]) -> Iterator[Spectrum]:
    """The spectra of their problems, as they come: a process a core, each with one thread of LAPACK's. Threads would wait for Python's lock."""
    import torch

    from ..numerics.linalg import one_thread

    if len(cells) <= FEW:
        with one_thread():
            yield from map(_spectrum, cells)
        return
    with ProcessPoolExecutor(os.cpu_count(), CONTEXT, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        yield from pool.map(_spectrum, cells)


def _spectrum(cell: Cell) -> Spectrum:
    import torch

    from ..numerics.problem import SAME_EIGENVALUE, draw_problem

    drawn = draw_problem(cell)
    values = drawn.eigenvalues.numpy()
    larger = values[values > values[0] * (1 + SAME_EIGENVALUE)]
    w = (drawn.rho.double().mT @ drawn.weakest).numpy()
    least = 1.0 if drawn.noise is None else float(torch.linalg.svdvals(drawn.least_squares)[-1])
    return Spectrum(drawn.rank, values[0], larger[0] if len(larger) else math.nan, values[-1], least, w)


def cache_file(folder: Path) -> Path:
    """Where spectra are kept, named by the code and the library that found them."""
    return folder / f"{digest_of('theory/predictions.py')}-{metadata.version('torch')}.npz"


def read_kept(path: Path) -> dict[str, Spectrum]:
    """Spectra by problem key; none where the file is missing or damaged, of which its checksums tell."""
    try:
        with np.load(path) as file:
            keys, numbers, sizes, w = (file[name] for name in ("keys", "numbers", "sizes", "w"))
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error):
        return {}
    each = zip(keys.tolist(), numbers.tolist(), np.split(w, np.cumsum(sizes)[:-1]), strict=True)
    return {key: Spectrum._make([int(rank), *rest, w]) for key, (rank, *rest), w in each}


def write_kept(spectra: Mapping[str, Spectrum], path: Path) -> None:
    """Write spectra to a file, in place of those that other code found."""
    *numbers, parts = zip(*spectra.values(), strict=True)
    data, sizes = io.BytesIO(), [len(w) for w in parts]
    np.savez(data, keys=list(spectra), numbers=np.transpose(numbers), sizes=sizes, w=np.concatenate(parts))
    write_bytes(data.getvalue(), path)
    for old in path.parent.glob("*.npz"):
        if old != path:
            old.unlink(missing_ok=True)


def predict_trap(cell: Cell, of: Spectrum) -> tuple[float, float, float]:
    """Threshold, position and data loss of the trap of the cell's penalty. The cures keep that penalty, so have its trap.

    A hard constraint is the limit of a large reg: it traps at the twin whatever reg is (Proposition "constrained methods").
    Nothing holds a method that looks on both sides, nor a run whose penalty has no gradient. Of a user's own penalties and
    methods the theory knows the traits alone. With noise it knows the threshold of the sum of squares with white inputs.
    """
    lam, w = of.smallest, of.w
    method, penalty = components.methods()[spec_name(cell.method)], components.penalties()[spec_name(cell.penalty)]
    if method.both_sides or (method.uses_penalty and not penalty.attached):
        return math.inf, math.nan, math.nan
    ours = {entry.kind: Path(entry.file).is_relative_to(PACKAGE) for entry in (method, penalty)}
    if not method.uses_penalty and (ours["method"] or method.keeps == "on"):
        return 0.0, forms.TWIN_POSITION, float(forms.wrong_floor(lam))
    if not all(ours.values()):
        return math.nan, math.nan, math.nan
    if cell.noise:
        known = penalty.name == "fro2" and cell.inputs == "whitened"
        return forms.noisy_threshold(lam, of.least) if known else math.nan, math.nan, math.nan
    delta = (penalty.options | spec_options(cell.penalty)).get("delta", math.inf)
    return (
        float(forms.trap_threshold(penalty.name, lam, w, delta)),
        float(forms.trap_position(cell.reg, lam, penalty.name, w, delta)),
        float(forms.trap_loss(cell.reg, lam, penalty.name, w, delta)),
    )
