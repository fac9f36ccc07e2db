"""Methods that keep the weight orthogonal, or bring it back, without a penalty.

To add one, derive a class from `adam` or a class below and decorate it with `@register()`; its name is then a value of the
axis `method`. Every one here feeds the same data gradient to the same Adam, so that they differ in the constraint alone.
What is a library's stands in `libraries`.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..numerics.linalg import GramResidual, Products, decomposed
from .base import Method, register
from .optimizers import adam


class Corrected(adam):
    """Adam's step on the data loss, followed by a correction of the weight. It works on stacks with their margins."""

    def __init__(self, batch):
        super().__init__(batch)
        self.products: Products = batch.products
        self.weight, self.grad = batch.whole.weight, batch.whole.grad
        self.s, self.saved = GramResidual(batch.weight), torch.zeros_like(self.weight)

    def step(self, t: int) -> None:
        super().step(t)
        self.correct()

    def correct(self) -> None:
        """Bring batch.weight nearer to the orthogonal matrices."""
        raise NotImplementedError

    def newton_schulz_step(self, strength: float = 0.5) -> None:
        """W ← W - strength (WWᵀ - I) W; with 1/2 one cubic Newton-Schulz step (3W - WWᵀW)/2 towards the polar factor."""
        self.saved.copy_(self.weight)
        s = self.s.fill(self.saved, self.products)
        self.products.baddbmm(self.weight, s, self.saved, out=self.weight, alpha=-strength)


@register(constrains=True, keeps="near", products=2)
class newton_schulz(Corrected):
    """One cubic Newton-Schulz step W ← (3W - WWᵀW)/2 after each step of Adam (Björck and Bowie, 1971)."""

    def correct(self) -> None:
        self.newton_schulz_step()


@register(constrains=True, keeps="near", products=2)
class parseval(Corrected):
    """W ← (1 + beta) W - beta WWᵀW after each step of Adam (Parseval networks, Cisse et al., ICML 2017)."""

    def __init__(self, batch, *, beta: float = 0.01):
        super().__init__(batch)
        self.beta = beta

    def correct(self) -> None:
        self.newton_schulz_step(self.beta)


class Relative(Corrected):
    """Moves W ← (I + Omega) W, Omega skew: Adam sees the gradient skew(∇f Wᵀ) W, and its step is made tangent again.

    skew(∇f Wᵀ) W is the Riemannian gradient on O(n). Adam's elementwise scaling leaves the tangent space; skew(Delta Wᵀ)
    brings its step Delta back. Since det(I + Omega) > 0, no such move changes the determinant's sign.
    """

    def __init__(self, batch):
        super().__init__(batch)
        self.before = torch.zeros_like(self.weight)

    def step(self, t: int) -> None:
        batch, weight = self.batch, self.weight
        batch.compute_gradient()
        self.products.bmm(self._skew(self.grad), weight, out=self.grad)
        self.before.copy_(weight)
        batch.update(t)
        weight.sub_(self.before)
        omega = self._skew(weight, self.before)
        self.products.baddbmm(self.before, omega, self.before, out=weight)
        self.correct()

    def _skew(self, a: Tensor, base: Tensor | None = None) -> Tensor:
        """skew(a baseᵀ), base the weight where none is given."""
        self.products.bmm(a, (self.weight if base is None else base).mT, out=self.s.whole)
        self.saved.copy_(self.s.whole.mT)
        return self.s.whole.sub_(self.saved).mul_(0.5)


@register(constrains=True, keeps="near", products=5)
class landing(Relative):
    """W ← W - lr (psi + strength (WWᵀ - I) W), psi the relative gradient (Ablin and Peyré, AISTATS 2022), with Adam's psi.

    No retraction: the second term pulls W towards the orthogonal matrices at the rate lr · strength.
    """

    def __init__(self, batch, *, strength: float = 1.0):
        super().__init__(batch)
        self.strength = strength
        self.rates = torch.empty(len(batch.cells), 1, 1, dtype=batch.dtype, device=batch.device)

    def correct(self) -> None:
        """The field is evaluated where the step began, as in the paper."""
        self.rates.copy_(torch.tensor(self.batch.rates, dtype=torch.float64)[:, None, None])
        s = self.s.fill(self.before, self.products).mul_(-self.strength * self.rates)
        self.products.baddbmm(self.weight, s, self.before, out=self.weight)


@register(constrains=True, keeps="near", products=5)
class pogo(Relative):
    """The relative step followed by one cubic correction, in the manner of POGO (Javaloy and Vergari, 2026)."""

    def correct(self) -> None:
        self.newton_schulz_step()


@register(constrains=True, keeps="on", decomposes=True, products=3)
class riemannian_qr(Relative):
    """The relative step, retracted by QR with a positive diagonal (Absil, Mahony and Sepulchre, 2008, example 4.1.3)."""

    def correct(self) -> None:
        self.batch.weight.copy_(decomposed(_q_factor, self.batch.weight))


@register(constrains=True, keeps="on", decomposes=True, products=3)
class riemannian_polar(Relative):
    """The relative step, retracted to the polar factor UVᵀ (Absil, Mahony and Sepulchre, 2008, example 4.1.3)."""

    def correct(self) -> None:
        self.batch.weight.copy_(decomposed(_polar_factor, self.batch.weight))


def _q_factor(a: Tensor) -> Tensor:
    q, r = torch.linalg.qr(a)
    return q * r.diagonal(dim1=-2, dim2=-1).sign()[..., None, :]


def _polar_factor(a: Tensor) -> Tensor:
    try:
        u, _, vt = torch.linalg.svd(a)
    except (
        torch.linalg.LinAlgError
    ):  # LAPACK's divide and conquer may not converge where all singular values are nearly one
        u, _, vt = torch.linalg.svd(a.double())
    return (u @ vt).to(a.dtype)


@register(constrains=True, both_sides=True, decomposes=True)
class polar(adam):
    """Plain regression by Adam, and at its end the weight's polar factor: the orthogonal matrix nearest what was found."""

    def step(self, t: int) -> None:
        super().step(t)
        batch = self.batch
        if t < batch.steps - 1:
            return
        batch.weight.copy_(decomposed(_polar_factor, batch.weight))
        if batch.cells[0].bias:  # at its optimum
            batch.bias.copy_((batch.y.double() - batch.x.double() @ batch.weight.double().mT).mean(1))


class ClosedForm(Method):
    """The orthogonal matrix of least data loss, from the SVD of the (centred) cross-covariance XᵀY."""

    keeps_side = False

    def step(self, t: int) -> None:
        batch = self.batch
        for i, (cell, problem) in enumerate(zip(batch.cells, batch.problems, strict=True)):
            x = problem.x.double()
            y = x @ problem.rho.double()
            y = y if problem.noise is None else y + problem.noise.double()
            mean_x, mean_y = (x.mean(0), y.mean(0)) if cell.bias else (torch.zeros_like(x[0]), torch.zeros_like(x[0]))
            u, _, vt = torch.linalg.svd((x - mean_x).mT @ (y - mean_y))
            if self.keeps_side:
                sign = torch.linalg.slogdet(u @ vt)[0] * torch.linalg.slogdet(problem.weight.double())[0]
                u[:, -1] *= sign.sign()
            weight = (u @ vt).mT
            batch.weight[i] = weight
            batch.bias[i] = mean_y - weight @ mean_x


@register(constrains=True, uses_steps=False, both_sides=True, decomposes=True)
class procrustes(ClosedForm):
    """No training: W = V Uᵀ from the SVD XᵀY = U Sigma Vᵀ, the orthogonal matrix of least data loss."""


@register(constrains=True, uses_steps=False, decomposes=True)
class procrustes_side(ClosedForm):
    """The same among the matrices with the start's determinant (Kabsch; Umeyama, TPAMI 1991)."""

    keeps_side = True
