"""Optimisers on flat storage: PyTorch's fused kernels, called without its optimisers.

`torch.optim.Adam(fused=True)` and `torch.optim.SGD(fused=True)` make the same calls, bit for bit. Around them a step takes
three times as long, and the first optimiser of a process imports PyTorch's compiler.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .linalg import ALIGNMENT

Pair = tuple[Tensor, Tensor]  # flat storage of a padded stack and of its gradient, which stay where they are

# On a GPU a tensor is cut in pieces of at least so many entries, at most so many: PyTorch's kernels give each a block of their
# own, where one tensor would keep few blocks busy, and a launch takes 36.
PIECE, PIECES = 2048, 32


class Descent:
    """Steps stacks, each run of cells, neighbours in every stack, at a rate of its own."""

    def __init__(self, trained: Sequence[Pair], runs: Sequence[range], device: torch.device):
        self.trained, self.runs, self.device = trained, runs, device
        # On a GPU they lie in its memory, where a captured `step` finds them.
        on_gpu = device.type == "cuda"
        self.rates: list[float] | Tensor = torch.zeros(len(runs), device=device) if on_gpu else [0.0] * len(runs)
        self.groups: list[tuple] = [
            tuple([piece for pair in trained for piece in self._pieces(pair[side], run)] for side in (0, 1))
            for run in runs
        ]

    def _pieces(self, flat: Tensor, run: range) -> Sequence[Tensor]:
        """A run's share of a storage."""
        stride = len(flat) // self.runs[-1].stop
        share = flat[run.start * stride : run.stop * stride]
        if self.device.type != "cuda":
            return [share]
        return share.split(max(PIECE, -(-len(share) // PIECES // ALIGNMENT) * ALIGNMENT))

    def set_rates(self, rates: Sequence[float]) -> None:
        """The rates of the next steps, run by run."""
        if isinstance(self.rates, Tensor):
            self.rates.copy_(torch.tensor(rates), non_blocking=True)
        else:
            self.rates = [*rates]

    def step(self) -> None:
        """One update of every parameter."""
        raise NotImplementedError


class Adam(Descent):
    """Adam (Kingma and Ba, ICLR 2015)."""

    def __init__(
        self, trained: Sequence[Pair], runs: Sequence[range], device: torch.device, *, beta1=0.9, beta2=0.999, eps=1e-8
    ):
        super().__init__(trained, runs, device)
        self.constants = {"beta1": beta1, "beta2": beta2, "eps": eps, "weight_decay": 0.0}
        self.count, self.one = (make((), dtype=torch.float32, device=device) for make in (torch.zeros, torch.ones))
        # Beside parameters and gradients the means of these and of their squares.
        self.groups = [
            (params, grads, *([torch.zeros_like(p) for p in params] for _ in "mv")) for params, grads in self.groups
        ]
        self.counts = [[self.count] * len(params) for params, *_ in self.groups]

    def step(self) -> None:
        self.count.add_(self.one)
        for (params, grads, means, squares), counts, rate in zip(self.groups, self.counts, self.rates, strict=True):
            if params:
                torch._fused_adam_(
                    params, grads, means, squares, [], counts, lr=rate, amsgrad=False, maximize=False, **self.constants
                )


class Momentum(Descent):
    """Gradient descent with heavy-ball momentum (Polyak, 1964): v ← momentum v + gradient, W ← W - rate v. 0 is plain descent."""

    def __init__(self, trained: Sequence[Pair], runs: Sequence[range], device: torch.device, *, momentum: float = 0.0):
        super().__init__(trained, runs, device)
        self.momentum = momentum
        self.groups = [
            (params, grads, [torch.zeros_like(p) for p in params] if momentum else []) for params, grads in self.groups
        ]

    def step(self) -> None:
        for (params, grads, velocities), rate in zip(self.groups, self.rates, strict=True):
            if params:
                torch._fused_sgd_(
                    params, grads, velocities, weight_decay=0.0, momentum=self.momentum, lr=rate, dampening=0.0,
                    nesterov=False, maximize=False, is_first_step=False,
                )  # fmt: skip
