"""Layers with more outputs than inputs have no spurious minimum: descents from many starts, which the proof does not use."""

import numpy as np
import pytest
from scipy.optimize import minimize

from orthogrid.theory import forms

SMOOTH = 1e-6  # kinks are rounded at this size


def penalty(b: np.ndarray, kind: str) -> tuple[float, np.ndarray]:
    """P and its derivative at B = WᵀW."""
    n = len(b)
    s = b - np.eye(n)
    if kind == "fro2":
        return (s**2).sum(), 2 * s
    if kind == "fro":
        value = np.sqrt((s**2).sum() + SMOOTH**2)
        return value, s / value
    if kind == "l1":
        values = np.sqrt(s**2 + SMOOTH**2)
        return values.sum(), s / values
    values, vectors = np.linalg.eigh(s if kind == "nuclear" else b)
    if kind == "nuclear":
        sizes = np.sqrt(values**2 + SMOOTH**2)
        return sizes.sum(), (vectors * (values / sizes)) @ vectors.T
    values = np.maximum(values, 1e-300)
    if kind == "logdet":
        return (values - np.log(values) - 1).sum(), (vectors * (1 - 1 / values)) @ vectors.T
    return (values * np.log(values) - values + 1).sum(), (vectors * np.log(values)) @ vectors.T


def descend(w, target, gram, reg, kind, row_weight=1.0) -> tuple[float, np.ndarray]:
    """Where L-BFGS ends; the rows of the target below the n-th count `row_weight` times."""
    weights = np.where(np.arange(len(target)) < target.shape[1], 1.0, row_weight)[:, None]

    def loss(flat):
        w = flat.reshape(target.shape)
        away = weights * (w - target)
        value, slope = penalty(w.T @ w, kind)
        return ((away @ gram) * (w - target)).sum() + reg * value, (2 * away @ gram + 2 * reg * w @ slope).ravel()

    flat = w.ravel()
    for _ in range(4):  # L-BFGS may stop at a saddle's flat surroundings
        flat = minimize(
            loss,
            flat,
            jac=True,
            method="L-BFGS-B",
            options={"maxiter": 5000, "maxfun": 8000, "ftol": 1e-16, "gtol": 1e-11},
        ).x
    return loss(flat)[0], flat.reshape(target.shape)


def haar(generator, rows: int, n: int) -> np.ndarray:
    q, r = np.linalg.qr(generator.standard_normal((rows, n)))
    return q * np.sign(np.diag(r))


def problem(generator, n: int, rows: int, targets: str, spectrum: str) -> tuple[np.ndarray, np.ndarray]:
    values = {
        "mild": generator.uniform(1, 4, n), "spread": 10 ** generator.uniform(0, 2, n), "singular": np.r_[0, 0, generator.uniform(1, 4, n - 2)],
    }[spectrum]  # fmt: skip
    basis, target = haar(generator, n, n), np.zeros((rows, n))
    target[:n] = haar(generator, n, n)
    if targets == "noisy":
        target[:n] += 0.6 * generator.standard_normal((n, n)) / np.sqrt(n)
    if targets == "any":
        target = generator.standard_normal((rows, n))
    return target, (basis * values) @ basis.T


def starts(generator, target, gram, count: int):
    """Haar starts, and starts beside the twin of the target, where the trap is."""
    rows, n = target.shape
    for i in range(count):
        w = haar(generator, rows, n)
        if i % 2:
            u, _, vt = np.linalg.svd(target[:n] @ gram)
            u[:, -1] *= -1
            w = np.vstack([u @ vt, np.zeros((rows - n, n))]) + 1e-2 * generator.standard_normal((rows, n))
        yield w


def above_best(kind: str, targets: str, spectrum: str, extra: int, seed: int, count: int = 6) -> int:
    """How many of the descents end above the lowest."""
    generator = np.random.default_rng(seed)
    n = int(generator.integers(3, 6))
    target, gram = problem(generator, n, n + extra, targets, spectrum)
    reg = 2 * float(generator.choice([5, 30]))
    ends = np.array([descend(w, target, gram, reg, kind)[0] for w in starts(generator, target, gram, count)])
    return int((ends - ends.min() > 1e-3 * max(abs(ends.min()), 1.0)).sum())


SMOOTH_CASES = [
    *((kind, "orthogonal", "mild") for kind in ("fro2", "logdet", "vonneumann")),
    *((kind, "noisy", "spread") for kind in ("fro2", "logdet")),
    *((kind, "any", "mild") for kind in ("fro2", "vonneumann")),
    ("fro2", "noisy", "singular"),
]
KINKED_CASES = [*((kind, "orthogonal", "mild") for kind in ("fro", "l1", "nuclear")), ("l1", "any", "mild")]


@pytest.mark.parametrize("kind, targets, spectrum", SMOOTH_CASES)
def test_no_descent_of_a_tall_layer_ends_above_the_best(kind, targets, spectrum):
    assert sum(above_best(kind, targets, spectrum, extra=1, seed=seed) for seed in range(3)) == 0


@pytest.mark.slow
@pytest.mark.parametrize("kind, targets, spectrum", KINKED_CASES)
def test_nor_under_a_penalty_with_kinks(kind, targets, spectrum):
    assert sum(above_best(kind, targets, spectrum, extra=1, seed=seed) for seed in range(3)) == 0


@pytest.mark.parametrize(
    "kind, targets, spectrum", [case for case in SMOOTH_CASES if case[0] == "fro2" and case[2] == "mild"]
)
def test_descents_of_a_square_layer_do(kind, targets, spectrum):
    """Else the tests above could not fail."""
    assert sum(above_best(kind, targets, spectrum, extra=0, seed=seed) for seed in range(3)) > 0


@pytest.mark.parametrize("factor", [1.1, 2.0, 10.0, 1000.0])
@pytest.mark.parametrize("side", [0.97, 1.03])
def test_a_row_that_counts_more_than_the_bound_leaves_the_trap_a_minimum(factor, side):
    """By descent from beside the trap, and by whether it comes back."""
    generator = np.random.default_rng(3)
    gram, reg = np.diag([1.0, 2.0, 5.0]), 2 * factor
    target = np.vstack([np.eye(3), np.zeros(3)])
    s = forms.trap_position(reg, 1.0)
    trap = np.vstack([np.diag([s, 1.0, 1.0]), np.zeros(3)])
    bound = forms.row_weight_bound(s)
    assert 2 < bound < 3
    _, end = descend(trap + 1e-4 * generator.standard_normal(trap.shape), target, gram, reg, "fro2", side * bound)
    assert np.abs(end - (trap if side > 1 else target)).max() < 1e-3
