"""Orthogonality penalties: each a function of S = WWᵀ - I, for a batch of weights.

To add one, write a function from S (B, n, n) to values (B,) and decorate it with `@register`; its name is then a value
of the axis `penalty`, and its gradient comes from autograd. Keyword-only arguments become options: `huber(delta=0.01)`.

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

from .cells.catalog import Entry
from .cells.cell import spec_name, spec_options
from .cells.registration import registered
from .numerics.linalg import each, gram_residual, total

PENALTIES: dict[str, Penalty] = {}


@dataclass
class Penalty:
    """A registered penalty. Calling it gives its values at S; `orthogonality` in `networks.py` takes a weight.

    Its traits, `attached` for one, are its entry's.
    """

    name: str
    value: Callable[..., Tensor]  # S (B, n, n), options → (B,)
    entry: Entry
    multiplier_of: Callable[..., Tensor] | None = None
    factor: float = 1.0  # of what `multiplier_of` returns
    gradient_of: Callable[..., Tensor] | None = None

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

    def multiplier(self, function: Callable[..., Tensor] | None = None, *, factor: float = 1.0) -> Callable:
        """Decorator: `function(S, **options)` returns Z / factor (B, n, n), and may overwrite S.

        A constant factor is taken into the product with W, where it costs nothing.
        """
        if function is None:
            return functools.partial(self.multiplier, factor=factor)
        self.multiplier_of, self.factor = function, factor
        return function

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


def register(**traits: Any) -> Callable[[Callable[..., Tensor]], Penalty]:
    """Make a function of S a penalty of its own name.

    The traits tell others what they want to know of it; `catalog.TRAITS` lists them, each with its meaning and default.
    """

    def wrap(function: Callable[..., Tensor]) -> Penalty:
        penalty = Penalty(function.__name__, function, registered("penalty", function, traits))
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


@l1.multiplier(factor=2)
def _(s: Tensor) -> Tensor:
    return s.sign_()


@register()
def fro2(s: Tensor) -> Tensor:
    """‖S‖_F² ("soft orthogonality", Bansal et al., NeurIPS 2018; the thread's answer). Gradient 4 S W."""
    return total(s.square())


@fro2.multiplier(factor=4)
def _(s: Tensor) -> Tensor:
    return s


@register()
def fro(s: Tensor) -> Tensor:
    """‖S‖_F, not squared: an exact penalty, whose gradient 2 S W / ‖S‖_F keeps its size down to S = 0 (there: 0)."""
    return total(s.square()).sqrt()


@fro.multiplier
def _(s: Tensor) -> Tensor:
    norm = total(s.square()).sqrt().clamp_min(torch.finfo(s.dtype).tiny)
    return s.mul_((2 / norm)[:, None, None])


@register(decomposes=True)
def spectral(s: Tensor) -> Tensor:
    """sigma_max(S), the largest absolute eigenvalue (SRIP, Bansal et al., NeurIPS 2018, before squaring).

    Only one direction is corrected at a time. The gradient 2 sign(mu) q qᵀ W uses one eigenvector, also where ± mu tie.
    """
    return _eigenvalues(s).abs().amax(-1)


@spectral.multiplier
def _(s: Tensor) -> Tensor:
    mu, projector = _largest_eigenpair(s)
    return s.copy_(projector.mul_(2 * mu.sign()[:, None, None]))


@register(decomposes=True)
def spectral2(s: Tensor) -> Tensor:
    """sigma_max(S)², as the code published with Bansal et al. (NeurIPS 2018) has it. Gradient 4 mu q qᵀ W."""
    return _eigenvalues(s).square().amax(-1)


@spectral2.multiplier
def _(s: Tensor) -> Tensor:
    mu, projector = _largest_eigenpair(s)
    return s.copy_(projector.mul_(4 * mu[:, None, None]))


@register(decomposes=True)
def nuclear(s: Tensor) -> Tensor:
    """Sum of the singular values of S: an exact penalty. Gradient 2 sign(S) W, the matrix sign."""
    return _eigenvalues(s).abs().sum(-1)


@nuclear.multiplier
def _(s: Tensor) -> Tensor:
    return _of_eigenvalues(s, lambda mu: 2 * mu.sign())


@register()
def coherence(s: Tensor) -> Tensor:
    """max |S_ij|, mutual coherence and norms together (Bansal et al., NeurIPS 2018). One pair of entries has a gradient."""
    return s.abs().flatten(1).amax(-1)


@coherence.multiplier
def _(s: Tensor) -> Tensor:
    n = s.shape[-1]
    cell = torch.arange(len(s), device=s.device)
    entries = s.flatten(1)
    largest = entries.abs().argmax(-1)
    sign = entries[cell, largest].sign()
    s.zero_()
    # The symmetric derivative: half at (i, j), half at (j, i), together 1 on the diagonal.
    s.index_put_((cell, largest // n, largest % n), sign, accumulate=True)
    s.index_put_((cell, largest % n, largest // n), sign, accumulate=True)
    return s


@register()
def row_sum(s: Tensor) -> Tensor:
    """Largest row sum of |S| (the bound on mutual coherence in Bansal et al., NeurIPS 2018). One row has a gradient."""
    return s.abs().sum(-1).amax(-1)


@row_sum.multiplier
def _(s: Tensor) -> Tensor:
    cell = torch.arange(len(s), device=s.device)
    largest = s.abs().sum(-1).argmax(-1)
    signs = s[cell, largest].sign()
    s.zero_()
    s[cell, largest, :] += signs
    s[cell, :, largest] += signs
    return s


@register()
def offdiag(s: Tensor) -> Tensor:
    """‖WWᵀ ∘ (11ᵀ - I)‖_F² (Brock et al., ICLR 2019). Zero for orthogonal rows of any length: no orthogonality penalty."""
    return total(s.square()) - s.diagonal(dim1=-2, dim2=-1).square().sum(-1)


@offdiag.multiplier(factor=4)
def _(s: Tensor) -> Tensor:
    s.diagonal(dim1=-2, dim2=-1).zero_()
    return s


@register()
def huber(s: Tensor, *, delta: float = 1e-3) -> Tensor:
    """Smooth L1: sum of ½ S_ij² up to delta, delta (|S_ij| - delta/2) beyond (Huber, 1964). Gradient 2 clip(S, ±delta) W.

    Where every |S_ij| is below delta this is half of `fro2`, so delta belongs below the typical |S_ij|.
    """
    size = s.abs()
    inside = size.clamp_max(delta)
    return total(inside * (size - inside / 2))


@huber.multiplier(factor=2)
def _(s: Tensor, *, delta: float = 1e-3) -> Tensor:
    return s.clamp_(-delta, delta)


@register(decomposes=True)
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


@register(decomposes=True)
def vonneumann(s: Tensor) -> Tensor:
    """tr(G log G - G) + n, G = WWᵀ (Bregman divergence; Xie et al., ICML 2018). Finite at det W = 0. Gradient 2 log(G) W."""
    mu = _eigenvalues(s)
    g = (1 + mu).clamp_min(0)  # a rounded eigenvalue of G may be negative where W is singular
    return (torch.special.xlogy(g, g) - mu).sum(-1)


@vonneumann.multiplier
def _(s: Tensor) -> Tensor:
    return _of_eigenvalues(s, lambda mu: 2 * mu.clamp_min(torch.finfo(mu.dtype).eps - 1).log1p())


def _eigenvalues(s: Tensor) -> Tensor:
    """Eigenvalues of symmetric matrices (B, n, n), ascending: (B, n)."""
    return each(torch.linalg.eigvalsh, s)


def _largest_eigenpair(s: Tensor) -> tuple[Tensor, Tensor]:
    """Eigenvalue of largest size (B,) and the projector on one of its unit eigenvectors (B, n, n).

    By full decomposition: power iteration on S does not converge where + mu and - mu are both largest.
    """
    vectors = each(_largest_eigenvector, s)
    q = vectors[..., 1:]
    return vectors[..., 0], q[..., :, None] * q[..., None, :]


def _largest_eigenvector(s: Tensor) -> Tensor:
    mu, q = torch.linalg.eigh(s)
    largest = mu.abs().argmax(-1, keepdim=True)
    vector = q.take_along_dim(largest[..., None, :], -1)[..., 0]
    return torch.cat([mu.take_along_dim(largest, -1), vector], -1)


def _of_eigenvalues(s: Tensor, function: Callable[[Tensor], Tensor]) -> Tensor:
    """Q function(mu) Qᵀ for each symmetric S = Q mu Qᵀ, into S."""

    def apply(matrix: Tensor) -> Tensor:
        mu, q = torch.linalg.eigh(matrix)
        return (q * function(mu)[..., None, :]) @ q.mT

    return s.copy_(each(apply, s))
