"""Products in a cell's precision, and TF32's rounding."""

import numpy as np
import pytest
import torch
from stepping import make_batch, take_step

from orthogrid.cells.cell import Cell
from orthogrid.methods.factors import polar_factor, q_factor
from orthogrid.numerics.linalg import (
    ALIGNMENT,
    ALONE_FROM,
    DECOMPOSED_STACKED,
    Products,
    each,
    flat,
    gram,
    gram_residual,
    padded,
    padded_copy,
    round_tf32,
    whole,
)
from orthogrid.training.train import train_batch

CPU = torch.device("cpu")


def nearest_tf32(x: float) -> float:
    """x to eleven significant bits, halves away from zero, by arithmetic instead of bits."""
    mantissa, exponent = np.frexp(np.float64(x))
    return float(np.ldexp(np.sign(mantissa) * np.floor(np.abs(mantissa) * 2**11 + 0.5), exponent - 11))


def test_round_tf32_is_nearest_with_halves_away_from_zero():
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(2000, generator=generator) * 10.0 ** torch.randint(-30, 30, (2000,), generator=generator)
    ties = torch.tensor([1 + (2 * i + 1) * 2.0**-11 for i in range(64)])
    beside = [torch.nextafter(ties, torch.full_like(ties, towards)) for towards in (0.0, 4.0)]
    x = torch.cat([x, ties, -ties, *beside, *(-b for b in beside), torch.tensor([0.0, 1.0, -2.0, 1 - 2.0**-24])])
    assert round_tf32(x).tolist() == [nearest_tf32(v) for v in x.tolist()]


def test_round_tf32_leaves_its_argument_and_what_is_not_finite():
    x = torch.tensor([1.2345678, float("inf"), -float("inf"), float("nan"), -float("nan")])
    before = x.clone()
    rounded = round_tf32(x)
    assert torch.equal(x.view(torch.int32), before.view(torch.int32))
    assert rounded[1:3].tolist() == [float("inf"), -float("inf")] and rounded[3:].isnan().all()
    assert torch.equal(round_tf32(rounded[:1]), rounded[:1]) and rounded[0] != x[0]


@pytest.mark.parametrize(
    "dtype, kind", [("float32", torch.float32), ("tf32", torch.float32), ("float64", torch.float64)]
)
def test_products_round_operands_in_tf32_alone(dtype, kind):
    torch.manual_seed(0)
    a, b, c = (padded_copy(torch.randn(3, 7, 7, dtype=torch.float64), kind) for _ in "abc")
    products, out = Products(dtype, CPU), padded(3, 7, 7, dtype=kind, device=CPU)
    used = (round_tf32(a), round_tf32(b)) if dtype == "tf32" else (a, b)
    expected = used[0].double() @ used[1].double()
    tolerance = {"rtol": 0, "atol": 1e-14 if dtype == "float64" else 4e-6}
    torch.testing.assert_close(products.bmm(a, b, out=out).double(), expected, **tolerance)
    torch.testing.assert_close(  # a transposed operand is rounded too
        products.bmm(a, b.mT, out=out).double(), used[0].double() @ used[1].mT.double(), **tolerance
    )
    result = products.baddbmm(c, a, b, out=out, beta=2, alpha=-0.5).double()
    torch.testing.assert_close(result, 2 * c.double() - 0.5 * expected, **tolerance)  # sums are not rounded
    if dtype == "tf32":
        assert (expected - a.double() @ b.double()).abs().max() > 1e-4
    assert not torch.backends.cuda.matmul.allow_tf32


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("shape", [(1,), (17,), (1, 1), (30, 30), (5, 33), (40, 40), (50, 16)])
@pytest.mark.parametrize("count", [1, 3])
def test_padded_arrays_are_contiguous_together_and_aligned_each(count, shape, dtype):
    x = padded(count, *shape, dtype=dtype, device=CPU)
    assert x.shape == (count, *shape) and x.dtype == dtype
    larger = whole(x)
    assert larger.is_contiguous() and all(entry.data_ptr() % ALIGNMENT == 0 for entry in larger)
    assert len(flat(x)) == larger.numel() and flat(x).data_ptr() == x.data_ptr()
    x.fill_(1)
    assert torch.equal(larger[(slice(None), *map(slice, shape))], x) and larger.sum() == x.numel()


@pytest.mark.parametrize("samples", [5, 40])
@pytest.mark.parametrize("change", [{}, {"penalty": "l1"}, {"penalty": "logdet"}, {"dtype": "bfloat16"}])
@pytest.mark.parametrize("method", ["adam", "landing", "pogo", "lifted"])
def test_steps_leave_the_margins_zero(samples, change, method):
    if method in ("landing", "pogo"):
        change = {**change, "penalty": "none"}
    batch = make_batch(Cell(dimension=30, samples=samples, steps=20, method=method, **change))
    for t in range(20):
        take_step(batch, t)
    data = (batch.twice_gram, batch.mean, batch.twice_k_mean) if batch.by_gram else (batch.x, batch.y)
    for x in (batch.weight, batch.grad, batch.s.corner, batch.bias, batch.bias_grad, *data):
        x.zero_()
        assert not whole(x).any()


def test_orthogonality_floor_is_ordered_by_precision():
    # A cosine schedule: what jitter leaves falls below the rounding of the low precisions.
    settings = {"dimension": 24, "samples": 4, "reg": 10, "steps": 400, "lr": 0.01, "schedule": "cosine"}
    floor = {}
    for dtype in ("float64", "float32", "tf32", "bfloat16"):
        row = train_batch([Cell(dtype=dtype, **settings)])[0].row
        assert row["status"] == "ok"
        floor[dtype] = row["orthogonality_fro"]
    assert 2 * floor["float64"] < floor["tf32"] and 2 * floor["float32"] < floor["tf32"] < floor["bfloat16"] / 3


@pytest.mark.parametrize("n", [ALONE_FROM - 1, ALONE_FROM, ALONE_FROM + 7, 500])
@pytest.mark.parametrize("dtype", ["float64", "float32", "tf32", "bfloat16"])
def test_the_symmetric_product_is_the_plain_one(n, dtype):
    generator = torch.Generator().manual_seed(n)
    kind = {"float64": torch.float64, "bfloat16": torch.bfloat16}.get(dtype, torch.float32)
    # Sparse integers: every product and sum is exact, so that a block at the wrong place cannot hide in a tolerance.
    w = torch.randint(-3, 4, (2, n, n), generator=generator) * (torch.rand(2, n, n, generator=generator) < 0.02)
    w, out = padded_copy(w, kind), padded(2, n, n, dtype=kind, device=CPU).fill_(torch.nan)
    result = Products(dtype, CPU).gram(w, out=out)
    assert result is out and torch.equal(out.long(), w.long() @ w.long().mT)
    w.copy_(torch.randn(2, n, n, generator=generator))
    gram(w, out)
    exact = w.double() @ w.double().mT
    assert (out.double() - exact).abs().max() <= {torch.float64: 1e-11, torch.bfloat16: 3.0}.get(kind, 2e-3)


@pytest.mark.parametrize("size", [(3, 5, 5), (4, 2, 2)])
@pytest.mark.parametrize(
    "function", [torch.linalg.eigvalsh, torch.linalg.inv, torch.linalg.det, lambda m: m[..., None, :, None, :]]
)
def test_a_matrix_that_is_not_finite_gives_nan_and_spoils_no_neighbour(size, function):
    """Results of any number of axes: a number, a vector, a matrix, more."""
    torch.manual_seed(0)
    batch = torch.randn(size, dtype=torch.float64)
    batch = batch @ batch.mT
    alone = torch.stack([function(matrix) for matrix in batch])
    batch[1, 0, 1] = float("inf")
    found = each(function, batch)
    assert found.shape == alone.shape and found[1].isnan().all()
    kept = [i for i in range(len(batch)) if i != 1]
    assert torch.equal(found[kept], alone[kept])


@pytest.mark.parametrize("n", [3, 30, DECOMPOSED_STACKED - 1, DECOMPOSED_STACKED])
@pytest.mark.parametrize(
    "function", [torch.linalg.eigvalsh, torch.linalg.inv, torch.linalg.det, polar_factor, q_factor]
)
def test_a_stack_is_decomposed_with_the_bits_of_its_matrices(n, function):
    torch.manual_seed(n)
    batch = torch.linalg.qr(torch.randn(3, n, n)).Q + 0.1 * torch.eye(n)
    assert torch.equal(each(function, batch), torch.stack([function(matrix) for matrix in batch]))


def test_a_matrix_that_does_not_converge_spoils_no_neighbour(monkeypatch):
    stubborn, svd = torch.tensor([[2.0, 1.0], [0.0, 2.0]]), torch.linalg.svd

    def failing(a):
        if a.dtype is torch.float32 and (a == stubborn).flatten(-2).all(-1).any():
            raise torch.linalg.LinAlgError
        return svd(a)

    batch = torch.stack([torch.eye(2), stubborn, torch.tensor([[0.0, 3.0], [-1.0, 0.5]])])
    before = each(polar_factor, batch)
    monkeypatch.setattr(torch.linalg, "svd", failing)
    after = each(polar_factor, batch)
    assert torch.equal(after[[0, 2]], before[[0, 2]])
    torch.testing.assert_close(after[1], before[1])


@pytest.mark.parametrize("dtype, inside", [("bfloat16", "float32"), ("float32", "float32"), ("float64", "float64")])
def test_decompositions_are_in_at_least_float32(dtype, inside):
    seen = set()
    each(lambda matrix: (seen.add(matrix.dtype), matrix)[1], torch.eye(3, dtype=getattr(torch, dtype)).repeat(2, 1, 1))
    assert seen == {getattr(torch, inside)}


@pytest.mark.parametrize("rows, columns", [(ALONE_FROM, ALONE_FROM), (ALONE_FROM + 5, 40), (40, ALONE_FROM + 5)])
def test_the_gram_matrix_of_any_shape_is_that_of_rows(rows, columns):
    torch.manual_seed(0)
    w = padded_copy(torch.randn(2, rows, columns, dtype=torch.float64), torch.float64)
    out = padded(2, rows, rows, dtype=torch.float64, device=CPU).fill_(float("nan"))
    torch.testing.assert_close(gram(w, out), w @ w.mT)
    torch.testing.assert_close(gram_residual(w), w @ w.mT - torch.eye(rows, dtype=torch.float64))
