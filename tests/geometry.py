"""Shared by the tests of the theory: random orthogonal matrices, and the path from twin to target."""

import numpy as np
import torch

F64 = torch.float64


def haar(n: int, generator: torch.Generator) -> torch.Tensor:
    q, r = torch.linalg.qr(torch.randn(n, n, generator=generator, dtype=F64))
    return q * r.diagonal().sign()


def loss_of(w, problem) -> float:
    return float((problem.x @ w.mT - problem.x @ problem.rho).square().sum())


def on_path(problem, s):
    """rhoᵀ(I - (1 - s) vvᵀ)."""
    return problem.rho.mT - (1 - s) * torch.outer(problem.rho.mT @ problem.weakest, problem.weakest)


def weakest_image(problem) -> np.ndarray:
    return (problem.rho.mT @ problem.weakest).numpy()
