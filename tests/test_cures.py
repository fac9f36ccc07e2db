"""Cures: what each does to a run, and to one that needs none."""

import math

import pytest
import torch
from stepping import CURES, F64, make_batch, residual, take_step

from orthogrid.cells.cell import Cell
from orthogrid.numerics.problem import draw_problem
from orthogrid.training.train import train_batch

TWIN = {"init": "twin", "determinant": "mismatch"}


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("inputs", ["uniform", "whitened"])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("n", [5, 8])
def test_reflection_takes_the_twin_to_the_target_in_one_move(n, bias, inputs, dtype):
    cell = Cell(method="reflection", dimension=n, samples=3 * n, bias=bias, inputs=inputs, dtype=dtype, **TWIN)
    batch, problem = make_batch(cell), draw_problem(cell)
    batch.method.reflect()
    tolerance = 1e-10 if dtype == "float64" else 1e-3
    assert float((batch.weight[0] - problem.rho.mT).norm()) < tolerance
    # The data loss falls, bias and all: a bias left behind would push the weight out of the target.
    assert float(batch.measure()["fit"][0]) < 1e-6


@pytest.mark.parametrize("bias", [True, False])
def test_reflection_at_half_time_frees_a_trapped_run(bias):
    settings = {"dimension": 8, "samples": 24, "penalty": "fro2", "reg": 50.0, "steps": 1000, "lr": 3e-3, **TWIN, **F64}
    caught, freed = (
        train_batch([Cell(method=m, schedule="cosine", bias=bias, **settings)])[0] for m in ("adam", "reflection")
    )
    assert caught.row["distance"] > 1.8 and freed.row["distance"] < 0.05
    half = next(i for i, line in enumerate(freed.trace) if line["step"] == 500)
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
    plain, cured = (train_batch([Cell(method=m, **settings)])[0] for m in ("adam", "reflection"))
    assert plain.row["distance"] < 0.1
    assert cured.trace == plain.trace


@pytest.mark.parametrize("bias", [True, False])
def test_reflection_never_raises_the_data_loss(bias):
    for seed in range(20):
        cell = Cell(method="reflection", dimension=5, samples=4 + seed, seed=seed, bias=bias, **F64)
        batch = make_batch(cell)
        before = batch.measure()["fit"][0]
        batch.method.reflect()
        assert batch.measure()["fit"][0] <= before + 1e-12
        assert residual(batch.weight[0]) < 1e-13


@pytest.mark.parametrize("spec, low", [("reg_ramp", 1e-4), ("reg_ramp(low=0.01)", 0.01)])
def test_reg_ramps_factor(monkeypatch, spec, low):
    cell = Cell(method=spec, dimension=4, samples=8, reg=7.0, steps=100, **F64)
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


@pytest.mark.parametrize("samples", [3, 20])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("penalty", ["fro2", "l1", "logdet"])
@pytest.mark.parametrize("rows", [1, 3])
def test_lifted_gradient_is_autograds(rows, penalty, bias, samples):
    """That of n + rows outputs, the new ones of target zero, under the penalty of VᵀV - I, V the tall weight."""
    n = 5
    spec = f"lifted(noise=0.1,rows={rows})"
    cell = Cell(method=spec, penalty=penalty, dimension=n, samples=samples, reg=3.0, bias=bias, **F64)
    batch, problem = make_batch(cell), draw_problem(cell)
    leaf = batch.method.tall[0].mT.clone().requires_grad_()  # (n + rows, n)
    assert torch.equal(leaf[:n], problem.weight)
    old, new = problem.bias.clone().requires_grad_(), torch.zeros(rows, dtype=leaf.dtype).requires_grad_()
    s = leaf.mT @ leaf - torch.eye(n, dtype=torch.float64)
    value = {
        "fro2": lambda: s.square().sum(),
        "l1": lambda: s.abs().sum(),
        "logdet": lambda: s.trace() - torch.linalg.slogdet(leaf.mT @ leaf)[1],
    }[penalty]()
    targets = torch.cat([problem.x @ problem.rho, torch.zeros(samples, rows, dtype=leaf.dtype)], 1)
    fit = (problem.x @ leaf.mT + torch.cat([old, new]) - targets).square().sum()
    gradients = torch.autograd.grad(fit + 3 * value, (leaf, old, new))
    take_step(batch)
    torch.testing.assert_close(batch.method.grad[0], gradients[0].mT)
    if bias:
        torch.testing.assert_close(batch.bias_grad[0], gradients[1])
        torch.testing.assert_close(batch.method.new.bias_grad[0], gradients[2])
    assert torch.equal(batch.weight[0], batch.method.tall[0, :, :n].mT)


@pytest.mark.parametrize("inputs", ["uniform", "whitened"])
def test_lifted_recovers_what_the_trap_holds(inputs):
    settings = {
        "dimension": 8,
        "samples": 32,
        "reg": 300.0,
        "determinant": "mismatch",
        "lr": 0.01,
        "schedule": "cosine",
    }
    settings |= {"steps": 4000, "inputs": inputs, **F64}
    trapped, freed = (train_batch([Cell(method=m, **settings)])[0].row for m in ("adam", "lifted"))
    assert trapped["distance"] > 1.8 and trapped["reflection"] == 0
    assert freed["distance"] < 0.05 and freed["det_sign"] == freed["det_sign_target"]


@pytest.mark.parametrize("penalty", ["none", "l1_detached", "fro2_detached"])
@pytest.mark.parametrize("name", CURES)
def test_a_cure_gives_no_gradient_to_a_penalty_without_one(name, penalty):
    settings = {"method": name, "dimension": 5, "samples": 4, "steps": 24, "lr": 0.01, **F64}
    rows_at = [train_batch([Cell(penalty=penalty, reg=reg, **settings)])[0].row for reg in (100.0, 1e-3)]
    assert rows_at[0]["fit"] == rows_at[1]["fit"] and rows_at[0]["distance"] == rows_at[1]["distance"]
