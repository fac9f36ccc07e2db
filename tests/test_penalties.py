"""Hand-written gradients against autograd, values against plain formulas."""

import numpy as np
import pytest
import torch

from orthogrid.cells.cell import Cell
from orthogrid.numerics.linalg import gram_residual
from orthogrid.penalties import PENALTIES, find_penalty, register
from orthogrid.training.train import train_batch

HAND_WRITTEN = [name for name, p in PENALTIES.items() if p.multiplier_of or p.gradient_of]
SPECS = [*HAND_WRITTEN, "huber(delta=0.3)", "huber(delta=50.0)"]


def weights(n: int, spread: float = 0.4) -> torch.Tensor:
    generator = torch.Generator().manual_seed(n)
    w = torch.randn(4, n, n, generator=generator, dtype=torch.float64) * spread
    return w + torch.eye(n, dtype=torch.float64)


def orthogonal(n: int) -> torch.Tensor:
    return torch.linalg.qr(weights(n)).Q


def hand_gradient(spec: str, w: torch.Tensor) -> torch.Tensor:
    penalty, options = find_penalty(spec)
    if penalty.gradient_of:
        return penalty.gradient_of(w, **options)
    return penalty.multiplier_at(gram_residual(w), **options) @ w


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
    by_eigenvalues = {
        "logdet": lambda g: sum(g - np.log(g) - 1),
        "vonneumann": lambda g: sum(g * np.log(g) - g + 1),
        "nuclear": lambda g: sum(abs(g - 1)),
        "spectral": lambda g: max(abs(g - 1)),
        "spectral2": lambda g: max(abs(g - 1)) ** 2,
    }
    for name, formula in by_eigenvalues.items():
        # As squared singular values of W: another road than the code's.
        squares = [np.linalg.svd(m.numpy(), compute_uv=False) ** 2 for m in w]
        assert PENALTIES[name](s).tolist() == pytest.approx([formula(g) for g in squares]), name
    size = np.abs(s.numpy())
    assert PENALTIES["coherence"](s).tolist() == pytest.approx(size.max((1, 2)).tolist())
    assert PENALTIES["row_sum"](s).tolist() == pytest.approx([np.linalg.norm(m, np.inf) for m in size])
    off_diagonal = gram.numpy() * (1 - np.eye(5))
    assert PENALTIES["offdiag"](s).tolist() == pytest.approx((off_diagonal**2).sum((1, 2)).tolist())
    assert PENALTIES["none"](s).tolist() == [0.0] * 4


def lengthened(q: torch.Tensor) -> torch.Tensor:
    """Orthogonal rows of lengths other than 1."""
    return torch.linspace(0.5, 2, q.shape[-1], dtype=q.dtype)[:, None] * q


@pytest.mark.parametrize("name", [n for n in PENALTIES if n != "none"])
def test_penalty_vanishes_at_orthogonal_matrices_and_nowhere_near(name):
    q = orthogonal(7)
    assert PENALTIES[name](gram_residual(q)).abs().max() < 1e-12
    if name != "offdiag":
        for near in (1.1 * q, 0.9 * q, lengthened(q)):
            assert PENALTIES[name](gram_residual(near)).min() > 1e-3


def test_offdiag_is_no_orthogonality_penalty():
    q = lengthened(orthogonal(7))
    assert PENALTIES["offdiag"](gram_residual(q)).abs().max() < 1e-12
    assert hand_gradient("offdiag", q).abs().max() < 1e-12
    assert PENALTIES["offdiag"](gram_residual(q.mT.contiguous())).min() > 1e-3  # orthogonal columns do not do


# Right multiplication leaves S alone; left multiplication turns it, S → QSQᵀ.
SPECTRAL_FAMILY = ["fro2", "fro2_detached", "fro", "spectral", "spectral2", "nuclear", "logdet", "vonneumann"]


@pytest.mark.parametrize("spec", [n for n in PENALTIES if n != "none"])
def test_invariance_under_orthogonal_multiplication(spec):
    w, q = weights(6), orthogonal(6)[0]
    signed = torch.eye(6, dtype=torch.float64)[[3, 0, 5, 1, 2, 4]] * torch.tensor([1, -1, -1, 1, -1, 1])
    value = PENALTIES[spec](gram_residual(w))
    torch.testing.assert_close(PENALTIES[spec](gram_residual(w @ q)), value)
    torch.testing.assert_close(PENALTIES[spec](gram_residual(signed @ w)), value)
    turned = PENALTIES[spec](gram_residual(q @ w))
    assert torch.allclose(turned, value) == (spec in SPECTRAL_FAMILY)


CONVEX = [
    "l1",
    "fro2",
    "fro",
    "spectral",
    "spectral2",
    "nuclear",
    "coherence",
    "row_sum",
    "offdiag",
    "huber",
    "vonneumann",
]


def symmetric(n: int, count: int, spread: float) -> torch.Tensor:
    """Symmetric S with S + I positive semidefinite."""
    w = torch.eye(n, dtype=torch.float64) + spread * torch.randn(count, n, n, dtype=torch.float64)
    return gram_residual(w)


def tied(n: int) -> torch.Tensor:
    """S (3, n, n) with the largest eigenvalues +0.6 and -0.6, with a largest +0.6 twice, and with tied entries and rows."""
    q = orthogonal(n)[:2]
    eigenvalues = torch.full((2, n), 0.1, dtype=torch.float64)
    eigenvalues[:, 0], eigenvalues[0, 1], eigenvalues[1, 1] = 0.6, -0.6, 0.6
    s = (q * eigenvalues[:, None, :]) @ q.mT
    s = (s + s.mT) / 2
    entries = torch.zeros(1, n, n, dtype=torch.float64)
    entries[0, 0, 1] = entries[0, 1, 0] = 0.3
    entries[0, 2, 3] = entries[0, 3, 2] = -0.3
    entries[0, 4, 4] = 0.3
    return torch.cat([s, entries])


@pytest.mark.parametrize("spec", CONVEX)
def test_multiplier_is_a_subgradient_of_a_convex_function(spec):
    # p(T) ≥ p(S) + <Z/2, T - S> for every symmetric T: also where largest eigenvalues, entries or rows tie, and at S = 0.
    torch.manual_seed(3)
    n = 6
    at = torch.cat([tied(n), torch.zeros(1, n, n, dtype=torch.float64), symmetric(n, 3, 0.2)])
    z = PENALTIES[spec].multiplier_at(at.clone())
    torch.testing.assert_close(z, z.mT)
    for spread in (1e-3, 1e-2, 0.1, 0.5):
        to = symmetric(n, 200, spread)[:, None]
        near = at + spread * (to - at)
        for other in (to.expand(-1, len(at), -1, -1), near):
            linear = (z / 2 * (other - at)).sum((-2, -1))
            values = PENALTIES[spec](other.flatten(0, 1)).unflatten(0, linear.shape)
            assert (values - PENALTIES[spec](at) - linear).min() > -1e-12


@pytest.mark.parametrize(
    "name, value, norm", [("spectral", 0.6, 1), ("spectral2", 0.36, 1.2), ("nuclear", 1.6, 6**0.5)]
)
def test_paired_top_eigenvalues(name, value, norm):
    s = tied(6)[:1]
    assert float(PENALTIES[name](s)) == pytest.approx(value)
    half = PENALTIES[name].multiplier_at(s.clone())[0] / 2
    assert float(half.norm()) == pytest.approx(norm)
    # The same from a weight with these singular values: a small step along minus the gradient does not raise it.
    gram_root = torch.linalg.cholesky(s + torch.eye(6, dtype=torch.float64))
    step = gram_root - 1e-4 * hand_gradient(name, gram_root)
    assert float(PENALTIES[name](gram_residual(step))) <= value + 1e-12


@pytest.mark.parametrize("spec", SPECS)
def test_gradient_is_finite_and_small_at_orthogonal_matrices(spec):
    eye = torch.eye(5, dtype=torch.float64).repeat(2, 1, 1)
    gradient = hand_gradient(spec, eye)
    assert torch.isfinite(gradient).all()
    assert gradient.abs().max() == 0  # S = 0 exactly, where 0 is a subgradient


def test_vonneumann_is_finite_at_singular_weights():
    w = weights(5).repeat(8, 1, 1) + 0.1 * torch.randn(32, 5, 5, dtype=torch.float64)
    w[:, 4] = w[:, 0] + w[:, 1]  # det W = 0: the computed eigenvalue of WWᵀ is zero up to rounding, of either sign
    w[0, 4] = 0
    squares = torch.linalg.svdvals(w).square()[:, :4]
    expected = (squares * squares.log() - squares).sum(-1) + 5
    torch.testing.assert_close(PENALTIES["vonneumann"](gram_residual(w)), expected)
    assert torch.isfinite(hand_gradient("vonneumann", w)).all()


def test_logdet_gradient_loops_on_the_cpu_for_many_large_matrices():
    # Batched LU of several matrices with n ≥ 200 hangs in MKL: this returning at all is the test.
    w = torch.linalg.qr(torch.randn(3, 210, 210)).Q
    torch.testing.assert_close(hand_gradient("logdet", w), torch.zeros_like(w), rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", ["l1_detached", "fro2_detached"])
def test_detached_penalty_trains_like_none(name):
    settings = {"dimension": 8, "samples": 5, "steps": 30}
    plain = train_batch([Cell(penalty="none", **settings)])[0]
    detached = train_batch([Cell(penalty=name, reg=1000, **settings)])[0]
    assert detached.row["fit"] == plain.row["fit"]
    assert detached.row["penalty_value"] > 0


def test_a_penalty_with_value_alone_trains_by_autograd(monkeypatch):
    monkeypatch.setattr("orthogrid.penalties.PENALTIES", dict(PENALTIES))

    def fro2_again(s):
        return s.square().sum((-2, -1))

    penalty = register()(fro2_again)
    settings = {"dimension": 8, "samples": 5, "steps": 50, "reg": 10.0, "dtype": "float64"}
    cell = Cell(penalty="fro2", **settings)
    expected = train_batch([cell])[0]
    monkeypatch.setattr("orthogrid.methods.batch.find_penalty", lambda spec: (penalty, {}))
    by_value = train_batch([cell])[0]
    for name in ("fit", "distance", "orthogonality_fro"):
        assert by_value.row[name] == pytest.approx(expected.row[name], rel=1e-7, abs=1e-9)


@pytest.mark.parametrize("name", PENALTIES)
def test_the_trait_says_whether_matrices_are_decomposed(name, monkeypatch):
    """The trainer and the plan rely on it."""
    torch.manual_seed(0)
    weight = torch.linalg.qr(torch.randn(3, 5, 5, dtype=torch.float64))[0] + 0.1
    used = []
    for function in ("eigh", "eigvalsh", "inv_ex", "slogdet"):
        real = getattr(torch.linalg, function)
        monkeypatch.setattr(torch.linalg, function, lambda x, real=real: used.append(1) or real(x))
    penalty = PENALTIES[name]
    penalty.value(gram_residual(weight))
    if penalty.attached:
        penalty.gradient_at(weight)
    assert bool(used) == penalty.entry.decomposes
