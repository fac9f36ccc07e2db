"""Methods that solve instead of train."""

from __future__ import annotations

import torch

from .base import Method


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
