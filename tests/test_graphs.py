"""Steps replayed from a captured graph: exercised on the CPU with a stand-in for CUDA's graphs."""

import gc
import weakref

import pytest
import torch
from stepping import make_batch

from orthogrid.cells.cell import Cell
from orthogrid.methods.batch import Batch
from orthogrid.numerics import graphs
from orthogrid.penalties import PENALTIES
from orthogrid.training.train import train_batch

CPU, GPU = torch.device("cpu"), torch.device("cuda")


class FakeGraph:
    """Remembers what was called while it was captured, and calls it at replay."""

    captured = None

    def __init__(self):
        self.replays = 0

    def replay(self):
        self.replays += 1
        self.work()


class FakeCapture:
    """A capture runs nothing: the work's effects are undone by the test's own counting."""

    def __init__(self, graph):
        self.graph = graph

    def __enter__(self):
        FakeGraph.captured = self.graph

    def __exit__(self, *error):
        FakeGraph.captured = None


@pytest.fixture
def fake_cuda(monkeypatch):
    monkeypatch.setattr(torch.cuda, "CUDAGraph", FakeGraph)
    monkeypatch.setattr(torch.cuda, "graph", FakeCapture)


def counting():
    """Work that counts its calls, and hands itself to a graph that is capturing instead of running."""
    calls = []

    def work():
        if FakeGraph.captured is not None:
            FakeGraph.captured.work = lambda: calls.append("replayed")
        else:
            calls.append("called")

    return work, calls


def test_every_call_does_the_work_once_launched_or_replayed(fake_cuda):
    work, calls = counting()
    step = graphs.Repeated(work, GPU)
    for _ in range(graphs.WARM_UP + 4):
        step()
    assert calls == ["called"] * graphs.WARM_UP + ["replayed"] * 4
    assert step.graphs[1].replays == 4


@pytest.mark.parametrize("times", [1, 2, 3, 4, 9, 12, 13, 14, 37])
def test_many_steps_are_as_many_steps(fake_cuda, times):
    """Whatever of them is launched, replayed one by one or ten at a time."""
    work, calls = counting()
    step = graphs.Repeated(work, GPU)
    step(times)
    done = len(calls) + sum((many - 1) * graph.replays for many, graph in step.graphs.items())
    assert done == times
    assert all(
        graph.replays == {1: (times - 3) % 10, 10: (times - 3) // 10}[many] for many, graph in step.graphs.items()
    )


@pytest.mark.parametrize("device, capture", [(CPU, True), (GPU, False)])
def test_nothing_is_captured_on_a_cpu_or_where_the_work_waits_for_the_host(fake_cuda, device, capture):
    work, calls = counting()
    step = graphs.Repeated(work, device, capture)
    for _ in range(10):
        step()
    assert calls == ["called"] * 10 and not step.graphs


def test_a_capture_that_runs_out_of_memory_says_so(fake_cuda, monkeypatch):
    """CUDA then fails to end the capture, too; the runner must see the cause, for it halves the batch."""

    class Failing(FakeCapture):
        def __exit__(self, *error):
            super().__exit__(*error)
            raise RuntimeError("operation failed due to a previous error during capture")

    monkeypatch.setattr(torch.cuda, "graph", Failing)
    full = [False]

    def work():
        if full[0]:
            raise torch.OutOfMemoryError("no memory")

    step = graphs.Repeated(work, GPU)
    for _ in range(graphs.WARM_UP):
        step()
    full[0] = True
    with pytest.raises(torch.OutOfMemoryError):
        step()


def test_any_other_failure_of_a_capture_is_raised(fake_cuda):
    def work():
        if FakeGraph.captured is not None:
            raise RuntimeError("not permitted when a stream is capturing")

    step = graphs.Repeated(work, GPU)
    for _ in range(graphs.WARM_UP):
        step()
    with pytest.raises(RuntimeError, match="not permitted"):
        step()


@pytest.mark.parametrize("method", ["adam", "landing", "reflection", "lifted"])
def test_a_batch_is_gone_when_its_training_is_over(method, monkeypatch):
    """Not first when Python looks for circles: what it holds may be most of a GPU's memory."""
    alive: weakref.WeakSet[Batch] = weakref.WeakSet()
    real = Batch.__init__
    monkeypatch.setattr(Batch, "__init__", lambda self, *rest: alive.add(self) or real(self, *rest))
    gc.disable()
    try:
        train_batch([Cell(dimension=4, samples=9, steps=6, method=method)])
        assert not alive
    finally:
        gc.enable()


def test_a_step_that_decomposes_is_not_captured(monkeypatch):
    from orthogrid.methods import optimised

    asked = []
    monkeypatch.setattr(optimised, "Repeated", lambda work, device, capture: asked.append(capture) or work)
    for penalty in ("fro2", "l1_detached", "none", "logdet", "nuclear"):
        make_batch(Cell(dimension=4, samples=3, penalty=penalty, steps=2))
    assert asked == [True, True, True, False, False]


def test_penalties_that_decompose_say_so(monkeypatch):
    """Whoever calls LAPACK in a step waits for the host, and such a step cannot be captured."""
    decomposed = []
    for function in ("eigh", "eigvalsh", "inv_ex", "slogdet"):
        real = getattr(torch.linalg, function)
        monkeypatch.setattr(torch.linalg, function, lambda x, real=real: decomposed.append(True) or real(x))
    for name, penalty in PENALTIES.items():
        batch = make_batch(Cell(dimension=5, samples=3, penalty=name, reg=1.0, steps=3))
        decomposed.clear()
        with torch.no_grad():
            batch.compute_gradient()
        assert bool(decomposed) == penalty.decomposes, name


def test_a_step_writes_what_changes_into_storage_that_stays(monkeypatch):
    """What a graph needs: the same tensors at every step, with the rates read from them."""
    batch = make_batch(Cell(dimension=6, samples=4, steps=9, schedule="cosine"))

    def places():
        state = [batch.optimizer.count, *(t for group in batch.optimizer.groups for part in group for t in part)]
        return [t.data_ptr() for t in (batch.weight, batch.grad, batch.s.whole, batch.bias, batch.x, batch.y, *state)]

    with torch.no_grad():
        batch.method.step(0)
        before = places()
        for t in range(1, 5):
            batch.method.step(t)
    assert places() == before
