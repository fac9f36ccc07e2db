"""Penalties in anyone's network: what is refused, and that nothing else is."""

import numpy as np
import pytest
import torch
from test_orthogonality import F64, weight
from torch import nn

from orthogrid import orthogonality
from orthogrid.cells.cell import Cell
from orthogrid.penalties import PENALTIES, Penalty
from orthogrid.training.train import train_batch


def weights_by_mistake() -> list[torch.Tensor]:
    torch.manual_seed(0)
    dtypes = (F64, torch.float32, torch.bfloat16)
    layers = [nn.Linear(n, n, dtype=dtype).weight for n in (2, 20, 300) for dtype in dtypes]
    orthogonal = [nn.init.orthogonal_(nn.Linear(n, n).weight) for n in (2, 20, 300)]
    near_one = [torch.eye(50) + 0.1 * torch.randn(50, 50) / 50**0.5]
    return [*layers, *orthogonal, *near_one]


def test_calling_a_penalty_with_a_weight_raises():
    for w in weights_by_mistake():
        for mistake in (w, w[None], torch.stack([torch.zeros_like(w), w])):
            with pytest.raises(ValueError, match=r'orthogonality\(weight, "fro2"\)'):
                PENALTIES["fro2"](mistake)
    for shape in ((64, 32), (1, 64, 32), (2, 2, 5, 5), (5,)):
        with pytest.raises(ValueError, match="shape"):
            PENALTIES["l1"](torch.zeros(shape))


@pytest.mark.parametrize("dtype", [F64, torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("n", [2, 30, 400])
def test_an_s_of_any_size_and_precision_is_accepted(n, dtype):
    q = torch.linalg.qr(torch.randn(n, n, generator=torch.Generator().manual_seed(n), dtype=F64)).Q
    for scale in (torch.ones(n), torch.full((n,), 10.0), torch.full((n,), 0.01), torch.logspace(-2, 1, n)):
        w = (scale.to(F64)[:, None] * q).to(dtype)
        s = w @ w.mT - torch.eye(n, dtype=dtype)
        # Rounding as another order of the sums would leave it: half a unit of what was summed, either way.
        coin = torch.randint(-1, 2, s.shape, generator=torch.Generator().manual_seed(1)).to(dtype)
        disturbed = s + coin * torch.finfo(dtype).eps / 2 * (w @ w.mT).abs().clamp_min(1 / n)
        for accepted in (s, disturbed):
            torch.testing.assert_close(PENALTIES["fro2"](accepted[None]), PENALTIES["fro2"].value(accepted[None]))
    assert PENALTIES["fro2"](torch.full((1, n, n), torch.nan, dtype=dtype)).isnan()


def test_the_trainer_does_not_pay_for_the_check(monkeypatch, cubic):
    def refuse(self, s, **options):
        raise AssertionError("called with its check")

    cell = Cell(method="reflection", penalty="fro2", reg=1.0, dimension=4, samples=3, steps=4)
    for module in ("methods.batch", "models.ends"):
        monkeypatch.setattr(f"orthogrid.{module}.find_penalty", lambda spec: (cubic, {}))
    monkeypatch.setattr(Penalty, "__call__", refuse)
    assert train_batch([cell])[0].row["status"] == "ok"
    with pytest.raises(AssertionError, match="check"):
        cubic(torch.zeros(1, 2, 2))


@pytest.mark.parametrize(
    "arguments, options, message",
    [
        (["logdte"], {}, "no penalty 'logdte'.*did you mean 'logdet'"),
        (["Huber"], {}, "did you mean 'huber'"),
        (["huber(delta=0.1)"], {}, "no penalty"),
        ([PENALTIES["fro2"]], {}, "no penalty"),
        (["huber"], {"detla": 0.1}, "no option 'detla' .it has: delta.; did you mean 'delta'"),
        (["fro2"], {"delta": 0.1}, "it has: none"),
        (["fro2"], {"flaten": True}, "did you mean 'flatten'"),
        (["huber"], {"delta": "wide"}, "≥ 0"),
        (["huber"], {"delta": -1.0}, "≥ 0"),
        (["huber"], {"delta": np.float32("nan")}, "≥ 0"),
        (["huber"], {"delta": np.ones(2)}, "≥ 0"),
    ],
)
def test_a_wrong_name_or_option_says_what_is_right(arguments, options, message):
    with pytest.raises(ValueError, match=message):
        orthogonality(weight(3, 3), *arguments, **options)


def test_what_is_no_weight_is_refused():
    layer = nn.Linear(3, 3)
    with pytest.raises(TypeError, match=r"\.weight"):
        orthogonality(layer)
    for wrong in (layer.bias, torch.eye(3, dtype=torch.int64), torch.eye(3, dtype=torch.complex64)):
        for flatten in (False, True):
            with pytest.raises(ValueError, match="real weight"):
                orthogonality(wrong, flatten=flatten)
