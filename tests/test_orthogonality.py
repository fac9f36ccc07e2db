"""Penalties in anyone's network: values and gradients of weights of any shape, and what is refused."""

import functools
import itertools
import re

import numpy as np
import pytest
import torch
from conftest import ROOT
from test_penalties import hand_gradient
from torch import nn

from orthogrid import orthogonality
from orthogrid.cells.cell import Cell
from orthogrid.penalties import PENALTIES, Penalty, register
from orthogrid.training.train import train_batch

F64 = torch.float64
ATTACHED = [name for name, penalty in PENALTIES.items() if penalty.attached]
DETACHED = [name for name, penalty in PENALTIES.items() if not penalty.attached]
SHAPES = [(1, 1), (5, 5), (3, 6), (6, 3), (1, 4), (4, 1)]


def weight(*shape: int, dtype: torch.dtype = F64) -> torch.Tensor:
    """Far from orthogonal, of full rank, without ties."""
    generator = torch.Generator().manual_seed(sum(shape))
    noise = torch.randn(*shape, generator=generator, dtype=F64)
    return (0.4 * noise + torch.eye(*shape[-2:], dtype=F64)).to(dtype)


def gradient(w: torch.Tensor, *arguments, **options) -> torch.Tensor:
    leaf = w.detach().requires_grad_()
    return torch.autograd.grad(orthogonality(leaf, *arguments, **options).sum(), leaf)[0]


def by_formula(name: str, w: torch.Tensor) -> float:
    """From the shorter side's Gram matrix and from singular values, which does not take the code's road."""
    m, n = w.shape
    gram = w @ w.mT if m <= n else w.mT @ w
    s = gram - torch.eye(min(m, n), dtype=F64)
    g = torch.linalg.svdvals(w) ** 2
    size = s.abs()
    return {
        "none": lambda: torch.zeros(()),
        "l1": lambda: size.sum(),
        "l1_detached": lambda: size.sum(),
        "fro2": lambda: (g - 1).square().sum(),
        "fro2_detached": lambda: (g - 1).square().sum(),
        "fro": lambda: (g - 1).norm(),
        "spectral": lambda: (g - 1).abs().max(),
        "spectral2": lambda: (g - 1).abs().max() ** 2,
        "nuclear": lambda: (g - 1).abs().sum(),
        "coherence": lambda: size.max(),
        "row_sum": lambda: torch.linalg.matrix_norm(s, torch.inf),
        "offdiag": lambda: (gram - gram.diag().diag()).square().sum(),
        "huber": lambda: torch.nn.functional.huber_loss(s, torch.zeros_like(s), reduction="sum", delta=1e-3),
        "logdet": lambda: (g - g.log() - 1).sum(),
        "vonneumann": lambda: (g * g.log() - g + 1).sum(),
    }[name]().item()


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", PENALTIES)
def test_value_is_the_formula_on_the_shorter_side(name, shape):
    w = weight(*shape)
    value = orthogonality(w, name)
    assert value.shape == () and value.item() == pytest.approx(by_formula(name, w))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", ATTACHED)
def test_gradient_by_finite_differences(name, shape):
    options = {"delta": 0.3} if name == "huber" else {}
    w = weight(*shape).requires_grad_()
    assert torch.autograd.gradcheck(lambda w: orthogonality(w, name, **options), w)


@pytest.mark.parametrize("name", ATTACHED)
def test_gradient_of_a_square_weight_is_the_trainers(name):
    w = weight(5, 5)
    torch.testing.assert_close(gradient(w, name), hand_gradient(name, w[None])[0], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("shape", [(3, 6), (6, 3), (5, 5)])
def test_logdets_gradient_is_that_of_the_pseudoinverse(shape):
    w = weight(*shape)
    torch.testing.assert_close(gradient(w, "logdet"), 2 * w - 2 * torch.linalg.pinv(w).mT, rtol=1e-11, atol=1e-11)


def test_logdets_gradient_does_not_square_the_condition_number():
    # At condition 10⁴ the Gram matrix's inverse in float32 has no correct digit left.
    w = weight(4, 7)
    u, _, v = torch.linalg.svd(w, full_matrices=False)
    w = ((u * torch.logspace(0, -4, 4, dtype=F64)) @ v).float()
    exact = gradient(w.double(), "logdet")
    assert (gradient(w, "logdet") - exact).norm() < 0.01 * exact.norm()


def exactly_orthogonal(m: int, n: int) -> torch.Tensor:
    """Signed unit vectors as rows or columns: S is 0 to the last bit."""
    signs = 1 - 2 * (torch.arange(m * n, dtype=F64).reshape(m, n) % 2)
    return torch.eye(m, n, dtype=F64).flip(0) * signs


@pytest.mark.parametrize("dtype", [F64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", ATTACHED)
def test_value_and_gradient_vanish_where_s_does(name, shape, dtype):
    w = exactly_orthogonal(*shape).to(dtype)
    assert orthogonality(w, name) == 0
    assert (gradient(w, name) == 0).all()


def test_a_weight_at_s_0_leaves_its_neighbours_in_a_stack_alone():
    stack = torch.stack([exactly_orthogonal(3, 6), weight(3, 6)])
    for name in ATTACHED:
        both = gradient(stack, name)
        assert (both[0] == 0).all()
        torch.testing.assert_close(both[1], gradient(stack[1], name))


@pytest.mark.parametrize("shape", [(2, 3, 4, 6), (2, 3, 6, 4), (3, 5, 5)])
@pytest.mark.parametrize("name", ATTACHED)
def test_a_stack_is_its_matrices(name, shape):
    w = weight(*shape)
    values = orthogonality(w, name)
    assert values.shape == shape[:-2]
    leaf = w.clone().requires_grad_()
    upstream = torch.arange(1.0, values.numel() + 1, dtype=F64).view(values.shape)
    (stacked,) = torch.autograd.grad(orthogonality(leaf, name), leaf, upstream)
    for value, factor, matrix, part in zip(
        values.flatten(), upstream.flatten(), w.flatten(0, -3), stacked.flatten(0, -3), strict=True
    ):
        torch.testing.assert_close(value, orthogonality(matrix, name))
        torch.testing.assert_close(part, factor * gradient(matrix, name))


def test_flatten_makes_kernels_rows():
    kernels = nn.Conv2d(3, 8, 5).weight
    rows = kernels.detach().reshape(8, 75)
    torch.testing.assert_close(orthogonality(kernels, flatten=True), orthogonality(rows))
    torch.testing.assert_close(gradient(kernels, flatten=True), gradient(rows).view(8, 3, 5, 5))
    assert orthogonality(kernels).shape == (8, 3)
    assert orthogonality(rows, flatten=True) == orthogonality(rows)  # one argument for all of a network's weights


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", ATTACHED)
def test_lower_precision(name, dtype):
    w = weight(4, 6, dtype=dtype)
    value, grad = orthogonality(w, name), gradient(w, name)
    assert value.dtype == torch.float32 and grad.dtype == dtype
    torch.testing.assert_close(value.double(), orthogonality(w.double(), name), rtol=1e-4, atol=1e-5)
    rtol = max(1e-3, torch.finfo(dtype).eps)
    torch.testing.assert_close(grad.double(), gradient(w.double(), name), rtol=rtol, atol=1e-4)


@pytest.mark.parametrize("name", ["fro2", "logdet", "cubic"])
def test_autocast_does_not_reach_in(name, cubic):
    w = weight(4, 6, dtype=torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        assert (w @ w.mT).dtype == torch.bfloat16
        inside, value = gradient(w, name), orthogonality(w, name)
    assert value == orthogonality(w, name)
    if name != "cubic":  # whose backward is autograd's own, and is not to be run under autocast
        assert torch.equal(inside, gradient(w, name))


@pytest.mark.parametrize("shape", [(5, 5), (3, 6)])
def test_numbers_that_overflowed_do_not_raise(shape):
    w = weight(2, *shape)
    w[0, 0, 0] = torch.nan
    for name in ATTACHED:
        values, grads = orthogonality(w, name), gradient(w, name)
        assert values[0].isnan() and grads[0].isnan().any(), name
        torch.testing.assert_close(values[1], orthogonality(w[1], name))
        torch.testing.assert_close(grads[1], gradient(w[1], name))


@pytest.mark.parametrize("name", DETACHED)
def test_a_detached_penalty_has_a_value_and_no_gradient(name):
    w = weight(5, 5).requires_grad_()
    s = w @ w.mT - torch.eye(5, dtype=F64)
    assert s.requires_grad
    for value in (orthogonality(w, name), PENALTIES[name](s[None])[0]):
        assert not value.requires_grad
        assert value.item() == pytest.approx(by_formula(name, w.detach()))


def test_backward_twice_gives_the_same_and_leaves_the_weight():
    for name in ATTACHED:
        w = weight(4, 4).requires_grad_()
        value = orthogonality(w, name)
        first, second = (torch.autograd.grad(value, w, retain_graph=True)[0] for _ in range(2))
        assert torch.equal(first, second) and torch.equal(w, weight(4, 4)), name


@pytest.fixture
def cubic(monkeypatch):
    """A penalty registered by its value alone."""
    monkeypatch.setattr("orthogrid.penalties.PENALTIES", {})

    @register()
    def cubic(s, *, scale: float = 1.0):
        return scale * (s.abs() ** 3).sum((-2, -1))

    monkeypatch.setitem(PENALTIES, "cubic", cubic)
    return cubic


@pytest.mark.parametrize("shape", [(5, 5), (6, 3)])
def test_a_penalty_with_value_alone_goes_by_autograd(cubic, shape):
    w = weight(*shape).requires_grad_()
    assert torch.autograd.gradcheck(lambda w: orthogonality(w, "cubic", scale=2.0), w)
    torch.testing.assert_close(orthogonality(w, "cubic", scale=2.0), 2 * orthogonality(w, "cubic"))


# As any loss function of torch's

EMPTY = [(0, 3, 4), (0, 4), (4, 0), (0, 0), (2, 0, 3), (2, 3, 0), (0, 2, 3, 4)]


@pytest.mark.parametrize("name", PENALTIES)
def test_what_is_empty_has_the_value_0(name):
    for shape in EMPTY:
        w = torch.zeros(shape, requires_grad=True)
        values = orthogonality(w, name)
        assert values.shape == shape[:-2] and (values == 0).all()
        if name in ATTACHED:
            assert torch.autograd.grad(values.sum(), w)[0].shape == shape
    for kernels in ((0, 3, 5, 5), (8, 0, 5, 5)):
        assert orthogonality(torch.zeros(kernels), name, flatten=True) == 0


@pytest.mark.parametrize("name", PENALTIES)
def test_on_the_meta_device_shapes_come_out(name):
    w = torch.zeros(2, 3, 4, dtype=torch.bfloat16, device="meta", requires_grad=True)
    values = orthogonality(w, name)
    assert (values.shape, values.dtype, values.device) == ((2,), torch.float32, w.device)
    if name in ATTACHED:
        (first,) = torch.autograd.grad(values.sum(), w, create_graph=True)
        (second,) = torch.autograd.grad(first.sum(), w)
        for found in (first, second):
            assert (found.shape, found.dtype, found.device) == (w.shape, w.dtype, w.device)


def test_they_compile_without_a_break():
    w = weight(2, 6, 4).requires_grad_()

    def values(w):
        return torch.stack([orthogonality(2 * w, name) for name in PENALTIES])

    def slopes(w):
        names = ("fro2", "spectral")
        return torch.vmap(torch.func.grad(lambda w: torch.stack([orthogonality(w, name) for name in names]).sum()))(w)

    compiled, compiled_slopes = (torch.compile(f, backend="aot_eager", fullgraph=True) for f in (values, slopes))
    torch.testing.assert_close(compiled(w), values(w))
    torch.testing.assert_close(*(torch.autograd.grad(f(w).square().sum(), w) for f in (compiled, values)))
    torch.testing.assert_close(compiled_slopes(w.detach()), slopes(w.detach()))


def test_a_second_derivative_that_is_compiled_raises():
    slope = torch.func.grad(orthogonality)
    with pytest.raises((torch._dynamo.exc.TorchDynamoException, RuntimeError)):
        torch.compile(torch.func.grad(lambda w: slope(w).sum()), backend="aot_eager")(weight(3, 4))


@pytest.mark.parametrize("name", PENALTIES)
def test_vmap_is_a_stack(name):
    w = weight(2, 3, 6, 4)
    torch.testing.assert_close(
        torch.vmap(lambda w: orthogonality(w, name), in_dims=2)(w.movedim(0, 2)), orthogonality(w, name)
    )
    if name in ATTACHED:
        one = torch.func.grad(lambda w: orthogonality(w, name))
        torch.testing.assert_close(torch.vmap(torch.vmap(one))(w), gradient(w, name))


@pytest.mark.parametrize("name", ATTACHED)
def test_derivatives_of_every_mode_and_order(name):
    """Against autograd of the formula, which is right where S has no ties."""
    modes = (torch.func.jacrev, torch.func.jacfwd)
    options = {"delta": 0.3} if name == "huber" else {}  # no entry of S is near it

    def value(w):
        return orthogonality(w, name, **options)

    def formula(w):
        w = w if w.shape[0] <= w.shape[1] else w.mT
        return PENALTIES[name].value((w @ w.mT - torch.eye(len(w), dtype=F64))[None], **options)[0]

    for shape in ((2, 3), (3, 2), (3, 3)):
        w = weight(*shape).requires_grad_()
        (first,) = torch.autograd.grad(formula(w), w, create_graph=True)
        rows = [torch.autograd.grad(entry, w, retain_graph=True)[0] for entry in first.flatten()]
        first, second, w = first.detach(), torch.stack(rows).reshape(shape * 2), w.detach()
        for outer in modes:
            torch.testing.assert_close(outer(value)(w), first)
            for inner in modes:
                torch.testing.assert_close(outer(inner(value))(w), second)
    stack = torch.stack([w, w])
    torch.testing.assert_close(torch.vmap(torch.func.hessian(value))(stack), torch.stack([second, second]))
    # Where the loss is not the value itself, its first derivative enters the second.
    assert torch.autograd.gradgradcheck(lambda w: value(w) ** 2, stack.requires_grad_(), fast_mode=True)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_a_gradient_can_be_penalised(dtype):
    """In every precision, and under autocast."""

    def slope(w):
        (first,) = torch.autograd.grad(orthogonality(w, name), w, create_graph=True)
        return torch.autograd.grad(first.double().square().sum(), w)[0]

    for name in ATTACHED:
        w = weight(3, 4, dtype=dtype).requires_grad_()
        exact = slope(w.detach().double().requires_grad_())
        assert (slope(w) - exact).norm() < 30 * torch.finfo(dtype).eps * exact.norm(), name
        with torch.autocast("cpu", torch.bfloat16):
            inside = slope(w)
        assert torch.equal(inside, slope(w)), name


@pytest.mark.parametrize("name", ATTACHED)
def test_second_derivatives_at_s_0_are_as_the_docstring_says(name):
    w, direction = torch.eye(3, 4, dtype=F64), weight(3, 4)
    found = torch.func.jvp(torch.func.grad(lambda w: orthogonality(w, name)), (w,), (direction,))[1]
    if name in ("fro", "spectral", "spectral2", "nuclear", "vonneumann"):
        assert found.isnan().any()
        return
    change = w @ direction.mT + direction @ w.mT
    of_s = {"fro2": change, "logdet": change / 2, "offdiag": change - change.diag().diag()}.get(name, 0 * change)
    torch.testing.assert_close(found, 4 * of_s @ w)


@pytest.mark.parametrize("name", ATTACHED)
def test_a_second_derivative_takes_no_neighbour_down(name):
    stack = torch.stack([weight(3, 4), torch.zeros(3, 4), torch.full((3, 4), torch.inf)]).requires_grad_()
    (first,) = torch.autograd.grad(orthogonality(stack, name).sum(), stack, create_graph=True)
    (second,) = torch.autograd.grad(first[0].sum(), stack)
    alone = stack[0].detach().requires_grad_()
    (expected,) = torch.autograd.grad(orthogonality(alone, name), alone, create_graph=True)
    torch.testing.assert_close(second[0], torch.autograd.grad(expected.sum(), alone)[0])


def test_a_third_derivative_raises():
    # Also beside a term that has one, where the penalty's would be missed by nobody.
    w = weight(2, 3)
    for modes in itertools.product((torch.func.jacrev, torch.func.jacfwd), repeat=3):
        third = functools.reduce(lambda f, mode: mode(f), modes, lambda w: orthogonality(w) + w.pow(4).sum())
        with pytest.raises(RuntimeError, match="differentiated twice"):
            third(w)


@pytest.mark.parametrize("number", [np.float32(0.01), np.float64(0.01), np.array(1), torch.tensor(0.01), 1, "1e-2"])
def test_an_option_is_any_number(number):
    assert orthogonality(weight(3, 3), "huber", delta=number) == orthogonality(
        weight(3, 3), "huber", delta=float(number)
    )


# What is refused


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


@pytest.mark.parametrize("shape", [(5, 5), (4, 7), (7, 4)])
@pytest.mark.parametrize("size", [1e-4, 1e-12, 1.0, 100.0])
def test_logdet_is_right_at_weights_of_any_size(size, shape):
    """Of a small weight WWᵀ - I is -I to the last digit, and its determinant is lost."""
    generator = torch.Generator().manual_seed(0)
    w = size * torch.randn(shape, generator=generator)
    sigma = torch.linalg.svdvals(w.double())
    expected = float((sigma.square() - 2 * sigma.log() - 1).sum())
    assert float(orthogonality(w, "logdet")) == pytest.approx(expected, rel=1e-5)


def test_each_case_of_the_page_runs_as_it_stands_and_does_what_it_says(capsys):
    text = (ROOT / "docs" / "library.md").read_text(encoding="utf-8")
    cases = text[: text.index("# The library")]
    names = {}
    for block in re.findall(r"(?:^    .*\n|^\n(?=    ))+", cases, re.M):
        exec(re.sub(r"^    ", "", block, flags=re.M), names)
    assert names["found"].rate_floor == pytest.approx(0.22 * 16**2 * 0.01, rel=0.1)
    trained = names["layer"].weight.detach()
    assert float((trained - names["rotation"]).norm()) < 0.05 and names["row"].row_norm < 0.05
    assert "obstacle" in capsys.readouterr().out


def test_the_readmes_recipe_makes_a_network_orthogonal():
    text = (ROOT / "docs" / "library.md").read_text(encoding="utf-8")
    section = text[text.index("**In a network of your own.**") :]
    block = re.search(r"^    .*\n(?:    .*\n|\n)*", section, re.M)[0]
    torch.manual_seed(0)
    names = {}
    exec(re.sub(r"^    ", "", block, flags=re.M), names)
    trained, fresh = names["network"], names["Network"]()
    assert trained.penalty() < 0.01 * fresh.penalty()
    rows = trained.linear.weight.detach()
    assert rows.shape == (32, 64) and (rows @ rows.mT - torch.eye(32)).norm() < 0.5
    kernels = trained.conv.weight.detach().flatten(1)
    assert (kernels @ kernels.mT - torch.eye(16)).norm() < 0.5
