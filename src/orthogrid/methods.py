"""What a method is: how a batch makes its steps. Plain Adam is here; others register in `constraints` and `cures`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from .graphs import Repeated
from .grid import spec_name, spec_options

if TYPE_CHECKING:
    from .train import Batch


class Adam:
    """Adam on the data loss plus the penalty. The base of every method.

    A method is made once for a batch, before its first step, and holds what it needs between steps.
    """

    trains_weight = False  # True: the method updates the weight itself, the batch only the bias

    def __init__(self, batch: Batch):
        self.batch = batch
        self.advance = Repeated(self._advance, batch.device, capture=not batch.penalty.decomposes)

    def step(self, t: int) -> None:
        """Step t (0-based) of the batch: gradient, then update."""
        self.batch.set_rates(t)
        self.advance()

    def _advance(self) -> None:
        self.batch.compute_gradient()
        self.batch.apply_gradient()


METHODS: dict[str, type[Adam]] = {"adam": Adam}


def register(
    *, uses_penalty: bool = False, uses_steps: bool = True, bfloat16: bool = True, library: bool = False
) -> Callable[[type[Adam]], type[Adam]]:
    """Make a class a method of its own name. Its `__init__`'s keyword-only arguments become options: `landing(strength=0.1)`.

    `uses_penalty=False`: the method does without a penalty, and its cells' penalty is `none`. `uses_steps=False`: it is done
    after one step, and its cells' rate, schedule and steps are set to fixed values. `bfloat16=False`: its library knows no
    such numbers. `library=True`: it is a library of its own name, which may not be installed. All are read by `identity`.
    """

    def wrap(method: type[Adam]) -> type[Adam]:
        METHODS[method.__name__] = method
        return method

    return wrap


def make_method(spec: str, batch: Batch) -> Adam:
    """The method of a spec such as `landing(strength=0.1)`, for one batch."""
    return METHODS[spec_name(spec)](batch, **spec_options(spec))
