"""Optimisers on flat storage: PyTorch's fused kernels, called without its optimisers.

`torch.optim.Adam(fused=True)` and `torch.optim.SGD(fused=True)` make the same calls, bit for bit. Around them a step takes
three times as long, and the first optimiser of a process imports PyTorch's compiler.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

Pair = tuple[Tensor, Tensor]  # a parameter and its gradient, which stay where they are


class Descent:
    """Steps groups of parameters, each group at a rate of its own. On a GPU rates lie in its memory, where a captured `step`
    finds them.
    """

    def __init__(self, groups: Sequence[Sequence[Pair]], device: torch.device):
        self.rates: list[float] | list[Tensor] = [0.0] * len(groups)
        if device.type == "cuda":
            self.rates = [torch.zeros((), dtype=torch.float32, device=device) for _ in groups]
        self.groups = [tuple(list(side) for side in zip(*group, strict=True)) or ([], []) for group in groups]

    def set_rates(self, rates: Sequence[float]) -> None:
        """The rates of the next steps, group by group."""
        for i, rate in enumerate(rates):
            if isinstance(self.rates[i], Tensor):
                self.rates[i].fill_(rate)  # type: ignore[union-attr]
            else:
                self.rates[i] = rate  # type: ignore[call-overload]

    def step(self) -> None:
        """One update of every parameter."""
        raise NotImplementedError

    def restart(self) -> None:
        """Forget all steps."""
        raise NotImplementedError


class Adam(Descent):
    """Adam (Kingma and Ba, ICLR 2015)."""

    def __init__(
        self,
        groups: Sequence[Sequence[Pair]],
        device: torch.device,
        *,
        beta1: float = 0.9,
        beta2: float = 0.999,
        eps: float = 1e-8,
    ):
        super().__init__(groups, device)
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
                torch._fused_adam_(  # type: ignore[call-overload]
                    params, grads, means, squares, [], counts, lr=rate, amsgrad=False, maximize=False, **self.constants
                )

    def restart(self) -> None:
        self.count.zero_()
        for _, _, means, squares in self.groups:
            torch._foreach_zero_([*means, *squares])


class Momentum(Descent):
    """Gradient descent with heavy-ball momentum (Polyak, 1964): v ← momentum v + gradient, W ← W - rate v. 0 is plain descent."""

    def __init__(self, groups: Sequence[Sequence[Pair]], device: torch.device, *, momentum: float = 0.0):
        super().__init__(groups, device)
        self.momentum = momentum
        self.groups = [
            (params, grads, [torch.zeros_like(p) for p in params] if momentum else []) for params, grads in self.groups
        ]

    def step(self) -> None:
        for (params, grads, velocities), rate in zip(self.groups, self.rates, strict=True):
            if params:
                torch._fused_sgd_(  # type: ignore[call-overload]
                    params, grads, velocities, weight_decay=0.0, momentum=self.momentum, lr=rate, dampening=0.0,
                    nesterov=False, maximize=False, is_first_step=False,
                )  # fmt: skip

    def restart(self) -> None:
        for _, _, velocities in self.groups:
            if velocities:
                torch._foreach_zero_(velocities)
