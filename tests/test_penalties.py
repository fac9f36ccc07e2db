"""Hand-written gradients against autograd, values against plain formulas."""

import math

import pytest
import torch

from orthogrid.grid import make_cell
from orthogrid.linalg import gram_residual
from orthogrid.penalties import PENALTIES, find_penalty, register
from orthogrid.train import train_batch

HAND_WRITTEN = [name for name, p in PENALTIES.items() if p.multiplier_of or p.gradient_of]
SPECS = [*HAND_WRITTEN, "huber(delta=0.3)", "huber(delta=50.0)"]


def weights(n: int, spread: float = 0.4) -> torch.Tensor:
    generator = torch.Generator().manual_seed(n)
    w = torch.randn(4, n, n, generator=generator, dtype=torch.float64) * spread
    return w + torch.eye(n, dtype=torch.float64)


def hand_gradient(spec: str, w: torch.Tensor) -> torch.Tensor:
    penalty, options = find_penalty(spec)
    if penalty.gradient_of:
        return penalty.gradient_of(w, **options)
    return penalty.multiplier_of(gram_residual(w), **options) @ w


@pytest.mark.parametrize("n", [1, 2, 5, 16])
@pytest.mark.parametrize("spec", SPECS)
def test_gradient_is_autograds(spec, n):
    w = weights(n).requires_grad_()
    penalty, options = find_penalty(spec)
    (expected,) = torch.autograd.grad(penalty(gram_residual(w), **options).sum(), w)
    torch.testing.assert_close(hand_gradient(spec, w.detach()), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("spec", SPECS)
def test_multiplier_may_overwrite_but_not_read_stale_values(spec):
    # The same answer in float32, where the trainer calls it, up to float32.
    w = weights(6)
    torch.testing.assert_close(hand_gradient(spec, w.float()).double(), hand_gradient(spec, w), rtol=1e-3, atol=1e-4)


def test_values_are_their_formulas():
    w = weights(5)
    s = w @ w.mT - torch.eye(5, dtype=torch.float64)
    sums = {
        "l1": lambda x: abs(x),
        "l1_detached": lambda x: abs(x),
        "fro2": lambda x: x * x,
        "fro2_detached": lambda x: x * x,
        "huber(delta=0.3)": lambda x: x * x / 2 if abs(x) <= 0.3 else 0.3 * (abs(x) - 0.15),
    }
    for spec, term in sums.items():
        penalty, options = find_penalty(spec)
        expected = [sum(term(float(x)) for x in matrix.flatten()) for matrix in s]
        assert penalty(s, **options).tolist() == pytest.approx(expected)
    assert PENALTIES["fro"](s).tolist() == pytest.approx([float(m.norm()) for m in s])
    gram = w @ w.mT
    by_eigenvalues = [sum(x - math.log(x) - 1 for x in torch.linalg.eigvalsh(m).tolist()) for m in gram]
    assert PENALTIES["logdet"](s).tolist() == pytest.approx(by_eigenvalues)
    assert PENALTIES["none"](s).tolist() == [0.0] * 4


@pytest.mark.parametrize("name", [n for n in PENALTIES if n != "none"])
def test_penalty_vanishes_at_orthogonal_matrices_and_nowhere_near(name):
    q = torch.linalg.qr(weights(7)).Q
    assert PENALTIES[name](gram_residual(q)).abs().max() < 1e-12
    assert PENALTIES[name](gram_residual(1.1 * q)).min() > 1e-3


def test_fro_has_a_gradient_of_zero_at_zero():
    z = PENALTIES["fro"].multiplier_of(torch.zeros(2, 3, 3))
    assert torch.equal(z, torch.zeros(2, 3, 3))


def test_logdet_gradient_loops_on_the_cpu_for_many_large_matrices():
    # Batched LU of several matrices with n ≥ 200 hangs in MKL: this returning at all is the test.
    w = torch.linalg.qr(torch.randn(3, 210, 210)).Q
    torch.testing.assert_close(hand_gradient("logdet", w), torch.zeros_like(w), rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", ["l1_detached", "fro2_detached"])
def test_detached_penalty_trains_like_none(name):
    settings = {"dimension": 8, "samples": 5, "steps": 30}
    plain = train_batch([make_cell(penalty="none", **settings)])[0]
    detached = train_batch([make_cell(penalty=name, reg=1000, **settings)])[0]
    assert detached.row["fit"] == plain.row["fit"]
    assert detached.row["penalty_value"] > 0


def test_a_penalty_with_value_alone_trains_by_autograd(monkeypatch):
    monkeypatch.setattr("orthogrid.penalties.PENALTIES", dict(PENALTIES))

    def fro2_again(s):
        return s.square().sum((-2, -1))

    penalty = register()(fro2_again)
    settings = {"dimension": 8, "samples": 5, "steps": 50, "reg": 10.0, "dtype": "float64"}
    cell = make_cell(penalty="fro2", **settings)
    expected = train_batch([cell])[0]
    monkeypatch.setattr("orthogrid.train.find_penalty", lambda spec: (penalty, {}))
    by_value = train_batch([cell])[0]
    for name in ("fit", "distance", "orthogonality_fro"):
        assert by_value.row[name] == pytest.approx(expected.row[name], rel=1e-7, abs=1e-9)
