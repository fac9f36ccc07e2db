"""Adam on flat storage: PyTorch's fused kernel, called without its optimiser.

`torch.optim.Adam(fused=True)` makes the same call, bit for bit. Around it a step takes three times as long, and the first
optimiser of a process imports PyTorch's compiler.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


class Adam:
    """Adam (Kingma and Ba, ICLR 2015) of groups that each have a rate of their own.

    A group is a list of (parameter, gradient) pairs, which stay where they are. On a GPU rates and the count of steps lie in
    its memory, where a captured `step` finds them.
    """

    def __init__(
        self,
        groups: Sequence[Sequence[tuple[Tensor, Tensor]]],
        device: torch.device,
        *,
        beta1: float = 0.9,
        beta2: float = 0.999,
        eps: float = 1e-8,
    ):
        self.constants = {"beta1": beta1, "beta2": beta2, "eps": eps, "weight_decay": 0.0}
        self.count, self.one = torch.zeros((), device=device), torch.ones((), device=device)
        self.rates: list[float] | list[Tensor] = [0.0] * len(groups)
        if device.type == "cuda":
            self.rates = [torch.zeros((), device=device) for _ in groups]
        # What the kernel takes of each group: parameters, gradients, the means of these and of their squares.
        self.groups = [
            ([p for p, _ in group], [g for _, g in group], *([torch.zeros_like(p) for p, _ in group] for _ in "mv"))
            for group in groups
        ]
        self.counts = [[self.count] * len(group) for group in groups]

    def set_rates(self, rates: Sequence[float]) -> None:
        """The rates of the next steps, group by group."""
        for i, rate in enumerate(rates):
            if isinstance(self.rates[i], Tensor):
                self.rates[i].fill_(rate)
            else:
                self.rates[i] = rate

    def step(self) -> None:
        """One update of every parameter."""
        self.count.add_(self.one)
        for (params, grads, means, squares), counts, rate in zip(self.groups, self.counts, self.rates, strict=True):
            if params:
                torch._fused_adam_(
                    params, grads, means, squares, [], counts, lr=rate, amsgrad=False, maximize=False, **self.constants
                )

    def restart(self) -> None:
        """Forget all steps."""
        self.count.zero_()
        for _, _, means, squares in self.groups:
            torch._foreach_zero_([*means, *squares])
