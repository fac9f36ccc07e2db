"""One row more for a layer of one's own: what it computes, what it cures, and how it is kept."""

import copy

import pytest
import torch
from torch import nn
from torch.nn.functional import mse_loss, pad
from torch.nn.utils.parametrizations import orthogonal

from orthogrid import extra_row, orthogonality


def wrong_start(n: int, samples: int, seed: int = 0):
    """A layer on the wrong side of its target, with samples and targets."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(samples, n, generator=generator)
    rho, start = (nn.init.orthogonal_(torch.empty(n, n), generator=generator) for _ in "ab")
    if torch.det(start) * torch.det(rho) > 0:
        start[0] *= -1
    layer = nn.Linear(n, n)
    with torch.no_grad():
        layer.weight.copy_(start)
        layer.bias.zero_()
    return layer, x, x @ rho.mT, rho


def train(model: nn.Module, loss_of, steps: int, lr: float = 0.01) -> None:
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(steps):
        optimizer.zero_grad()
        loss_of().backward()
        optimizer.step()
        schedule.step()


def test_it_starts_as_the_layer_and_its_loss_is_that_of_one_output_more():
    layer, x, y, _ = wrong_start(6, 20)
    torch.manual_seed(0)
    row = extra_row(layer)
    torch.testing.assert_close(row(x), layer(x))
    assert 0 < row.row_norm < 0.02 and row.weight.shape == (7, 6)
    whole = row.tall(x)
    squares = (whole - pad(y, (0, 1))).square().sum()
    torch.testing.assert_close(mse_loss(row(x), y, reduction="sum") + row.row_loss("sum"), squares)
    torch.testing.assert_close(mse_loss(row(x), y) + row.row_loss(), squares / y.numel())
    sequence = row(torch.stack([x, x]))  # more axes in front
    assert sequence.shape == (2, 20, 6)
    torch.testing.assert_close(row.row_loss(), whole[:, 6].square().mean() / 6)


def test_it_cures_what_plain_training_does_not():
    torch.manual_seed(1)
    layer, x, y, rho = wrong_start(6, 60)
    plain, row = copy.deepcopy(layer), extra_row(layer)
    reg = 3.0  # 2λ/kn is near 0.2
    train(plain, lambda: mse_loss(plain(x), y) + reg * orthogonality(plain.weight), 300, 0.03)
    train(row, lambda: mse_loss(row(x), y) + row.row_loss() + reg * orthogonality(row.weight), 300, 0.03)
    cured = row.finish()
    assert (
        float((plain.weight - rho).detach().norm()) > 1.5
        and float((cured.weight - rho).detach().norm()) < 0.05
        and row.row_norm < 0.05
    )
    torch.testing.assert_close(cured(x), row(x), atol=0.02, rtol=0)


@pytest.mark.parametrize(
    "orthogonal_map", ["matrix_exp", *(pytest.param(m, marks=pytest.mark.slow) for m in ("cayley", "householder"))]
)
def test_it_cures_pytorchs_own_parametrization(orthogonal_map):
    torch.manual_seed(2)
    layer, x, y, rho = wrong_start(5, 60)
    plain = orthogonal(copy.deepcopy(layer), orthogonal_map=orthogonal_map)
    plain.weight = layer.weight.detach()
    row = extra_row(plain)
    assert float((row.weight.mT @ row.weight - torch.eye(5)).detach().norm()) < 1e-4
    assert float((row.weight[:5] - layer.weight).detach().norm()) < 0.02
    train(plain, lambda: mse_loss(plain(x), y), 150, 0.1)
    train(row, lambda: mse_loss(row(x), y) + row.row_loss(), 150, 0.1)
    assert (
        float((plain.weight - rho).detach().norm()) > 1.5 and float((row.finish().weight - rho).detach().norm()) < 0.3
    )


def test_an_unfinished_weight_is_made_orthogonal():
    layer = wrong_start(5, 30)[0]
    row = extra_row(layer)
    with torch.no_grad():
        row.tall.weight[:5].mul_(1.3)
    w = row.finish().weight.detach()
    torch.testing.assert_close(w @ w.mT, torch.eye(5), atol=1e-5, rtol=0)
    torch.testing.assert_close(w, layer.weight.detach(), atol=1e-4, rtol=0)
    kept = row.finish(tolerance=10.0).weight.detach()
    torch.testing.assert_close(kept, row.weight[:5].detach())


def test_it_is_saved_and_loaded():
    layer, x, _, _ = wrong_start(4, 9)
    row, other = extra_row(layer), extra_row(nn.Linear(4, 4))
    other.load_state_dict(row.state_dict())
    assert torch.equal(other(x), row(x)) and torch.equal(copy.deepcopy(row)(x), row(x))
    constrained = extra_row(orthogonal(nn.Linear(4, 4)))
    again = extra_row(orthogonal(nn.Linear(4, 4)))
    again.load_state_dict(constrained.state_dict())
    torch.testing.assert_close(again.weight, constrained.weight)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_it_keeps_the_layers_precision_and_bias(dtype):
    layer = nn.Linear(4, 4, bias=False, dtype=dtype)
    row = extra_row(layer)
    assert row.weight.dtype == dtype and row.tall.bias is None
    back = row.finish()
    assert back.weight.dtype == dtype and back.bias is None


def test_under_autocast_and_compiled():
    layer, x, y, _ = wrong_start(4, 9)
    row = extra_row(layer)
    with torch.autocast("cpu", torch.bfloat16):
        loss = mse_loss(row(x).float(), y) + row.row_loss() + orthogonality(row.weight)
    loss.backward()
    assert row.tall.weight.grad.isfinite().all() and loss.dtype == torch.float32
    compiled = torch.compile(row, backend="eager")
    torch.testing.assert_close(compiled(x), row(x))
    torch.testing.assert_close(row.row_loss(), row.tall(x)[:, -1].square().mean() / 4)


def test_what_is_no_such_layer_is_named():
    with pytest.raises(TypeError, match=r"takes an nn\.Linear, not Conv2d"):
        extra_row(nn.Conv2d(3, 3, 1))
    with pytest.raises(ValueError, match="3 outputs for 5 inputs"):
        extra_row(nn.Linear(5, 3))
    with pytest.raises(ValueError, match="one of mean, sum"):
        row = extra_row(nn.Linear(4, 4))
        row(torch.ones(1, 4))
        row.row_loss("average")
    with pytest.raises(RuntimeError, match="call the layer on samples first"):
        extra_row(nn.Linear(4, 4)).row_loss()
    with pytest.raises(ValueError, match=r"apply yours to nn\.Linear"):
        extra_row(nn.utils.parametrizations.weight_norm(nn.Linear(4, 4)))
