"""Penalties in anyone's network: values and gradients of weights of any shape."""

import pytest
import torch
from test_penalties import hand_gradient
from torch import nn

from orthogrid import orthogonality
from orthogrid.penalties import PENALTIES

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


@pytest.mark.parametrize("shape", [(5, 5), (6, 3)])
def test_a_penalty_with_value_alone_goes_by_autograd(cubic, shape):
    w = weight(*shape).requires_grad_()
    assert torch.autograd.gradcheck(lambda w: orthogonality(w, "cubic", scale=2.0), w)
    torch.testing.assert_close(orthogonality(w, "cubic", scale=2.0), 2 * orthogonality(w, "cubic"))


@pytest.mark.parametrize("shape", [(5, 5), (4, 7), (7, 4)])
@pytest.mark.parametrize("size", [1e-4, 1e-12, 1.0, 100.0])
def test_logdet_is_right_at_weights_of_any_size(size, shape):
    """Of a small weight WWᵀ - I is -I to the last digit, and its determinant is lost."""
    generator = torch.Generator().manual_seed(0)
    w = size * torch.randn(shape, generator=generator)
    sigma = torch.linalg.svdvals(w.double())
    expected = float((sigma.square() - 2 * sigma.log() - 1).sum())
    assert float(orthogonality(w, "logdet")) == pytest.approx(expected, rel=1e-5)
