"""The penalties in a network of one's own: of a weight of any shape, with a gradient that is finite also at S = 0."""

from __future__ import annotations

import inspect
import math
from typing import Any

import torch
from torch import Tensor

from ..cells.cell import as_number, nearest
from ..penalties import PENALTIES, Penalty


def orthogonality(weight: Tensor, penalty: str = "fro2", *, flatten: bool = False, **options: float) -> Tensor:
    """How far a weight is from orthogonal, by a penalty's name and its options: `orthogonality(w, "huber", delta=0.01)`.

    A weight (m, n) gives a scalar. S is taken on the shorter side: WWᵀ - I for m ≤ n, orthonormal rows, and WᵀW - I
    otherwise, orthonormal columns. The trainer's S is that of a square weight, WWᵀ - I.

    A stack of weights (..., m, n) gives values (...). A convolution's kernels (out, in, h, w) would be such a stack of
    h × w matrices; `flatten=True` takes them as the one matrix (out, in · h · w).

    At S = 0 value and gradient are 0. Elsewhere the gradient is the trainer's; where a penalty has no derivative, one of its
    subgradients. It can be taken once: a second derivative raises. `torch.vmap` raises, too; a stack does what it would.
    A penalty registered by its value alone is left to autograd, also at S = 0.

    Values are at least float32: bfloat16 knows no S between 0 and 0.004. Autocast does not reach in here either.

    `l1_detached` and `fro2_detached` give a value without a gradient, on purpose: they are the thread's bug. `none` is 0.
    """
    chosen, options = _choose(penalty, options)
    weight = _as_matrices(weight, flatten)
    *stack, m, n = weight.shape
    w = weight.reshape(math.prod(stack), m, n)
    w = w.to(torch.promote_types(w.dtype, torch.float32))
    w = w.mT if m > n else w
    with _full_precision(w):
        if not chosen.attached:
            values = chosen.value(_residual(w.detach()), **options)
        elif chosen.multiplier_of is None and chosen.gradient_of is None:
            values = chosen.value(_residual(w), **options)
        else:
            values = _ByHand.apply(w, chosen, options)
    return values.reshape(stack)


class _ByHand(torch.autograd.Function):
    """A penalty's values (B,) at weights (B, m, n), m ≤ n, with its hand-written gradient.

    Autograd's own divides 0 by 0 at S = 0, in a square root or between equal eigenvalues.
    """

    @staticmethod
    def forward(w: Tensor, penalty: Penalty, options: dict[str, float]) -> Tensor:
        return penalty.value_at(w, **options)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Penalty, dict[str, float]], output: Tensor) -> None:
        w, ctx.penalty, ctx.options = inputs
        ctx.save_for_backward(w)

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, None, None]:
        (w,) = ctx.saved_tensors
        return _GradientByHand.apply(w, upstream, ctx.penalty, ctx.options), None, None


class _GradientByHand(torch.autograd.Function):
    """The gradient, whose own derivative raises: `once_differentiable` would leave it out of a sum without a word."""

    @staticmethod
    def forward(w: Tensor, upstream: Tensor, penalty: Penalty, options: dict[str, float]) -> Tensor:
        with _full_precision(w):
            return upstream[:, None, None] * penalty.gradient_at(w, **options)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple, output: Tensor) -> None:
        pass

    @staticmethod
    def backward(ctx: Any, upstream: Tensor):
        raise RuntimeError("orthogonality can be differentiated once; for more, let autograd take PENALTIES[name](S)")


def _residual(w: Tensor) -> Tensor:
    """S = WWᵀ - I (B, m, m)."""
    s = w @ w.mT
    s.diagonal(dim1=-2, dim2=-1).sub_(1)
    return s


def _full_precision(w: Tensor) -> torch.autocast:
    return torch.autocast(w.device.type, enabled=False)


def _as_matrices(weight: Tensor, flatten: bool) -> Tensor:
    if not isinstance(weight, Tensor):
        raise TypeError(f"orthogonality takes a tensor, such as a layer's .weight, not {type(weight).__name__}")
    if weight.dim() < 2 or not weight.is_floating_point():
        raise ValueError(
            f"orthogonality takes a real weight (m, n) or a stack (..., m, n), not {weight.dtype} of shape {tuple(weight.shape)}"
        )
    return weight.flatten(1) if flatten else weight


def _choose(name: str, options: dict[str, Any]) -> tuple[Penalty, dict[str, float]]:
    """The penalty of a name, and its options checked as in a config."""
    if not isinstance(name, str) or name not in PENALTIES:
        raise ValueError(f"no penalty '{name}': one of {', '.join(PENALTIES)}{nearest(name, PENALTIES)}")
    chosen = PENALTIES[name]
    known = [p.name for p in inspect.signature(chosen.value).parameters.values() if p.kind is p.KEYWORD_ONLY]
    for option, value in options.items():
        if option not in known:
            has = ", ".join(known) or "none"
            raise ValueError(f"{name} has no option '{option}' (it has: {has}){nearest(option, [*known, 'flatten'])}")
        number = as_number(value)
        if number is None or number < 0:
            raise ValueError(f"{name}: option {option} must be a number ≥ 0, got {value!r}")
    return chosen, {option: float(value) for option, value in options.items()}
