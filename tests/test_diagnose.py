"""`diagnose` on layers whose obstacle is known: made, trained, and on real samples."""

import math

import numpy as np
import pytest
import torch
from geometry import minimise
from torch import nn

from orthogrid import diagnose, suggest_reg
from orthogrid.__main__ import main
from orthogrid.cells.cell import Cell
from orthogrid.cells.inputs import read
from orthogrid.models import make_model
from orthogrid.theory import forms
from orthogrid.training.train import train_batch


def layer_of(n: int, wrong: bool, samples: int = 200, seed: int = 0, bias: bool = True):
    """A layer at a random orthogonal start of either side of its target, with its samples and targets."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.rand(samples, n, generator=generator)
    rho, start = (nn.init.orthogonal_(torch.empty(n, n), generator=generator) for _ in "ab")
    if (torch.det(start) * torch.det(rho) < 0) != wrong:
        start[0] *= -1
    layer = nn.Linear(n, n, bias=bias)
    with torch.no_grad():
        layer.weight.copy_(start)
    return layer, x, x @ rho.mT, rho


def spectrum(x: torch.Tensor, bias: bool = True) -> np.ndarray:
    x = (x - x.mean(0) if bias else x).double()
    return torch.linalg.eigvalsh(x.mT @ x).numpy()


@pytest.mark.parametrize("loss", ["mean", "sum"])
@pytest.mark.parametrize("bias", [True, False])
def test_thresholds_are_in_the_users_units(loss, bias):
    layer, x, y, rho = layer_of(12, wrong=True, bias=bias)
    found = diagnose(layer, x, y, reg=1.0, loss=loss)
    values, unit = spectrum(x, bias), 1 / (200 * 12) if loss == "mean" else 1
    assert found.trap_from == pytest.approx(2 * values[0] * unit, rel=1e-5)
    assert found.kept_from == pytest.approx(2 * values[-1] * unit, rel=1e-5)
    assert found.cost_of_wrong_side == pytest.approx(4 * values[0] * unit, rel=1e-4)
    assert found.distance == pytest.approx(float((layer.weight.detach() - rho).norm()), rel=1e-4)
    assert found.loss_of_best < 1e-9 and found.condition == pytest.approx(values[-1] / values[0], rel=1e-5)
    twin = diagnose(layer.weight.detach() * 0 + _twin(rho, x, bias).float(), x, y, reg=1.0, loss=loss, bias=bias)
    assert (
        twin.position == pytest.approx(-1, abs=1e-3)
        and twin.distance_to_twin < 1e-3
        and twin.distance == pytest.approx(2, abs=1e-3)
    )
    assert twin.loss == pytest.approx(found.cost_of_wrong_side, rel=1e-3)


def _twin(rho: torch.Tensor, x: torch.Tensor, bias: bool) -> torch.Tensor:
    x = (x - x.mean(0) if bias else x).double()
    v = torch.linalg.eigh(x.mT @ x)[1][:, 0]
    return rho.double() @ (torch.eye(len(rho)).double() - 2 * torch.outer(v, v))


CASES = {
    # obstacle: the layer's side, samples, and what is given to diagnose
    "no gradient": [({}, {"reg": 0.0}), ({}, {"reg": 0.1, "penalty": "l1_detached"}), ({}, {"reg": 0.1, "penalty": torch.zeros(())})],
    "undetermined": [({"samples": 12}, {"reg": 0.1}), ({"samples": 10, "wrong": True}, {"reg": 0.1})],
    "trapped": [({"wrong": True}, {"reg": 0.1})],
    "wrong side": [({"wrong": True, "bias": False}, {"reg": 0.02})],
    "may be lost": [({"bias": False}, {"reg": 0.02})],
    "unfinished": [({}, {"reg": 0.1}), ({"wrong": True}, {"reg": 1e-5}), ({}, {"reg": 1e-5})],
}  # fmt: skip


@pytest.mark.parametrize("obstacle, number", [(name, i) for name, cases in CASES.items() for i in range(len(cases))])
def test_the_obstacle_is_named(obstacle, number):
    how, given = CASES[obstacle][number]
    layer, x, y, _ = layer_of(12, **{"wrong": False} | how)
    found = diagnose(layer, x, y, **given)
    assert found.obstacle == obstacle and obstacle in str(found) and len(str(found).splitlines()) == 10
    assert found.row_helps == (obstacle in ("trapped", "wrong side", "may be lost"))
    if obstacle == "undetermined":
        assert found.rank == len(x) - 1 and "fit" in str(found) and found.side == ""


@pytest.mark.parametrize("reg, determinant", [(0.3, "mismatch"), (30.0, "mismatch"), (30.0, "match")])
def test_what_training_does_is_what_was_said(reg, determinant):
    """White inputs, where theory foretells each end."""
    cell = Cell(
        dimension=8,
        samples=24,
        inputs="whitened",
        reg=reg,
        determinant=determinant,
        lr=0.003,
        steps=3000,
        schedule="cosine",
    )
    problem = make_model([cell]).draw()[0]
    targets = problem.x @ problem.rho
    found = diagnose(problem.weight, problem.x, targets, reg=reg, loss="sum", bias=True)
    end = train_batch([cell])[0]
    assert (found.obstacle == "trapped") == (end.row["det_sign"] != end.row["det_sign_target"])
    after = diagnose(end.weight, problem.x, targets, reg=reg, loss="sum", bias=True)
    assert after.obstacle == ("trapped" if found.obstacle == "trapped" else "none")
    assert after.distance == pytest.approx(end.row["distance"], abs=1e-3) and after.position == pytest.approx(
        end.row["position"], abs=1e-3
    )


def test_on_real_samples():
    x = read("digits")[:400, :]
    x = (x - x.mean(0)) @ np.linalg.svd(x - x.mean(0), full_matrices=False)[2][:16].T / 20
    rho = np.linalg.qr(np.random.default_rng(0).normal(size=(16, 16)))[0]
    values = spectrum(torch.from_numpy(x))
    start = rho @ np.diag([-1.0] + [1.0] * 15)  # the other side, the heaviest direction reflected
    between = float(np.sqrt(values[0] * values[-1])) * 2
    assert diagnose(start, x, x @ rho.T, reg=between, loss="sum").obstacle == "wrong side"
    assert diagnose(start, x, x @ rho.T, reg=3 * values[-1], loss="sum").obstacle == "trapped"
    assert diagnose(rho, x, x @ rho.T, reg=between, loss="sum").obstacle == "none"


def test_floors_and_flips_come_from_the_optimizer():
    layer, x, y, rho = layer_of(12, wrong=False)
    with torch.no_grad():
        layer.weight.copy_(rho + 0.02 * torch.randn(12, 12, generator=torch.Generator().manual_seed(1)))
    adam = torch.optim.Adam(layer.parameters(), lr=0.05)
    found = diagnose(layer, x, y, "l1", reg=0.1, optimizer=adam)
    assert found.rate_floor == pytest.approx(float(forms.l1_floor(12, 0.05))) and found.obstacle == "floor"
    assert math.isnan(diagnose(layer, x, y, "fro2", reg=0.1, optimizer=adam).rate_floor)
    # One heavy direction: uncentred inputs without a bias.
    foretold = set()
    for seed in (0, 1):
        layer, x, y, rho = layer_of(6, wrong=False, samples=400, seed=seed, bias=False)
        sgd = torch.optim.SGD(layer.parameters(), lr=1e-4)
        values = spectrum(x, bias=False)
        reg = 4 * values[-2]
        found = diagnose(layer, x, y, reg=float(reg), loss="sum", optimizer=sgd)
        foretold.add(found.flip_foretold)
        assert diagnose(layer, x, y, reg=float(values[0]), loss="sum", optimizer=sgd).flip_foretold is None
    assert foretold == {True, False}


def test_a_penaltys_value_tells_what_it_is():
    layer, x, y, _ = layer_of(8, wrong=True, bias=False)
    with torch.no_grad():
        layer.weight.mul_(1.1)
    s = layer.weight @ layer.weight.mT - torch.eye(8)
    for value, name, mean in (
        (s.square().sum(), "fro2", 1),
        (s.abs().sum(), "l1", 1),
        (s.norm(), "fro", 1),
        (s.square().mean(), "fro2", 64),
    ):
        found = diagnose(layer, x, y, value, reg=0.64)
        assert (found.penalty, found.reg) == (name, pytest.approx(0.64 / mean)) and (
            "a mean over 64" in str(found)
        ) == (mean > 1)
    assert "not that of squares" in diagnose(layer, x, y, 3 * s.square().sum(), reg=0.1).advice
    wide = torch.nn.Linear(8, 5, bias=False)
    larger = (wide.weight.mT @ wide.weight - torch.eye(8)).square().sum()
    assert "stays at 3 or above" in diagnose(wide, x, y[:, :5], larger, reg=0.1).advice


def test_adams_first_steps_and_inputs_that_follow_from_others():
    layer, x, y, _ = layer_of(12, wrong=False)
    assert "0.017, or warm up" in diagnose(layer, x, y, reg=0.1, optimizer=0.1).advice
    assert not diagnose(layer, x, y, reg=0.1, optimizer=0.01).rate_is_large
    x[:, 0] = x[:, 1:].sum(1)
    found = diagnose(layer, x, y, reg=0.1)
    assert found.obstacle == "undetermined" and "follow from others" in found.advice and "reflection" in str(found)
    uneven = torch.randn(300, 12) * torch.logspace(-2, 0, 12)
    near = torch.linalg.matrix_exp(
        0.1 * (s := torch.randn(12, 12, generator=torch.Generator().manual_seed(0))) - 0.1 * s.mT
    )
    slow = diagnose(near @ layer.weight.detach(), uneven, uneven @ layer.weight.mT.detach(), reg=1000.0)
    assert slow.obstacle == "unfinished" and "crawls" in slow.advice


def test_a_tall_layer_has_no_trap_and_a_wide_one_is_said_to_be_wide():
    x = torch.rand(50, 6)
    for outputs, obstacle in ((7, "none"), (5, "wide")):
        weight = nn.init.orthogonal_(torch.empty(outputs, 6))
        assert diagnose(weight, x, torch.rand(50, outputs), reg=10.0).obstacle == obstacle


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"layer": nn.Conv2d(3, 4, 2)}, r"matrix \(outputs, inputs\).*convolution.*flatten"),
        ({"layer": "W"}, "a layer with a weight"),
        ({"layer": torch.full((4, 4), torch.nan)}, "finite real"),
        ({"layer": torch.ones(4, 4, dtype=torch.complex64)}, "finite real"),
        ({"x": np.zeros((5, 3))}, "x has 3 columns, and the weight has 4 inputs"),
        ({"y": np.zeros((5, 3))}, "y has 3 columns, and the weight has 4 outputs"),
        ({"y": np.zeros((6, 4))}, "x has 5 samples and y has 6"),
        ({"x": np.zeros((0, 4)), "y": np.zeros((0, 4))}, "x has no rows"),
        ({"x": np.full((5, 4), np.inf)}, "x has entries that are not finite"),
        ({"x": np.zeros((5, 4), complex)}, "x must be a table of real numbers"),
        ({"x": [["a"] * 4] * 5}, "x must be a table of real numbers"),
        ({"penalty": "fro3"}, "no penalty 'fro3'.*did you mean"),
        ({"loss": "means"}, "loss 'means'.*did you mean 'mean'"),
        ({"reg": -1.0}, "reg must be a number"),
        ({"reg": math.nan}, "reg must be a number"),
        ({"optimizer": "adam"}, "optimizer must be a torch optimizer"),
    ],
)
def test_what_does_not_fit_is_named(change, says):
    given = {"layer": torch.eye(4), "x": np.zeros((5, 4)), "y": np.zeros((5, 4)), "reg": 1.0} | change
    with pytest.raises((ValueError, TypeError), match=says):
        diagnose(given.pop("layer"), given.pop("x"), given.pop("y"), **given)


def test_its_picture_is_the_double_well():
    import matplotlib

    matplotlib.use("Agg")
    layer, x, y, _ = layer_of(6, wrong=True)
    found = diagnose(layer, x, y, reg=1.0)
    ax = found.plot()
    assert ax.get_title() == found.obstacle and len(ax.lines) == 2 and ax.lines[1].get_xdata()[0] == found.position


# ---- Which weight, and from files ----


@pytest.mark.parametrize("loss", ["mean", "sum"])
def test_a_weight_is_suggested_in_the_users_units(loss):
    layer, x, y, _ = layer_of(10, wrong=True)
    found, seen = suggest_reg(x, y, loss), diagnose(layer, x, y, reg=1.0, loss=loss)
    assert (found.low, found.high) == pytest.approx((seen.trap_from, seen.kept_from))
    assert "between them sides are not certain" in str(found)
    # What it says is so: above `high` a wrong side is kept, below `low` nothing traps.
    assert diagnose(layer, x, y, reg=1.01 * found.high, loss=loss).obstacle == "trapped"
    assert diagnose(layer, x, y, reg=0.99 * found.low, loss=loss).obstacle == "unfinished"
    few = suggest_reg(x[:5], y[:5], loss)
    assert few.low == 0 and "determine 4 of 10 dimensions" in few.why
    assert "no trap at any weight" in suggest_reg(x, torch.rand(200, 11), loss).why
    assert "traps that" in suggest_reg(x, torch.rand(200, 9), loss).why


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    layer, x, y, _ = layer_of(6, wrong=True)
    torch.save(layer.state_dict(), "layer.pt")
    torch.save(layer.weight.detach(), "weight.pt")
    np.save("x.npy", x)
    np.savez("y.npz", targets=y)
    np.savetxt("y.csv", y, delimiter=",", fmt="%.18g")
    return str(diagnose(layer, x, y, reg=0.1))


@pytest.mark.parametrize("weight, y", [("layer.pt", "y.npz"), ("weight.pt", "y.csv")])
def test_the_command_says_the_same(files, capsys, weight, y):
    assert main(["diagnose", "--weight", weight, "--x", "x.npy", "--y", y, "--reg", "0.1", "--bias"]) == 0
    assert capsys.readouterr().out.strip() == files


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"--weight": "gone.pt"}, "weight gone.pt: there is no such file"),
        ({"--x": "x.txt"}, "its ending must be one of .pt"),
        ({"--x": "layer.pt", "--weight": "x.npy"}, "y has 6 columns, and the weight has 200 outputs"),
        ({"--y": "two.npz"}, "must hold one matrix; it holds a (3, 3), b (3, 3)"),
        ({"--y": "broken.npy"}, "y broken.npy cannot be read"),
        ({"--penalty": "fro3"}, "no penalty 'fro3'"),
    ],
)
def test_the_command_names_what_is_wrong(files, capsys, change, says):
    np.savez("two.npz", a=np.eye(3), b=np.eye(3))
    with open("broken.npy", "wb") as file:
        file.write(b"nothing")
    given = {"--weight": "layer.pt", "--x": "x.npy", "--y": "y.npz", "--reg": "1"} | change
    assert main(["diagnose", *(word for pair in given.items() for word in pair)]) == 2
    assert says in capsys.readouterr().err


@pytest.mark.parametrize("outputs", [3, 5, 6])
def test_at_the_minimum_no_start_ends_lower(outputs):
    """Wide, square and tall layers under a small weight, towards targets that no orthogonal matrix fits."""
    generator = torch.Generator().manual_seed(outputs)
    x, y = torch.randn(40, 5, generator=generator).double(), 3 * torch.randn(40, outputs, generator=generator).double()

    def total(weight: torch.Tensor) -> torch.Tensor:
        gram = weight @ weight.T if outputs <= 5 else weight.T @ weight
        return (x @ weight.T - y).square().mean() + 0.01 * (gram - torch.eye(len(gram))).square().sum()

    starts = (2 * torch.randn(outputs, 5, generator=generator).double() for _ in range(6))
    weights = [minimise(total, start) for start in starts]
    ends = [(float(total(weight)), diagnose(weight, x, y, reg=0.01, bias=False).obstacle) for weight in weights]
    best = min(value for value, _ in ends)
    assert any(obstacle == "at the minimum" for _, obstacle in ends)
    assert all(value <= 1.01 * best for value, obstacle in ends if obstacle == "at the minimum")


def test_a_rate_alone_tells_of_the_floor():
    x = torch.randn(60, 8)
    rho = torch.nn.init.orthogonal_(torch.empty(8, 8))
    found = diagnose(rho + 0.01 * torch.randn(8, 8), x, x @ rho.T, "l1", reg=0.1, optimizer=0.05)
    assert (
        found.obstacle == "floor"
        and f"{found.rate_floor:.3g}" in str(found)
        and f"{found.sum_of_absolutes:.3g}" in str(found)
    )
