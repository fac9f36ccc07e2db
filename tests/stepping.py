"""Shared by the tests of methods: which there are, batches made by hand, and one step of them."""

import pytest
import torch

from orthogrid.cells import components
from orthogrid.cells.cell import Cell
from orthogrid.cells.shape import spec_name
from orthogrid.methods import make_method
from orthogrid.methods.batch import Batch
from orthogrid.models import make_model
from orthogrid.training.train import train_batch

CONSTRAINED = [name for name, entry in components.methods().items() if not entry.uses_penalty]
CURES = [name for name, entry in components.methods().items() if entry.uses_penalty and name != "adam"]
CLOSED = ["procrustes", "procrustes_side"]
PARAMETRIZED = ["torch_exp", "torch_cayley", "torch_householder", "geotorch"]
RELATIVE = ["landing", "pogo", "riemannian_qr", "riemannian_polar"]
LIBRARIES = ["geotorch", "geoopt"]
F64 = {"dtype": "float64"}


def skip_without_library(method: str) -> None:
    if spec_name(method) in LIBRARIES:
        pytest.importorskip(spec_name(method))


def make_batch(*cells) -> Batch:
    """A batch of at least two with its method, as the trainer makes them."""
    cells = list(cells) if len(cells) > 1 else [*cells, *cells]
    with torch.no_grad():
        batch = Batch(cells, make_model(cells).draw(), torch.device("cpu"))
        batch.method = make_method(batch)
    return batch


def cells_with_rates(**settings) -> list[Cell]:
    """Four cells with two rates in a batch, one of which changes, in the order of a batch."""
    rates = [(0.01, "constant"), (0.02, "cosine")]
    return [
        Cell(**{"reg": 1.0 + i, "lr": lr, "schedule": schedule, "seed": i} | settings)
        for lr, schedule in rates
        for i in (0, 1)
    ]


def run_with(kernels, cells, device: str, monkeypatch, steps: tuple[int, ...] = (1, 3, 16), away: float = 0.1):
    """A batch and its method after some steps, with our kernels or without.

    It starts away from orthogonal matrices, where S is no rounding error.
    """
    with monkeypatch.context() as patch, torch.no_grad():
        patch.setattr("orthogrid.methods.batch.find_kernels", lambda device: kernels)
        batch = Batch(cells, make_model(cells).draw(), torch.device(device))
        moved = away * torch.randn(batch.weight.shape, generator=torch.Generator().manual_seed(1))
        batch.weight.add_(moved.to(device))
        method = make_method(batch)
        first = 0
        for count in steps:
            method.run(first, first + count)
            first += count
        return batch, method


def assert_same_state(a: Batch, b: Batch, tolerance: float) -> None:
    for name in ("weight", "bias"):
        ours, theirs = getattr(a, name).double(), getattr(b, name).double()
        assert (ours - theirs).norm() <= tolerance * theirs.norm() + 1e-30, name


def take_step(batch: Batch, t: int = 0) -> None:
    with torch.no_grad():
        batch.method.step(t)


def set_weight(batch: Batch, w: torch.Tensor) -> None:
    with torch.no_grad():
        batch.weight.copy_(w.expand_as(batch.weight))


def no_data(monkeypatch, batch: Batch) -> None:
    """Steps without any gradient."""
    monkeypatch.setattr(batch, "compute_gradient", lambda **_: batch.grad.zero_())


def near_orthogonal(n: int, size: float = 0.1) -> torch.Tensor:
    generator = torch.Generator().manual_seed(n)
    q = torch.linalg.qr(torch.randn(n, n, generator=generator, dtype=torch.float64)).Q
    return q @ (torch.eye(n, dtype=torch.float64) + size * torch.randn(n, n, generator=generator, dtype=torch.float64))


def residual(w: torch.Tensor) -> float:
    return float((w @ w.mT - torch.eye(w.shape[-1], dtype=w.dtype)).norm())


def rows(cells):
    """Results without the time they took."""
    return [
        repr(({k: v for k, v in r.row.items() if not k.startswith("seconds")}, r.trace)) for r in train_batch(cells)
    ]
