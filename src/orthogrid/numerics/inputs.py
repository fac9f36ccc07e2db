"""A cell's samples: drawn, or taken from a set of real ones."""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..cells.cell import Cell
from ..cells.inputs import read

DRAWN: dict[str, Any] = {"dtype": torch.float32, "device": "cpu"}  # whatever a notebook's defaults are
VARIANCE = 1 / 12  # of an entry of uniform inputs; a set's entries have it in the mean


def draw_inputs(cell: Cell, width: int, generator: torch.Generator, dtype: torch.dtype = torch.float32) -> Tensor:
    """Samples (k, width): uniform entries, normal ones, or k different samples of a set in an order of its own."""
    shape = cell.samples, width
    if cell.inputs == "normal":
        return torch.randn(shape, generator=generator, **DRAWN).to(dtype)
    if cell.inputs in ("uniform", "whitened"):
        x = torch.rand(shape, generator=generator, **DRAWN).to(dtype)
        if cell.inputs == "uniform":
            return x
        return whiten(x) if cell.sampling == "fixed" else x - 0.5
    samples = components(cell.inputs, width)
    chosen = torch.randperm(len(samples), generator=generator)[: cell.samples]
    return torch.from_numpy(samples)[chosen].float().to(dtype)


@cache
def components(inputs: str, width: int) -> np.ndarray:
    """A set's samples (rows, width) float64 on its leading principal components, the mean left in, times one number.

    That number makes the mean of the components' variances VARIANCE, so that weights and rates mean what they mean for uniform
    inputs. A component's sign is that of the largest entry of its direction. Raises ValueError where it has fewer entries.
    """
    samples = read(inputs)
    if width > samples.shape[1]:
        raise ValueError(f"inputs '{inputs}' have {samples.shape[1]} entries, fewer than {width}")
    variances, directions = np.linalg.eigh(np.cov(samples, rowvar=False, bias=True).reshape(2 * [samples.shape[1]]))
    directions = directions[:, ::-1][:, :width]
    directions = directions * np.sign(directions[np.abs(directions).argmax(0), np.arange(width)])
    mean = variances[::-1][:width].mean()
    return samples @ directions * math.sqrt(VARIANCE / mean if mean > 0 else 1.0)


def whiten(x: Tensor) -> Tensor:
    """Centre (k, n) samples and make the nonzero eigenvalues of XᵀHX equal, keeping their sum. Rank min(k - 1, n)."""
    centred = x.double() - x.double().mean(0)
    u, s, vt = torch.linalg.svd(centred, full_matrices=False)
    r = min(x.shape[0] - 1, x.shape[1])
    scale = math.sqrt(float(s[:r].square().sum()) / r)
    return (scale * u[:, :r] @ vt[:r]).to(x.dtype)
