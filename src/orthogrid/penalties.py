"""Orthogonality penalties: each a function of S = WWᵀ - I, for a batch of weights.

To add one, write a function from S (B, n, n) to values (B,) and decorate it with `@register`; its name is then a value
of the axis `penalty`, and its gradient comes from autograd. Keyword-only arguments become options: `huber(delta=0.01)`.

A hand-written gradient is faster. It is given as the *multiplier* Z(S) with ∂penalty/∂W = Z W: for a penalty p(S) with
symmetric derivative, Z = 2 ∂p/∂S. The trainer then needs two matrix products a step, whatever the penalty. Where Z
is badly conditioned, give `gradient`, the derivative in W itself.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from .grid import spec_name, spec_options
from .linalg import each, total

PENALTIES: dict[str, Penalty] = {}


@dataclass
class Penalty:
    """A registered penalty; calling it gives its values."""

    name: str
    value: Callable[..., Tensor]  # S (B, n, n), options → (B,)
    attached: bool  # False: the penalty is measured but has no gradient, the thread's bug
    uses_reg: bool
    multiplier_of: Callable[..., Tensor] | None = None
    gradient_of: Callable[..., Tensor] | None = None

    def __call__(self, s: Tensor, **options: float) -> Tensor:
        return self.value(s, **options)

    def multiplier(self, function: Callable[..., Tensor]) -> Callable[..., Tensor]:
        """Decorator: `function(S, **options)` returns Z (B, n, n), and may overwrite S."""
        self.multiplier_of = function
        return function

    def gradient(self, function: Callable[..., Tensor]) -> Callable[..., Tensor]:
        """Decorator: `function(W, **options)` returns the gradient in W (B, n, n)."""
        self.gradient_of = function
        return function


def register(*, attached: bool = True, uses_reg: bool = True) -> Callable[[Callable[..., Tensor]], Penalty]:
    """Make a function of S a penalty of its own name. `uses_reg=False`: reg changes neither training nor report."""

    def wrap(function: Callable[..., Tensor]) -> Penalty:
        penalty = Penalty(function.__name__, function, attached, uses_reg)
        PENALTIES[penalty.name] = penalty
        return penalty

    return wrap


def find_penalty(spec: str) -> tuple[Penalty, dict[str, float]]:
    """The penalty and options of a spec such as `huber(delta=0.01)`."""
    return PENALTIES[spec_name(spec)], spec_options(spec)


@register(attached=False, uses_reg=False)
def none(s: Tensor) -> Tensor:
    """Plain regression: no penalty."""
    return torch.zeros_like(s[:, 0, 0])


@register(attached=False)
def l1_detached(s: Tensor) -> Tensor:
    """sum |S_ij|, measured on `weight.data` as in the thread's first script: it has no gradient."""
    return total(s.abs())


@register(attached=False)
def fro2_detached(s: Tensor) -> Tensor:
    """sum S_ij², measured on `weight.data`: it has no gradient. For the ablation of the thread's three changes."""
    return total(s.square())


@register()
def l1(s: Tensor) -> Tensor:
    """sum |S_ij| (the thread's; Brock et al., ICLR 2017). Its subgradient 2 sign(S) W has constant size."""
    return total(s.abs())


@l1.multiplier
def _(s: Tensor) -> Tensor:
    return s.sign_().mul_(2)


@register()
def fro2(s: Tensor) -> Tensor:
    """‖S‖_F² ("soft orthogonality", Bansal et al., NeurIPS 2018; the thread's answer). Gradient 4 S W."""
    return total(s.square())


@fro2.multiplier
def _(s: Tensor) -> Tensor:
    return s.mul_(4)


@register()
def fro(s: Tensor) -> Tensor:
    """‖S‖_F, not squared: an exact penalty, whose gradient 2 S W / ‖S‖_F keeps its size down to S = 0 (there: 0)."""
    return total(s.square()).sqrt()


@fro.multiplier
def _(s: Tensor) -> Tensor:
    norm = total(s.square()).sqrt().clamp_min(torch.finfo(s.dtype).tiny)
    return s.mul_((2 / norm)[:, None, None])


@register()
def huber(s: Tensor, *, delta: float = 1e-3) -> Tensor:
    """Smooth L1: sum of ½ S_ij² up to delta, delta (|S_ij| - delta/2) beyond (Huber, 1964). Gradient 2 clip(S, ±delta) W.

    Where every |S_ij| is below delta this is half of `fro2`, so delta belongs below the typical |S_ij|.
    """
    size = s.abs()
    inside = size.clamp_max(delta)
    return total(inside * (size - inside / 2))


@huber.multiplier
def _(s: Tensor, *, delta: float = 1e-3) -> Tensor:
    return s.clamp_(-delta, delta).mul_(2)


@register()
def logdet(s: Tensor) -> Tensor:
    """tr(WWᵀ) - log det(WWᵀ) - n (Bregman divergence; Xie et al., ICML 2018). Infinite where det W = 0."""
    gram = s + torch.eye(s.shape[-1], dtype=s.dtype, device=s.device)
    return s.diagonal(dim1=-2, dim2=-1).sum(-1) - each(lambda g: torch.linalg.slogdet(g)[1], gram)


@logdet.gradient
def _(w: Tensor) -> Tensor:
    # The inverse of W itself: the one of WWᵀ would square its condition number.
    return 2 * w - 2 * each(_inverse_transposed, w)


def _inverse_transposed(w: Tensor) -> Tensor:
    return torch.linalg.inv_ex(w).inverse.mT
