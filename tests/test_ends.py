"""Where a run ended: what is measured on a weight, by other means, and what it is called."""

import math

import pandas as pd
import pytest
import torch
from geometry import F64, haar, measured_end, on_path

from orthogrid.cells.cell import Cell
from orthogrid.models.ends import MEASURES
from orthogrid.numerics.problem import draw_problem
from orthogrid.penalties import PENALTIES, find_penalty
from orthogrid.theory import forms as theory
from orthogrid.theory.outcomes import ALIGNED, FLAT, NEAR, classify, distance_to_trap, with_outcomes

PLAIN = {"dimension": 6, "samples": 18, "dtype": "float64"}


def loss(weight: torch.Tensor, problem, cell: Cell) -> torch.Tensor:
    """The whole loss with the bias at its optimum."""
    residual = problem.x @ weight.mT - problem.targets
    residual = residual - residual.mean(0) if cell.bias else residual
    penalty, options = find_penalty(cell.penalty)
    s = weight @ weight.mT - torch.eye(len(weight), dtype=weight.dtype)
    return residual.square().sum() + cell.reg * penalty.value(s[None], **options)[0]


def somewhere(problem, size: float = 0.3) -> torch.Tensor:
    generator = torch.Generator().manual_seed(5)
    return problem.rho.mT + size * torch.randn(problem.rho.shape, generator=generator, dtype=F64)


def gradient(weight: torch.Tensor, problem, cell: Cell) -> torch.Tensor:
    leaf = weight.clone().requires_grad_()
    (found,) = torch.autograd.grad(loss(leaf, problem, cell), leaf)
    return found


@pytest.mark.parametrize("penalty", [name for name in PENALTIES if PENALTIES[name].attached])
@pytest.mark.parametrize("settings", [{}, {"bias": False}, {"inputs": "whitened"}, {"noise": 0.5}, {"samples": 4}])
def test_gradient_norm_is_autograds(settings, penalty):
    cell = Cell(**PLAIN | {"penalty": penalty, "reg": 3.0} | settings)
    problem = draw_problem(cell)
    w = somewhere(problem)
    scale = 2 * math.sqrt(2) * float(problem.eigenvalues.norm())
    expected = float(gradient(w, problem, cell).norm()) / scale
    assert measured_end(w, problem, cell)["gradient_norm"] == pytest.approx(expected, rel=1e-6)


def test_a_constrained_methods_gradient_is_its_tangent_part():
    cell = Cell(**PLAIN, method="torch_exp")
    problem = draw_problem(cell)
    q = haar(6, torch.Generator().manual_seed(2))
    # Along curves exp(t Omega) q the derivative is <gradient, Omega q>.
    g = gradient(q, problem, cell)
    slopes = []
    for i in range(6):
        for j in range(i):
            omega = torch.zeros(6, 6, dtype=F64)
            omega[i, j], omega[j, i] = 0.5**0.5, -(0.5**0.5)
            slopes.append(float((g * (omega @ q)).sum()))
    scale = 2 * math.sqrt(2) * float(problem.eigenvalues.norm())
    found = measured_end(q, problem, cell)
    assert found["gradient_norm"] * scale == pytest.approx(math.hypot(*slopes), rel=1e-9)
    assert math.isnan(found["curvature"])


@pytest.mark.parametrize("factor", [1.5, 4, 100])
@pytest.mark.parametrize("bias", [True, False])
def test_at_the_trap(bias, factor):
    cell = Cell(**PLAIN, bias=bias, reg=1.0, determinant="mismatch")
    problem = draw_problem(cell)
    lam = problem.lambda_min
    cell = Cell(**PLAIN, bias=bias, reg=factor * 2 * lam, determinant="mismatch")
    s = float(theory.trap_position(cell.reg, lam))
    found = measured_end(on_path(problem, s), problem, cell)
    assert found["position"] == pytest.approx(s) and found["reflection"] == 0
    assert found["overlap"] == pytest.approx(1) and found["off_path"] < 1e-9 and found["gradient_norm"] < 1e-9
    assert found["curvature"] == pytest.approx(4 * cell.reg * (1 - s) * math.sqrt(1 - 2 * lam / cell.reg), rel=1e-3)
    assert found["distance_seen"] == pytest.approx(1 - s)


def test_beside_another_reflection():
    cell = Cell(**PLAIN, reg=1e4, determinant="mismatch")
    problem = draw_problem(cell)
    u = problem.eigenvectors[:, 3]
    s = float(theory.reflected_positions(1e4, float(problem.eigenvalues[3]))[0])
    w = problem.rho.mT @ (torch.eye(6, dtype=F64) - (1 - s) * torch.outer(u, u))
    found = measured_end(w, problem, cell)
    assert found["reflection"] == 3 and found["gradient_norm"] < 1e-9 and found["overlap"] == pytest.approx(1)


def test_equal_eigenvalues_are_one():
    cell = Cell(dimension=6, samples=18, inputs="whitened", reg=1e3)
    problem = draw_problem(cell)
    y = torch.nn.functional.normalize(torch.arange(1.0, 7, dtype=F64), dim=0)
    w = problem.rho.double().mT @ (torch.eye(6, dtype=F64) - 1.9 * torch.outer(y, y))
    found = measured_end(w, problem, cell)
    assert found["reflection"] == 0 and found["overlap"] == pytest.approx(1)
    assert found["off_path"] < 1e-6 and found["position"] == pytest.approx(-0.9)


def test_start_cosine_is_that_of_the_heaviest_direction_and_its_image():
    problem = draw_problem(Cell(**PLAIN))
    heaviest = problem.eigenvectors[:, -1]
    found = measured_end(somewhere(problem), problem, Cell(**PLAIN))["start_cosine"]
    assert found == pytest.approx(float(heaviest @ problem.rho.double() @ problem.weight.double() @ heaviest))


def test_a_detached_penalty_leaves_the_curvature_of_the_data_and_a_weight_on_the_right_side_is_no_reflection():
    problem = draw_problem(Cell(**PLAIN))
    v, rho = problem.weakest, problem.rho.double()
    s = 0.5  # between target and pass: not reflected
    weight = rho.mT @ (torch.eye(len(v), dtype=torch.float64) - (1 - s) * torch.outer(v, v))
    found = measured_end(weight, problem, Cell(**PLAIN, penalty="fro2_detached", reg=7.0))
    assert found["curvature"] == pytest.approx(2 * problem.lambda_min, rel=1e-6)
    assert found["position"] == pytest.approx(s) and math.isnan(found["reflection"]) and math.isnan(found["overlap"])


# What it is called.


def ended(**changes) -> pd.DataFrame:
    """One cell at the target, with changes."""
    row = dict.fromkeys(MEASURES, 0.0) | {
        "key": "a", "status": "ok", "lambda_min": 1.0, "distance": 0.0, "position": 1.0, "reflection": math.nan, "overlap": math.nan,
        "model": "linear", "relative_loss": 0.1, "penalty": "fro2", "reg": 2.0, "fit": 1.0, "penalty_value": 0.6, "det_sign": 1, "det_sign_target": 1,
    }  # fmt: skip
    return pd.DataFrame([row | changes])


def outcome(threshold=2.0, known=-0.9, **changes) -> str:
    predictions = pd.DataFrame([{"key": "a", "trap_threshold": threshold, "trap_position": known}])
    return with_outcomes(ended(**changes), predictions)["outcome"].item()


TRAPPED = {"distance": 1.9, "position": -0.9, "reflection": 0, "overlap": 1.0}


def test_the_distance_to_the_trap_by_its_formula_and_only_on_the_wrong_side():
    cells = ended(position=-0.6, reflection=0, overlap=0.9, off_path=0.3).assign(predicted_trap_position=-0.8)
    expected = math.sqrt(0.3**2 + 0.2**2 + 1.6 * 1.8 * 2 * 0.1)
    assert distance_to_trap(cells).item() == pytest.approx(expected)
    assert distance_to_trap(cells.assign(position=0.6)).isna().all()
    assert distance_to_trap(cells.assign(position=0.0)).isna().all()
    beyond = cells.assign(overlap=1 + 1e-6)  # by rounding
    assert distance_to_trap(beyond).item() == pytest.approx(math.sqrt(0.3**2 + 0.2**2))
    assert distance_to_trap(cells.assign(reflection=1)).isna().all()


@pytest.mark.parametrize("name, bound", [("gradient_norm", FLAT), ("overlap", ALIGNED)])
def test_bounds_of_rest_count_as_within(name, bound):
    resting = TRAPPED | {"gradient_norm": 0.0, "curvature": 1.0, "threshold": math.nan, "known": math.nan}
    assert outcome(**resting | {name: bound}) == "trapped"
    beyond = bound * 1.01 if name == "gradient_norm" else bound * 0.99
    assert outcome(**resting | {name: beyond}) == "unfinished"


@pytest.mark.parametrize("changes, expected", [
    ({}, "recovered"),
    ({"distance": 1.01 * NEAR}, "unfinished"),
    ({"status": "diverged"}, "diverged"),
    ({"status": "missing"}, ""),
    ({"lambda_min": 0.0, "distance": 3.0}, "unidentified"),
    ({"lambda_min": 0.0, "distance": 3.0, "distance_seen": 1.0}, "unfinished"),
    (TRAPPED, "trapped"),
    (TRAPPED | {"reflection": 1}, "unfinished"),  # beside a saddle
    (TRAPPED | {"off_path": NEAR}, "trapped"),
    (TRAPPED | {"off_path": 1.01 * NEAR}, "unfinished"),
    ({"status": "failed"}, ""),
    (TRAPPED | {"position": -0.9 + 1.01 * NEAR}, "unfinished"),
    (TRAPPED | {"overlap": 0.99}, "unfinished"),  # 2 · 1.9² · 0.01 is more than NEAR²
    (TRAPPED | {"known": math.nan, "threshold": 2.0}, "unfinished"),  # below the threshold
    (TRAPPED | {"known": math.nan, "threshold": math.nan, "curvature": 1.0}, "trapped"),  # no closed form
    (TRAPPED | {"known": math.nan, "threshold": math.nan, "curvature": -1.0}, "unfinished"),
    (TRAPPED | {"known": math.nan, "threshold": math.nan, "curvature": 1.0, "gradient_norm": 0.1}, "unfinished"),
    (TRAPPED | {"known": math.nan, "threshold": math.nan, "curvature": 1.0, "position": 0.5}, "unfinished"),
    ({"distance": 1.0, "det_sign": -1}, "unfinished"),  # its loss is 2.2, a singular weight pays 2
    ({"distance": 1.0, "det_sign": -1, "fit": 0.7}, "decided wrong"),
    ({"distance": 1.0, "det_sign": 1, "fit": 0.7}, "unfinished"),  # decided, and right
    ({"distance": 1.0, "det_sign": -1, "fit": 0.7, "penalty": "huber(delta=0.01)"}, "unfinished"),  # which pays less
    ({"distance": 1.0, "det_sign": -1, "fit": 0.7, "lambda_min": 0.0, "distance_seen": 1.0}, "unfinished"),
    (TRAPPED | {"det_sign": -1, "fit": 0.7}, "trapped"),
])  # fmt: skip
def test_outcomes(changes, expected):
    assert outcome(**changes) == expected


def test_the_distance_to_the_trap_is_exact(monkeypatch):
    """Against the norm itself, for a weight on another path."""
    problem = draw_problem(Cell(**PLAIN))
    lam, v, other = problem.lambda_min, problem.weakest, problem.eigenvectors[:, 1]
    known = float(theory.trap_position(10 * lam, lam))
    y = torch.nn.functional.normalize(v + 0.02 * other, dim=0)
    s = -0.95
    m = torch.eye(6, dtype=F64) - (1 - s) * torch.outer(y, y)
    found = measured_end(problem.rho.mT @ m, problem, Cell(**PLAIN, reg=10 * lam))
    exact = float((m - torch.eye(6, dtype=F64) + (1 - known) * torch.outer(v, v)).norm())
    frame = pd.DataFrame([found | {"predicted_trap_position": known}])
    from orthogrid.theory.outcomes import distance_to_trap

    assert distance_to_trap(frame).item() == pytest.approx(exact)
    assert classify(ended(**found | {"lambda_min": lam, "distance": 1.9}).assign(
        predicted_trap_position=known, predicted_trap_threshold=2 * lam
    )).item() == "trapped"  # fmt: skip


@pytest.mark.parametrize("penalty", ["fro2_detached", "none"])
def test_a_penalty_without_a_gradient_is_no_part_of_the_gradient_norm(penalty):
    of_reg = []
    for reg in (5.0, 7.0):
        cell = Cell(**PLAIN | {"penalty": penalty, "reg": reg})
        problem = draw_problem(cell)
        of_reg.append(measured_end(somewhere(problem), problem, cell)["gradient_norm"])
    assert of_reg[0] == of_reg[1] > 0
