"""What a penalty's or method's decorator may state of it, so that others know it without running its file."""

from __future__ import annotations

import math
from contextlib import suppress
from typing import Any, NamedTuple, TypeGuard


def is_number(value: Any) -> TypeGuard[float]:
    """Whether an option's or trait's value is a finite number."""
    with suppress(OverflowError):  # an integer beyond any float
        return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return False


class Trait(NamedTuple):
    """One thing that others want to know of an entry, stated in its decorator."""

    default: bool | float | str
    meaning: str
    counts: bool = False  # whether it can change a row's numbers, so is part of the code digest
    choices: tuple[str, ...] = ()

    @property
    def allowed(self) -> str:
        """What may be written, in words."""
        if self.choices:
            return "one of " + ", ".join(f'"{choice}"' for choice in self.choices)
        return "True or False" if isinstance(self.default, bool) else "a number ≥ 0, written out"

    def takes(self, value: Any) -> bool:
        """Whether a value is allowed."""
        if self.choices:
            return isinstance(value, str) and value in self.choices
        return isinstance(value, bool) if isinstance(self.default, bool) else is_number(value) and value >= 0


KEEPS = 'W orthogonal: "on" at every step, "near" by a correction that leaves a residue, "" not'
CURES = 'a wrong side: "avoid" keeps a run from the trap, "undo" takes it out, "" neither'
# Every trait, once. Those that count are read by the trainer or decide which settings a cell keeps.
TRAITS: dict[str, dict[str, Trait]] = {
    "penalty": {
        "attached": Trait(True, "has a gradient; without one it is measured only, the thread's bug", counts=True),
        "uses_reg": Trait(True, "reg changes its training or its report", counts=True),
        "decomposes": Trait(False, "its gradient decomposes matrices or looks at values: no GPU graph", counts=True),
        "products": Trait(2, "matrix products of 2n³ operations a step; 0 by default where it is not attached"),
    },
    "method": {
        "uses_penalty": Trait(False, "trains with the cell's penalty", counts=True),
        "uses_steps": Trait(True, "trains at all; a closed form does not", counts=True),
        "decomposes": Trait(False, "a step decomposes matrices: no GPU step is captured", counts=True),
        "bfloat16": Trait(True, "can train in bfloat16"),
        "library": Trait(False, "is a library of its own name, which may not be installed"),
        "products": Trait(0, "matrix products of 2n³ operations a step, beyond the penalty's"),
        "keeps": Trait("", KEEPS, choices=("on", "near", "")),
        "constrains": Trait(False, "constrains W instead of penalising it", counts=True),
        "parametrizes": Trait(False, "trains what W is an orthogonal function of"),
        "both_sides": Trait(False, "looks for the best W of either determinant, so no trap holds it"),
        "cures": Trait("", CURES, choices=("avoid", "undo", "")),
        "matrices": Trait(4, "n × n matrices of its own in a GPU's memory"),
    },
}
# What counts for neither is no part of a file's text: a better estimate of its cost makes no row stale.
UNHEARD = {name for known in TRAITS.values() for name, trait in known.items() if not trait.counts}
