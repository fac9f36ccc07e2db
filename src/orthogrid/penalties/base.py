"""What a penalty is: a function of S = WWᵀ - I, for a batch of weights.

To add one, write a file beside this one: a function from S (B, n, n) to values (B,), decorated with `@register()`. Its name is then a
value of the axis `penalty`, and its gradient comes from autograd. Keyword-only arguments become options: `huber(delta=0.01)`.

A hand-written gradient is faster. It is given as the *multiplier* Z(S) with ∂penalty/∂W = Z W: for a penalty p(S) with
symmetric derivative, Z = 2 ∂p/∂S. The trainer then needs two matrix products a step, whatever the penalty. Where Z
is badly conditioned, give `gradient`, the derivative in W itself.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..cells.components import Entry, registered
from ..cells.shape import spec_name, spec_options
from ..numerics.linalg import gram_residual

PENALTIES: dict[str, Penalty] = {}


@dataclass
class Penalty:
    """A registered penalty. Calling it gives its values at S; `orthogrid.orthogonality` takes a weight.

    Its traits, `attached` for one, are its entry's.
    """

    name: str
    value: Callable[..., Tensor]  # S (B, n, n), options → (B,)
    entry: Entry
    multiplier_of: Callable[..., Tensor] | None = None
    factor: float = 1.0  # of what `multiplier_of` returns
    formula: str | None = None  # that in words which kernels of ours know: "itself", "sign", "over norm"
    gradient_of: Callable[..., Tensor] | None = None
    weight_value_of: Callable[..., Tensor] | None = None  # W (B, n, n), options → (B,), where S has lost digits

    @property
    def attached(self) -> bool:
        """False: the penalty is measured but has no gradient, the thread's bug."""
        return self.entry.attached

    @property
    def decomposes(self) -> bool:
        """True: its gradient decomposes matrices, which makes a GPU's step wait for the host."""
        return self.entry.decomposes

    def __call__(self, s: Tensor, **options: float) -> Tensor:
        """Values (B,) at S = WWᵀ - I (B, n, n). Raises where S cannot be one; a detached penalty has no gradient here either.

        The trainer calls `value`: this check waits for a GPU, and a step that waits cannot be captured.
        """
        self._refuse_weights(s)
        value = self.value(s, **options)
        return value if self.attached else value.detach()

    def _refuse_weights(self, s: Tensor) -> None:
        """Raise if S has not the shape of a batch of square matrices, or is less symmetric than rounding leaves it.

        A stack of weights that happen to be symmetric passes.
        """
        if s.dim() != 3 or s.shape[-2] != s.shape[-1]:
            fault = f"has shape {tuple(s.shape)}"
        else:
            s = s.detach()
            asymmetry, size = (torch.linalg.vector_norm(x, dim=(-2, -1)) for x in (s - s.mT, s))
            # The second term is what rounding leaves near S = 0, where WWᵀ has entries of 1. NaN passes: a cell may diverge.
            if not (asymmetry > 0.1 * size + 2 * torch.finfo(s.dtype).eps * s.shape[-1]).any():
                return
            fault = "is not symmetric"
        raise ValueError(
            f"{self.name} is a function of S = WWᵀ - I, symmetric matrices (B, n, n), but what it was given {fault}; "
            f'for a weight call orthogrid.orthogonality(weight, "{self.name}")'
        )

    def multiplier(
        self, function: Callable[..., Tensor] | None = None, *, factor: float = 1.0, formula: str | None = None
    ) -> Callable:
        """Decorator: `function(S, **options)` returns Z / factor (B, n, n), and may overwrite S.

        A constant factor is taken into the product with W, where it costs nothing. A `formula` names what a GPU's own kernels
        are to do in its place: Z / factor is S "itself", its "sign", or S "over norm".
        """
        if function is None:
            return functools.partial(self.multiplier, factor=factor, formula=formula)
        self.multiplier_of, self.factor, self.formula = function, factor, formula
        return function

    def value_at(self, weight: Tensor, **options: float) -> Tensor:
        """Values (B,) at a weight (B, m, n), m ≤ n: from W itself where there is a way, else from S."""
        if self.weight_value_of is None:
            return self.value(gram_residual(weight), **options)
        square = weight.shape[-1] == weight.shape[-2]
        return self.weight_value_of(weight if square else torch.linalg.qr(weight.mT, mode="r").R.mT, **options)

    def gradient_at(self, weight: Tensor, **options: float) -> Tensor:
        """The derivative of its values in a weight (B, m, n), m ≤ n, S = WWᵀ - I: by hand where there is a way, else by autograd."""
        if self.multiplier_of is not None:
            return self.multiplier_at(gram_residual(weight), **options) @ weight
        if self.gradient_of is not None:
            if weight.shape[-1] == weight.shape[-2]:
                return self.gradient_of(weight, **options)
            # W = L Qᵀ with L square and QᵀQ = I has the same WWᵀ as L. With p = f(WWᵀ), ∂p/∂W = 2 f' W = (2 f' L) Qᵀ.
            q, r = torch.linalg.qr(weight.mT)
            return self.gradient_of(r.mT.contiguous(), **options) @ q.mT
        with torch.enable_grad():
            leaf = weight.detach().requires_grad_()
            (gradient,) = torch.autograd.grad(self.value(gram_residual(leaf), **options).sum(), leaf)
        return gradient

    def multiplier_at(self, s: Tensor, **options: float) -> Tensor:
        """Z (B, n, n) at S, which it may overwrite."""
        return self.factor * self.multiplier_of(s, **options)  # type: ignore[misc]

    def gradient(self, function: Callable[..., Tensor]) -> Callable[..., Tensor]:
        """Decorator: `function(W, **options)` returns the gradient in W (B, n, n)."""
        self.gradient_of = function
        return function

    def weight_value(self, function: Callable[..., Tensor]) -> Callable[..., Tensor]:
        """Decorator: `function(W, **options)` returns the values (B,) at W (B, n, n)."""
        self.weight_value_of = function
        return function


def register(**traits: Any) -> Callable[[Callable[..., Tensor]], Penalty]:
    """Make a function of S a penalty of its own name.

    The traits tell others what they want to know of it; `components.TRAITS` lists them, each with its meaning and default.
    """

    def wrap(function: Callable[..., Tensor]) -> Penalty:
        penalty = Penalty(function.__name__, function, registered("penalty", function, traits))
        PENALTIES[penalty.name] = penalty
        return penalty

    return wrap


def find_penalty(spec: str) -> tuple[Penalty, dict[str, float]]:
    """The penalty and options of a spec such as `huber(delta=0.01)`."""
    return PENALTIES[spec_name(spec)], spec_options(spec)
