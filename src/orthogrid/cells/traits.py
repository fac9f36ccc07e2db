"""What others know of a penalty, method or model without running its file: its name, options and traits."""

from __future__ import annotations

import math
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeGuard


class ConfigError(ValueError):
    """A config that cannot be run. Its text has one line for each problem: key, value, what is allowed, how to mend it."""


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
        "networks": Trait(False, "steps networks as well"),
    },
    "model": {
        "network": Trait(
            False,
            "more than one square layer: stepped by `networks` alone, with fixed samples and no bias",
            counts=True,
        ),
        "products": Trait(2, "products of k × n by n × n matrices a step"),
    },
}
# What counts for neither is no part of a file's text: a better estimate of its cost makes no row stale.
UNHEARD = {name for known in TRAITS.values() for name, trait in known.items() if not trait.counts}


@dataclass(frozen=True)
class Entry:
    """One penalty, method or model as others know it. A trait is an attribute: `entry.uses_reg`."""

    name: str
    kind: str  # "penalty", "method" or "model"
    options: dict[str, float] = field(default_factory=dict)  # keyword-only arguments and their defaults
    summary: str = ""  # first line of the docstring
    traits: dict[str, Any] = field(default_factory=dict)  # those that its decorator states
    file: str = ""
    line: int = 0

    def __post_init__(self) -> None:
        if not self.name.isascii():  # no spec could hold it
            raise ConfigError(
                f"{self.place}: a name is of plain letters (a to z), digits and '_'; give it another name"
            )

    def __getattr__(self, name: str) -> Any:
        """A trait that the decorator states, or its default."""
        known = TRAITS.get(self.__dict__.get("kind", ""), {})  # copying asks for names before there is a kind
        if name not in known:
            raise AttributeError(f"a component has no attribute '{name}'")
        none = name == "products" and not self.traits.get("attached", True)
        return self.traits.get(name, 0 if none else known[name].default)

    @property
    def place(self) -> str:
        """Where it stands, for messages."""
        return f"{self.file}, line {self.line}: {self.kind} '{self.name}'"
