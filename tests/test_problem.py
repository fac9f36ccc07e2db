"""Invariants of the problem generator."""

import pytest
import torch

from orthogrid.cells.cell import Cell
from orthogrid.numerics.inputs import draw_inputs
from orthogrid.numerics.metrics import data_loss
from orthogrid.numerics.problem import det_sign, draw_problem

F64 = {"dtype": "float64"}


def gram(x: torch.Tensor, bias: bool) -> torch.Tensor:
    x = x.double()
    x = x - x.mean(0) if bias else x
    return x.mT @ x


@pytest.mark.parametrize("n", [6, 7])  # negating a whole matrix flips the determinant of odd sizes only
@pytest.mark.parametrize("determinant", ["match", "mismatch"])
@pytest.mark.parametrize("seed", range(4))
def test_determinant_is_what_the_cell_says(n, determinant, seed):
    p = draw_problem(Cell(dimension=n, determinant=determinant, seed=seed))
    assert (det_sign(p.weight) == det_sign(p.rho)) == (determinant == "match")
    eye = torch.eye(n)
    torch.testing.assert_close(p.rho @ p.rho.mT, eye, rtol=0, atol=1e-5)
    torch.testing.assert_close(p.weight @ p.weight.mT, eye, rtol=0, atol=1e-5)


def test_mismatch_negates_one_row_and_nothing_else():
    a, b = (draw_problem(Cell(dimension=8, determinant=d)) for d in ("match", "mismatch"))
    differing = [i for i in range(8) if not torch.equal(a.weight[i], b.weight[i])]
    assert len(differing) == 1
    assert torch.equal(a.weight[differing[0]], -b.weight[differing[0]])
    assert torch.equal(a.x, b.x) and torch.equal(a.rho, b.rho) and torch.equal(a.bias, b.bias)


@pytest.mark.parametrize(
    "change", [{"penalty": "l1"}, {"reg": 0.1}, {"lr": 0.1}, {"schedule": "cosine"}, {"steps": 7}, {"bias": False}]
)
def test_cells_that_differ_in_training_alone_share_problem_and_start(change):
    a, b = draw_problem(Cell(dimension=8, samples=5)), draw_problem(Cell(dimension=8, samples=5, **change))
    assert torch.equal(a.x, b.x) and torch.equal(a.rho, b.rho) and torch.equal(a.weight, b.weight)


def test_global_random_state_neither_matters_nor_moves():
    torch.manual_seed(1)
    a, state = draw_problem(Cell(dimension=8)), torch.get_rng_state()
    torch.manual_seed(2)
    b = draw_problem(Cell(dimension=8))
    assert torch.equal(a.weight, b.weight)
    torch.manual_seed(1)
    assert torch.equal(state, torch.get_rng_state())


def test_float64_start_is_orthogonal_to_float64():
    p = draw_problem(Cell(dimension=40, **F64))
    for q in (p.rho, p.weight):
        assert q.dtype == torch.float64
        assert (q @ q.mT - torch.eye(40, dtype=torch.float64)).abs().max() < 1e-14


@pytest.mark.parametrize("samples", [2, 5, 8, 9, 30])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_whitened_inputs_have_equal_nonzero_eigenvalues(samples, bias, dtype):
    p = draw_problem(Cell(dimension=8, samples=samples, inputs="whitened", bias=bias, dtype=dtype))
    eigenvalues = torch.linalg.eigvalsh(gram(p.x, bias)).flip(0)
    rank = min(samples - 1, 8)
    assert p.rank == rank
    torch.testing.assert_close(eigenvalues[:rank], eigenvalues[0].expand(rank), rtol=1e-5, atol=0)
    assert eigenvalues[rank:].abs().sum() < 1e-5 * eigenvalues[0]
    assert p.x.double().mean(0).abs().max() < 1e-6
    assert p.row_space.shape == (8, rank)


@pytest.mark.parametrize("samples", [3, 7, 8, 9, 10, 30])
@pytest.mark.parametrize("bias", [True, False])
def test_spectrum_is_that_of_the_gram_matrix(samples, bias):
    p = draw_problem(Cell(dimension=8, samples=samples, bias=bias))
    g = gram(p.x, bias)
    eigenvalues = torch.linalg.eigvalsh(g)
    assert p.rank == int((eigenvalues > 1e-9 * eigenvalues[-1]).sum()) == min(8, samples - bias)
    assert p.lambda_min == pytest.approx(float(eigenvalues[0]) if p.rank == 8 else 0.0, rel=1e-6, abs=1e-12)
    torch.testing.assert_close(g @ p.weakest, p.lambda_min * p.weakest, rtol=0, atol=1e-6)
    assert float(p.weakest.norm()) == pytest.approx(1)
    # The row space is that of the samples themselves, with their mean: what a run from a small bias feels.
    assert p.row_space.shape[1] == min(8, samples)
    torch.testing.assert_close(p.x.double() @ p.row_space @ p.row_space.mT, p.x.double(), rtol=0, atol=1e-6)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("samples", [4, 12, 30])
def test_twin_is_wrong_orthogonal_at_distance_two_with_loss_four_lambda(samples, bias):
    cell = Cell(dimension=9, samples=samples, init="twin", determinant="mismatch", bias=bias, **F64)
    p = draw_problem(cell)
    eye = torch.eye(9, dtype=torch.float64)
    assert (p.weight @ p.weight.mT - eye).abs().max() < 1e-13
    assert det_sign(p.weight) == -det_sign(p.rho)
    assert float((p.weight - p.rho.mT).norm()) == pytest.approx(2)
    x = p.x[None]
    loss = float(data_loss(p.weight[None], p.bias[None], x, x @ p.rho))
    assert loss == pytest.approx(4 * p.lambda_min, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("inputs", ["uniform", "whitened"])
@pytest.mark.parametrize("bias", [True, False])
def test_fresh_samples_differ_and_match_their_population_spectrum(inputs, bias):
    cell = Cell(dimension=4, samples=6, sampling="fresh", inputs=inputs, bias=bias)
    p = draw_problem(cell)
    draws = [draw_inputs(cell, cell.dimension, p.generator) for _ in range(4000)]
    assert not torch.equal(draws[0], p.x) and not torch.equal(draws[0], draws[1])
    population = [x - (0.5 if bias else 0.0) * (inputs == "uniform") for x in draws]
    mean_gram = sum(x.double().mT @ x.double() for x in population) / len(draws)
    assert float(torch.linalg.eigvalsh(mean_gram)[0]) == pytest.approx(p.lambda_min, rel=0.05)


@pytest.mark.parametrize("inputs", ["uniform", "whitened"])
@pytest.mark.parametrize("bias", [True, False])
def test_noise_moves_the_least_squares_weight_and_the_twin(bias, inputs):
    """Against numpy's least squares, and against a search over the wrong-sided orthogonal matrices."""
    cell = Cell(
        dimension=4,
        samples=20,
        noise=0.3,
        bias=bias,
        inputs=inputs,
        dtype="float64",
        init="twin",
        determinant="mismatch",
    )
    p = draw_problem(cell)
    columns = torch.cat([p.x, torch.ones(20, 1, dtype=p.x.dtype)], 1) if bias else p.x
    solution = torch.linalg.lstsq(columns, p.targets).solution[:4].mT
    torch.testing.assert_close(p.least_squares, solution)
    assert float((p.least_squares - p.rho.mT).norm()) > 1e-3
    assert det_sign(p.weight) == -det_sign(p.rho)

    def loss(w):
        residual = p.x @ w.mT - p.targets
        return float((residual - residual.mean(-2, keepdim=True) if bias else residual).square().sum())

    generator, best = torch.Generator().manual_seed(0), loss(p.weight)
    for size in (3.0, 0.3, 0.03):
        for _ in range(200):
            a = size * torch.randn(4, 4, generator=generator, dtype=torch.float64)
            assert loss(torch.linalg.matrix_exp(a - a.mT) @ p.weight) > best


def test_noise_is_of_its_size_and_changes_nothing_else():
    quiet, noisy = (draw_problem(Cell(dimension=30, samples=40, noise=noise)) for noise in (0.0, 0.5))
    assert torch.equal(quiet.x, noisy.x) and torch.equal(quiet.weight, noisy.weight) and quiet.noise is None
    assert float((noisy.targets - quiet.targets).std()) == pytest.approx(0.5, rel=0.1)
