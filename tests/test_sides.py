"""Who changes sides: the certificate, one heavy direction, Adam's first step, hidden units. Flows and steps, run."""

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp
from scipy.stats import ortho_group

from orthogrid.cells.cell import Cell
from orthogrid.numerics.problem import draw_problem
from orthogrid.theory import forms, heavy
from orthogrid.training.train import train_batch


def flow(m, gram, reg, time):
    """The gradient flow of M = rho W with the sum of squares; det M at its end."""
    n = len(m)

    def slope(_, flat):
        m = flat.reshape(n, n)
        return (-2 * (m - np.eye(n)) @ gram - 4 * reg * (m @ m.T - np.eye(n)) @ m).ravel()

    return np.linalg.det(
        solve_ivp(slope, (0, time), m.ravel(), method="LSODA", rtol=1e-8, atol=1e-10).y[:, -1].reshape(n, n)
    )


@pytest.mark.parametrize("ratio", [0.7, 1.0, 2.0, 5.0])
@pytest.mark.parametrize("n", [2, 3, 6])
def test_the_flow_of_whole_matrices_changes_sides_where_that_of_the_plane_does(ratio, n):
    """Starts whose cosine is on either side of the boundary."""
    generator, e = np.random.default_rng(n), np.eye(n)[0]
    bound = heavy.boundary(ratio)
    for cosine in (-min(0.999, bound + 0.02), -bound + 0.02):
        a = np.r_[cosine, generator.standard_normal(n - 1)]
        a[1:] *= np.sqrt(1 - cosine**2) / np.linalg.norm(a[1:])
        # An orthogonal matrix that takes e to a, in other respects at random.
        basis = np.linalg.qr(np.c_[a, generator.standard_normal((n, n - 1))])[0]
        start = basis * np.r_[np.sign(basis[:, 0] @ a), np.ones(n - 1)]
        start[:, 1:] = start[:, 1:] @ ortho_group.rvs(n - 1, random_state=n) if n > 2 else start[:, 1:]
        assert start[:, 0] == pytest.approx(a)
        before, after = np.linalg.det(start), flow(start, ratio * np.outer(e, e), 1.0, 60 / min(1, ratio))
        assert (np.sign(after) != np.sign(before)) == (cosine < -bound)


@pytest.mark.parametrize("ratio", [0.6, 1.0, 3.0, 10.0])
def test_the_cosines_that_change_sides_are_an_interval(ratio):
    """That there is a boundary is computed, not proved."""
    cosines = np.linspace(-0.999, 0.999, 200)
    changed = heavy._determinants(cosines, ratio) < 0
    assert changed[: changed.sum()].all() and changed.any()
    assert cosines[changed].max() == pytest.approx(-heavy.boundary(ratio), abs=0.011)


def test_the_boundary_at_some_ratios():
    """To the digits of an adaptive solver, and its limits."""
    for ratio, bound in ((1, 0.712), (2, 0.408), (5, 0.179), (10, 0.094), (50, 0.020)):
        assert heavy.boundary(ratio) == pytest.approx(bound, abs=6e-4)
    assert heavy.boundary(0.5) == 1


def test_the_share_of_haar_starts_is_counted():
    cosines = np.array([ortho_group.rvs(5, random_state=seed)[0, 0] for seed in range(4000)])
    for ratio in (1.0, 5.0):
        share = heavy.share_that_changes(ratio, 5)
        assert (cosines < -heavy.boundary(ratio)).mean() == pytest.approx(share, abs=4 * np.sqrt(share / 4000))


def test_a_singular_weight_pays_at_least_reg():
    generator = np.random.default_rng(0)
    for n in (2, 5, 20):
        for _ in range(50):
            w = ortho_group.rvs(n, random_state=generator) * generator.uniform(0.5, 1.5)
            w[:, 0] = w[:, 1:] @ generator.standard_normal(n - 1) / n
            assert abs(np.linalg.det(w)) < 1e-8
            assert np.square(w @ w.T - np.eye(n)).sum() >= 1 - 1e-9


@pytest.mark.parametrize("seed", range(8))
def test_a_flow_below_reg_keeps_its_side_though_it_may_still_move(seed):
    """From Haar starts between the two thresholds, where many cross: none after its loss fell below reg."""
    n, reg = 4, 1.0
    generator = np.random.default_rng(seed)
    gram = np.diag([0.1, 0.2, 3.0, 8.0])
    m = ortho_group.rvs(n, random_state=generator)
    sign, decided = np.sign(np.linalg.det(m)), False
    for _ in range(4000):
        s = m @ m.T - np.eye(n)
        if decided:
            assert np.sign(np.linalg.det(m)) == sign
        if ((m - np.eye(n)) @ gram * (m - np.eye(n))).sum() + reg * np.square(s).sum() < reg:
            decided, sign = True, np.sign(np.linalg.det(m))
        m = m - 2e-3 * (2 * (m - np.eye(n)) @ gram + 4 * reg * s @ m)
    assert decided


@pytest.mark.parametrize("n, lr", [(60, 0.003), (60, 0.01), (120, 0.005)])
def test_adams_first_step_is_the_sign_of_a_gradient_whose_rows_have_one_sign(n, lr):
    """By the trainer itself, on uniform inputs."""
    for seed in range(4):
        cell = Cell(dimension=n, samples=2 * n, lr=lr, reg=0.0, steps=1, bias=False, dtype="float64", seed=seed)
        problem, weight = draw_problem(cell), train_batch([cell])[0].weight
        start = problem.weight.double()
        rows = torch.sign((start - weight).mean(1))
        assert ((start - weight).sign() == rows[:, None]).all(1).double().mean() > 0.8  # nearly all rows have one sign
        factor = float(torch.linalg.det(weight) / torch.linalg.det(start))
        signs = torch.sign(start - weight)
        assert factor == pytest.approx(float(torch.linalg.det(torch.eye(n) - lr * signs @ start.mT)), abs=1e-4)


@pytest.mark.parametrize("n", [20, 80])
def test_a_rank_one_step_multiplies_the_determinant_as_foretold(n):
    """Over Haar starts and targets, and exactly for each."""
    lr, factors = 0.2 / n, []
    for seed in range(300):
        w, t = (ortho_group.rvs(n, random_state=2 * seed + i) for i in range(2))
        a = np.sign((w - t).sum(1))
        factors.append(1 - lr * a @ w.sum(1))
        if seed < 5:
            stepped = np.linalg.det(w - lr * np.outer(a, np.ones(n)))
            assert stepped / np.linalg.det(w) == pytest.approx(factors[-1], rel=1e-9)
    assert np.mean(factors) == pytest.approx(forms.first_step_factor(lr, n), abs=4 * np.std(factors) / np.sqrt(300))


def test_relabelled_hidden_units_make_the_same_net_and_keep_its_sign():
    generator = np.random.default_rng(1)
    for act in (np.tanh, lambda z: np.maximum(z, 0)):
        first, second, w, b, c = (generator.standard_normal((5, 5)) for _ in range(5))
        p = np.eye(5)[generator.permutation(5)]
        x = generator.standard_normal((5, 9))
        assert second @ act(first @ x) == pytest.approx(second @ p.T @ act(p @ first @ x))
        assert np.linalg.det(second @ p.T) * np.linalg.det(p @ first) == pytest.approx(
            np.linalg.det(second) * np.linalg.det(first)
        )
        state, other = np.zeros((5, 9)), np.zeros((5, 9))
        for _ in range(4):
            state, other = act(w @ state + b @ x), act(p @ w @ p.T @ other + p @ b @ x)
        assert c @ state == pytest.approx(c @ p.T @ other)
        assert np.linalg.det(p @ w @ p.T) == pytest.approx(np.linalg.det(w))
