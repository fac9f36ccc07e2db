"""What the theory says each cell should give, from its problem alone and before any training."""

from __future__ import annotations

import math
import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import torch

from . import catalog, theory
from .cell import Cell, spec_name, spec_options
from .config import Config
from .numerics.problem import draw_problem

COLUMNS = (
    "key", "rank", "rank_effective", "lambda_min", "w_max2", "w_l1", "distance", "wrong_floor", "trap_threshold",
    "trap_position", "trap_loss", "detached_plateau",
)  # fmt: skip


def predict_cells(config: Config, progress=lambda done, total: None) -> pd.DataFrame:
    """One row a cell. `distance` is √(2(n - effective rank)); the trap's columns are for a run on the wrong side.

    `w_max2` is max w_i² and `w_l1` is ‖w‖₁. Paired cells share their problem, which is drawn once.
    """
    problems = list(dict.fromkeys(cell.problem for cell in config.cells))
    drawn: dict[Cell, tuple[int, float, np.ndarray]] = {}
    # The decompositions let go of Python's lock: a thread a core, each with one thread of LAPACK's.
    with ThreadPoolExecutor(os.cpu_count(), initializer=torch.set_num_threads, initargs=(1,)) as pool:
        for data, spectrum in zip(problems, pool.map(_spectrum, problems), strict=True):
            drawn[data] = spectrum
            progress(len(drawn), len(problems))
    rows = []
    for cell in config.cells:
        rank, lam, w = drawn[cell.problem]
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


def _spectrum(cell: Cell) -> tuple[int, float, np.ndarray]:
    """Rank, smallest eigenvalue and w = rhoᵀv of a problem."""
    problem = draw_problem(cell)
    return problem.rank, problem.lambda_min, (problem.rho.double().mT @ problem.weakest).numpy()


def _shape(w: np.ndarray) -> tuple[float, float]:
    return float(np.square(w).max()), float(np.abs(w).sum())


def predict_trap(cell: Cell, lam: float, w: np.ndarray) -> tuple[float, float, float]:
    """Threshold, position and data loss of the trap: that of the cell's penalty, also for the cures, which keep it.

    A hard constraint is the limit of a large reg: trapped at the twin whatever reg is (Proposition "constrained methods").
    Nothing holds a method that looks on both sides, nor a run whose penalty has no gradient.
    """
    method, penalty = catalog.methods()[spec_name(cell.method)], catalog.penalties()[spec_name(cell.penalty)]
    if method.both_sides or (method.uses_penalty and not penalty.attached):
        return math.inf, math.nan, math.nan
    if not method.uses_penalty:
        return 0.0, theory.TWIN_POSITION, float(theory.wrong_floor(lam))
    penalty, delta = penalty.name, (penalty.options | spec_options(cell.penalty)).get("delta", math.inf)
    return (
        float(theory.trap_threshold(penalty, lam, w, delta)),
        float(theory.trap_position(cell.reg, lam, penalty, w, delta)),
        float(theory.trap_loss(cell.reg, lam, penalty, w, delta)),
    )
