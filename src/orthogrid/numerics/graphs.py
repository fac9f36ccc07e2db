"""CUDA graphs: the kernels of a training step, captured once and launched together from then on.

Only how kernels are launched is here, never which: a row's code digest leaves this module out.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import torch

# Steps made launch by launch before the capture: they create what a step keeps (the optimiser's state, workspaces).
WARM_UP = 3


class Repeated:
    """Calls `work`; on a GPU, after some calls, replays its captured kernels instead.

    `work` must do the same on the same storage at every call and never wait for the GPU: what changes between calls is
    written into tensors that it reads. `capture=False` calls it always. A method's object must live as long as this does.
    """

    def __init__(self, work: Callable[[], None], device: torch.device, capture: bool = True):
        # The object whose method it is holds this one. In a circle both, with a GPU's memory, would outlive the training.
        self._work: Callable[[], Any] = weakref.WeakMethod(work) if hasattr(work, "__self__") else lambda: work
        self.capture = capture and device.type == "cuda"
        self.calls = 0
        self.graph = None

    def __call__(self) -> None:
        if not self.capture:
            self._work()()
            return
        if self.graph is not None:
            self.graph.replay()
            return
        self.calls += 1
        if self.calls <= WARM_UP:
            self._work()()
            return
        self.graph = self._captured()
        self.graph.replay()  # type: ignore[attr-defined]  # capturing did not run it

    def _captured(self):
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph):
                self._work()()
        except RuntimeError as error:
            # Ending a capture that ran out of memory fails too, and hides what the caller halves the batch for.
            if isinstance(error.__context__, torch.OutOfMemoryError):
                raise error.__context__ from None
            raise
        return graph
