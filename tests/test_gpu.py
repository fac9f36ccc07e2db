"""On a GPU: the gradients, steps and rows of the CPU, from captured kernels, in the memory that was foreseen."""

from __future__ import annotations

import pytest
import torch
from benchmarks.contenders import METHODS as PARAMETRIZATIONS
from benchmarks.contenders import Task
from benchmarks.records import OURS
from stepping import CLOSED, assert_same_state, cells_with_rates, run_with, skip_without_library
from test_bench import weight_here

from orthogrid.cells.cell import Cell
from orthogrid.cells.costs import bytes_needed
from orthogrid.cells.shape import spec_name
from orthogrid.jobs import runner
from orthogrid.jobs.runner import train_cells
from orthogrid.jobs.store import Store
from orthogrid.methods import METHODS, make_method
from orthogrid.methods.batch import Batch
from orthogrid.numerics import graphs
from orthogrid.numerics.problem import draw_problem
from orthogrid.penalties import PENALTIES
from orthogrid.tools.verify import ROUNDED, SAME, compare
from orthogrid.training.train import train_batch

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
MEASURES = ("distance", "orthogonality_fro", "fit")
# The relative error of a gradient's entries, to the largest: rounding of the number format, of a sum of some tens of products.
ROUNDING = {"float64": 1e-12, "float32": 1e-5, "tf32": 2e-3, "bfloat16": 3e-2}


def gradient(cell: Cell, device: str, start: torch.Tensor) -> list[torch.Tensor]:
    """The gradient of a cell's loss in weight and bias at a weight, float64 on the CPU."""
    with torch.no_grad():
        batch = Batch([cell], [draw_problem(cell)], torch.device(device))
        batch.weight.copy_(start)
        batch.bias.fill_(0.3)
        batch.compute_gradient()
        return [batch.grad.double().cpu(), batch.bias_grad.double().cpu()]


@pytest.mark.parametrize("dtype", list(ROUNDING))
@pytest.mark.parametrize("penalty", list(PENALTIES))
@pytest.mark.parametrize("samples", [10, 60])
def test_gradients_are_those_of_the_cpu(penalty, dtype, samples):
    """Away from orthogonal matrices, where S is no rounding error; with residuals and with the Gram matrix."""
    cell = Cell(dimension=30, samples=samples, penalty=penalty, dtype=dtype)
    start = torch.eye(30) + 0.1 * torch.randn(1, 30, 30, generator=torch.Generator().manual_seed(3))
    for ours, there in zip(gradient(cell, "cpu", start), gradient(cell, "cuda", start), strict=True):
        assert (ours - there).abs().max() <= ROUNDING[dtype] * ours.abs().max()


@pytest.mark.parametrize("penalty", ["none", "fro2", "huber", "logdet"])
@pytest.mark.parametrize("n, k, dtype", [(60, 20, "float32"), (60, 90, "float32"), (500, 30, "float64")])
def test_rows_are_those_of_the_cpu(penalty, n, k, dtype):
    """Also after the step's kernels were captured, with several rates in a batch, and a rate that changes."""
    cells = [
        Cell(dimension=n, samples=k, dtype=dtype, steps=200, penalty=penalty, seed=s, lr=lr, schedule=schedule)
        for s in range(2)
        for lr, schedule in ((1e-3, "constant"), (2e-3, "cosine"))
    ]
    for a, b in zip(train_batch(cells, "cpu"), train_batch(cells, "cuda"), strict=True):
        for name in MEASURES:
            assert b.row[name] == pytest.approx(a.row[name], rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("method", list(METHODS))
@pytest.mark.parametrize("sampling", ["fixed", "fresh"])
def test_every_method_ends_where_it_does_on_the_cpu(method, sampling):
    """In float64, so that what rounding does in forty steps stays small."""
    skip_without_library(spec_name(method))
    if sampling == "fresh" and method in CLOSED:
        pytest.skip("a closed form has no fresh samples")
    cells = [
        Cell(method=method, dimension=24, samples=30, sampling=sampling, dtype="float64", steps=40, lr=lr, reg=3.0, determinant=side)
        for lr in ((1e-2, 1e-3) if method != "sgd" else (1e-4, 1e-5))
        for side in ("match", "mismatch")
    ]  # fmt: skip
    for a, b in zip(train_batch(cells, "cpu"), train_batch(cells, "cuda"), strict=True):
        assert a.row["status"] == b.row["status"] == "ok"
        for name in (*MEASURES, "det_sign"):
            assert b.row[name] == pytest.approx(a.row[name], rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("penalty", [name for name, penalty in PENALTIES.items() if not penalty.decomposes])
@pytest.mark.parametrize("samples", [10, 140])
def test_a_captured_step_is_the_step(penalty, samples, monkeypatch):
    """Replayed kernels give the bits that launched ones give."""
    cells = [Cell(dimension=70, samples=samples, penalty=penalty, steps=50, reg=reg) for reg in (1.0, 30.0)]
    captured = train_batch(cells, "cuda")
    monkeypatch.setattr(graphs, "WARM_UP", 1000)
    for a, b in zip(captured, train_batch(cells, "cuda"), strict=True):
        assert torch.equal(a.weight, b.weight) and torch.equal(a.bias, b.bias)


def test_steps_that_need_no_decomposition_are_captured():
    cell = Cell(dimension=70, samples=10, steps=40)
    with torch.no_grad():
        method = make_method(Batch([cell], [draw_problem(cell)], torch.device("cuda")))
        method.run(0, graphs.WARM_UP + graphs.MANY + 1)
    assert set(method.advance.graphs) == {1, graphs.MANY}
    assert all(isinstance(graph, torch.cuda.CUDAGraph) for graph in method.advance.graphs.values())


@pytest.mark.parametrize("penalty", ["fro2", "l1", "fro", "none", "huber"])
@pytest.mark.parametrize("n, samples", [(3, 2), (30, 10), (30, 60), (60, 70), (64, 128), (100, 12), (100, 200)])
def test_our_kernels_step_as_pytorchs_do(penalty, n, samples, monkeypatch):
    """On the chip up to dimension 64, with the rest of the gradient in Adam above."""
    kernels = graphs.find_kernels(torch.device("cuda"))
    if kernels is None:
        pytest.skip("Triton is not installed")
    cells = cells_with_rates(dimension=n, samples=samples, penalty=penalty, steps=60)
    ours, method = run_with(kernels, cells, "cuda", monkeypatch, steps=(1, 3, 30))
    assert method.on_chip == (n <= 64 and penalty != "huber")
    assert_same_state(ours, run_with(None, cells, "cuda", monkeypatch, steps=(1, 3, 30))[0], 1e-5)


def test_a_diverged_cell_leaves_its_neighbours_alone():
    good, bad = (Cell(dimension=20, samples=9, steps=30, lr=lr, reg=1.0) for lr in (1e-3, 1e30))
    results = train_batch([bad, good], "cuda")
    assert [result.row["status"] for result in results] == ["diverged", "ok"]


@pytest.mark.parametrize("n, k, dtype", [(200, 12, "float32"), (200, 400, "float32"), (200, 12, "float64")])
def test_a_batch_takes_no_more_memory_than_foreseen(n, k, dtype):
    cells = [Cell(dimension=n, samples=k, dtype=dtype, steps=12, reg=1.0 + i) for i in range(200)]
    train_batch(cells[:2], "cuda")  # libraries and their workspaces
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    train_batch(cells, "cuda")
    # A GPU's batch is cut to four fifths of its free memory.
    assert torch.cuda.max_memory_allocated() - before <= 1.25 * len(cells) * bytes_needed(cells[0])


def test_a_batch_too_large_for_the_memory_is_halved_until_it_fits(tmp_path, monkeypatch):
    cells = [Cell(dimension=256, samples=16, steps=12, reg=1.0 + i) for i in range(128)]
    train_batch(cells[:2], "cuda")
    torch.cuda.empty_cache()
    free = len(cells) * bytes_needed(cells[0]) // 3
    _, total = torch.cuda.mem_get_info()
    monkeypatch.setattr(runner, "gpu_batch", lambda cell, device, workers: len(cells))
    sizes = []
    monkeypatch.setattr(
        runner, "train_batch", lambda cells, *rest: sizes.append(len(cells)) or train_batch(cells, *rest)
    )
    torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved() + free) / total)
    try:
        assert train_cells(cells, tmp_path, "cuda") == len(cells)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert sizes[0] == 128 and 64 in sizes
    assert set(Store(tmp_path).finished(cells)[0]["key"]) == {cell.key for cell in cells}


def test_rows_of_a_gpu_say_so_and_are_not_made_again(tmp_path):
    cells = [Cell(dimension=20, samples=k, steps=30, reg=reg) for k in (5, 40) for reg in (1.0, 10.0)]
    assert train_cells(cells[:3], tmp_path, "cuda") == 3
    assert train_cells(cells, tmp_path, "auto") == 1
    rows = Store(tmp_path).finished(cells)[0]
    assert set(rows["device"]) == {f"cuda ({torch.cuda.get_device_name()})"}


def test_processes_that_share_a_gpu_give_the_rows_of_one(tmp_path, with_workers):
    cells = [
        Cell(dimension=20, samples=k, steps=60, reg=reg, lr=lr)
        for k in (5, 40)
        for reg in (1.0, 9.0)
        for lr in (1e-2, 1e-3)
    ]
    tables = []
    for workers in (1, 3):
        train_cells(cells, tmp_path / str(workers), "cuda", workers=workers)
        tables.append(Store(tmp_path / str(workers)).finished(cells)[0].set_index("key", drop=False))
    for cell in cells:
        one, shared = (table.loc[cell.key].to_dict() for table in tables)
        assert compare(one, shared, cell.code).kind in (SAME, ROUNDED)


def test_a_row_comes_out_again_in_every_bit(tmp_path):
    """On one card with one torch, in a batch of the same cells."""
    cells = [Cell(dimension=60, samples=k, steps=100, reg=reg, penalty="l1") for k in (20, 90) for reg in (1.0, 10.0)]
    tables = []
    for name in ("a", "b"):
        train_cells(cells, tmp_path / name, "cuda")
        tables.append(Store(tmp_path / name).finished(cells)[0].set_index("key", drop=False))
    for cell in cells:
        a, b = (table.loc[cell.key].to_dict() for table in tables)
        assert compare(a, b, cell.code).kind == SAME


def test_what_is_timed_beside_ours_makes_the_same_steps():
    task = Task(dimension=40, samples=20, penalty="fro2", batch=2, device="cuda")
    ours, there = (torch.tensor(weight_here(name, task, 3)) for name in (OURS, "torch.func.vmap"))
    torch.testing.assert_close(there, ours, rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", PARAMETRIZATIONS)
def test_parametrizations_are_timed_on_a_gpu_too(name):
    skip_without_library(name)
    weight = torch.tensor(weight_here(name, Task(6, 3, "none", 1, "cuda"), 5))
    torch.testing.assert_close(weight @ weight.mT, torch.eye(6), rtol=0, atol=1e-4)
