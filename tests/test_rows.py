"""One row more: under hard constraints, and with a weight of its own."""

import pytest
import torch
from stepping import PARAMETRIZED, make_batch, skip_without_library, take_step

from orthogrid.cells.cell import Cell
from orthogrid.training.train import train_batch

LIBRARY = [*PARAMETRIZED, "geoopt"]


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("samples", [4, 20])
def test_the_gradient_of_new_rows_is_autograds(samples, bias):
    batch = make_batch(
        *(
            Cell(dimension=5, samples=samples, bias=bias, method="lifted(rows=2)", seed=s, dtype="float64")
            for s in (1, 2)
        )
    )
    new = batch.method.new
    generator = torch.Generator().manual_seed(0)
    rows, offsets = (
        torch.randn(shape, generator=generator, dtype=torch.float64) for shape in (new.weight.shape, new.bias.shape)
    )
    new.weight.copy_(rows)
    if bias:
        new.bias.copy_(offsets)
    with torch.no_grad():
        new.gradient()
    for i in (0, 1):
        x, _ = batch.samples_of(i)
        m, b = (
            rows[i].clone().requires_grad_(),
            (offsets[i] if bias else torch.zeros(2).double()).clone().requires_grad_(),
        )
        (x @ m.mT + b).square().sum().backward()
        torch.testing.assert_close(new.grad[i], m.grad)
        if bias:
            torch.testing.assert_close(new.bias_grad[i], b.grad)


@pytest.mark.parametrize("method", LIBRARY)
def test_a_constrained_layer_with_one_output_more_has_orthonormal_columns_at_every_step(method):
    skip_without_library(method)
    batch = make_batch(*(Cell(dimension=5, samples=12, method=f"{method}(rows=1)", lr=0.03, seed=s) for s in (1, 2, 3)))
    starts = batch.weight.clone()
    for t in range(12):
        tall = torch.cat([batch.weight, batch.method.new.weight], 1).double()
        torch.testing.assert_close(tall.mT @ tall, torch.eye(5).double().expand(3, 5, 5), atol=1e-5, rtol=0)
        take_step(batch, t)
    for i, problem in enumerate(batch.problems):
        assert float((starts[i] - problem.weight).norm()) < 1e-2  # the cell's start, but for the new row's noise
    assert float(batch.method.new.weight.abs().min()) > 0 and not torch.equal(batch.weight, starts)


@pytest.mark.parametrize("method", LIBRARY)
def test_it_is_the_same_bits_in_any_batch(method):
    skip_without_library(method)
    cells = [
        Cell(dimension=6, samples=14, method=f"{method}(rows=1)", lr=0.01 * (1 + s % 2), steps=6, seed=s)
        for s in range(5)
    ]
    whole = train_batch(cells)
    for part in ([2], [4, 1], [3, 0, 2]):
        for i, result in zip(part, train_batch([cells[i] for i in part]), strict=True):
            assert result.trace == whole[i].trace


@pytest.mark.parametrize("method", ["torch_exp", "torch_householder"])
def test_it_leaves_no_trap(method):
    settings = {
        "dimension": 5,
        "samples": 40,
        "inputs": "whitened",
        "determinant": "mismatch",
        "lr": 0.03,
        "schedule": "cosine",
    }
    for spec, caught in ((method, True), (f"{method}(rows=1)", False)):
        rows = [r.row for r in train_batch([Cell(method=spec, steps=1200, seed=s, **settings) for s in range(3)])]
        assert all((row["distance"] > 1.9) == caught and (caught or row["distance"] < 0.2) for row in rows), spec


def test_rows_are_counted_in_whole_numbers():
    for spec, says in (
        ("torch_exp(rows=0.5)", "torch_exp: rows must be a whole number ≥ 0"),
        ("lifted(rows=0)", "≥ 1"),
    ):
        with pytest.raises(ValueError, match=says):
            train_batch([Cell(dimension=4, samples=9, method=spec, steps=2)])


@pytest.mark.parametrize("schedule", ["constant", "cosine"])
def test_a_warm_up_raises_the_rate_to_what_it_would_be(schedule):
    warm, plain = (
        make_batch(Cell(dimension=4, samples=8, lr=0.01, schedule=schedule, warmup=w, steps=40)) for w in (10, 0)
    )
    for t in range(40):
        for batch in (warm, plain):
            take_step(batch, t)
        assert warm.rates[0] == pytest.approx(min(1, (t + 1) / 10) * plain.rates[0])
        assert warm.optimizer.rates[0] == warm.rates[0]
    assert Cell(warmup=0).key == Cell().key != Cell(warmup=10).key
