"""Constrained methods: formulas, invariants, and what they reach."""

import math

import pytest
import torch
from stepping import (
    CLOSED,
    CONSTRAINED,
    F64,
    RELATIVE,
    make_batch,
    near_orthogonal,
    no_data,
    residual,
    set_weight,
    skip_without_library,
    take_step,
)

from orthogrid.cells.cell import Cell
from orthogrid.methods import factors, make_method
from orthogrid.methods.base import METHODS
from orthogrid.methods.batch import Batch, learning_rate
from orthogrid.methods.library import Library
from orthogrid.numerics.problem import det_sign, draw_problem
from orthogrid.theory import forms as theory
from orthogrid.training.train import train_batch


@pytest.fixture(params=CONSTRAINED)
def method(request) -> str:
    skip_without_library(request.param)
    return request.param


# ---- Constraint, start, determinant ----

# Largest ‖WWᵀ - I‖_F over a run at lr 0.01: exact ones to rounding, the others within what one step takes away.
DEVIATION = {"landing": 0.6, "pogo": 1e-4, "newton_schulz": 0.2, "parseval": 8.0}


@pytest.mark.parametrize("n", [5, 8])
def test_constraint_holds_over_a_run_from_both_signs(method, n):
    slow = issubclass(METHODS[method], Library)
    cells = [
        Cell(
            method=method, dimension=n, samples=2 * n, determinant=d, steps=60 if slow else 200, lr=0.01, seed=1, **F64
        )
        for d in ("match", "mismatch")
    ]
    assert {det_sign(draw_problem(c).weight) for c in cells} == {-1, 1}
    for cell, result in zip(cells, train_batch(cells), strict=True):
        start = det_sign(draw_problem(cell).weight)
        assert result.trace[0]["det_sign"] == start and result.trace[0]["orthogonality_fro"] < 1e-13
        bound = result.trace[-1:] if method == "polar" else result.trace  # which is orthogonal at its end
        assert max(line["orthogonality_fro"] for line in bound) < DEVIATION.get(method, 1e-11)
        if method not in ("procrustes", "newton_schulz", "parseval", "polar"):
            assert {line["det_sign"] for line in result.trace} == {start}


@pytest.mark.parametrize("name", sorted(set(CONSTRAINED) - set(CLOSED)))
def test_first_step_starts_at_the_start(name):
    # One step of Adam at a small rate moves no entry by more than the rate: no jump to another base point.
    skip_without_library(name)
    n, lr = 7, 1e-6
    for determinant in ("match", "mismatch"):
        cell = Cell(method=name, dimension=n, samples=20, determinant=determinant, steps=1, lr=lr, **F64)
        batch, start = make_batch(cell), draw_problem(cell).weight
        assert torch.equal(batch.weight[0], start)
        take_step(batch)
        moved = float((batch.weight[0] - start).norm())
        assert 0.05 * n * lr < moved <= 2.1 * n * lr
        if name == "geoopt":  # scaled by the whole gradient's norm, it is given the length that Adam's has
            assert moved == pytest.approx(n * lr, rel=0.01)


@pytest.mark.parametrize("name", sorted(set(CONSTRAINED) - set(CLOSED)))
def test_fit_and_orthogonality_are_reached_where_they_can_be(name):
    skip_without_library(name)
    cell = Cell(
        method=name, dimension=6, samples=30, inputs="whitened", steps=200, lr=0.05, schedule="cosine", seed=4, **F64
    )  # fmt: skip
    result = train_batch([cell])[0]
    start, end = result.trace[0], result.row
    assert end["distance"] < 0.2 * start["distance"] and end["fit"] < 0.05 * start["fit"]
    assert end["orthogonality_fro"] < 1e-2


# ---- Formulas of the relative methods ----


def riemannian_gradient(cell, w: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    """The Euclidean gradient by autograd, projected on the tangent space of O(n) at W: ∇f - W sym(Wᵀ∇f)."""
    problem = draw_problem(cell)
    leaf = w.clone().requires_grad_()
    loss = (problem.x @ leaf.mT + bias - problem.x @ problem.rho).square().sum()
    (euclidean,) = torch.autograd.grad(loss, leaf)
    inner = w.mT @ euclidean
    return euclidean - w @ (inner + inner.mT) / 2


@pytest.mark.parametrize("samples", [4, 20])  # by residuals, and through the Gram matrix
@pytest.mark.parametrize("name", RELATIVE)
def test_relative_gradient_is_the_riemannian_gradient(name, samples, monkeypatch):
    cell = Cell(method=name, dimension=6, samples=samples, **F64)
    batch, problem = make_batch(cell), draw_problem(cell)
    seen = []
    monkeypatch.setattr(batch, "update", lambda t: seen.append(batch.grad.clone()))
    take_step(batch)
    torch.testing.assert_close(seen[0][0], riemannian_gradient(cell, problem.weight, problem.bias))


def tangent_step(cell) -> tuple[torch.Tensor, torch.Tensor]:
    """(I + Omega) W and Omega of the first step: Adam's is -lr sign(gradient), made tangent again."""
    problem = draw_problem(cell)
    w = problem.weight
    delta = -cell.lr * riemannian_gradient(cell, w, problem.bias).sign()
    omega = (delta @ w.mT - w @ delta.mT) / 2
    return w + omega @ w, omega


@pytest.mark.parametrize("name", RELATIVE)
def test_first_step_of_a_relative_method_is_its_formula(name):
    cell = Cell(method=name, dimension=6, samples=20, lr=1e-2, **F64)
    batch = make_batch(cell)
    take_step(batch)
    moved, _ = tangent_step(cell)
    eye = torch.eye(6, dtype=torch.float64)
    u, _, vt = torch.linalg.svd(moved)
    # Gram-Schmidt by Cholesky: AᵀA = RᵀR with a positive diagonal.
    factor = torch.linalg.cholesky(moved.mT @ moved).mT
    expected = {
        "landing": moved,  # the start is orthogonal: no pull
        "pogo": (3 * eye - moved @ moved.mT) @ moved / 2,
        "riemannian_polar": u @ vt,
        "riemannian_qr": moved @ torch.linalg.inv(factor),
    }[name]
    torch.testing.assert_close(batch.weight[0], expected, rtol=0, atol=1e-7)


@pytest.mark.slow
def test_pogo_by_hand_steps_as_its_library_does(monkeypatch):
    """Both are given plain gradient steps of the data loss, on a weight that is orthogonal at the start only."""
    library = pytest.importorskip("pogo.pogo")
    from pogo.base import SGD

    cell = Cell(method="pogo", dimension=6, samples=4, lr=1e-3, bias=False, **F64)
    batch, problem = make_batch(cell), draw_problem(cell)
    weight = torch.nn.Parameter(problem.weight[None].clone())
    optimizer = library.POGO([weight], SGD(), lr=cell.lr)
    monkeypatch.setattr(batch, "update", lambda t: batch.whole.weight.sub_(batch.whole.grad, alpha=cell.lr))
    method = make_method(batch)
    for t in range(20):
        loss = (problem.x @ weight[0].mT - problem.targets).square().sum()
        (weight.grad,) = torch.autograd.grad(loss, weight)
        optimizer.step()
        with torch.no_grad():
            method.step(t)
        torch.testing.assert_close(batch.weight[0], weight.detach()[0], rtol=0, atol=1e-9)
    assert float((weight[0].detach() - problem.weight).norm()) > 0.05


@pytest.mark.parametrize("name, order", [("riemannian_qr", 2), ("riemannian_polar", 3), ("pogo", 3), ("torch_exp", 99)])
def test_retractions_agree_with_the_exponential(name, order):
    # QR to second order (error h²), the symmetric ones to third, the exponential itself always.
    errors = []
    for lr in (1e-2, 5e-3):
        cell = Cell(method=name, dimension=6, samples=20, lr=lr, bias=False, **F64)
        start, batch = draw_problem(cell).weight, make_batch(cell)
        take_step(batch)
        if name == "torch_exp":
            generator = batch.weight[0] @ start.mT
            assert residual(generator) < 1e-13 and float(torch.linalg.det(generator)) == pytest.approx(1)
            return
        _, omega = tangent_step(cell)
        errors.append(float((batch.weight[0] - torch.linalg.matrix_exp(omega) @ start).norm()))
    assert math.log2(errors[0] / errors[1]) == pytest.approx(order, abs=0.3)


@pytest.mark.parametrize("name, function", [("qr", factors.q_factor), ("polar", factors.polar_factor)])
def test_factors_are_their_definitions(name, function):
    a = near_orthogonal(7, 0.3)
    q = function(a)
    assert residual(q) < 1e-13
    rest = q.mT @ a
    if name == "qr":
        assert rest.tril(-1).abs().max() < 1e-13 and rest.diagonal().min() > 0
    else:
        torch.testing.assert_close(rest, rest.mT)
        assert torch.linalg.eigvalsh(rest).min() > 0


def corrected(monkeypatch, spec: str, w: torch.Tensor, lr: float = 1e-2) -> torch.Tensor:
    """A step of a method at W with no data gradient."""
    batch = make_batch(Cell(method=spec, dimension=w.shape[0], samples=3, lr=lr, **F64))
    set_weight(batch, w)
    no_data(monkeypatch, batch)
    take_step(batch)
    return batch.weight[0].clone()


@pytest.mark.parametrize("n", [5, 8])
def test_corrections_are_their_formulas(monkeypatch, n):
    w = near_orthogonal(n)
    cubic = w @ w.mT @ w
    formulas = {
        "newton_schulz": (3 * w - cubic) / 2,
        "pogo": (3 * w - cubic) / 2,
        "parseval": 1.01 * w - 0.01 * cubic,
        "parseval(beta=0.2)": 1.2 * w - 0.2 * cubic,
        "landing": w - 0.01 * (cubic - w),
        "landing(strength=5)": w - 0.05 * (cubic - w),
    }
    for spec, expected in formulas.items():
        torch.testing.assert_close(corrected(monkeypatch, spec, w), expected, rtol=0, atol=1e-13, msg=spec)


def test_landings_field_with_a_data_gradient(monkeypatch):
    # W ← (I + Omega) W - lr strength (WWᵀ - I) W, all at the W where the step began.
    cell = Cell(method="landing(strength=3)", dimension=6, samples=20, lr=1e-2, **F64)
    batch, w = make_batch(cell), near_orthogonal(6)
    gradient = torch.randn(6, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)  # none near 0
    set_weight(batch, w)
    monkeypatch.setattr(batch, "compute_gradient", lambda: batch.grad.copy_(gradient.expand_as(batch.grad)))
    take_step(batch)
    skew = (gradient @ w.mT - w @ gradient.mT) / 2
    delta = -1e-2 * (skew @ w).sign()
    omega = (delta @ w.mT - w @ delta.mT) / 2
    expected = w + omega @ w - 1e-2 * 3 * (w @ w.mT - torch.eye(6, dtype=torch.float64)) @ w
    torch.testing.assert_close(batch.weight[0], expected, rtol=0, atol=1e-7)


@pytest.mark.parametrize("spec", ["landing", "landing(strength=10)", "parseval", "newton_schulz", "pogo"])
def test_pull_restores_orthogonality(monkeypatch, spec):
    batch = make_batch(Cell(method=spec, dimension=6, samples=3, lr=0.05, **F64))
    set_weight(batch, near_orthogonal(6))
    no_data(monkeypatch, batch)
    before = [residual(batch.weight[0])]
    for t in range(150):
        take_step(batch, t)
        before.append(residual(batch.weight[0]))
    assert all(b <= a or b < 1e-13 for a, b in zip(before, before[1:], strict=False))
    # ‖S‖ shrinks by about 1 - 2 · pull a step.
    pull = {"landing": 0.05, "landing(strength=10)": 0.5, "parseval": 0.01}.get(spec, 0.5)
    assert before[-1] < before[0] * max(3 * math.exp(-2 * pull * 150), 1e-12)


def test_landing_uses_each_cells_own_rate_and_schedule(monkeypatch):
    settings = {"method": "landing", "dimension": 5, "samples": 3, "steps": 40, **F64}
    cells = [Cell(lr=lr, schedule=s, **settings) for lr in (0.01, 0.1) for s in ("constant", "cosine")]
    batch, w = make_batch(*cells), near_orthogonal(5)
    set_weight(batch, w)
    no_data(monkeypatch, batch)
    take_step(batch, 25)
    for i, cell in enumerate(cells):
        expected = w - learning_rate(cell, 25) * (w @ w.mT @ w - w)
        torch.testing.assert_close(batch.weight[i], expected, rtol=0, atol=1e-13)


def test_geotorch_is_torchs_exponential():
    # The same trivialization at the start: two libraries, one method.
    pytest.importorskip("geotorch")
    settings = {"dimension": 7, "samples": 20, "steps": 60, "lr": 0.01, **F64}
    for determinant in ("match", "mismatch"):
        a, b = (
            train_batch([Cell(method=m, determinant=determinant, **settings)])[0] for m in ("geotorch", "torch_exp")
        )
        for line, other in zip(a.trace, b.trace, strict=True):
            assert line["fit"] == pytest.approx(other["fit"], rel=1e-9)
            assert line["distance"] == pytest.approx(other["distance"], rel=1e-9)


# ---- Procrustes ----


def data_loss(problem, w: torch.Tensor, bias: bool) -> torch.Tensor:
    """Data loss of weights (..., n, n), the bias at its optimum."""
    difference = problem.x.double() @ (w - problem.rho.double().mT).mT
    return (difference - difference.mean(-2, keepdim=True) if bias else difference).square().sum((-2, -1))


def haar(n: int, count: int) -> torch.Tensor:
    """Orthogonal matrices of both determinants (LAPACK's Q alone has one)."""
    q = torch.linalg.qr(torch.randn(count, n, n, dtype=torch.float64)).Q
    q[::2, 0] *= -1
    return q


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("n, samples", [(2, 5), (3, 7), (6, 4), (6, 30), (7, 30)])
@pytest.mark.parametrize("determinant", ["match", "mismatch"])
def test_procrustes_attains_the_least_data_loss(n, samples, bias, determinant):
    torch.manual_seed(n)
    cells = [Cell(method=m, dimension=n, samples=samples, bias=bias, determinant=determinant, **F64) for m in CLOSED]
    problem = draw_problem(cells[0])
    anywhere, on_side = (train_batch([cell])[0].row for cell in cells)
    assert anywhere["fit"] == pytest.approx(0, abs=1e-20) and anywhere["orthogonality_fro"] < 1e-13
    assert on_side["det_sign"] == det_sign(problem.weight) and on_side["orthogonality_fro"] < 1e-13
    wrong = determinant == "mismatch"
    assert on_side["fit"] == pytest.approx(float(theory.wrong_floor(problem.lambda_min)) * wrong, rel=1e-9, abs=1e-20)
    if samples > n:
        assert anywhere["distance"] == pytest.approx(0, abs=1e-10)
        assert on_side["distance"] == pytest.approx(2 * wrong, abs=1e-10)
    rivals = haar(n, 4000)
    rivals = rivals[torch.linalg.det(rivals).sign() == det_sign(problem.weight)]
    if n == 2:  # all of the side
        angle = torch.linspace(0, 2 * math.pi, 20001, dtype=torch.float64)
        rivals = torch.stack([angle.cos(), -angle.sin(), angle.sin(), angle.cos()], -1).view(-1, 2, 2)
        rivals = rivals * torch.tensor([1.0, det_sign(problem.weight)], dtype=torch.float64)
    best = data_loss(problem, rivals, bias).min()
    assert on_side["fit"] <= best + 1e-12
    if n == 2:
        assert float(best) == pytest.approx(on_side["fit"], rel=1e-4, abs=1e-4)


def test_procrustes_with_a_target_out_of_reach(monkeypatch):
    # rho not orthogonal: the cross-covariance has a nontrivial SVD, and transposes and centring show.
    cell = Cell(method="procrustes", dimension=4, samples=9, **F64)
    problem = draw_problem(cell)
    problem.rho = torch.randn(4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    batch = Batch([cell, cell], [problem, problem], torch.device("cpu"))
    batch.method = make_method(batch)
    take_step(batch)
    reached = data_loss(problem, batch.weight[0], True)
    fit = (problem.x @ batch.weight[0].mT + batch.bias[0] - problem.x @ problem.rho).square().sum()
    assert float(fit) == pytest.approx(float(reached))
    torch.manual_seed(2)
    assert reached < data_loss(problem, haar(4, 20000), True).min()
    small = 1e-3 * torch.randn(100, 4, 4, dtype=torch.float64)
    assert (data_loss(problem, torch.linalg.matrix_exp(small - small.mT) @ batch.weight[0], True) > reached).all()


def test_a_nearly_orthogonal_weight_has_a_polar_factor_where_lapack_fails(monkeypatch):
    """In float32 its singular value decomposition may not converge: seen at dimension 500."""
    real = torch.linalg.svd

    def failing(a, *args, **options):
        if a.dtype == torch.float32:
            raise torch.linalg.LinAlgError("did not converge")
        return real(a, *args, **options)

    w = near_orthogonal(6, 1e-3).float()
    expected = factors.polar_factor(w)
    monkeypatch.setattr(torch.linalg, "svd", failing)
    found = factors.polar_factor(w)
    assert found.dtype == torch.float32 and float((found - expected).norm()) < 1e-5
