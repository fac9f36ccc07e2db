"""Penalties in anyone's network: as any loss function of torch's, under its transformations, compiled, and differentiated again."""

import functools
import itertools

import numpy as np
import pytest
import torch
from test_orthogonality import ATTACHED, F64, gradient, weight

from orthogrid import orthogonality
from orthogrid.penalties import PENALTIES

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
