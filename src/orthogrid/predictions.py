"""What the theory says each cell should give, from its problem alone and before any training."""

from __future__ import annotations

import math

import pandas as pd

from . import theory
from .config import Config
from .grid import Cell, spec_name
from .problem import draw_problem

COLUMNS = (
    "key", "rank", "rank_effective", "lambda_min", "distance", "wrong_floor", "trap_threshold", "trap_position", "trap_loss",
    "detached_plateau",
)  # fmt: skip


def predict_cells(config: Config, progress=lambda done, total: None) -> pd.DataFrame:
    """One row a cell. `distance` is √(2(n - effective rank)); the trap's columns are for a run on the wrong side.

    Paired cells share their problem, which is drawn once.
    """
    spectra: dict[Cell, tuple[int, float, float]] = {}
    rows = []
    problems = {cell.problem for cell in config.cells}
    for cell in config.cells:
        if cell.problem not in spectra:
            problem = draw_problem(cell.problem)
            w = problem.rho.double().mT @ problem.weakest
            spectra[cell.problem] = (problem.rank, problem.lambda_min, float(w.square().max()))
            progress(len(spectra), len(problems))
        rank, lam, w_max2 = spectra[cell.problem]
        n = cell.dimension
        effective = theory.effective_rank(n, cell.samples, cell.inputs, cell.sampling)
        penalty = spec_name(cell.penalty)
        squares = penalty == "fro2" and lam > 0
        detached = penalty == "none" or penalty.endswith("_detached")
        rows.append(
            (
                cell.key, rank, effective, lam, float(theory.coset_distance(n, effective)), float(theory.wrong_floor(lam)),
                theory.trap_threshold(penalty, lam, w_max2) if lam > 0 else math.nan,
                float(theory.trap_position(cell.reg, lam)) if squares else math.nan,
                float(theory.trap_loss(cell.reg, lam)) if squares else math.nan,
                float(theory.detached_plateau(n, effective)) if detached else math.nan,
            )
        )  # fmt: skip
    return pd.DataFrame(rows, columns=list(COLUMNS))
