"""Kernels of our own for NVIDIA GPUs, in Triton: Adam for all rates at once, and many steps of small matrices on the chip.

Between its products a step is launches, of a few microseconds each. CUDA builds of PyTorch bring Triton along; where it is
missing, PyTorch's kernels do the same with more launches.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import triton
import triton.language as tl
from torch import Tensor

from .descent import Descent, Pair

BLOCK = 1024  # entries that one program updates
ON_CHIP = 64  # rows of the largest matrix whose weight and moments fit into the registers of one multiprocessor


@triton.jit
def _load(a, b, c, at, inside, WIDE: tl.constexpr):
    return (
        tl.load(a + at, mask=inside, other=0.0).to(WIDE),
        tl.load(b + at, mask=inside, other=0.0).to(WIDE),
        tl.load(c + at, mask=inside, other=0.0).to(WIDE),
    )


@triton.jit
def _store(a, b, c, at, inside, x, y, z):
    tl.store(a + at, x, mask=inside)
    tl.store(b + at, y, mask=inside)
    tl.store(c + at, z, mask=inside)


@triton.jit
def _moved(w, gradient, m, v, rate, root, BETA1: tl.constexpr, BETA2: tl.constexpr, EPS: tl.constexpr):
    m += (1 - BETA1) * (gradient - m)
    v = v * BETA2 + (1 - BETA2) * gradient * gradient
    return w - rate * m / (tl.sqrt(v) / root + EPS), m, v


@triton.jit(do_not_specialize=["last", "runs", "n"])  # each value would be compiled anew
def _adam(
    weight, gradient, mean, square, table, last, run_of, state, runs, size,
    offset, sample_mean, twice_ks, bias, bias_mean, bias_square, n, side, line,
    RANK_ONE: tl.constexpr, BIAS: tl.constexpr, BLOCK: tl.constexpr, LINE: tl.constexpr, WIDE: tl.constexpr,
    BETA1: tl.constexpr, BETA2: tl.constexpr, LOG1: tl.constexpr, LOG2: tl.constexpr, EPS: tl.constexpr,
):  # fmt: skip
    """One program a cell and BLOCK of its entries. RANK_ONE: the gradient lacks twice_k · offset · sample_meanᵀ; BIAS: it is stepped, too."""
    cell, tile = tl.program_id(0).to(tl.int64), tl.program_id(1)
    count, row = tl.load(state).to(tl.float64), tl.load(state + 1).to(tl.int32) - 1
    rate = tl.load(table + tl.minimum(row, last) * runs + tl.load(run_of + cell)).to(tl.float64)
    rate = (rate / (1 - tl.exp(count * LOG1))).to(WIDE)
    root = tl.sqrt(1 - tl.exp(count * LOG2)).to(WIDE)
    i = tile * BLOCK + tl.arange(0, BLOCK)
    inside = i < size
    at = cell * size + i
    grad = tl.load(gradient + at, mask=inside, other=0.0).to(WIDE)
    if RANK_ONE:
        twice_k = tl.load(twice_ks + cell)
        off = tl.load(offset + cell * side + i // side, mask=inside, other=0.0)
        grad += twice_k * off * tl.load(sample_mean + cell * line + i % side, mask=inside, other=0.0)
    w, m, v = _load(weight, mean, square, at, inside, WIDE)
    w, m, v = _moved(w, grad, m, v, rate, root, BETA1, BETA2, EPS)
    _store(weight, mean, square, at, inside, w, m, v)
    if BIAS:
        j = tl.arange(0, LINE)
        real, place = j + tile * LINE < n, cell * line + j  # of the first tile alone
        along = tl.load(twice_ks + cell) * tl.load(offset + cell * side + j, mask=real, other=0.0)
        b, mb, vb = _load(bias, bias_mean, bias_square, place, real, WIDE)
        b, mb, vb = _moved(b, along, mb, vb, rate, root, BETA1, BETA2, EPS)
        _store(bias, bias_mean, bias_square, place, real, b, mb, vb)


@triton.jit(do_not_specialize=["last", "runs", "steps", "n", "k", "rows"])
def _many_steps(
    weight, mean, square, bias, bias_mean, bias_square, table, last, run_of, state, runs, steps,
    target, twice_gram, sample_mean, twice_ks, x, y, regs, n, k, side, rows, line,
    FORMULA: tl.constexpr, FACTOR: tl.constexpr, GRAM: tl.constexpr, BIAS: tl.constexpr, N: tl.constexpr, K: tl.constexpr,
    PRECISION: tl.constexpr, BETA1: tl.constexpr, BETA2: tl.constexpr, LOG1: tl.constexpr, LOG2: tl.constexpr, EPS: tl.constexpr,
):  # fmt: skip
    """One program a cell: its weight and moments stay in registers from step to step."""
    cell = tl.program_id(0).to(tl.int64)
    r, s = tl.arange(0, N), tl.arange(0, K)
    real, line_at = r < n, cell * line + r
    inside = real[:, None] & real[None, :]
    at = cell * side * side + r[:, None] * side + r[None, :]
    w, m, v = _load(weight, mean, square, at, inside, tl.float32)
    b, mb, vb = _load(bias, bias_mean, bias_square, line_at, real, tl.float32)
    reg = tl.load(regs + cell)
    centre = tl.load(sample_mean + line_at, mask=real, other=0.0) if GRAM else b
    twice_k = tl.load(twice_ks + cell) if GRAM else reg
    samples_at = cell * rows * side + s[:, None] * side + r[None, :]
    sampled = (s < k)[:, None] & real[None, :]
    eye = tl.where((r[:, None] == r[None, :]) & inside, 1.0, 0.0)
    count, row, run = tl.load(state).to(tl.float64), tl.load(state + 1).to(tl.int32), tl.load(run_of + cell)
    for step in range(steps):
        t = count + step + 1
        rate = tl.load(table + tl.minimum(row + step, last) * runs + run).to(tl.float64)
        rate = (rate / (1 - tl.exp(t * LOG1))).to(tl.float32)
        root = tl.sqrt(1 - tl.exp(t * LOG2)).to(tl.float32)
        if GRAM:
            difference = w - tl.load(target + at, mask=inside, other=0.0)
            off = tl.sum(difference * centre[None, :], axis=1) + b
            moments = tl.load(twice_gram + at, mask=inside, other=0.0)
            along_bias = twice_k * off
            grad = tl.dot(difference, moments, input_precision=PRECISION) + along_bias[:, None] * centre[None, :]
        else:
            samples = tl.load(x + samples_at, mask=sampled, other=0.0)
            residual = tl.dot(samples, tl.trans(w), input_precision=PRECISION) + tl.where(sampled, b[None, :], 0.0)
            residual -= tl.load(y + samples_at, mask=sampled, other=0.0)
            grad = tl.dot(tl.trans(residual), samples, input_precision=PRECISION) * 2.0
            along_bias = 2.0 * tl.sum(residual, axis=0)
        if FORMULA != "none":
            z = tl.dot(w, tl.trans(w), input_precision=PRECISION) - eye
            if FORMULA == "sign":
                z = tl.where(z > 0, 1.0, 0.0) - tl.where(z < 0, 1.0, 0.0)
            if FORMULA == "over norm":
                z = z / tl.maximum(tl.sqrt(tl.sum(z * z)), 1.1754943508222875e-38)
            grad += FACTOR * tl.dot(z * reg, w, input_precision=PRECISION)
        w, m, v = _moved(w, grad, m, v, rate, root, BETA1, BETA2, EPS)
        if BIAS:
            b, mb, vb = _moved(b, along_bias, mb, vb, rate, root, BETA1, BETA2, EPS)
    _store(weight, mean, square, at, inside, w, m, v)
    if BIAS:
        _store(bias, bias_mean, bias_square, line_at, real, b, mb, vb)


class Adam(Descent):
    """`descent.Adam`, a launch a parameter for all rates. Its steps may follow a table of rates, which needs no host."""

    def __init__(
        self, trained: Sequence[Pair], runs: Sequence[range], device: torch.device, *, beta1=0.9, beta2=0.999, eps=1e-8
    ):
        super().__init__(trained, runs, device)
        # The number of steps, and after how many rows of the table the rates stand; what a step adds to both.
        self.state, self.ahead = (torch.tensor(pair, device=device) for pair in ([0.0, 1.0], [1.0, 0.0]))
        self.table = torch.zeros(1, len(runs), device=device)
        self.run_of = torch.tensor([i for i, run in enumerate(runs) for _ in run], dtype=torch.int32, device=device)
        self.moments = [(torch.zeros_like(flat), torch.zeros_like(flat)) for flat, _ in trained]
        logs = [math.log(beta) if beta else -1e3 for beta in (beta1, beta2)]
        self.constants = {"BETA1": beta1, "BETA2": beta2, "LOG1": logs[0], "LOG2": logs[1], "EPS": eps}
        self.rank_one: tuple | None = None

    def set_rates(self, rates: Sequence[float]) -> None:
        self.table.copy_(torch.tensor([rates]), non_blocking=True)

    def follow(self, table: Tensor) -> None:
        """Take the rates of the step after t steps from row t of (steps, runs), after the last from the last."""
        self.table = table.to(self.device, torch.float32).contiguous()
        self.state[1], self.ahead[1] = 0, 1

    def complete(self, offset: Tensor, sample_mean: Tensor, twice_k: Tensor) -> None:
        """Add twice_k · offset · sample_meanᵀ to the first gradient; the second's, the bias's, is twice_k · offset."""
        self.rank_one = offset, sample_mean, twice_k

    def step(self) -> None:
        self.state.add_(self.ahead)
        unread = (self.state,) * 3
        stepped, rank_one, bias, side, line = [*zip(self.trained, self.moments, strict=True)], unread, unread, 0, 1
        if self.rank_one:
            rank_one, side, line = self.rank_one, self.rank_one[0].shape[1], self.rank_one[1].shape[1]
            bias = (self.trained[1][0], *self.moments[1]) if len(stepped) > 1 else unread
            del stepped[1:]  # the bias moves with the weight
        for (flat, gradient), moments in stepped:
            size = len(flat) // len(self.run_of)
            _adam[len(self.run_of), triton.cdiv(size, BLOCK)](
                flat, gradient, *moments, self.table, len(self.table) - 1, self.run_of, self.state, len(self.runs), size,
                *rank_one, *bias, side, side, line, RANK_ONE=rank_one is not unread, BIAS=bias is not unread, BLOCK=BLOCK,
                LINE=triton.next_power_of_2(line), WIDE=tl.float64 if flat.dtype == torch.float64 else tl.float32, **self.constants,
            )  # fmt: skip


def many_steps(adam: Adam, bias: Tensor, steps: int, data: Sequence[Tensor], sizes: Sequence[int], **constants) -> None:
    """So many steps of Adam in one launch, for float32 matrices of up to ON_CHIP rows.

    `data` and `sizes` are, in the kernel's order, what it reads of the problems, padded, and lengths with and without padding.
    """
    n, k = sizes[:2]
    trains_bias = len(adam.moments) > 1
    moments = adam.moments[1] if trains_bias else (bias, bias)
    wide, tall = (triton.next_power_of_2(max(16, side)) for side in (n, k))
    _many_steps[len(adam.run_of),](
        adam.trained[0][0], *adam.moments[0], bias, *moments, adam.table, len(adam.table) - 1, adam.run_of,
        adam.state, len(adam.runs), steps,
        *data, *sizes, BIAS=trains_bias, N=wide, K=tall,
        PRECISION="ieee", num_warps=4 if max(2 * wide, tall) <= 64 else 16, num_stages=1, **adam.constants, **constants,
    )  # fmt: skip
    adam.state.add_(steps)
