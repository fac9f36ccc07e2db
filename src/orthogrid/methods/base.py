"""What a method is: how a batch makes its steps. Each registers under its own name; `adam` is the plainest."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..cells.components import Entry, registered
from ..cells.shape import spec_name, spec_options
from .batch import Batch


class Method:
    """Made once for a batch, before its first step; holds what it needs between steps.

    Of the batch it reads cells, problems, samples_of and steps. It may change weight, bias and grad. It may call compute_gradient,
    penalty_gradient, products and train_with; and update, or set_rates and apply_gradient, which use rates and optimizer.
    `whole.weight` and `whole.grad` are the same with a margin of zeros. Products of these are faster; the zeros must stay.
    """

    entry: Entry  # its traits, as others know it

    def __init__(self, batch: Batch):
        self.batch = batch

    def step(self, t: int) -> None:
        """Step t (0-based) of the batch."""
        raise NotImplementedError

    def run(self, first: int, last: int) -> None:
        """Steps from first to before last. Samples are drawn between them where they are fresh."""
        for t in range(first, last):
            if t > first and self.batch.cells[0].sampling == "fresh":
                self.batch.draw_samples()
            self.step(t)


METHODS: dict[str, type[Method]] = {}


def register(**traits: Any) -> Callable[[type[Method]], type[Method]]:
    """Make a class a method of its own name. Its `__init__`'s keyword-only arguments become options: `landing(strength=0.1)`.

    The traits tell others what they want to know of it; `components.TRAITS` lists them, each with its meaning and default.
    """

    def wrap(method: type[Method]) -> type[Method]:
        method.entry = registered("method", method, traits)
        METHODS[method.__name__] = method
        return method

    return wrap


def find_method(spec: str) -> type[Method]:
    """The method of a spec such as `landing(strength=0.1)`."""
    return METHODS[spec_name(spec)]


def make_method(batch: Batch) -> Method:
    """The method that a batch's cells name, `landing(strength=0.1)` for one, ready to step it."""
    spec = batch.cells[0].method
    return find_method(spec)(batch, **spec_options(spec))
