"""Closed forms against brute force: Monte Carlo over Haar, eigenvalues of numerical Hessians, searches for a smaller loss."""

import math

import numpy as np
import pytest
import torch

from orthogrid import theory
from orthogrid.grid import make_cell
from orthogrid.metrics import data_loss, final, nearest_in_coset
from orthogrid.predictions import predict_cells
from orthogrid.problem import det_sign, draw_problem

F64 = torch.float64


def haar(n: int, generator: torch.Generator) -> torch.Tensor:
    q, r = torch.linalg.qr(torch.randn(n, n, generator=generator, dtype=F64))
    return q * r.diagonal().sign()


def coset_element(problem, generator) -> torch.Tensor:
    """A Haar element of the zero-loss coset: rhoᵀ(P + V Q Vᵀ)."""
    n, r = problem.row_space.shape
    v = torch.linalg.qr(problem.row_space, mode="complete").Q[:, r:]
    return problem.rho.mT @ (
        torch.eye(n, dtype=F64) + v @ (haar(n - r, generator) - torch.eye(n - r, dtype=F64)) @ v.mT
    )


@pytest.mark.parametrize("n, k", [(8, 3), (9, 4), (9, 7), (8, 7)])
@pytest.mark.parametrize("bias", [True, False])
def test_coset_distance_by_monte_carlo(n, k, bias):
    problem = draw_problem(make_cell(dimension=n, samples=k, bias=bias, dtype="float64"))
    generator = torch.Generator().manual_seed(0)
    draws = [coset_element(problem, generator) for _ in range(3000)]
    x = problem.x
    assert max(float((x @ w.mT - x @ problem.rho).norm()) for w in draws[:50]) < 1e-10
    squares = np.array([float((w - problem.rho.mT).square().sum()) for w in draws])
    if n - problem.row_space.shape[1] == 1:
        assert set(np.round(np.sqrt(squares), 6)) == {0.0, 2.0}  # never √2
    error = squares.std() / math.sqrt(len(squares))
    assert abs(squares.mean() - theory.coset_distance(n, theory.effective_rank(n, k)) ** 2) < 4 * error


def test_effective_rank_counts_a_mean_that_whitened_inputs_lack():
    assert theory.effective_rank(10, 4) == 4 and theory.effective_rank(10, 4, "whitened") == 3
    assert theory.effective_rank(10, 40) == 10 and theory.effective_rank(10, 1, sampling="fresh") == 10


@pytest.mark.parametrize("n", [4, 5])
@pytest.mark.parametrize("bias", [True, False])
def test_no_wrong_orthogonal_matrix_beats_four_lambda(n, bias):
    cell = make_cell(dimension=n, samples=4 * n, bias=bias, dtype="float64", determinant="mismatch")
    problem = draw_problem(cell)
    x = problem.x - problem.x.mean(0) if bias else problem.x  # the bias at its optimum
    floor = float(theory.wrong_floor(problem.lambda_min))
    # Umeyama's solution is the minimum; random matrices and their neighbourhoods must not go below.
    generator = torch.Generator().manual_seed(1)
    best = math.inf
    for _ in range(300):
        w = haar(n, generator)
        w[0] *= -det_sign(w) * det_sign(problem.rho)
        for _ in range(30):  # descend on the wrong component by polar steps
            w_next = w - 0.5 / float(torch.linalg.matrix_norm(x, 2)) ** 2 * (x @ w.mT - x @ problem.rho).mT @ x
            u, _, vt = torch.linalg.svd(w_next)
            flip = torch.ones(n, dtype=F64)
            flip[-1] = det_sign(u @ vt) * det_sign(w)
            w = (u * flip) @ vt
        best = min(best, float((x @ w.mT - x @ problem.rho).square().sum()))
    assert floor * (1 - 1e-9) <= best <= floor * 1.2


def objective(flat, problem, reg, n):
    w = flat.reshape(n, n)
    s = w @ w.mT - torch.eye(n, dtype=F64)
    return (problem.x @ w.mT - problem.x @ problem.rho).square().sum() + reg * s.square().sum()


@pytest.mark.parametrize("n", [4, 5])
@pytest.mark.parametrize("factor", [1.05, 1.5, 4, 100])
def test_trap_above_the_boundary_is_a_strict_minimum_with_the_predicted_loss(n, factor):
    problem = draw_problem(make_cell(dimension=n, samples=3 * n, bias=False, dtype="float64"))
    lam, v = problem.lambda_min, problem.weakest
    reg = factor * 2 * lam
    s = float(theory.trap_position(reg, lam))
    w = problem.rho.mT @ (torch.eye(n, dtype=F64) - (1 - s) * torch.outer(v, v))
    assert det_sign(w) == -det_sign(problem.rho)
    flat = w.flatten().requires_grad_()
    value = objective(flat, problem, reg, n)
    (gradient,) = torch.autograd.grad(value, flat)
    assert float(gradient.norm()) < 1e-9 * reg
    hessian = torch.autograd.functional.hessian(lambda f: objective(f, problem, reg, n), flat.detach())
    assert float(torch.linalg.eigvalsh(hessian)[0]) > 0
    loss = float((problem.x @ w.mT - problem.x @ problem.rho).square().sum())
    assert loss == pytest.approx(float(theory.trap_loss(reg, lam)))
    assert loss < 4 * lam


@pytest.mark.parametrize("factor", [0.5, 0.95, 1.0])
def test_no_trap_below_the_boundary(factor):
    assert math.isnan(theory.trap_position(factor * 2.0, 1.0)) and math.isnan(theory.trap_loss(factor * 2.0, 1.0))
    # On the path the total loss then falls all the way from the twin to the target.
    s = np.linspace(-1, 1, 4001)
    total = (1 - s) ** 2 + factor * 2.0 * (1 - s**2) ** 2
    assert (np.diff(total) < 1e-12).all()


@pytest.mark.parametrize("factor", [0.7, 1.3])
@pytest.mark.parametrize("n", [4, 5])
def test_descent_from_the_twin_crosses_below_the_boundary_only(n, factor):
    problem = draw_problem(
        make_cell(dimension=n, samples=3 * n, bias=False, dtype="float64", init="twin", determinant="mismatch")
    )
    lam, reg = problem.lambda_min, factor * 2 * problem.lambda_min
    generator = torch.Generator().manual_seed(3)
    w = problem.weight + 1e-3 * torch.randn(n, n, generator=generator, dtype=F64)
    # Steps far below the inverse curvature: a stand-in for the flow, of which the theorem speaks.
    step = 0.1 / float(2 * torch.linalg.matrix_norm(problem.x, 2) ** 2 + 12 * reg)
    for _ in range(int(20 / (lam * step))):
        s = w @ w.mT - torch.eye(n, dtype=F64)
        w = w - step * (2 * (w @ problem.x.mT - problem.rho.mT @ problem.x.mT) @ problem.x + 4 * reg * s @ w)
    loss = float((problem.x @ w.mT - problem.x @ problem.rho).square().sum())
    assert (det_sign(w) == det_sign(problem.rho)) == (factor < 1)
    assert loss == pytest.approx(0 if factor < 1 else float(theory.trap_loss(reg, lam)), rel=1e-4, abs=1e-6)


def test_logdet_trap_is_stationary_at_any_reg():
    for reg, lam in [(1e-3, 1.0), (1.0, 1.0), (50.0, 0.1)]:
        s = float(theory.logdet_trap_position(reg, lam))
        slope = -2 * lam * (1 - s) + reg * (2 * s - 2 / s)
        assert -1 < s < 0 and slope == pytest.approx(0, abs=1e-9)


def test_thresholds():
    assert theory.trap_threshold("fro2", 0.5) == theory.trap_threshold("fro", 0.5) == 1.0
    assert theory.trap_threshold("l1", 0.5, 0.1) == pytest.approx(0.1)
    assert theory.trap_threshold("logdet", 0.5) == 0 and theory.trap_threshold("l1_detached", 0.5) == math.inf
    assert math.isnan(theory.trap_threshold("something new", 0.5))


def test_detached_plateau_by_monte_carlo():
    n, k = 60, 8
    sums = []
    for seed in range(40):
        problem = draw_problem(make_cell(dimension=n, samples=k, bias=False, seed=seed, dtype="float64"))
        p = problem.row_space @ problem.row_space.mT
        w = problem.rho.mT @ p + problem.weight @ (torch.eye(n, dtype=F64) - p)
        sums.append(float((w @ w.mT - torch.eye(n, dtype=F64)).abs().sum()))
    assert np.mean(sums) == pytest.approx(float(theory.detached_plateau(n, k)), rel=0.03)


def test_the_closing_line_is_predicted_without_training():
    assert float(theory.entrywise_l1(500, 2 * 500)) == pytest.approx(12627.76, rel=0.002)
    assert float(theory.entrywise_l1(500, 2 * (500 - 30))) == pytest.approx(12255.37, rel=0.003)


@pytest.mark.parametrize("determinant", ["match", "mismatch"])
@pytest.mark.parametrize("n, k", [(7, 3), (8, 3), (8, 7), (8, 12)])
def test_nearest_in_coset_is_in_the_coset_and_nearest(n, k, determinant):
    problem = draw_problem(make_cell(dimension=n, samples=k, dtype="float64", determinant=determinant))
    nearest = nearest_in_coset(problem)
    assert (nearest @ nearest.mT - torch.eye(n, dtype=F64)).abs().max() < 1e-12
    assert float((problem.x @ nearest.mT - problem.x @ problem.rho).norm()) < 1e-9
    if k >= n:
        assert torch.equal(nearest, problem.rho.mT)
        return
    assert det_sign(nearest) == det_sign(problem.weight)
    distance = float((nearest - problem.weight).norm())
    generator = torch.Generator().manual_seed(2)
    others = [
        w for w in (coset_element(problem, generator) for _ in range(500)) if det_sign(w) == det_sign(problem.weight)
    ]
    assert all(float((w - problem.weight).norm()) >= distance - 1e-9 for w in others)


@pytest.mark.parametrize("k", [5, 12])
def test_final_distances_at_known_points(k):
    cell = make_cell(dimension=8, samples=k, bias=False, dtype="float64", determinant="mismatch", init="twin")
    problem = draw_problem(cell)
    bias = torch.zeros(8, dtype=F64)
    at_twin = final(problem.weight, bias, problem)
    assert at_twin["distance_twin"] == pytest.approx(0, abs=1e-12) and at_twin["distance_start"] == 0
    assert at_twin["sigma_min"] == pytest.approx(1) == at_twin["sigma_max"]
    at_target = final(problem.rho.mT.contiguous(), bias, problem)
    assert at_target["distance_twin"] == pytest.approx(2) and at_target["distance_l1"] == pytest.approx(0, abs=1e-12)
    assert at_target["distance_rho"] == pytest.approx(float((problem.rho.mT - problem.rho).norm()))
    if k < 8:
        assert at_target["mean_direction"] == pytest.approx(0, abs=1e-12)


def test_mean_direction_at_zero_loss_is_the_bias_over_the_outside_mean():
    # Zero loss with a bias ties the two: W x̄ + b = rhoᵀ x̄.
    problem = draw_problem(make_cell(dimension=9, samples=4, dtype="float64"))
    outside = problem.mean_outside / problem.mean_outside.norm()
    shift = torch.randn(9, generator=torch.Generator().manual_seed(1), dtype=F64)
    w = problem.rho.mT + torch.outer(shift, outside)
    bias = -shift * problem.mean_outside.norm()
    x = problem.x[None]
    assert float(data_loss(w[None], bias[None], x, x @ problem.rho)) < 1e-20
    measured = final(w.contiguous(), bias, problem)["mean_direction"]
    assert measured == pytest.approx(float(bias.norm() / problem.mean_outside.norm()))


def test_predictions_are_the_problems_own_and_paired():
    from orthogrid.config import check_config

    axes = {"dimension": 6, "samples": [3, 12], "penalty": ["fro2", "l1", "none"], "determinant": ["match", "mismatch"]}
    config = check_config({"run": "x", "blocks": [{"name": "a", "axes": axes}]})
    table = predict_cells(config).set_index("key")
    assert list(table.index) == [c.key for c in config.cells]
    for cell in config.cells:
        row, problem = table.loc[cell.key], draw_problem(cell)
        assert row["lambda_min"] == problem.lambda_min and row["rank"] == problem.rank
        assert row["wrong_floor"] == pytest.approx(4 * problem.lambda_min)
    above = table.loc[[c.key for c in config.cells if c.penalty == "fro2" and c.samples == 12]]
    assert (above["trap_loss"] < above["wrong_floor"]).all() and above["lambda_min"].nunique() == 1
