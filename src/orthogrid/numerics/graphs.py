"""CUDA graphs: the kernels of a training step, captured once and launched together from then on.

Only how kernels are launched is here, never which: a row's code digest leaves this module out.
"""

from __future__ import annotations

import importlib.util
import weakref
from collections.abc import Callable
from types import ModuleType
from typing import Any

import torch

# Steps made launch by launch before the capture: they create what a step keeps (the optimiser's state, workspaces).
WARM_UP = 3
MANY = 10  # steps of the longer of two graphs


def find_kernels(device: torch.device) -> ModuleType | None:
    """Our own kernels, where the device is a GPU and Triton is there."""
    if device.type != "cuda" or importlib.util.find_spec("triton") is None:
        return None
    from . import kernels

    return kernels


class Repeated:
    """Calls `work` a number of times; on a GPU, after some calls, replays its captured kernels instead.

    `work` must do the same on the same storage at every call and never wait for the GPU: what changes between calls is
    written into tensors that it reads. `capture=False` calls it always. A method's object must live as long as this does.
    """

    def __init__(self, work: Callable[[], None], device: torch.device, capture: bool = True):
        # The object whose method it is holds this one. In a circle both, with a GPU's memory, would outlive the training.
        self._work: Callable[[], Any] = weakref.WeakMethod(work) if hasattr(work, "__self__") else lambda: work
        self.capture = capture and device.type == "cuda"
        self.calls = 0
        self.graphs: dict[int, Any] = {}  # by how often each does the work

    def __call__(self, times: int = 1) -> None:
        while times:
            done = 1
            if not self.capture or self.calls < WARM_UP:
                self._work()()
                self.calls += 1
            else:
                done = MANY if times >= MANY else 1
                if done not in self.graphs:
                    self.graphs[done] = self._captured(done)
                self.graphs[done].replay()  # capturing did not run it
            times -= done

    def _captured(self, times: int):
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph):
                for _ in range(times):
                    self._work()()
        except RuntimeError as error:
            # Ending a capture that ran out of memory fails too, and hides what the caller halves the batch for.
            if isinstance(error.__context__, torch.OutOfMemoryError):
                raise error.__context__ from None
            raise
        return graph
