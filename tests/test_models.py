"""Networks: their loss and its gradient, the sign that counts, and the same bits in any batch."""

import math

import pytest
import torch
from conftest import ROOT

from orthogrid.cells import components
from orthogrid.cells.cell import Cell
from orthogrid.cells.components import ConfigError, use_code
from orthogrid.models import make_model
from orthogrid.models.network import Network
from orthogrid.penalties import PENALTIES
from orthogrid.training.train import train_batch

SPECS = [
    "relu2", "relu2(free=1)", "relu2(linear=1)", "recurrent(length=3)", "recurrent(length=3,linear=1)", "rectangular(more=2)",
    "rectangular(fewer=2)", "rectangular(generic=1,more=1,start=2)",
]  # fmt: skip
SMALL = {"dimension": 5, "samples": 17, "inputs": "normal", "reg": 30.0, "lr": 0.01, "steps": 12}
KINDS = {"fro2": lambda s: s.square().sum(), "l1": lambda s: s.abs().sum(), "fro": lambda s: s.norm()}


def gram(weight: torch.Tensor) -> torch.Tensor:
    """The Gram matrix of the smaller side."""
    return weight.mT @ weight if weight.shape[0] > weight.shape[1] else weight @ weight.mT


@pytest.mark.parametrize("method", ["adam", "lifted", "lifted(rows=2)"])
@pytest.mark.parametrize("spec", SPECS)
def test_a_step_goes_against_the_gradient_of_the_whole_loss(spec, method, monkeypatch):
    """Adam's first step is the rate times the sign; the loss is written down anew, a sample after another.

    From starts that are not orthogonal, where the penalty's sign is no rounding error.
    """
    draw = Network.draw

    def moved_away(model):
        tasks = draw(model)
        generator = torch.Generator().manual_seed(0)
        for task in tasks:
            task.penalised = [w + 0.2 * torch.randn(w.shape, generator=generator) for w in task.penalised]
        return tasks

    monkeypatch.setattr(Network, "draw", moved_away)
    for penalty in KINDS:
        cell = Cell(model=spec, method=method, penalty=penalty, **SMALL | {"steps": 1, "dtype": "float32"})
        model = make_model([cell])
        task = model.draw()[0]
        weights = [weight.double().requires_grad_() for weight in task.penalised + task.free]
        residuals = [gram(w) - torch.eye(min(w.shape), dtype=torch.float64) for w in weights[: len(task.penalised)]]
        outputs = torch.cat(
            [model.forward([w[None] for w in weights], task.x[i : i + 1].double()[None])[0] for i in range(17)]
        )
        loss = (outputs - task.y).square().sum() + 30 * sum(KINDS[penalty](s) for s in residuals)
        grads = torch.autograd.grad(loss, weights)
        before = float(loss.detach())
        trained = train_batch([cell])[0]
        assert trained.trace[0]["fit"] + 30 * float(
            sum(PENALTIES[penalty].value(s.detach()[None]) for s in residuals)
        ) == pytest.approx(before, rel=1e-6)
        moved = [w.detach() - 0.01 * g.sign() for w, g in zip(weights, grads, strict=True)]
        fit = (model.forward([w[None] for w in moved], task.x[None].double())[0] - task.y).square().sum()
        assert trained.row["fit"] == pytest.approx(float(fit), rel=1e-4)


@pytest.mark.parametrize("spec", SPECS)
def test_a_network_is_the_same_bits_in_any_batch(spec):
    def cell(i: int) -> Cell:
        changes = {
            "seed": i,
            "lr": 0.01 * (1 + i % 2),
            "determinant": "mismatch" if i % 3 else "match",
            "warmup": 3 * (i % 2),
        }
        return Cell(model=spec, **SMALL | changes)

    cells = [cell(i) for i in range(7)]
    whole = train_batch(cells)
    for part in ([3], [3, 0], [6, 3, 2], [5, 4, 3, 1]):
        for i, result in zip(part, train_batch([cells[i] for i in part]), strict=True):
            assert str(result.trace) == str(whole[i].trace)  # some columns are NaN
            rows = ({k: v for k, v in each.row.items() if "seconds" not in k} for each in (result, whole[i]))
            assert str(next(rows)) == str(next(rows))


@pytest.mark.parametrize("determinant, sign", [("match", 1), ("mismatch", -1)])
@pytest.mark.parametrize("spec", ["relu2", "relu2(free=1)", "recurrent"])
def test_the_start_has_the_sign_that_was_asked_for(spec, determinant, sign):
    rows = [r.row for r in train_batch([Cell(model=spec, determinant=determinant, seed=s, **SMALL) for s in range(6)])]
    assert {row["det_sign_start"] * row["det_sign_target"] for row in rows} == {sign}
    lifted = train_batch([Cell(model=spec, determinant=determinant, method="lifted", **SMALL)])[0].row
    assert math.isnan(lifted["det_sign"]) or spec == "recurrent"


def test_relabelling_hidden_units_changes_no_output():
    for spec in ("relu2", "recurrent(length=4)"):
        model = make_model([Cell(model=spec, **SMALL)])
        task = model.draw()[0]
        weights = [w[None].double() for w in task.penalised + task.free]
        order = torch.randperm(5, generator=torch.Generator().manual_seed(1))
        first, second, *rest = weights
        if spec == "relu2":
            other = [first[:, order], second[:, :, order]]
        else:
            other = [first[:, order][:, :, order], second[:, order], rest[0][:, :, order]]
        x = task.x[None].double()
        torch.testing.assert_close(model.forward(other, x), model.forward(weights, x))


def test_the_wrong_sign_is_a_trap_and_one_unit_more_removes_it():
    settings = {
        "model": "relu2",
        "dimension": 4,
        "samples": 60,
        "inputs": "normal",
        "reg": 240.0,
        "lr": 0.01,
        "schedule": "cosine",
    }
    settings |= {"steps": 1500}
    losses = {
        name: [r.row["relative_loss"] for r in train_batch([Cell(seed=s, **settings, **how) for s in range(4)])]
        for name, how in {
            "right": {}, "wrong": {"determinant": "mismatch"}, "one more": {"method": "lifted"},
        }.items()
    }  # fmt: skip
    assert max(losses["right"]) < 1e-3 and max(losses["one more"]) < 1e-3 and min(losses["wrong"]) > 0.05


def test_relative_loss_is_the_share_of_what_varies():
    for noise in (0.0, 0.5):
        result = train_batch([Cell(dimension=4, samples=12, steps=3, noise=noise, dtype="float64")])[0]
        problem = make_model([result.cell]).draw()[0]
        y = problem.targets.double()
        assert result.row["relative_loss"] == pytest.approx(
            result.row["fit"] / float((y - y.mean(0)).square().sum()), rel=1e-9
        )


def test_what_a_network_cannot_be_is_said():
    for change, says in [
        ({"method": "landing"}, "method 'landing'.*set method: adam or lifted"),
        ({"sampling": "fresh"}, "sampling 'fresh'.*set sampling: fixed"),
        ({"noise": 0.1}, "noise 0.1.*set noise: 0"),
        ({"dtype": "bfloat16"}, "dtype 'bfloat16'.*set dtype: float32"),
        ({"model": "relu3"}, "did you mean 'relu2'"),
        ({"model": "relu2(depth=3)"}, "relu2 has no option 'depth'"),
    ]:
        with pytest.raises(ConfigError, match=says):
            Cell(**{"model": "relu2", **change})
    assert Cell(model="relu2", bias=True).key == Cell(model="relu2", bias=False).key
    with pytest.raises(ValueError, match="fewer must be below the dimension 5"):
        train_batch([Cell(model="rectangular(fewer=5)", **SMALL)])


@pytest.mark.usefixtures("alone")
def test_a_model_of_ones_own_is_a_file(tmp_path):
    text = (ROOT / "src" / "orthogrid" / "models" / "relu2.py").read_text(encoding="utf-8")
    text = text.replace("class relu2(", "class gated(").replace(".relu()", ".sigmoid()")
    text = text.replace("from .base", "from orthogrid.models").replace("from .network", "from orthogrid.models.network")
    text = text.replace("from ..", "from orthogrid.")
    (tmp_path / "gated.py").write_text(text)
    use_code(tmp_path / "gated.py")
    assert components.models()["gated"].network and components.models()["gated"].products == 6
    assert Cell(model="gated", **SMALL).code != Cell(model="relu2", **SMALL).code
