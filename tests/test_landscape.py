"""Every critical point of the sum of squares, of its lifted form, and of noisy targets: searches that the proofs do not use.

All is written for M = rho W, so the target is the identity; G is diagonal, which is no loss.
"""

import itertools

import numpy as np
import pytest
from scipy.optimize import least_squares

from orthogrid.theory import forms as theory

SPECTRA = {
    "spread": (1, 1.7, 3),
    "wide": (1, 30, 1000),
    "close": (1, 1.01, 1.02),
    "double smallest": (1, 1, 2.5, 4),
    "double largest": (1, 3, 3),
    "white": (1, 1, 1),
    "even": (1, 2, 3, 5),
}
FACTORS = (0.5, 1.0, 1.001, 1.5, 2.0, 20.0, 2000.0)  # of reg over 2 lambda


def gradient(w, g, reg):
    """Of W (n + d, n) with targets (I; 0); d = 0 is the plain problem, where ‖WᵀW - I‖ = ‖WWᵀ - I‖."""
    target = np.eye(*w.shape)
    return 2 * (w - target) * g + 4 * reg * w @ (w.T @ w - np.eye(w.shape[1]))


def hessian(w, g, reg):
    s, columns = w.T @ w - np.eye(w.shape[1]), []
    for axis in np.eye(w.size).reshape(-1, *w.shape):
        change = axis.T @ w
        columns.append((2 * axis * g + 4 * reg * (axis @ s + w @ (change + change.T))).ravel())
    return np.array(columns)


def roots(lam, reg):
    return [1.0, *(np.array(theory.reflected_positions(reg, lam)) if reg >= 2 * lam else ())]


def listed(g, reg, generator):
    """All points of the theorem as (s, matrix), in a random eigenbasis where G leaves a choice."""
    basis = np.eye(len(g))
    for value in np.unique(g):
        same = np.flatnonzero(g == value)
        basis[np.ix_(same, same)] = np.linalg.qr(generator.standard_normal((len(same), len(same))))[0]
    for s in itertools.product(*(roots(value, reg) for value in g)):
        yield np.array(s), basis @ np.diag(s) @ basis.T


def is_listed(m, g, reg, tolerance=1e-5):
    """Symmetric, commuting with G, each eigenvalue one of the roots that belong to its eigenspace."""
    if max(np.abs(m - m.T).max(), np.abs(m * g - (m * g).T).max() / max(g)) > tolerance:
        return False
    for value in np.unique(g):
        same = np.flatnonzero(g == value)
        for s in np.linalg.eigvalsh(m[np.ix_(same, same)]):
            if min(abs(s - root) for root in roots(value, reg)) > 10 * tolerance:
                return False
    return True


def newton(w, g, reg, flipped=0, steps=100):
    """A critical point near w, or None. `flipped` lowest curvatures are climbed: then it ends at a saddle of that index."""
    scale = max(reg, max(g))
    for _ in range(steps):
        slope = gradient(w, g, reg)
        if np.linalg.norm(slope) < 1e-10 * scale:
            return w
        values, vectors = np.linalg.eigh(hessian(w, g, reg))
        size = np.abs(values) if flipped else values
        size = np.where(np.abs(size) < 1e-9 * scale, np.inf, size)  # along a manifold of critical points
        part = -(vectors.T @ slope.ravel()) / size
        part[:flipped] *= -1
        step = (vectors @ part).reshape(w.shape)
        w = w + step * min(1, 0.3 / np.linalg.norm(step))
    return None


def near_partial_isometry(rows, n, generator):
    """The zeros of the penalty's gradient, any rank: where critical points lie at large weights."""
    u, _, vt = np.linalg.svd(generator.standard_normal((rows, n)), full_matrices=False)
    rank = generator.integers(0, n + 1)
    return u[:, :rank] @ vt[:rank] + 0.1 * generator.standard_normal((rows, n)) / np.sqrt(n)


@pytest.mark.parametrize("g", [(1, 3), (1, 100)])
@pytest.mark.parametrize("reg", ["1", "2", "9/4", "6", "7", "300"])
def test_two_by_two_has_no_other_real_critical_point_exactly(g, reg):
    sympy = pytest.importorskip("sympy")
    a, b, c, d = sympy.symbols("a b c d")
    m, gram, eye, reg = sympy.Matrix([[a, b], [c, d]]), sympy.diag(*g), sympy.eye(2), sympy.Rational(reg)
    slope = (m - eye) * gram - 2 * reg * (eye - m * m.T) * m
    # Symmetry of MG lies in the ideal: it is the antisymmetric part of slope · Mᵀ.
    product = (slope * m.T).expand()
    symmetry = g[1] * b - g[0] * c
    assert sympy.expand(product[0, 1] - product[1, 0] - symmetry) == 0
    basis = sympy.groebner([*slope.expand(), symmetry], a, d, b, c, order="lex")
    (eliminant,) = [p for p in basis.exprs if p.free_symbols == {c}]
    assert set(sympy.real_roots(sympy.Poly(eliminant, c))) == {0}
    # So b = c = 0 and the equations fall apart; there are complex solutions besides, and no real one.
    diagonal = slope.subs({b: 0, c: 0})
    for place, symbol, value in ((0, a, g[0]), (3, d, g[1])):
        found = {float(root) for root in sympy.real_roots(sympy.Poly(diagonal[place], symbol))}
        assert sorted(found) == pytest.approx(sorted(set(roots(value, float(reg)))))


@pytest.mark.parametrize("factor", FACTORS)
@pytest.mark.parametrize("spectrum", SPECTRA)
def test_every_listed_point_is_critical_and_of_the_stated_kind(spectrum, factor):
    g, reg, generator = np.array(SPECTRA[spectrum], float), 2 * factor, np.random.default_rng(0)
    multiple, minima = int((g == 1).sum()), 0
    for s, m in listed(g, reg, generator):
        assert np.abs(gradient(m, g, reg)).max() < 1e-9 * max(reg, g[-1])
        values = np.linalg.eigvalsh(hessian(m, g, reg))
        reflected = np.flatnonzero(s < 0)
        small = 1e-9 * max(reg, g[-1])
        if not len(reflected):
            assert values[0] > 0
        elif len(reflected) == 1 and g[reflected[0]] == 1 and factor == 1:
            assert abs(values[0]) < small  # the degenerate point s = -1/2, see below
        elif len(reflected) == 1 and g[reflected[0]] == 1 and s[reflected[0]] < -0.5:
            minima += 1  # flat along the sphere of the eigenspace, strictly curved across it
            assert (np.abs(values[: multiple - 1]) < small).all() and values[multiple - 1] > small
        else:
            assert values[0] < -small
    assert minima == (multiple if factor > 1 else 0)


def test_at_equality_the_path_falls_through_the_degenerate_point():
    s = -0.5 + np.linspace(-1e-2, 1e-2, 41)
    assert (np.diff((1 - s) ** 2 + 2 * (1 - s**2) ** 2) < 0).all()


@pytest.mark.parametrize("factor", [0.4, 1.2, 6, 200])
@pytest.mark.parametrize("spectrum", ["spread", "double smallest", "white", "even"])
def test_newton_finds_no_point_outside_the_list(spectrum, factor):
    g, reg, generator = np.array(SPECTRA[spectrum], float), 2 * factor, np.random.default_rng(1)
    found = [newton(near_partial_isometry(len(g), len(g), generator), g, reg) for _ in range(12)]
    found = [m for m in found if m is not None]
    assert len(found) > 2 and all(is_listed(m, g, reg) for m in found)


@pytest.mark.parametrize("factor", [3.5, 6, 40])
@pytest.mark.parametrize("spectrum", ["spread", "even"])
def test_climbing_to_saddles_of_any_index_finds_no_point_outside_the_list(spectrum, factor):
    g, reg, generator = np.array(SPECTRA[spectrum], float), 2 * factor, np.random.default_rng(2)
    n, indices = len(g), set()
    for flipped in [*range(1, 2 * n)] * 2:
        m = newton(generator.standard_normal((n, n)), g, reg, flipped)
        if m is not None:
            assert is_listed(m, g, reg)
            indices.add(int((np.linalg.eigvalsh(hessian(m, g, reg)) < 0).sum()))
    assert len(indices) > 2


@pytest.mark.parametrize("n", [2, 3])
def test_kinds_are_the_same_jointly_with_a_bias_and_inputs_with_a_mean(n):
    generator = np.random.default_rng(n)
    x = generator.random((4 * n, n)) + 1.0
    values, basis = np.linalg.eigh((x - x.mean(0)).T @ (x - x.mean(0)))
    for factor in (0.7, 1.1, 50):
        reg = factor * 2 * values[0]
        for s, m in listed(values, reg, generator):
            m = basis @ m @ basis.T
            # The joint Hessian: that of the penalty, and the data's, which is quadratic in [W, b].
            inputs = np.c_[x, np.ones(len(x))]
            gram = inputs.T @ inputs
            joint = np.kron(np.eye(n), 2 * gram)
            keep = np.flatnonzero(np.arange(n * (n + 1)) % (n + 1) < n)
            joint[np.ix_(keep, keep)] += hessian(m, np.zeros(n), reg)
            lowest, reflected = np.linalg.eigvalsh(joint)[0], np.flatnonzero(s < 0)
            trap = len(reflected) == 1 and reflected[0] == 0 and s[0] < -0.5
            assert (lowest > 0) == (trap or not len(reflected)) and abs(lowest) > 1e-9 * values[-1]


# One output row more, and the penalty ‖WᵀW - I‖² of the tall matrix.


@pytest.mark.parametrize("rows", [1, 2, 3])
@pytest.mark.parametrize("factor", [0.1, 1.2, 20, 2000])
def test_lifted_critical_points_are_the_target_and_strict_saddles(factor, rows):
    generator = np.random.default_rng(rows)
    for spectrum in ("spread", "white", "wide"):
        g, reg = np.array(SPECTRA[spectrum], float), 2 * factor
        n = len(g)
        for _ in range(8):
            w = newton(near_partial_isometry(n + rows, n, generator), g, reg)
            if w is None:
                continue
            assert np.abs(w[n:]).max() < 1e-6
            values = np.linalg.eigvalsh(hessian(w, g, reg))
            at_target = np.abs(w[:n] - np.eye(n)).max() < 1e-6
            assert values[0] > 0 if at_target else values[0] < -1e-6
            # The proof's identity needs L invertible only.
            square = w.T @ w
            lifted = np.diag(g) - 2 * reg * (np.eye(n) - square)
            ratio = np.linalg.solve(lifted, np.diag(g))
            less, more = ratio - np.eye(n), ratio + np.eye(n)
            left = 2 * reg * np.square(square - np.eye(n)).sum()
            assert left == pytest.approx(-np.trace(lifted @ less @ less @ more), rel=1e-6, abs=1e-6 * reg)


@pytest.mark.parametrize("factor", [1.1, 3, 1e4])
@pytest.mark.parametrize("spectrum", ["spread", "double smallest", "white"])
def test_an_extra_row_falls_at_every_reflection(spectrum, factor):
    """Along a reflected eigenvector the curvature is -4 reg (1 + s): -2 lambda in the limit of large weights, not small."""
    g, reg = np.array(SPECTRA[spectrum], float), 2 * factor
    n = len(g)
    for s, m in listed(g, reg, np.random.default_rng(0)):
        block = hessian(np.vstack([m, np.zeros((1, n))]), g, reg)[-n:, -n:]
        law = np.where(s < 0, -4 * reg * (1 + s), 2 * g)
        assert np.linalg.eigvalsh(block) == pytest.approx(np.sort(law), rel=1e-6, abs=1e-6)
    outer, _ = theory.reflected_positions(1e6, 1.0)
    assert -4e6 * (1 + outer) == pytest.approx(-2, rel=1e-5)


@pytest.mark.parametrize("factor", [1.2, 30, 1000])
def test_descent_with_a_noisy_row_leaves_the_trap(factor):
    g, reg, generator = np.array([1.0, 1.0, 3.0]), 2 * factor, np.random.default_rng(4)
    s = theory.trap_position(reg, 1.0)
    trap = np.diag([s, 1.0, 1.0])
    for noise, escapes in ((0.0, False), (1e-4, True)):
        w = np.vstack([trap, noise * generator.standard_normal((1, 3))])
        for _ in range(200):  # linearly implicit steps: exact rests, and no step size for stiff weights
            slope, curvature = gradient(w, g, reg).ravel(), hessian(w, g, reg)
            w = w - np.linalg.solve(curvature + 3 * np.eye(len(slope)), slope).reshape(w.shape)
        assert (np.abs(w - np.eye(4, 3)).max() < 1e-6) == escapes


# Noisy targets: T is any matrix on the right side, white inputs.


@pytest.mark.parametrize("n", [2, 3, 4])
@pytest.mark.parametrize("factor", [0.97, 1.01])
def test_wrong_critical_points_under_noise_begin_at_the_law(n, factor):
    generator = np.random.default_rng(n)
    target, eye, lam = np.eye(n) + 0.5 * generator.standard_normal((n, n)), np.eye(n), 0.7
    if np.linalg.det(target) < 0:
        target[0] *= -1
    u, sizes, vt = np.linalg.svd(target)
    reg = factor * theory.noisy_threshold(lam, sizes[-1])

    def slope(flat):
        m = flat.reshape(n, n)
        return (2 * lam * (m - target) + 4 * reg * (m @ m.T - eye) @ m).ravel()

    found = 0
    for size in (0.3, 0.55, 0.8):  # of the reversed direction, which need not stay the smallest
        for _ in range(3):
            start = u @ np.diag([*np.ones(n - 1), -size]) @ vt + 0.05 * generator.standard_normal((n, n))
            end = least_squares(slope, start.ravel(), xtol=1e-15, ftol=1e-15, gtol=1e-15)
            wrong = np.linalg.det(end.x.reshape(n, n)) < 0
            found += bool(wrong and np.linalg.norm(end.fun) < 1e-9 * lam)
    assert (found > 0) == (factor > 1)
