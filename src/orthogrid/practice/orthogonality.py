"""The penalties in a network of one's own: of a weight of any shape, with a gradient that is finite also at S = 0."""

from __future__ import annotations

import contextlib
import math
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad

from ..cells.cell import as_number, nearest
from ..penalties import PENALTIES, Penalty, find_penalty


def orthogonality(weight: Tensor, penalty: str = "fro2", *, flatten: bool = False, **options: float) -> Tensor:
    """How far a weight is from orthogonal, by a penalty's name and its options: `orthogonality(w, "huber", delta=0.01)`.

    A weight (m, n) gives a scalar. S is taken on the shorter side: WWᵀ - I for m ≤ n, orthonormal rows, and WᵀW - I
    otherwise, orthonormal columns. The trainer's S is that of a square weight, WWᵀ - I.

    A stack of weights (..., m, n) gives values (...). A convolution's kernels (out, in, h, w) would be such a stack of
    h × w matrices; `flatten=True` takes them as the one matrix (out, in · h · w). An empty weight has the value 0.

    At S = 0 value and gradient are 0. Elsewhere the gradient is the trainer's; where a penalty has no derivative, one of its
    subgradients. A penalty registered by its value alone is left to autograd, also at S = 0.

    The second derivative is that of the penalty's formula, in double precision. It is NaN at S = 0 for `fro`. For `spectral`,
    `spectral2`, `nuclear` and `vonneumann` it is NaN wherever two eigenvalues of S are equal, so also at S = 0. For `huber` an
    entry of S that is exactly 0 adds nothing to it. A third derivative raises.

    It goes under `torch.func`, in forward mode, and into `torch.compile(fullgraph=True)`. Compiled, it has one derivative, and that
    not in forward mode; others raise. On the meta device it gives what there is: shapes.

    Values are at least float32: bfloat16 knows no S between 0 and 0.004. Autocast does not reach in here either.

    `l1_detached` and `fro2_detached` give a value without a gradient, on purpose: they are the thread's bug. `none` is 0.

    Raises TypeError for what is no tensor, ValueError for a weight that is complex, of integers or no matrix, for an unknown
    penalty and for a wrong option.
    """
    chosen, spec = _choose(penalty, options)
    weight = _as_matrices(weight, flatten)
    *stack, m, n = weight.shape
    w = weight.reshape(math.prod(stack), m, n)
    w = w.to(torch.promote_types(w.dtype, torch.float32))
    w = w.mT if m > n else w
    if chosen.attached and chosen.multiplier_of is None and chosen.gradient_of is None:
        with _full_precision(w):
            values = chosen.value(_residual(w), **find_penalty(spec)[1])
    else:
        values = _by_hand(0, spec, w if chosen.attached else w.detach())
    return values.reshape(stack)


# Marked, since a compiler follows no forward mode. The mark imports what torch's optimizers import at their first step.
@torch.compiler.allow_in_graph
def _by_hand(order: int, spec: str, *stacks: Tensor) -> Tensor:
    """A penalty's derivative of an order 0, 1 or 2, given its spec, `huber(delta=0.01)`, and stacks.

    The stacks are weights (B, m, n), m ≤ n, and for order 2 directions (B, m, n). Order 0 gives values (B,), order 1 gradients
    (B, m, n), and order 2 the Hessians' products with the directions (B, m, n).
    """
    return _ByHand.apply(order, spec, *stacks)


class _ByHand(torch.autograd.Function):
    """Autograd's own gradient divides 0 by 0 at S = 0, in a square root or between equal eigenvalues."""

    @staticmethod
    def forward(order: int, spec: str, *stacks: Tensor) -> Tensor:
        return torch.ops.orthogrid.penalty(order, spec, *stacks)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple, output: Tensor) -> None:
        ctx.order, ctx.spec, w, *_ = inputs
        ctx.save_for_backward(w)
        ctx.save_for_forward(w)

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[None, None, Tensor]:
        (w,) = ctx.saved_tensors
        found = _next_order(ctx, w, upstream)
        return None, None, found if ctx.order else upstream[:, None, None] * found

    @staticmethod
    def jvp(ctx: Any, order: None, spec: None, tangent: Tensor, *_: None) -> Tensor:
        # torch switches forward mode off in here, and another forward mode around this one would lose its term.
        with forward_ad._set_fwd_grad_enabled(True):
            found = _next_order(ctx, forward_ad.unpack_dual(*ctx.saved_tensors).primal, tangent)
            return found if ctx.order else (found * tangent).sum((-2, -1))

    @staticmethod
    def vmap(info: Any, dims: tuple, order: int, spec: str, *stacks: Tensor) -> tuple[Tensor, int]:
        """Many stacks are one that holds them all."""
        many = [
            x.expand(info.batch_size, *x.shape) if dim is None else x.movedim(dim, 0)
            for x, dim in zip(stacks, dims[2:], strict=True)
        ]
        found = _by_hand(order, spec, *(x.flatten(0, 1) for x in many))
        return found.unflatten(0, many[0].shape[:2]), 0


def _next_order(ctx: Any, w: Tensor, direction: Tensor) -> Tensor:
    """The gradient of values, or the Hessian's product of gradients."""
    if ctx.order == 2:
        raise RuntimeError("orthogonality can be differentiated twice; for more, let autograd take PENALTIES[name](S)")
    return _by_hand(ctx.order + 1, ctx.spec, w, *([direction] if ctx.order else []))


def _unfilled(order: int, spec: str, w: Tensor, direction: Tensor | None = None) -> Tensor:
    return w.new_empty(w.shape if order else w.shape[:1])


def _computed(order: int, spec: str, w: Tensor, direction: Tensor | None = None) -> Tensor:
    if not w.numel():
        return _unfilled(order, spec, w).zero_()
    penalty, options = find_penalty(spec)
    with _full_precision(w):
        if direction is not None:
            return _hessian_product(penalty, options, w, direction)
        return penalty.gradient_at(w, **options).contiguous() if order else penalty.value_at(w, **options)


def _hessian_product(penalty: Penalty, options: dict[str, float], w: Tensor, direction: Tensor) -> Tensor:
    """By autograd, NaN where a value is not finite: there decompositions raise, and would take the stack's others down."""
    with torch.enable_grad():
        leaf = w.detach().double()
        finite = penalty.value(_residual(leaf), **options).isfinite()[:, None, None]
        leaf = torch.where(finite, leaf, torch.eye(*leaf.shape[1:]).to(leaf)).requires_grad_()
        (gradient,) = torch.autograd.grad(penalty.value(_residual(leaf), **options).sum(), leaf, create_graph=True)
        (found,) = torch.autograd.grad(gradient, leaf, direction.double())
        return torch.where(finite, found, torch.nan).to(w.dtype)


# An operator, since a compiler cannot look inside: decompositions branch by the numbers that they are given.
torch.library.define("orthogrid::penalty", "(int order, str spec, Tensor w, Tensor? direction=None) -> Tensor")
torch.library.impl("orthogrid::penalty", "default", _computed)
torch.library.register_fake("orthogrid::penalty", _unfilled)


def _residual(w: Tensor) -> Tensor:
    """S = WWᵀ - I (B, m, m)."""
    s = w @ w.mT
    s.diagonal(dim1=-2, dim2=-1).sub_(1)
    return s


def _full_precision(w: Tensor) -> contextlib.AbstractContextManager:
    known = torch.amp.is_autocast_available(w.device.type)
    return torch.autocast(w.device.type, enabled=False) if known else contextlib.nullcontext()


def _as_matrices(weight: Tensor, flatten: bool) -> Tensor:
    if not isinstance(weight, Tensor):
        raise TypeError(f"orthogonality takes a tensor, such as a layer's .weight, not {type(weight).__name__}")
    if weight.dim() < 2 or not weight.is_floating_point():
        raise ValueError(
            f"orthogonality takes a real weight (m, n) or a stack (..., m, n), not {weight.dtype} of shape {tuple(weight.shape)}"
        )
    return weight.flatten(1) if flatten else weight


def _choose(name: str, options: dict[str, Any]) -> tuple[Penalty, str]:
    """The penalty of a name, and its spec, `huber(delta=0.01)`, with options checked as in a config."""
    if not isinstance(name, str) or name not in PENALTIES:
        raise ValueError(f"no penalty '{name}': one of {', '.join(PENALTIES)}{nearest(name, PENALTIES)}")
    known, given = PENALTIES[name].entry.options, []
    for option, value in options.items():
        if option not in known:
            has = ", ".join(known) or "none"
            raise ValueError(f"{name} has no option '{option}' (it has: {has}){nearest(option, [*known, 'flatten'])}")
        number = as_number(value.item() if getattr(value, "ndim", None) == 0 else value)  # numpy's and torch's numbers
        if number is None or number < 0:
            raise ValueError(f"{name}: option {option} must be a number ≥ 0, got {value!r}")
        given.append(f"{option}={float(number)!r}")
    return PENALTIES[name], f"{name}({','.join(given)})"
