"""Where a wrong-side minimum is and is not: the thresholds and trapped points against brute force."""

import math

import numpy as np
import pytest
import torch
from geometry import F64, haar, loss_of, minimise, on_path, weakest_image

from orthogrid.cells.cell import Cell
from orthogrid.cells.components import having
from orthogrid.numerics.problem import det_sign, draw_problem
from orthogrid.penalties import PENALTIES, find_penalty
from orthogrid.theory import forms as theory


@pytest.mark.parametrize("factor", [0.5, 0.95, 1.0])
def test_no_trap_below_the_boundary(factor):
    assert math.isnan(theory.trap_position(factor * 2.0, 1.0)) and math.isnan(theory.trap_loss(factor * 2.0, 1.0))
    # On the path the total loss then falls all the way from the twin to the target.
    s = np.linspace(-1, 1, 4001)
    total = (1 - s) ** 2 + factor * 2.0 * (1 - s**2) ** 2
    assert (np.diff(total) < 1e-12).all()


def test_logdet_trap_is_stationary_at_any_reg():
    for reg, lam in [(1e-3, 1.0), (1.0, 1.0), (50.0, 0.1)]:
        s = float(theory.trap_position(reg, lam, "logdet"))
        slope = -2 * lam * (1 - s) + reg * (2 * s - 2 / s)
        assert -1 < s < 0 and slope == pytest.approx(0, abs=1e-9)


def test_thresholds():
    w = np.array([0.6, 0.0, -0.8])
    assert theory.trap_threshold("fro2", 0.5) == theory.trap_threshold("nuclear", 0.5) == 1.0
    assert theory.trap_threshold("l1", 0.5, w) == pytest.approx(0.64)
    assert theory.trap_threshold("coherence", 0.5, w) == pytest.approx(1.96)
    assert theory.trap_threshold("logdet", 0.5) == 0
    assert all(math.isnan(theory.trap_threshold(name, 0.5)) for name in ("l1", "offdiag", "none", "something new"))
    assert theory.trap_threshold("huber", 0.5) == theory.trap_threshold("huber", 0.5, w, delta=0.48) == 2.0
    # Far inside the linear part Huber is delta · l1.
    assert 1e-4 * theory.trap_threshold("huber", 0.5, w, 1e-4) == pytest.approx(0.64, rel=1e-3)


def test_every_registered_penalty_has_a_threshold_or_a_reason():
    w = np.array([0.6, 0.8])
    unknown = {
        name for name in having("penalty", attached=True) if math.isnan(theory.trap_threshold(name, 1.0, w, 0.01))
    }
    assert unknown == {"offdiag"}


SPECTRAL = ("fro2", "spectral2", "vonneumann")
NORMS = ("l1", "fro", "spectral", "nuclear", "coherence", "row_sum")


def full_objective(w, problem, penalty, reg):
    s = w @ w.mT - torch.eye(len(w), dtype=F64)
    chosen, options = find_penalty(penalty)
    data = (problem.x @ w.mT - problem.x @ problem.rho).square().sum()
    return data + reg * chosen(s[None], **options)[0]


@pytest.mark.parametrize("penalty", SPECTRAL)
def test_threshold_by_brute_force_on_the_path(penalty):
    m = np.linspace(1e-5, 1, 20001)
    values = PENALTIES[penalty](torch.tensor(m**2 - 1)[:, None, None]).numpy()
    low, high = 0.1, 10.0
    for _ in range(40):
        reg = (low + high) / 2
        slope = np.diff(
            (1 + m) ** 2 + reg * values
        )  # rising somewhere towards -s = m = 1: no minimum before it if never falling
        low, high = (low, reg) if (slope < 0).any() else (reg, high)
    assert reg == pytest.approx(theory.trap_threshold(penalty, 1.0), rel=1e-3)
    for factor in (1.05, 2, 50):
        reg = factor * theory.trap_threshold(penalty, 1.0)
        total = (1 + m) ** 2 + reg * values
        position = -float(theory.trap_position(reg, 1.0, penalty))
        start = np.searchsorted(m, {"vonneumann": theory.VON_NEUMANN_POSITION}.get(penalty, 0.5))
        assert m[start + total[start:].argmin()] == pytest.approx(position, abs=2e-4)


@pytest.mark.parametrize("n", [4, 5])
@pytest.mark.parametrize("factor", [1.05, 100])
@pytest.mark.parametrize("penalty", [*SPECTRAL, "logdet"])
def test_spectral_traps_are_strict_minima_in_the_full_space(penalty, factor, n):
    problem = draw_problem(Cell(dimension=n, samples=3 * n, bias=False, dtype="float64"))
    lam = problem.lambda_min
    reg = factor * (theory.trap_threshold(penalty, lam) or 0.3 * lam)
    w = on_path(problem, float(theory.trap_position(reg, lam, penalty)))
    assert loss_of(w, problem) == pytest.approx(float(theory.trap_loss(reg, lam, penalty)))
    assert loss_of(w, problem) < 4 * lam and det_sign(w) == -det_sign(problem.rho)
    # Second differences: derivatives of eigenvectors do not exist where eigenvalues of S are equal.
    step, axes = 1e-4, torch.eye(n * n, dtype=F64).reshape(n * n, n, n)

    def value(shift):
        return float(full_objective(w + shift, problem, penalty, reg))

    gradient = [(value(1e-6 * e) - value(-1e-6 * e)) / 2e-6 for e in axes]
    assert max(map(abs, gradient)) < 1e-5 * max(reg, lam)
    hessian = np.zeros((n * n, n * n))
    for i, e in enumerate(axes):
        for j, f in enumerate(axes[: i + 1]):
            corners = value(step * (e + f)) - value(step * (e - f)) - value(step * (f - e)) + value(-step * (e + f))
            hessian[i, j] = hessian[j, i] = corners / (4 * step**2)
    assert np.linalg.eigvalsh(hessian)[0] > 1e-3 * lam


@pytest.mark.parametrize("n", [6, 7])
@pytest.mark.parametrize("factor", [0.95, 1.05])
@pytest.mark.parametrize("penalty", [*SPECTRAL, "huber(delta=1)"])
def test_quasi_newton_from_the_twin_stays_above_the_threshold_only(penalty, factor, n):
    problem = draw_problem(
        Cell(dimension=n, samples=3 * n, bias=False, dtype="float64", init="twin", determinant="mismatch")
    )
    name, lam = penalty.split("(")[0], problem.lambda_min
    delta = 1.0 if name == "huber" else math.inf
    reg = factor * theory.trap_threshold(name, lam, weakest_image(problem), delta)
    noise = torch.randn(n, n, generator=torch.Generator().manual_seed(3), dtype=F64)
    w = minimise(lambda w: full_objective(w, problem, penalty, reg), problem.weight + 1e-3 * noise)
    assert (det_sign(w) == det_sign(problem.rho)) == (factor < 1)
    expected = theory.trap_loss(reg, lam, name, weakest_image(problem), delta) if factor > 1 else 0.0
    assert loss_of(w, problem) == pytest.approx(float(expected), rel=1e-3, abs=1e-5 * lam)


@pytest.mark.parametrize("penalty", ["fro", "nuclear"])
def test_spectral_norms_hold_no_wrong_start_below_the_threshold(penalty):
    n = 3
    problem = draw_problem(Cell(dimension=n, samples=9, bias=False, dtype="float64"))
    reg, generator = 0.9 * 2 * problem.lambda_min, torch.Generator().manual_seed(5)

    def smoothed(w):
        s = w @ w.mT - torch.eye(n, dtype=F64)
        size = s.square().sum() + 1e-4 if penalty == "fro" else (torch.linalg.eigvalsh(s).square() + 1e-4)
        return (problem.x @ w.mT - problem.x @ problem.rho).square().sum() + reg * size.sqrt().sum()

    for _ in range(4):
        start = haar(n, generator) + 0.1 * torch.randn(n, n, generator=generator, dtype=F64)
        start[0] *= -det_sign(start) * det_sign(problem.rho)
        w = minimise(smoothed, start, 400)
        assert det_sign(w) == det_sign(problem.rho) and loss_of(w, problem) < 1e-2 * problem.lambda_min


def attaining(penalty, w):
    """A symmetric S with ‖S‖ = 1 and wᵀSw the dual norm of wwᵀ."""
    w = torch.as_tensor(w)
    if penalty == "l1":
        return torch.diag(torch.nn.functional.one_hot(w.abs().argmax(), len(w)).to(F64))
    if penalty == "coherence":
        return torch.outer(w.sign(), w.sign())
    return torch.outer(w, w) if penalty in ("fro", "nuclear") else torch.eye(len(w), dtype=F64)


@pytest.mark.parametrize("n", [2, 5, 12])
@pytest.mark.parametrize("penalty", NORMS)
def test_dual_norms_are_attained_and_never_exceeded(penalty, n):
    generator = torch.Generator().manual_seed(n)
    w = haar(n, generator)[0]
    law = theory.dual_norm(penalty, w.numpy())
    best = attaining(penalty, w)
    assert float(PENALTIES[penalty](best[None])[0]) == pytest.approx(1)
    assert float(w @ best @ w) == pytest.approx(law)
    scale = 10 ** torch.empty(4000, 1, 1, dtype=F64).uniform_(-3, 2, generator=generator)
    noise = torch.randn(4000, n, n, generator=generator, dtype=F64) * scale
    for s in (noise + noise.mT, best + (noise + noise.mT)):
        assert float(((w @ s @ w) / PENALTIES[penalty](s)).max()) <= law * (1 + 1e-9)


@pytest.mark.parametrize("n", [4, 5, 12])
@pytest.mark.parametrize("penalty", NORMS)
def test_dual_norm_law_at_the_twin(penalty, n):
    problem = draw_problem(Cell(dimension=n, samples=3 * n, bias=False, dtype="float64"))
    lam, twin, w = problem.lambda_min, on_path(problem, -1.0), weakest_image(problem)
    threshold = theory.trap_threshold(penalty, lam, w)
    # S = -t times the attaining matrix, to first order.
    direction = -attaining(penalty, w) @ twin / 2
    slopes = [
        (float(full_objective(twin + 1e-5 * direction, problem, penalty, factor * threshold)) - 4 * lam) / 1e-5
        for factor in (0.95, 1.05)
    ]
    assert slopes[0] < 0 < slopes[1] and slopes[1] == pytest.approx(0.05 * threshold, rel=0.05)
    generator = torch.Generator().manual_seed(n)
    for scale in (1e-5, 1e-4, 1e-3):
        for _ in range(150):
            shift = scale * torch.randn(n, n, generator=generator, dtype=F64)
            for near in (twin + shift, twin + shift + scale * direction):
                assert float(full_objective(near, problem, penalty, 1.05 * threshold)) > 4 * lam


def test_generic_sizes_by_monte_carlo():
    generator = np.random.default_rng(0)
    for n in (30, 500):
        w = generator.standard_normal((2000, n))
        w /= np.linalg.norm(w, axis=1, keepdims=True)
        largest = (
            2 * math.log(n) - math.log(math.log(n)) - math.log(math.pi) + 2 * np.euler_gamma
        )  # of n squared normals, Gumbel's mean
        assert np.square(w).max(1).mean() == pytest.approx(largest / n, rel=0.02)
        assert np.square(np.abs(w).sum(1)).mean() == pytest.approx(1 + (n - 1) * 2 / math.pi, rel=0.01)


def test_huber_trap_is_that_of_half_a_sum_of_squares_where_it_fits():
    problem = draw_problem(Cell(dimension=6, samples=18, bias=False, dtype="float64"))
    lam, w = problem.lambda_min, weakest_image(problem)
    for share in (0.2, 0.6, 0.9):
        delta = share * float(np.square(w).max())
        reg = 1.001 * theory.trap_threshold("huber", lam, w, delta)
        s = float(theory.trap_position(reg, lam, "huber", w, delta))
        point = on_path(problem, s).requires_grad_()
        full_objective(point, problem, f"huber(delta={delta})", reg).backward()
        assert float(point.grad.norm()) < 1e-8 * reg
        inside = (1 - s**2) * float(np.square(w).max()) / delta
        assert inside < 1 and (share > 3 / 4 or inside > 0.99)
        assert s == pytest.approx(float(theory.trap_position(reg / 2, lam)))


@pytest.mark.parametrize("n", [5, 6])
def test_offdiag_lets_go_of_the_twin(n):
    problem = draw_problem(Cell(dimension=n, samples=3 * n, bias=False, dtype="float64"))
    lam, twin, w = problem.lambda_min, on_path(problem, -1.0), weakest_image(problem)
    for i in range(n):
        scale = torch.ones(n, 1, dtype=F64)
        scale[i] = 1 - 1e-6
        shrunk = scale * twin
        assert float(PENALTIES["offdiag"]((shrunk @ shrunk.mT - torch.eye(n, dtype=F64))[None])[0]) < 1e-20
        assert (loss_of(shrunk, problem) - 4 * lam) / 1e-6 == pytest.approx(-4 * lam * w[i] ** 2, rel=1e-3, abs=1e-4)
    white = draw_problem(Cell(dimension=n, samples=3 * n, bias=False, dtype="float64", inputs="whitened"))
    noise = 1e-3 * torch.randn(n, n, generator=torch.Generator().manual_seed(1), dtype=F64)
    start = on_path(white, -1.0) + noise
    w = minimise(lambda w: full_objective(w, white, "offdiag", 100 * white.lambda_min), start)
    assert det_sign(w) == det_sign(white.rho) and loss_of(w, white) < 1e-6 * white.lambda_min
