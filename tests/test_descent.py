"""Adam and gradient descent by PyTorch's kernels: the same bits as by PyTorch's optimisers."""

import subprocess
import sys

import pytest
import torch

from orthogrid.numerics.descent import Adam, Descent, Momentum

CPU = torch.device("cpu")


def made(shapes, dtype) -> list[tuple[torch.Tensor, torch.Tensor]]:
    generator = torch.Generator().manual_seed(1)
    return [tuple(torch.randn(shape, generator=generator).to(dtype) for _ in "pg") for shape in shapes]


def share(flat: torch.Tensor, run: range) -> torch.Tensor:
    """What a run of three cells has of a storage."""
    return flat[len(flat) // 3 * run.start : len(flat) // 3 * run.stop]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("device_rates", [False, True], ids=["rates", "rates in tensors"])
@pytest.mark.parametrize("settings", [{}, {"beta1": 0.5, "beta2": 0.99, "eps": 1e-3}])
def test_adam_is_pytorchs_bit_for_bit(dtype, device_rates, settings):
    """Two runs of cells with rates that change, and a gradient that does."""
    trained, runs = made([912, 48], dtype), [range(2), range(2, 3)]
    ours = Adam(trained, runs, CPU, **settings)
    rates = [torch.zeros(()) for _ in runs]
    if device_rates:  # as on a GPU
        ours.rates = torch.zeros(len(runs))
    groups = [[(share(flat, run), share(grad, run)) for flat, grad in trained] for run in runs]
    theirs = [[p.clone() for p, _ in group] for group in groups]
    betas = (settings.get("beta1", 0.9), settings.get("beta2", 0.999))
    optimizer = torch.optim.Adam(
        [{"params": group, "lr": rate if device_rates else 0.0} for group, rate in zip(theirs, rates, strict=True)],
        betas=betas, eps=settings.get("eps", 1e-8), fused=True,
    )  # fmt: skip
    for t in range(5):
        for group, copies in zip(groups, theirs, strict=True):
            for (_, grad), copy in zip(group, copies, strict=True):
                grad.mul_(-0.9).add_(0.01 * t)
                copy.grad = grad.clone()
        now = [0.1 / (t + 1), 1e-3 * (t + 1)]
        ours.set_rates(now)
        for rate, group, value in zip(rates, optimizer.param_groups, now, strict=True):
            rate.fill_(value)
            group["lr"] = rate if device_rates else value
        ours.step()
        optimizer.step()
        for group, copies in zip(groups, theirs, strict=True):
            assert all(torch.equal(p, copy) for (p, _), copy in zip(group, copies, strict=True))


@pytest.mark.parametrize("size", [1, 48, 2048, 2100, 65536, 250_000, 3_000_001])
def test_on_a_gpu_a_runs_share_is_cut_in_pieces_that_fit_into_one_launch(size):
    flat, descent = torch.arange(3 * size), Descent.__new__(Descent)
    descent.runs, descent.device = [range(2), range(2, 3)], torch.device("cuda")
    pieces = [descent._pieces(flat, run) for run in descent.runs]
    assert torch.equal(torch.cat([*pieces[0], *pieces[1]]), flat)
    for share in pieces:
        assert len(share) <= 32
        assert all(len(piece) % 64 == 0 and len(piece) >= 2048 for piece in share[:-1])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_gradient_descent_is_pytorchs_bit_for_bit(dtype, momentum):
    group = made([912, 16], dtype)
    copies = [p.clone() for p, _ in group]
    ours = Momentum(group, [range(1)], CPU, momentum=momentum)
    optimizer = torch.optim.SGD(copies, lr=0.0, momentum=momentum, fused=True)
    for t in range(5):
        for (_, grad), copy in zip(group, copies, strict=True):
            grad.mul_(-0.9).add_(0.01 * t)
            copy.grad = grad.clone()
        ours.set_rates([0.1 / (t + 1)])
        optimizer.param_groups[0]["lr"] = 0.1 / (t + 1)
        ours.step()
        optimizer.step()
        assert all(torch.equal(p, copy) for (p, _), copy in zip(group, copies, strict=True))


@pytest.mark.parametrize("optimizer", [Adam, Momentum])
def test_without_parameters_it_does_nothing(optimizer):
    """A library's method without a bias has none left."""
    adam = optimizer([], [range(1), range(1, 2)], CPU)
    adam.set_rates([0.1, 0.2])
    adam.step()


def test_training_does_not_import_pytorchs_compiler():
    code = """
import sys
from orthogrid.cells.cell import Cell
from orthogrid.training.train import train_batch
train_batch([Cell(dimension=4, samples=3, steps=2)])
assert "torch._dynamo" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)
