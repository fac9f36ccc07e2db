"""Which side the gradient flow ends on, and how fast: the closed forms against a flow integrated in two exact halves."""

import math

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp

from orthogrid.theory import forms as theory

SLOPE = {  # of the penalty of one squared singular value
    "fro2": lambda a: 2 * (a - 1),
    "vonneumann": np.log,
    "logdet": lambda a: 1 - 1 / a,
}
ALONE = {  # a after time t under the penalty alone, t in units of 1/reg
    "fro2": lambda a, t: a / (a + (1 - a) * np.exp(-8 * t)),
    "vonneumann": lambda a, t: np.exp(np.log(a) * np.exp(-4 * t)),
    "logdet": lambda a, t: 1 + (a - 1) * np.exp(-4 * t),
}


def haar(n, side, generator, count=None):
    q, r = np.linalg.qr(generator.standard_normal((count or 1, n, n)))
    q = q * np.sign(np.diagonal(r, axis1=1, axis2=2))[:, None, :]
    q[:, 0] *= (side * np.linalg.det(q))[:, None]
    return q if count else q[0]


def flow(m, g, reg, time, penalty="fro2", step=0.01, growth=1.0):
    """M = rho W after `time`, and the smallest singular value met: data and penalty in turn, each exactly (Strang).

    The penalty's half keeps the sign of det M, and no half has a step size to be stable for. `step` is in units of 1/max(g, reg).
    """
    eye, now, low = np.eye(m.shape[-1]), 0.0, np.full(len(m), np.inf)
    h, most = step / max(reg, max(g)), 2 * step / reg
    while now < time:
        decay = np.exp(-g * h)
        m = eye + (m - eye) * decay
        u, s, vt = np.linalg.svd(m)
        low = np.minimum(low, s[:, -1])
        m = eye + ((u * np.sqrt(ALONE[penalty](s**2, reg * h))[:, None, :]) @ vt - eye) * decay
        now, h = now + h, max(h, min(h * growth, most))
    return m, low


def sides(m):
    return np.sign(np.linalg.det(m))


@pytest.mark.parametrize("penalty", SLOPE)
def test_the_smallest_singular_value_grows_at_least_as_the_capture_theorem_says(penalty):
    """At every matrix, along runs or not; with equality where the singular vectors are those of the largest eigenvalue, opposed."""
    generator = np.random.default_rng(0)
    for trial in range(200):
        n = int(generator.integers(2, 6))
        g, reg = np.exp(generator.uniform(-2, 3, n)), math.exp(generator.uniform(-3, 4))
        sizes = np.sort(generator.uniform(0.02, 1.8, n))[::-1]
        sizes[-1] = sigma = min(sizes[-1], 0.97)
        u, v = haar(n, 1, generator), haar(n, 1, generator)
        if opposed := trial % 4 == 0:
            v = np.roll(np.eye(n), n - 1 - int(g.argmax()), axis=1)
            u = -v
        left, right = u[:, -1], v[:, -1]
        m = (u * sizes) @ v.T
        velocity = -2 * (m - np.eye(n)) * g - 2 * reg * (u * SLOPE[penalty](sizes**2) * sizes) @ v.T
        rate = left @ velocity @ right
        bracket = reg * sigma * abs(SLOPE[penalty](sigma**2)) / (1 + sigma) - g.max()
        bound, scale = 2 * (1 + sigma) * bracket, g.max() + reg / sigma
        assert rate == pytest.approx(bound, abs=1e-10 * scale) if opposed else rate >= bound - 1e-10 * scale


@pytest.mark.parametrize("penalty", SLOPE)
@pytest.mark.parametrize("n", [2, 3])
def test_no_orthogonal_start_changes_side_above_the_capture_threshold(penalty, n):
    generator = np.random.default_rng(n)
    g = np.exp(np.linspace(-1.5, 1, n))
    reflected = np.eye(n)
    reflected[-1, -1] = -1
    turns = 0.1 * generator.standard_normal((8, n, n))
    near = np.linalg.qr(np.eye(n) + turns - turns.swapaxes(1, 2))[0]
    near *= np.sign(np.diagonal(near, axis1=1, axis2=2))[:, None, :]
    starts = [reflected[None], near @ reflected, haar(n, 1, generator, 8), haar(n, -1, generator, 8)]
    starts = np.concatenate(starts)
    reg = theory.capture_threshold(g[-1], penalty) or 0.05 * g[-1]
    ends, low = flow(starts, g, 1.001 * reg, 8 / g[-1], penalty)
    assert (sides(ends) == sides(starts)).all()
    kept = {"fro2": 0.5, "vonneumann": theory.VON_NEUMANN_POSITION, "logdet": 0.0}[penalty]
    assert low.min() > kept - 0.01
    if penalty != "logdet":  # below, the reflection along the largest eigenvalue's vector crosses
        ends, _ = flow(starts, g, 0.8 * reg, 8 / g[-1], penalty)
        assert sides(ends)[0] == 1


@pytest.mark.parametrize("penalty", SLOPE)
@pytest.mark.parametrize("factor", [0.8, 1.2, 2.0])
def test_white_inputs_catch_wrong_starts_from_the_threshold_on_and_no_right_ones(penalty, factor):
    n, lam, generator = 5, 0.7, np.random.default_rng(5)
    reg = factor * (theory.capture_threshold(lam, penalty) or lam)
    held = penalty == "logdet" or factor > 1
    for side in (1, -1):
        starts = haar(n, side, generator, 6)
        ends, _ = flow(starts, np.full(n, lam), reg, 15 / lam, penalty, 0.02)
        assert (sides(ends) == (-1 if held and side < 0 else 1)).all()
        distance = np.linalg.norm(ends - np.eye(n), axis=(1, 2))
        if held and side < 0:  # starts close to -1 in a second eigenvalue take longest
            law = 1 - float(theory.trap_position(reg, lam, penalty))
            assert np.median(distance) == pytest.approx(law, abs=1e-2)
        elif side < 0 or factor < 1:
            assert np.median(distance) < 1e-3


@pytest.mark.parametrize("penalty", SLOPE)
def test_white_flow_is_that_of_each_eigenvalue_in_the_complex_plane(penalty):
    n, lam, reg, generator = 4, 0.7, 1.1, np.random.default_rng(6)
    for side in (1, -1):
        start = haar(n, side, generator)
        z = np.linalg.eigvals(start).astype(complex)
        z = np.where(abs(z.imag) < 1e-9, np.round(z.real), z)

        def drift(_, y):
            z = y[:n] + 1j * y[n:]
            change = -2 * lam * (z - 1) - 2 * reg * SLOPE[penalty](abs(z) ** 2) * z
            return np.r_[change.real, change.imag]

        y = solve_ivp(drift, (0, 2.0), np.r_[z.real, z.imag], rtol=1e-9, atol=1e-12).y[:, -1]
        end, _ = flow(start[None], np.full(n, lam), reg, 2.0 - 1e-9, penalty, 2.2 / 1000)
        assert np.poly(y[:n] + 1j * y[n:]) == pytest.approx(np.poly(end[0]), abs=1e-3)


@pytest.mark.parametrize("side", [1, -1])
@pytest.mark.parametrize("n, slow", [(5, 1), (6, 3)])
def test_between_the_thresholds_a_block_of_the_start_decides_the_side(n, slow, side):
    shares = []
    for gap in (3, 100, 1000):  # of the eigenvalues from reg, on either side
        starts = haar(n, side, np.random.default_rng(7), 40)
        g = np.r_[np.full(n - slow, float(gap)), np.full(slow, 1 / gap)]
        ends, _ = flow(starts, g, 1.0, 12.0, step=0.02, growth=1.15)
        shares.append((sides(ends) == sides(starts[:, n - slow :, n - slow :])).mean())
    assert shares[0] <= shares[2] and shares[1] > 0.9 and shares[2] > 0.98


@pytest.mark.parametrize("slow", [1, 2, 4])
def test_the_coin_is_fair_for_either_side_and_every_proper_block(slow):
    """Negating a row inside the block and one outside keeps the side and changes the block's sign."""
    generator = np.random.default_rng(8)
    for side in (1, -1):
        starts = haar(5, side, generator, 4000)
        share = (sides(starts[:, :slow, :slow]) > 0).mean()
        assert abs(share - 0.5) < 4 * 0.5 / math.sqrt(4000)
        turned = starts * np.r_[-1.0, 1, 1, 1, -1][:, None]
        assert (sides(turned) == side).all()
        assert (sides(turned[:, :slow, :slow]) == -sides(starts[:, :slow, :slow])).all()


def jitter(beta1, s, m, settle=3000, count=3000):
    total = 0.0
    for t in range(settle + count):
        m = beta1 * m + (1 - beta1) * np.sign(s)
        s = s - 2 * m
        total = total + np.abs(s) * (t >= settle)
    return total / count


@pytest.mark.parametrize("beta1", [0.0, 0.5, 0.9, 0.95])
def test_the_floor_of_absolute_values_is_an_average_over_orbits(beta1):
    """Entries that arrive from afar with full momentum settle near the constant too, though single orbits differ widely."""
    arriving = jitter(beta1, 40 + 2 * (np.arange(1024) + 0.5) / 1024, np.ones(1024))
    assert theory.l1_constant(beta1) == pytest.approx(arriving.mean(), rel=0.2)
    assert (np.ptp(arriving) < 1e-9) == (beta1 == 0)


@pytest.mark.parametrize("beta1, tolerance", [(0.0, 0.05), (0.5, 0.15), (0.9, 0.2), (0.95, 0.35)])
def test_matrices_under_adam_and_absolute_values_jitter_at_the_floor(beta1, tolerance):
    n, lr, floor = 12, 1e-3, []
    w = torch.as_tensor(haar(n, 1, np.random.default_rng(9))).requires_grad_()
    adam = torch.optim.Adam([w], lr=lr, betas=(beta1, 0.999))
    for step in range(1200):
        adam.zero_grad()
        size = (w @ w.mT - torch.eye(n, dtype=w.dtype)).abs().sum()
        size.backward()
        adam.step()
        floor += [size.item()] if step >= 700 else []
    assert np.mean(floor) == pytest.approx(float(theory.l1_floor(n, lr, beta1)), rel=tolerance)


@pytest.mark.parametrize("n", [6, 12])
@pytest.mark.parametrize("penalty", ["nuclear", "fro", "spectral"])
def test_norms_hold_an_orthogonal_start_where_the_dual_norm_of_its_pull_fits(penalty, n):
    """To first order ‖S‖ leaves 0 unless lambda ‖I - sym M‖_dual ≤ reg; the law is its mean over Haar starts."""
    generator, lam = np.random.default_rng(n), 0.7
    starts = haar(n, -1, generator, 300)
    pull = lam * (np.eye(n) - (starts + starts.swapaxes(1, 2)) / 2)
    values = np.linalg.eigvalsh(pull)
    dual = {"nuclear": values.max(1), "fro": np.linalg.norm(values, axis=1), "spectral": values.sum(1)}[penalty]
    law = lam * {"nuclear": 2, "fro": math.sqrt(1.5 * n), "spectral": n}[penalty]
    assert dual.mean() == pytest.approx(law, rel=1e-9 if penalty == "nuclear" else 0.06)
    # The best growth of the data loss per unit of the norm of S, by the norm's own maximiser, is the multiplier.
    m, (values, vectors) = starts[0], np.linalg.eigh(pull[0])
    shape = {"nuclear": np.eye(n)[-1], "fro": values / np.linalg.norm(values), "spectral": np.ones(n)}[penalty]
    root = (vectors * np.sqrt(1 - 1e-6 * shape)) @ vectors.T  # MMᵀ - I is -1e-6 in norm

    def data(m):
        return lam * np.square(m - np.eye(n)).sum()

    assert (data(m) - data(root @ m)) / 1e-6 == pytest.approx(dual[0], rel=1e-4)


def test_a_step_of_adam_moves_the_position_by_the_mean_of_two_folded_normals():
    """One step of size lr in every entry moves s = vᵀ M v by at most lr Σ |w_i v_j|, w and v unit vectors at random."""
    rng, n, lr = np.random.default_rng(1), 60, 0.01
    w, v = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in rng.standard_normal((2, 4000, n)))
    moved = lr * np.abs(w).sum(1) * np.abs(v).sum(1)
    assert theory.largest_step(n, lr) == pytest.approx(moved.mean(), rel=0.02)
