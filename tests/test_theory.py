"""Closed forms against brute force: Monte Carlo over Haar, eigenvalues of numerical Hessians, searches for a smaller loss."""

import math

import numpy as np
import pytest
import torch
from geometry import F64, haar, loss_of, measured_distances, on_path, weakest_image

from orthogrid.cells.cell import Cell
from orthogrid.cells.config import check_config
from orthogrid.numerics.metrics import data_loss
from orthogrid.numerics.problem import det_sign, draw_problem
from orthogrid.theory import forms as theory
from orthogrid.theory.predictions import predict_cells


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
    problem = draw_problem(Cell(dimension=n, samples=k, bias=bias, dtype="float64"))
    generator = torch.Generator().manual_seed(0)
    draws = [coset_element(problem, generator) for _ in range(3000)]
    x = problem.x
    assert max(float((x @ w.mT - x @ problem.rho).norm()) for w in draws[:50]) < 1e-10
    squares = np.array([float((w - problem.rho.mT).square().sum()) for w in draws])
    if n - problem.row_space.shape[1] == 1:
        assert set(np.round(np.sqrt(squares), 6)) == {0.0, 2.0}  # never √2
    error = squares.std() / math.sqrt(len(squares))
    assert abs(squares.mean() - theory.coset_distance(n, theory.effective_rank(n, k)) ** 2) < 4 * error


@pytest.mark.parametrize("n, k", [(8, 7), (8, 6), (9, 5)])
def test_coset_distance_on_each_side_by_monte_carlo(n, k):
    problem = draw_problem(Cell(dimension=n, samples=k, bias=False, dtype="float64"))
    generator = torch.Generator().manual_seed(0)
    squares = {True: [], False: []}
    for _ in range(1000):
        w = coset_element(problem, generator)
        squares[det_sign(w) == det_sign(problem.rho)].append(float((w - problem.rho.mT).square().sum()))
    for same, values in squares.items():
        law = 2 * (n - k) if n - k > 1 else 0 if same else 4
        assert abs(np.mean(values) - law) < 4 * np.std(values) / math.sqrt(len(values)) + 1e-9
        if n - k == 1 or (n - k == 2 and not same):
            assert np.ptp(values) < 1e-9


def test_effective_rank_counts_a_mean_that_whitened_inputs_lack():
    assert theory.effective_rank(10, 4) == 4 and theory.effective_rank(10, 4, "whitened") == 3
    assert theory.effective_rank(10, 40) == 10 and theory.effective_rank(10, 1, sampling="fresh") == 10


@pytest.mark.parametrize("n", [4, 5])
@pytest.mark.parametrize("bias", [True, False])
def test_no_wrong_orthogonal_matrix_beats_four_lambda(n, bias):
    cell = Cell(dimension=n, samples=4 * n, bias=bias, dtype="float64", determinant="mismatch")
    problem = draw_problem(cell)
    x = problem.x - problem.x.mean(0) if bias else problem.x  # the bias at its optimum
    floor = float(theory.wrong_floor(problem.lambda_min))
    # Umeyama's solution is the minimum; random matrices and their neighbourhoods must not go below.
    generator = torch.Generator().manual_seed(1)
    w = torch.stack([haar(n, generator) for _ in range(300)])
    w[:, 0] *= -(torch.linalg.slogdet(w)[0] * det_sign(problem.rho))[:, None]
    side, step = torch.linalg.slogdet(w)[0], 0.5 / float(torch.linalg.matrix_norm(x, 2)) ** 2
    for _ in range(30):  # descend on the wrong component by polar steps
        u, _, vt = torch.linalg.svd(w - step * (w - problem.rho.mT) @ (x.mT @ x))
        u[:, :, -1] *= (torch.linalg.slogdet(u @ vt)[0] * side)[:, None]
        w = u @ vt
    best = float((x @ w.mT - x @ problem.rho).square().sum((1, 2)).min())
    assert floor * (1 - 1e-9) <= best <= floor * 1.2


@pytest.mark.parametrize("n", [6, 7])
@pytest.mark.parametrize("rank", ["full", "one short", "two short"])
def test_three_regimes_of_rank_and_determinant(rank, n):
    k = {"full": 20, "one short": n - 1, "two short": n - 2}[rank]
    problem = draw_problem(Cell(dimension=n, samples=k, bias=False, dtype="float64"))
    u, _, vt = torch.linalg.svd(problem.rho.mT @ problem.x.mT @ problem.x)
    losses = {}
    for flip in (1, -1):
        signed = u.clone()
        signed[:, -1] *= flip
        losses[det_sign(signed @ vt) == det_sign(problem.rho)] = loss_of(signed @ vt, problem)
    assert losses[True] < 1e-18
    assert losses[False] == pytest.approx(4 * problem.lambda_min) if rank == "full" else losses[False] < 1e-18
    if rank == "full":  # the best one of the wrong side is the twin
        assert float((signed @ vt - problem.rho.mT).norm()) == pytest.approx(2)


def test_reflection_changes_the_data_loss_by_four_lambda_and_maps_twin_to_target():
    problem = draw_problem(Cell(dimension=6, samples=18, bias=False, dtype="float64"))
    lam, v, w = problem.lambda_min, problem.weakest, torch.as_tensor(weakest_image(problem))
    reflect = torch.eye(6, dtype=F64) - 2 * torch.outer(v, v)
    assert float((on_path(problem, -1.0) @ reflect - problem.rho.mT).norm()) < 1e-12
    assert float((on_path(problem, -0.7) @ reflect - on_path(problem, 0.7)).norm()) < 1e-12
    # On the path the residual has one direction, w, and reflecting the rows along it is the same.
    other = (torch.eye(6, dtype=F64) - 2 * torch.outer(w, w)) @ on_path(problem, -0.7)
    assert float((other - on_path(problem, 0.7)).norm()) < 1e-12
    for seed in range(5):
        a = torch.randn(6, 6, generator=torch.Generator().manual_seed(seed), dtype=F64)
        assert loss_of(a @ reflect, problem) - loss_of(a, problem) == pytest.approx(4 * lam * float(w @ a @ v))


def test_relative_steps_keep_the_sign_of_the_determinant_inside_their_bound():
    generator = torch.Generator().manual_seed(4)
    eye = torch.eye(4, dtype=F64)
    for _ in range(500):
        w = torch.randn(4, 4, generator=generator, dtype=F64)
        k = 3 * torch.randn(4, 4, generator=generator, dtype=F64)
        s = w @ w.mT - eye
        rate = 0.999 / max(float(torch.linalg.eigvalsh(s)[-1]), 1e-3)
        assert det_sign((eye + (k - k.mT) - rate * s) @ w) == det_sign(w)
        # The flow's rate of change of log |det W| is -tr S: its skew part has no trace.
        drift = -(k - k.mT) @ w - s @ w
        ahead, here = (torch.linalg.slogdet(w + h * drift)[1] for h in (1e-7, -1e-7))
        assert float(ahead - here) / 2e-7 == pytest.approx(-float(s.trace()), rel=1e-3, abs=1e-3)


@pytest.mark.parametrize("n", [3, 4])
def test_widening_turns_the_trap_into_a_saddle(n):
    problem = draw_problem(Cell(dimension=n, samples=4 * n, bias=False, dtype="float64"))
    lam, v, eye = problem.lambda_min, problem.weakest, torch.eye(n, dtype=F64)
    losses = []
    for angle in np.linspace(math.pi, 0, 50):  # a rotation in the plane of (v, 0) and (0, e)
        plane = torch.zeros(2 * n, 2, dtype=F64)
        plane[:n, 0], plane[n, 1] = v, 1
        turn = torch.tensor(
            [[math.cos(angle) - 1, -math.sin(angle)], [math.sin(angle), math.cos(angle) - 1]], dtype=F64
        )
        wide = torch.block_diag(problem.rho.mT, eye) @ (torch.eye(2 * n, dtype=F64) + plane @ turn @ plane.mT)
        assert float((wide @ wide.mT - torch.eye(2 * n, dtype=F64)).norm()) < 1e-12
        losses.append(loss_of(wide[:n, :n], problem))
        assert losses[-1] == pytest.approx(lam * (1 - math.cos(angle)) ** 2, abs=1e-12)
    assert losses[0] == pytest.approx(4 * lam) and (np.diff(losses) < 0).all()

    def value(flat):
        wide = flat.reshape(2 * n, 2 * n)
        s = wide @ wide.mT - torch.eye(2 * n, dtype=F64)
        return (problem.x @ wide[:n, :n].mT - problem.x @ problem.rho).square().sum() + reg * s.square().sum()

    for factor in (1.1, 30):
        reg = factor * 2 * lam
        trap = torch.block_diag(on_path(problem, float(theory.trap_position(reg, lam))), eye).flatten()
        hessian = torch.autograd.functional.hessian(value, trap)
        assert float(torch.linalg.eigvalsh(hessian)[0]) == pytest.approx(-2 * lam)


def test_detached_plateau_by_monte_carlo():
    n, k = 60, 8
    sums = []
    for seed in range(40):
        problem = draw_problem(Cell(dimension=n, samples=k, bias=False, seed=seed, dtype="float64"))
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
    problem = draw_problem(Cell(dimension=n, samples=k, dtype="float64", determinant=determinant))
    nearest = problem.nearest
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
    cell = Cell(dimension=8, samples=k, bias=False, dtype="float64", determinant="mismatch", init="twin")
    problem = draw_problem(cell)
    bias = torch.zeros(8, dtype=F64)
    at_twin = measured_distances(problem.weight, bias, problem)
    assert at_twin["distance_twin"] == pytest.approx(0, abs=1e-12) and at_twin["distance_start"] == 0
    assert at_twin["sigma_min"] == pytest.approx(1) == at_twin["sigma_max"]
    at_target = measured_distances(problem.rho.mT.contiguous(), bias, problem)
    assert at_target["distance_twin"] == pytest.approx(2) and at_target["distance_l1"] == pytest.approx(0, abs=1e-12)
    assert at_target["distance_rho"] == pytest.approx(float((problem.rho.mT - problem.rho).norm()))
    if k < 8:
        assert at_target["mean_direction"] == pytest.approx(0, abs=1e-12)


def test_mean_direction_at_zero_loss_is_the_bias_over_the_outside_mean():
    # Zero loss with a bias ties the two: W x̄ + b = rhoᵀ x̄.
    problem = draw_problem(Cell(dimension=9, samples=4, dtype="float64"))
    outside = problem.mean_outside / problem.mean_outside.norm()
    shift = torch.randn(9, generator=torch.Generator().manual_seed(1), dtype=F64)
    w = problem.rho.mT + torch.outer(shift, outside)
    bias = -shift * problem.mean_outside.norm()
    x = problem.x[None]
    assert float(data_loss(w[None], bias[None], x, x @ problem.rho)) < 1e-20
    measured = measured_distances(w.contiguous(), bias, problem)["mean_direction"]
    assert measured == pytest.approx(float(bias.norm() / problem.mean_outside.norm()))


def test_predictions_are_the_problems_own_and_paired():
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


def test_predictions_of_traps_follow_penalty_and_method():
    axes = {
        "dimension": 6, "samples": 30, "bias": False, "reg": 50, "dtype": "float64",
        "penalty": ["l1", "coherence", "fro", "huber(delta=1)", "vonneumann", "offdiag"],
        "method": ["adam", "reflection", "riemannian_polar", "procrustes", "procrustes_side"],
    }  # fmt: skip
    config = check_config({"run": "x", "blocks": [{"name": "a", "axes": axes}]})
    table = predict_cells(config).set_index("key")
    problem = draw_problem(config.cells[0])
    lam, w = problem.lambda_min, weakest_image(problem)
    for cell in config.cells:
        row = table.loc[cell.key]
        assert row["w_max2"] == pytest.approx(np.square(w).max()) and row["w_l1"] == pytest.approx(np.abs(w).sum())
        trap = tuple(row[["trap_threshold", "trap_position", "trap_loss"]])
        if cell.method == "procrustes":
            assert trap[0] == math.inf and math.isnan(trap[1])
        elif cell.method in ("riemannian_polar", "procrustes_side"):
            assert trap == (0, -1, pytest.approx(4 * lam))
        else:
            name = cell.penalty.split("(")[0]
            law = theory.trap_threshold(name, lam, w, 1.0 if name == "huber" else math.inf)
            assert trap[0] == pytest.approx(law, nan_ok=True)
            # nan for offdiag, and where 50 is below the threshold.
            assert (trap[1] < 0 and trap[2] <= 4 * lam * (1 + 1e-12)) == (law < cell.reg)


@pytest.mark.parametrize("s", [-1.6, -1.0, -0.4, 0.0, 0.7, 1.0, 1.3])
def test_the_lifted_path_is_the_least_over_the_extra_row(s):
    reg, lam = 7.0, 1.3
    gram, target, v = np.diag([lam, 2.0, 5.0]), np.eye(4, 3), np.array([1.0, 0, 0])

    def loss(extra: float) -> float:
        tall = np.vstack([np.eye(3) - (1 - s) * np.outer(v, v), extra * v])
        return np.trace((tall - target) @ gram @ (tall - target).T) + reg * np.square(tall.T @ tall - np.eye(3)).sum()

    # The loss is quadratic in the square of the row.
    quadratic = np.polyfit([0.0, 1.0, 4.0], [loss(0.0), loss(1.0), loss(2.0)], 2)
    least = np.polyval(quadratic, np.linspace(0, 4, 400_001)).min()
    assert theory.path_loss(s, reg, lam, lifted=True) == pytest.approx(least, abs=1e-8)
    assert theory.path_loss(s, reg, lam) == pytest.approx(lam * (1 - s) ** 2 + reg * (1 - s**2) ** 2)
