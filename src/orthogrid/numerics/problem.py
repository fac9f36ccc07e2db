"""Problem and start of a cell: samples, target, initial weight and bias, all from the cell's own random numbers.

Everything is drawn on the CPU in float32. The order is that of the thread's second script: samples, target, the layer's own
initialisation, the start. So the ordinary cell is the thread's run. What the thread does not draw comes after, from the same
stream: the twin's direction, then noise or the fresh samples.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor

from ..cells.cell import Cell
from .inputs import DRAWN, VARIANCE, draw_inputs

# How a weight is stored; tf32 rounds the operands of products (`linalg.Products`).
DTYPES = {"float64": torch.float64, "float32": torch.float32, "tf32": torch.float32, "bfloat16": torch.bfloat16}
SAME_EIGENVALUE = 1e-4  # eigenvalues closer than this share are one: whitened inputs come in float32


@dataclass
class Problem:
    """One cell's data, target and start. Without noise `x` @ `rho` are the targets, so the solution is `rho.mT`."""

    x: Tensor  # (k, n) samples, in the cell's dtype; for fresh sampling the first draw
    rho: Tensor  # (n, n) orthogonal, in the cell's dtype or float32, whichever is finer
    weight: Tensor  # (n, n) start, orthogonal, in the cell's dtype
    bias: Tensor  # (n,) start; zeros for a layer without bias
    rank: int  # r, the rank of the Gram matrix G
    eigenvalues: Tensor  # (n,) float64, of G, ascending; n - r zeros
    eigenvectors: Tensor  # (n, n) float64, their columns
    weakest: Tensor  # (n,) float64 unit vector v of the smallest eigenvalue's eigenspace
    row_space: Tensor  # (n, r') float64 orthonormal basis of the samples' row space
    mean_outside: Tensor  # (n,) float64, the samples' mean outside the row space of the centred samples; may be 0
    noise: Tensor | None  # (k, n) float32, added to the targets
    centred: bool  # whether G is that of the centred samples, as with a bias
    generator: torch.Generator  # stands where the fresh samples begin

    @property
    def lambda_min(self) -> float:
        """The smallest eigenvalue of G, 0 where r < n."""
        return float(self.eigenvalues[0])

    @property
    def targets(self) -> Tensor:
        """What the samples are to be mapped to (k, n), in the precision of rho."""
        exact = self.x.to(self.rho.dtype) @ self.rho
        return exact if self.noise is None else exact + self.noise

    @cached_property
    def least_squares(self) -> Tensor:
        """The weight (n, n) float64 of least data loss, the bias at its optimum: rhoᵀ without noise, else nearest to it."""
        solution = self.rho.double().mT
        if self.noise is None:
            return solution
        x = self.x.double() - (self.x.double().mean(0) if self.centred else 0)
        return solution + torch.linalg.lstsq(x, self.noise.double(), driver="gelsd").solution.mT

    @property
    def spread(self) -> float:
        """Sum of squares of the targets about their mean."""
        targets = self.x.double() if self.noise is None else self.targets.double()  # rho keeps lengths
        return float((targets - targets.mean(0)).square().sum())

    @property
    def side_of_least_squares(self) -> int:
        """The sign of its determinant; the target's where there is no noise."""
        return det_sign(self.rho if self.noise is None else self.least_squares)

    @cached_property
    def moments(self) -> tuple[Tensor, Tensor]:
        """XᵀHX, the Gram matrix (n, n) of the centred samples, and their mean (n,), float64."""
        x = self.x.double()
        centred = x - x.mean(0)
        return centred.mT @ centred, x.mean(0)

    @property
    def noisy_twin(self) -> Tensor:
        """The orthogonal weight (n, n) float64 of least data loss among those with the determinant that rhoᵀ has not (Kabsch)."""
        g = (self.eigenvectors * self.eigenvalues) @ self.eigenvectors.mT
        u, _, vt = torch.linalg.svd(self.least_squares @ g)
        if det_sign(u @ vt) == det_sign(self.rho):
            u[:, -1].neg_()
        return u @ vt

    @cached_property
    def nearest(self) -> Tensor:
        """The point nearest the start among the orthogonal matrices that agree with rhoᵀ on the samples' row space (n, n), float64.

        With V the row space's complement the coset is rhoᵀ(P + V Q Vᵀ), Q in O(n - r'); the nearest Q is the polar factor
        of Vᵀ rho W₀ V (orthogonal Procrustes). Q's determinant is kept at the sign that the start's component asks for,
        by the reflection of Kabsch and Umeyama, since training rarely leaves that component.
        """
        rho, start, basis = self.rho.double(), self.weight.double(), self.row_space
        n, r = basis.shape
        target = rho.mT
        if r == n:
            return target
        complement = torch.linalg.qr(basis, mode="complete").Q[:, r:] if r else torch.eye(n, dtype=basis.dtype)
        u, _, vt = torch.linalg.svd(complement.mT @ rho @ start @ complement)
        wanted = torch.linalg.slogdet(start)[0] * torch.linalg.slogdet(target)[0]
        if torch.linalg.slogdet(u @ vt)[0] != wanted:
            u[:, -1].neg_()
        # rhoᵀ(P + V Q Vᵀ) = rhoᵀ + rhoᵀ V (Q - I) Vᵀ
        q = u @ vt - torch.eye(n - r, dtype=basis.dtype)
        return target + target @ complement @ q @ complement.mT


class Stack(NamedTuple):
    """What is measured against, of B problems: float64, each with B in front."""

    rho: Tensor
    start: Tensor
    eigenvalues: Tensor
    eigenvectors: Tensor
    weakest: Tensor
    mean_outside: Tensor
    nearest: Tensor
    least_squares: Tensor


def stacked(problems: Sequence[Problem], device: torch.device | str) -> Stack:
    """The same of several problems of one dimension, on a device."""
    of_each = [
        (p.rho, p.weight, p.eigenvalues, p.eigenvectors, p.weakest, p.mean_outside, p.nearest, p.least_squares)
        for p in problems
    ]
    return Stack(*(torch.stack([x.double() for x in same]).to(device) for same in zip(*of_each, strict=True)))


def draw_problem(cell: Cell) -> Problem:
    """Draw a cell's problem and start.

    With a bias the Gram matrix is G = XᵀHX, H = I - 11ᵀ/k (the bias at its optimum); without one, G = XᵀX. For fresh
    sampling G is its expectation. `determinant` is settled by negating one row of the start: negating the
    whole matrix, as the thread does, leaves the determinant of an even-dimensional matrix as it is.
    """
    n, k = cell.dimension, cell.samples
    dtype = DTYPES[cell.dtype]
    generator = torch.Generator().manual_seed(cell.seed)
    x = draw_inputs(cell, n, generator, dtype)
    rho = torch.nn.init.orthogonal_(torch.empty(n, n, **DRAWN), generator=generator)
    # nn.Linear draws its own weight, which the thread then overwrites, and its bias, which stays.
    torch.nn.init.kaiming_uniform_(torch.empty(n, n, **DRAWN), a=math.sqrt(5), generator=generator)
    bias = torch.empty(n, **DRAWN).uniform_(-1 / math.sqrt(n), 1 / math.sqrt(n), generator=generator)
    weight = torch.nn.init.orthogonal_(torch.empty(n, n, **DRAWN), generator=generator)
    direction = torch.randn(n, generator=generator, dtype=torch.float64)

    if dtype == torch.float64:
        # A float32 draw is orthogonal to float32 precision only.
        rho, weight = reorthogonalize(rho.double()), reorthogonalize(weight.double())

    spectrum = _sample_spectrum(x.double(), cell) if cell.sampling == "fixed" else _population_spectrum(cell)
    rank, eigenvalues, eigenvectors, eigenspace, row_space, mean_outside = spectrum
    weakest = eigenspace @ (eigenspace.mT @ direction)
    weakest /= weakest.norm()

    if cell.init == "twin":
        # rhoᵀ(I - 2vvᵀ): the zero of the penalty with the wrong determinant and the smallest data loss.
        reflected = rho.double().mT - 2 * torch.outer(rho.double().mT @ weakest, weakest)
        weight = reflected.to(dtype).contiguous()
        if cell.bias and cell.sampling == "fixed":
            # A bias away from its optimum would kick the weight out of the twin before the trap could hold it.
            mean = x.double().mean(0)
            bias = (mean @ rho.double() - reflected @ mean).to(bias.dtype)
    elif (det_sign(weight) == det_sign(rho)) != (cell.determinant == "match"):
        weight[0].neg_()
    bias = bias.to(dtype) if cell.bias else torch.zeros(n, dtype=dtype)
    noise = cell.noise * torch.randn(k, n, generator=generator, **DRAWN) if cell.noise else None
    problem = Problem(
        x, rho, weight, bias, rank, eigenvalues, eigenvectors, weakest, row_space, mean_outside, noise, cell.bias,
        generator,
    )  # fmt: skip
    if cell.init == "twin" and noise is not None:
        problem.weight = problem.noisy_twin.to(dtype).contiguous()
    return problem


def reorthogonalize(a: Tensor) -> Tensor:
    """The orthogonal factor of a nearly orthogonal matrix, to its dtype's precision."""
    q, r = torch.linalg.qr(a)
    return q * r.diagonal().sign()


def det_sign(a: Tensor) -> int:
    """Sign of a determinant. `torch.det` underflows for large orthogonal float32 matrices (pytorch issue 34061)."""
    return int(torch.linalg.slogdet(a.double())[0].sign())


# Rank, eigenvalues and eigenvectors of G, the smallest eigenvalue's space, the row space and the outside mean.
Spectrum = tuple[int, Tensor, Tensor, Tensor, Tensor, Tensor]


def _sample_spectrum(x: Tensor, cell: Cell) -> Spectrum:
    """That of (k, n) float64 samples."""
    n = cell.dimension
    mean = x.mean(0)
    weighed = x - mean if cell.bias else x
    if x.shape[0] > n:  # of many samples the triangular factor has the same singular values and right vectors
        weighed = torch.linalg.qr(weighed, mode="r").R
    _, s, vt = torch.linalg.svd(weighed, full_matrices=n > x.shape[0])
    limit = len(s) + n
    # Samples handed over in float32 carry that precision; a whitened set's zero eigenvalue is 0 only up to it.
    precision = torch.finfo(DTYPES[cell.dtype]).eps if cell.inputs == "whitened" else torch.finfo(torch.float64).eps
    tolerance = float(s[0]) * limit * precision
    rank = int((s > tolerance).sum())
    eigenvalues = torch.zeros(n, dtype=x.dtype)
    eigenvalues[n - rank :] = s[:rank].square().flip(0)
    eigenspace = vt[min(rank, n - 1) :].mT
    if rank == n and cell.inputs == "whitened":
        # All eigenvalues are equal up to rounding, and every direction is a weakest one.
        eigenspace = torch.eye(n, dtype=x.dtype)
    centred_rows = vt[:rank].mT if cell.bias else _row_space(x - mean, tolerance)
    mean_outside = mean - centred_rows @ (centred_rows.mT @ mean)
    if float(mean_outside.norm()) <= 1e-6 * float(mean.norm()) or cell.inputs == "whitened":
        mean_outside = torch.zeros_like(mean)
    row_space = vt[:rank].mT
    if cell.bias and float(mean_outside.norm()) > 0:
        row_space = torch.cat([row_space, (mean_outside / mean_outside.norm())[:, None]], dim=1)
    return rank, eigenvalues, vt.mT.flip(1), eigenspace, row_space, mean_outside


def _row_space(x: Tensor, tolerance: float) -> Tensor:
    _, s, vt = torch.linalg.svd(x, full_matrices=False)
    return vt[s > tolerance].mT


def _population_spectrum(cell: Cell) -> Spectrum:
    """The same for the expected Gram matrix of fresh samples: k/12 I, plus k/4 11ᵀ for uniform inputs without a bias; k I of normal ones."""
    n, variance = cell.dimension, 1.0 if cell.inputs == "normal" else VARIANCE
    eye = torch.eye(n, dtype=torch.float64)
    eigenvalues, eigenvectors, eigenspace = torch.full((n,), cell.samples * variance, dtype=torch.float64), eye, eye
    if cell.inputs == "uniform" and not cell.bias:
        eigenspace = torch.linalg.qr(eye - 1 / n)[0][:, : n - 1]
        eigenvalues[-1] += cell.samples * n / 4
        eigenvectors = torch.cat([eigenspace, torch.full((n, 1), n**-0.5, dtype=torch.float64)], 1)
    return n, eigenvalues, eigenvectors, eigenspace, eye, torch.zeros(n, dtype=torch.float64)
