"""Constrained methods and cures: formulas, invariants, what they reach, and rows that do not depend on the batch."""

import importlib.util
import math

import pytest
import torch

from orthogrid import constraints, plan, theory
from orthogrid.grid import AXES, ConfigError, make_cell, registered, spec_name
from orthogrid.identity import registry
from orthogrid.methods import METHODS
from orthogrid.problem import det_sign, draw_problem
from orthogrid.runner import train_cells
from orthogrid.train import Batch, _draw_all, learning_rate, shape_of, train_batch

CONSTRAINED = list(registry("constraints.py"))
CURES = list(registry("cures.py"))
CLOSED = ["procrustes", "procrustes_side"]
PARAMETRIZED = ["torch_exp", "torch_cayley", "torch_householder", "geotorch"]
RELATIVE = ["landing", "pogo", "riemannian_qr", "riemannian_polar"]
LIBRARIES = ["geotorch", "geoopt"]
F64 = {"dtype": "float64"}


def skip_without_library(method: str) -> None:
    if spec_name(method) in LIBRARIES:
        pytest.importorskip(spec_name(method))


@pytest.fixture(params=CONSTRAINED)
def method(request) -> str:
    skip_without_library(request.param)
    return request.param


def make_batch(*cells) -> Batch:
    """A batch of at least two, as the trainer makes it."""
    cells = list(cells) if len(cells) > 1 else [*cells, *cells]
    with torch.no_grad():
        return Batch(cells, _draw_all(cells), torch.device("cpu"))


def take_step(batch: Batch, t: int = 0) -> None:
    with torch.no_grad():
        batch.method.step(t)


def set_weight(batch: Batch, w: torch.Tensor) -> None:
    with torch.no_grad():
        batch.weight.copy_(w.expand_as(batch.weight))


def no_data(monkeypatch, batch: Batch) -> None:
    """Steps without any gradient."""
    monkeypatch.setattr(batch, "compute_gradient", lambda **_: batch.grad.zero_())


def near_orthogonal(n: int, size: float = 0.1) -> torch.Tensor:
    generator = torch.Generator().manual_seed(n)
    q = torch.linalg.qr(torch.randn(n, n, generator=generator, dtype=torch.float64)).Q
    return q @ (torch.eye(n, dtype=torch.float64) + size * torch.randn(n, n, generator=generator, dtype=torch.float64))


def residual(w: torch.Tensor) -> float:
    return float((w @ w.mT - torch.eye(w.shape[-1], dtype=w.dtype)).norm())


def rows(cells):
    """Results without the time they took."""
    return [
        repr(({k: v for k, v in r.row.items() if not k.startswith("seconds")}, r.trace)) for r in train_batch(cells)
    ]


# ---- Constraint, start, determinant ----

# Largest ‖WWᵀ - I‖_F over a run at lr 0.01: exact ones to rounding, the others within what one step takes away.
DEVIATION = {"landing": 0.6, "pogo": 1e-4, "newton_schulz": 0.2, "parseval": 8.0}


@pytest.mark.parametrize("n", [5, 8])
def test_constraint_holds_over_a_run_from_both_signs(method, n):
    slow = issubclass(METHODS[method], constraints.PerCell)
    cells = [
        make_cell(
            method=method, dimension=n, samples=2 * n, determinant=d, steps=60 if slow else 200, lr=0.01, seed=1, **F64
        )
        for d in ("match", "mismatch")
    ]
    assert {det_sign(draw_problem(c).weight) for c in cells} == {-1, 1}
    for cell, result in zip(cells, train_batch(cells), strict=True):
        start = det_sign(draw_problem(cell).weight)
        assert result.trace[0]["det_sign"] == start and result.trace[0]["orthogonality_fro"] < 1e-13
        assert max(line["orthogonality_fro"] for line in result.trace) < DEVIATION.get(method, 1e-11)
        if method not in ("procrustes", "newton_schulz", "parseval"):
            assert {line["det_sign"] for line in result.trace} == {start}


@pytest.mark.parametrize("name", sorted(set(CONSTRAINED) - set(CLOSED)))
def test_first_step_starts_at_the_start(name):
    # One step of Adam at a small rate moves no entry by more than the rate: no jump to another base point.
    skip_without_library(name)
    n, lr = 7, 1e-6
    for determinant in ("match", "mismatch"):
        cell = make_cell(method=name, dimension=n, samples=20, determinant=determinant, steps=1, lr=lr, **F64)
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
    cell = make_cell(
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
    cell = make_cell(method=name, dimension=6, samples=samples, **F64)
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
    cell = make_cell(method=name, dimension=6, samples=20, lr=1e-2, **F64)
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


@pytest.mark.parametrize("name, order", [("riemannian_qr", 2), ("riemannian_polar", 3), ("pogo", 3), ("torch_exp", 99)])
def test_retractions_agree_with_the_exponential(name, order):
    # QR to second order (error h²), the symmetric ones to third, the exponential itself always.
    errors = []
    for lr in (1e-2, 5e-3):
        cell = make_cell(method=name, dimension=6, samples=20, lr=lr, bias=False, **F64)
        start, batch = draw_problem(cell).weight, make_batch(cell)
        take_step(batch)
        if name == "torch_exp":
            generator = batch.weight[0] @ start.mT
            assert residual(generator) < 1e-13 and float(torch.linalg.det(generator)) == pytest.approx(1)
            return
        _, omega = tangent_step(cell)
        errors.append(float((batch.weight[0] - torch.linalg.matrix_exp(omega) @ start).norm()))
    assert math.log2(errors[0] / errors[1]) == pytest.approx(order, abs=0.3)


@pytest.mark.parametrize("name, function", [("qr", constraints._q_factor), ("polar", constraints._polar_factor)])
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
    batch = make_batch(make_cell(method=spec, dimension=w.shape[0], samples=3, lr=lr, **F64))
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
    cell = make_cell(method="landing(strength=3)", dimension=6, samples=20, lr=1e-2, **F64)
    batch, w = make_batch(cell), near_orthogonal(6)
    gradient = torch.randn(6, 6, dtype=torch.float64)
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
    batch = make_batch(make_cell(method=spec, dimension=6, samples=3, lr=0.05, **F64))
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
    cells = [make_cell(lr=lr, schedule=s, **settings) for lr in (0.01, 0.1) for s in ("constant", "cosine")]
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
            train_batch([make_cell(method=m, determinant=determinant, **settings)])[0]
            for m in ("geotorch", "torch_exp")
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
    cells = [
        make_cell(method=m, dimension=n, samples=samples, bias=bias, determinant=determinant, **F64) for m in CLOSED
    ]
    problem = draw_problem(cells[0])
    anywhere, on_side = (train_batch([cell])[0].row for cell in cells)
    assert anywhere["fit"] == pytest.approx(0, abs=1e-20) and anywhere["orthogonality_fro"] < 1e-13
    assert on_side["det_sign"] == det_sign(problem.weight) and on_side["orthogonality_fro"] < 1e-13
    wrong = determinant == "mismatch"
    assert on_side["fit"] == pytest.approx(float(theory.wrong_floor(problem.lambda_min)) * wrong, rel=1e-9, abs=1e-20)
    if samples > n:
        assert anywhere["distance"] == pytest.approx(0, abs=1e-10)
        assert on_side["distance"] == pytest.approx(theory.TWIN_DISTANCE * wrong, abs=1e-10)
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
    cell = make_cell(method="procrustes", dimension=4, samples=9, **F64)
    problem = draw_problem(cell)
    problem.rho = torch.randn(4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    batch = Batch([cell, cell], [problem, problem], torch.device("cpu"))
    take_step(batch)
    reached = data_loss(problem, batch.weight[0], True)
    fit = (problem.x @ batch.weight[0].mT + batch.bias[0] - problem.x @ problem.rho).square().sum()
    assert float(fit) == pytest.approx(float(reached))
    torch.manual_seed(2)
    assert reached < data_loss(problem, haar(4, 20000), True).min()
    small = 1e-3 * torch.randn(100, 4, 4, dtype=torch.float64)
    assert (data_loss(problem, torch.linalg.matrix_exp(small - small.mT) @ batch.weight[0], True) > reached).all()


# ---- Cures ----

TWIN = {"init": "twin", "determinant": "mismatch"}


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("inputs", ["uniform", "whitened"])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("n", [5, 8])
def test_reflection_takes_the_twin_to_the_target_in_one_move(n, bias, inputs, dtype):
    cell = make_cell(method="reflection", dimension=n, samples=3 * n, bias=bias, inputs=inputs, dtype=dtype, **TWIN)
    batch, problem = make_batch(cell), draw_problem(cell)
    batch.method.reflect()
    tolerance = 1e-10 if dtype == "float64" else 1e-3
    assert float((batch.weight[0] - problem.rho.mT).norm()) < tolerance
    # The whole loss falls, bias and all: a bias left behind would push the weight out of the target.
    assert float(batch.loss()[0]) < 1e-6


@pytest.mark.parametrize("bias", [True, False])
def test_reflection_at_half_time_frees_a_trapped_run(bias):
    settings = {"dimension": 8, "samples": 24, "penalty": "fro2", "reg": 50.0, "steps": 600, "lr": 3e-3, **TWIN, **F64}
    caught, freed = (
        train_batch([make_cell(method=m, schedule="cosine", bias=bias, **settings)])[0] for m in ("adam", "reflection")
    )
    assert caught.row["distance"] > 1.8 and freed.row["distance"] < 0.05
    half = next(i for i, line in enumerate(freed.trace) if line["step"] == 300)
    assert freed.trace[: half + 1] == caught.trace[: half + 1]  # not a step before half time


def test_reflection_leaves_a_run_that_is_right_alone():
    settings = {
        "dimension": 8,
        "samples": 24,
        "reg": 1.0,
        "inputs": "whitened",
        "steps": 300,
        "lr": 0.05,
        "schedule": "cosine",
        **F64,
    }
    plain, cured = (train_batch([make_cell(method=m, **settings)])[0] for m in ("adam", "reflection"))
    assert plain.row["distance"] < 0.1
    assert cured.trace == plain.trace


@pytest.mark.parametrize("bias", [True, False])
def test_reflection_never_raises_the_data_loss(bias):
    for seed in range(20):
        cell = make_cell(method="reflection", dimension=5, samples=4 + seed, seed=seed, bias=bias, **F64)
        batch = make_batch(cell)
        before = batch.measure()["fit"][0]
        batch.method.reflect()
        assert batch.measure()["fit"][0] <= before + 1e-12
        assert residual(batch.weight[0]) < 1e-13


def reflected_start(monkeypatch, cell, steps: int):
    """Plain Adam from the cell's start with its first row negated."""
    real = draw_problem

    def negated(c):
        problem = real(c)
        problem.weight[0].neg_()
        return problem

    with monkeypatch.context() as patched:
        patched.setattr("orthogrid.train.draw_problem", negated)
        return train_batch([make_cell(**{**cell.settings, "method": "adam", "steps": steps})])[0]


@pytest.mark.parametrize("steps", [120, 121])
@pytest.mark.parametrize("schedule", ["constant", "cosine"])
def test_restart_returns_the_better_of_two_runs(monkeypatch, steps, schedule):
    settings = {"dimension": 6, "samples": 18, "reg": 20.0, "lr": 0.01, "schedule": schedule, **F64}
    kept = set()
    for determinant in ("match", "mismatch"):
        cell = make_cell(method="restart", determinant=determinant, steps=steps, **settings)
        result = train_batch([cell])[0]
        first = train_batch([make_cell(determinant=determinant, steps=steps // 2, **settings)])[0]
        second = reflected_start(monkeypatch, cell, steps - steps // 2)
        losses = [r.row["fit"] + 20 * r.row["penalty_value"] for r in (first, second)]
        best = (first, second)[losses[1] < losses[0]]
        kept.add(best is first)
        for name in ("fit", "distance", "orthogonality_fro", "bias_norm"):
            assert result.row[name] == pytest.approx(best.row[name], rel=1e-7), name
    assert kept == {True, False}


def test_restart_prefers_a_finite_run_to_a_diverged_one():
    cell = make_cell(method="restart", dimension=4, samples=8, steps=10, **F64)
    for half in (0, 1):
        batch = make_batch(cell)
        for t in range(10):
            take_step(batch, t)
            if t in ((3, 4) if half == 0 else (7, 8)):  # within the first or the second run
                batch.weight.fill_(math.nan)
        assert torch.isfinite(batch.weight).all(), half


@pytest.mark.parametrize("spec, low", [("reg_ramp", 1e-4), ("reg_ramp(low=0.01)", 0.01)])
def test_reg_ramps_factor(monkeypatch, spec, low):
    cell = make_cell(method=spec, dimension=4, samples=8, reg=7.0, steps=100, **F64)
    batch = make_batch(cell)
    factors, real = {}, batch.compute_gradient

    def watched(reg_factor: float = 1.0, **others) -> None:
        factors[t] = reg_factor
        real(reg_factor=reg_factor, **others)

    monkeypatch.setattr(batch, "compute_gradient", watched)
    for t in range(100):
        take_step(batch, t)
    assert [factors[t] for t in (0, 25, 50, 51, 99)] == pytest.approx([low, math.sqrt(low), 1, 1, 1])
    assert factors[49] < 1 and sorted(factors.values()) == list(factors.values())
    # The factor scales the penalty alone.
    plain, reg = (torch.empty_like(batch.grad) for _ in "ab")
    with torch.no_grad():
        real(penalty=False)
        plain.copy_(batch.grad)
        real()
        reg.copy_(batch.grad - plain)
        real(reg_factor=0.25)
    torch.testing.assert_close(batch.grad, plain + reg / 4)


@pytest.mark.parametrize("schedule", ["constant", "cosine"])
@pytest.mark.parametrize("spec, factor", [("early_rate", 10), ("early_rate(factor=3)", 3)])
def test_early_rates_factor(spec, factor, schedule):
    cell = make_cell(method=spec, dimension=4, samples=8, lr=1e-3, steps=100, schedule=schedule)
    batch = make_batch(cell)
    for t in range(100):
        take_step(batch, t)
        expected = learning_rate(cell, t) * (factor if t < 25 else 1)
        assert batch.rates[0] == pytest.approx(expected)
        assert batch.optimizers[0].param_groups[0]["lr"] == pytest.approx(expected)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_widened_starts_at_the_cells_start(dtype):
    cell = make_cell(method="widened", dimension=5, samples=12, dtype=dtype)
    batch, problem = make_batch(cell), draw_problem(cell)
    wide = batch.method.wide[0]
    assert torch.equal(wide[:5, :5], problem.weight) and torch.equal(wide[5:, 5:], torch.eye(5, dtype=wide.dtype))
    for block in (wide[:5, 5:], wide[5:, :5]):
        assert float(block.std()) == pytest.approx(1e-3, rel=0.6) and block.abs().min() > 0


@pytest.mark.parametrize("steps", [1, 7, 8, 9, 80])
def test_widened_makes_an_eighth_of_the_steps(steps, monkeypatch):
    batch = make_batch(make_cell(method="widened", dimension=4, samples=8, steps=steps, reg=1.0))
    made, real = [], batch.update
    monkeypatch.setattr(batch, "update", lambda t: (made.append(t), real(t)))
    for t in range(steps):
        take_step(batch, t)
    assert made == list(range(0, steps, 8))
    assert {int(s["step"]) for o in batch.optimizers for s in o.state.values()} == {len(made)}
    assert torch.equal(batch.weight, batch.method.wide[:, :4, :4])


@pytest.mark.parametrize("samples", [3, 20])
@pytest.mark.parametrize("penalty", ["fro2", "l1", "logdet"])
def test_widened_gradient_is_autograds(penalty, samples):
    cell = make_cell(method="widened(noise=0.1)", penalty=penalty, dimension=4, samples=samples, reg=3.0, **F64)
    batch, problem = make_batch(cell), draw_problem(cell)
    leaf = batch.method.wide[0].clone().requires_grad_()
    bias = problem.bias.clone().requires_grad_()
    s = leaf @ leaf.mT - torch.eye(8, dtype=torch.float64)
    value = {
        "fro2": lambda: s.square().sum(),
        "l1": lambda: s.abs().sum(),
        "logdet": lambda: s.trace() - 2 * torch.linalg.slogdet(leaf)[1],
    }[penalty]()
    fit = (problem.x @ leaf[:4, :4].mT + bias - problem.x @ problem.rho).square().sum()
    expected, expected_bias = torch.autograd.grad(fit + 3 * value, (leaf, bias))
    take_step(batch)
    torch.testing.assert_close(batch.method.grad[0], expected)
    torch.testing.assert_close(batch.bias_grad[0], expected_bias)


def test_widened_recovers_a_mismatched_problem():
    settings = {"dimension": 4, "samples": 30, "reg": 30.0, "determinant": "mismatch", "lr": 0.01, "schedule": "cosine"}
    row = train_batch([make_cell(method="widened", steps=8000, **settings, **F64)])[0].row
    assert row["distance"] < 0.3 and row["det_sign"] == row["det_sign_target"]
    trapped = train_batch([make_cell(steps=1000, **settings, **F64)])[0].row
    assert trapped["distance"] > 1.5 and trapped["det_sign"] != row["det_sign_target"]


@pytest.mark.parametrize("penalty", ["none", "l1_detached", "fro2_detached"])
@pytest.mark.parametrize("name", CURES)
def test_a_cure_gives_no_gradient_to_a_penalty_without_one(name, penalty):
    settings = {"method": name, "dimension": 5, "samples": 4, "steps": 24, "lr": 0.01, **F64}
    rows_at = [train_batch([make_cell(penalty=penalty, reg=reg, **settings)])[0].row for reg in (100.0, 1e-3)]
    assert rows_at[0]["fit"] == rows_at[1]["fit"] and rows_at[0]["distance"] == rows_at[1]["distance"]


# ---- Rows whatever the batch, and cells whose numbers overflow ----


@pytest.mark.parametrize("name", [*CONSTRAINED, *CURES])
@pytest.mark.parametrize(
    "n, dtype, bias", [(5, "float32", True), (8, "float64", False), (20, "tf32", True), (24, "float32", False)]
)
def test_a_row_is_the_same_bits_whatever_the_batch(name, n, dtype, bias):
    skip_without_library(name)
    settings = {
        "method": name, "dimension": n, "samples": [n // 2, 2 * n][n % 8 == 0], "dtype": dtype, "bias": bias, "steps": 9
    }  # fmt: skip
    uses_reg = name in CURES
    cells = [
        make_cell(seed=seed, lr=lr, reg=reg, determinant=d, **settings)
        for seed, d in ((1, "match"), (2, "mismatch"))[: 1 if uses_reg else 2]
        for lr in ((1e-2, 1e-3) if name not in CLOSED else (1e-3,))
        for reg in ((1.0, 100.0) if uses_reg else (1.0,))
    ]
    together = rows(cells)
    assert rows(cells[::-1])[::-1] == together
    for i in range(0, len(cells), 3):
        assert rows([cells[i]]) == [together[i]]
    assert rows(cells[1:]) == together[1:]


@pytest.mark.parametrize("name", CURES)
def test_so_for_fresh_samples(name):
    settings = {"method": name, "sampling": "fresh", "dimension": 6, "samples": 5, "steps": 20}
    cells = [make_cell(reg=reg, determinant=d, **settings) for reg in (1, 10) for d in ("match", "mismatch")]
    together = rows(cells)
    assert rows([cells[2]]) == [together[2]] and rows(cells[::-1])[::-1] == together


@pytest.mark.parametrize("name", ["adam", *CURES, *sorted(set(CONSTRAINED) - set(CLOSED))])
def test_a_diverged_cell_leaves_its_neighbours_alone(name):
    skip_without_library(name)
    good, bad = (make_cell(method=name, dimension=6, samples=9, steps=16, lr=lr, reg=1.0) for lr in (1e-3, 1e30))
    results = train_batch([bad, good])
    assert results[0].row["status"] == "diverged" and results[1].row["status"] == "ok"
    assert rows([bad, good])[1] == rows([good])[0]


# ---- Libraries, names, canonical cells ----


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_missing_library_is_told_before_anything_trains(library, monkeypatch, tmp_path):
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == library else real(name, *rest))
    cells = [make_cell(dimension=4), make_cell(dimension=4, method=library)]
    with pytest.raises(ConfigError, match=f"pip install {library}"):
        plan.require_libraries(cells)
    plan.require_libraries(cells[:1])
    monkeypatch.setattr("orthogrid.runner.train_batch", lambda *_: pytest.fail("something trained"))
    with pytest.raises(ConfigError, match=library):
        train_cells("constraints-0", cells, tmp_path, device="cpu")


def test_libraries_are_the_methods_that_import_them():
    assert set(plan.LIBRARIES) == set(LIBRARIES) <= set(CONSTRAINED)


def test_names_in_the_plans_costs_exist():
    known = {*registered(AXES["penalty"]), *METHODS}
    assert set(plan.COST) <= known


def test_methods_have_shapes_of_their_own():
    settings = {"dimension": 4, "samples": 3}
    specs = ["adam", "landing", "landing(strength=0.1)", "reflection"]
    assert len({shape_of(make_cell(method=m, penalty="none", **settings)) for m in specs}) == len(specs)


@pytest.mark.parametrize("dtype", ["tf32", "bfloat16"])
def test_a_method_that_lacks_a_precision_is_refused_or_runs(method, dtype):
    # LAPACK knows no bfloat16: a library's method must be refused with the config, not crash its job midway.
    try:
        cell = make_cell(method=method, dimension=5, samples=9, steps=3, dtype=dtype)
    except ConfigError:
        return
    assert train_batch([cell])[0].row["status"] == "ok"
