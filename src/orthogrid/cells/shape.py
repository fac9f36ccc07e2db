"""What of a cell decides how it is drawn and stepped. The code digest of every row counts this module."""

from __future__ import annotations

import hashlib
from typing import Any, NamedTuple

# From this many samples a dimension the data gradient is taken through the Gram matrix: 2n³ operations a step, not 4kn².
# Rounding the Gram matrix shifts its eigenvalues, so near k = n, where the smallest decides, residuals are used instead.
GRAM_FROM = 1.2


class ProblemSettings(NamedTuple):
    """The settings that samples and target are drawn from. Cells with equal ones share their problem: comparisons are paired."""

    dimension: int
    samples: int
    sampling: str
    inputs: str
    model: str
    noise: float
    bias: bool
    dtype: str
    seed: int

    @property
    def key(self) -> str:
        """Twelve hex digits of them."""
        return hashlib.sha256(repr(tuple(self)).encode()).hexdigest()[:12]


def by_gram(cell: Any) -> bool:
    """Whether the data's gradient of a `Cell` goes through the Gram matrix."""
    return (
        cell.model == "linear"
        and cell.sampling == "fixed"
        and not cell.noise
        and cell.samples >= GRAM_FROM * cell.dimension
    )


def shape_of(cell: Any) -> tuple:
    """The shape of a `Cell`. Those with equal shapes can be stacked into one batch; reg, lr, schedule, start and data are per cell,
    and where the Gram matrix stands for the samples their number, too.
    """
    samples = "by Gram matrix" if by_gram(cell) else cell.samples
    return (
        cell.model,
        cell.dimension,
        samples,
        cell.sampling,
        cell.penalty,
        cell.method,
        cell.bias,
        cell.steps,
        cell.dtype,
    )


def spec_name(spec: str) -> str:
    """The name in a spec such as `huber(delta=0.01)`."""
    return spec.split("(")[0]


def spec_options(spec: str) -> dict[str, float]:
    """The options in a canonical spec: {'delta': 0.01}."""
    inside = spec.partition("(")[2].rstrip(")")
    return {k: float(v) for k, v in (item.split("=") for item in inside.split(",") if item)}
