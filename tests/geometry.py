"""Shared by the tests of the theory: random orthogonal matrices, the path from twin to target, what is measured on one weight, a descent."""

import numpy as np
import torch

from orthogrid.models.ends import measure_ends
from orthogrid.numerics.metrics import final
from orthogrid.numerics.problem import stacked

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


def measured_end(weight, problem, cell) -> dict[str, float]:
    measured = measure_ends(weight[None], stacked([problem], "cpu"), [cell])
    return {name: float(value[0]) for name, value in measured.items()}


def measured_distances(weight, bias, problem) -> dict[str, float]:
    measured = final(weight[None], bias[None], stacked([problem], "cpu"))
    return {name: float(value[0]) for name, value in measured.items()}


def minimise(function, start, iterations=1500):
    """L-BFGS in float64."""
    w = start.clone(memory_format=torch.contiguous_format).requires_grad_()
    options = {"history_size": 20, "line_search_fn": "strong_wolfe", "tolerance_grad": 1e-10, "tolerance_change": 1e-14}
    optimiser = torch.optim.LBFGS([w], max_iter=iterations, **options)

    def closure():
        optimiser.zero_grad()
        value = function(w)
        value.backward()
        return value

    optimiser.step(closure)
    return w.detach()
