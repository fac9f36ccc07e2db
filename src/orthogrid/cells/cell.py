"""Axes and cells. Imports no torch, so that a plan takes a moment.

A *cell* is one training run: a value for every axis. Its key depends on these alone.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Any

from . import components
from .components import ConfigError, Entry
from .inputs import SETS, is_file, size, with_digest
from .shape import ProblemSettings, spec_name
from .traits import is_number


@dataclass(frozen=True)
class Axis:
    """One setting of a cell: its type, what is allowed, and what a user should know before changing it."""

    name: str
    kind: type
    default: Any
    description: str
    choices: tuple[str, ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    exclusive: bool = False  # whether the minimum itself is forbidden
    registry: str = ""  # the catalog's list whose entries are the allowed names: penalties, methods or models
    files: bool = False  # whether a file of samples is a value, too
    later: bool = False  # came when rows were kept already: at its default it is no part of a cell's key

    @property
    def entries(self) -> dict[str, Entry]:
        """The catalog's entries that are this axis's values."""
        return getattr(components, self.registry)() if self.registry else {}

    @property
    def allowed(self) -> str:
        """The allowed values in words, as messages and the documentation say them."""
        if names := self.choices or tuple(self.entries):
            return "one of " + ", ".join(names) + (", or an .npy or .csv file of samples" if self.files else "")
        if self.kind is bool:
            return "true or false"
        noun = "an integer" if self.kind is int else "a number"
        limit = "" if self.maximum is None else f" and ≤ {self.maximum}"
        return f"{noun} {'>' if self.exclusive else '≥'} {self.minimum:g}{limit}"

    def canonical(self, value: Any) -> Any:
        """The one form of a value, from any spelling. Raises ValueError that says what is allowed."""
        if type(value).__module__ == "numpy" and hasattr(value, "item"):
            value = value.item()
        if self.registry:
            return self._canonical_spec(value)
        if self.files and is_file(value):
            return with_digest(value)
        if self.choices:
            found = value if value in self.choices else None
        else:
            found = as_bool(value) if self.kind is bool else self._in_limits(as_number(value))
        if found is None:
            raise ValueError(f"'{value}' is not allowed: {self.allowed}{nearest(value, self.choices)}")
        return found

    def _in_limits(self, number: float | None) -> float | None:
        """The number in the axis's type; None where it is outside its limits, or has a fraction that the type has not."""
        if number is None or (self.kind is int and number != int(number)):
            return None
        low = number > self.minimum if self.exclusive else number >= self.minimum  # type: ignore[operator]
        return self.kind(number) if low and (self.maximum is None or number <= self.maximum) else None

    def _canonical_spec(self, value: Any) -> str:
        """`huber( delta = 1e-2 )` → `huber(delta=0.01)`. An option at its default is left out."""
        entries = self.entries
        match = _SPEC.match(value) if isinstance(value, str) else None
        name, inside = match.groups() if match else (value, "")
        if not match or name not in entries:
            raise ValueError(f"'{value}' is not allowed: {self.allowed}{nearest(name, entries)}")
        defaults = entries[name].options
        given: dict[str, float] = {}
        for item in filter(None, map(str.strip, (inside or "").split(","))):
            option, _, text = map(str.strip, item.partition("="))
            number = as_number(text)
            if option not in defaults:
                has = ", ".join(defaults) or "none"
                raise ValueError(
                    f"'{value}': {name} has no option '{option}' (it has: {has}){nearest(option, defaults)}"
                )
            if option in given:
                raise ValueError(f"'{value}': option {option} is given twice")
            if number is None or number < 0:
                raise ValueError(f"'{value}': option {option} must be a number ≥ 0, got '{text}'")
            given[option] = float(number)
        options = [f"{option}={given[option]!r}" for option in sorted(given) if given[option] != defaults[option]]
        return f"{name}({','.join(options)})" if options else name


def _axis(default: Any, description: str, **limits: Any) -> Any:
    return field(default=default, metadata={"description": description, **limits})


@dataclass(frozen=True, init=False)
class Cell:
    """One training run, from any spelling of its settings: numbers of numpy's, text from a CSV, `huber( delta = 1e-2 )`.

    The fields are the axes, with the thread's second script as defaults: `Cell()` is log B. A setting without influence is
    set to a fixed value, so that cells which are the same run have the same key: the reg of penalty `none`, the penalty of a
    constrained method, the steps of a closed form.

    Raises ConfigError for an unknown axis, a value out of range, or settings that exclude each other.
    """

    dimension: int = _axis(500, "Size n of the n × n weight. Time grows with its cube.", minimum=2)
    samples: int = _axis(
        30, "Number k of training samples (the thread's batch). Below n, W is not identified.", minimum=1
    )
    sampling: str = _axis(
        "fixed", "fixed: the same samples at every step; fresh: new ones at every step.", choices=("fixed", "fresh")
    )
    inputs: str = _axis(
        "uniform",
        "uniform: entries from [0, 1), the thread's; whitened: centred, nonzero eigenvalues of the Gram matrix all equal; normal: "
        "standard normal entries; digits, words: real samples of data/samples, on their leading principal components; or a file "
        "of your own, rows are samples: my/samples.npy.",
        choices=("uniform", "whitened", "normal", *SETS),
        files=True,
    )
    model: str = _axis(
        "linear",
        "What is trained: linear, the thread's layer, or a network (one class each in models/), with its options in brackets: "
        "recurrent(length=12).",
        registry="models",
        later=True,
    )
    noise: float = _axis(0.0, "Standard deviation of the normal noise added to every target.", minimum=0)
    penalty: str = _axis(
        "fro2",
        "Orthogonality penalty: a function of penalties.py, with its options in brackets: huber(delta=0.01).",
        registry="penalties",
    )
    reg: float = _axis(1000.0, "Weight of the penalty in the loss.", minimum=0)
    method: str = _axis(
        "adam",
        "How the steps are made: adam, a constrained method, a library's, or a cure (one class each in methods/), with its "
        "options in brackets: landing(strength=0.1).",
        registry="methods",
    )
    determinant: str = _axis(
        "match",
        "Whether the start's determinant has the target's sign; where it does not come out so, one row is negated.",
        choices=("match", "mismatch"),
    )
    init: str = _axis(
        "haar",
        "haar: a random orthogonal start; twin: the target reflected along the data's weakest direction.",
        choices=("haar", "twin"),
    )
    bias: bool = _axis(True, "Whether the layer has a trained bias, as nn.Linear has by default.")
    lr: float = _axis(1e-3, "Learning rate (Adam with PyTorch's other defaults).", minimum=0, exclusive=True)
    schedule: str = _axis(
        "constant", "Learning rate over the run: constant, or cosine down to zero.", choices=("constant", "cosine")
    )
    warmup: int = _axis(0, "Steps over which the learning rate rises linearly; 0: none.", minimum=0, later=True)
    steps: int = _axis(1000, "Number of optimiser steps.", minimum=1)
    dtype: str = _axis(
        "float32",
        "Precision of the training; metrics are float64 always. tf32: float32 with products' operands rounded to ten bits.",
        choices=("float64", "float32", "tf32", "bfloat16"),
    )
    seed: int = _axis(
        2021, "Seed of the cell's own random numbers. Error bars are over seeds.", minimum=0, maximum=2**63 - 1
    )

    def __init__(self, **settings: Any):
        values = {name: axis.default for name, axis in AXES.items()}
        for name, value in settings.items():
            if name not in AXES:
                raise ConfigError(f"unknown axis '{name}'{nearest(name, AXES)} (axes: {', '.join(AXES)})")
            try:
                values[name] = AXES[name].canonical(value)
            except ValueError as error:
                raise ConfigError(f"{name}: {error}") from None
        _settle(values)
        for name, value in values.items():
            object.__setattr__(self, name, value)

    @cached_property
    def key(self) -> str:
        """Twelve hex digits that depend on the settings alone: not on their order or spelling, nor on block or run."""
        said = {
            name: value for name, value in self.settings.items() if not AXES[name].later or value != AXES[name].default
        }
        return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:12]

    @property
    def settings(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in AXES}

    @property
    def code(self) -> str:
        """The digest of the code that trains it."""
        return components.code_digest(*map(spec_name, (self.penalty, self.method, self.model)))

    @property
    def code_parts(self) -> dict[str, str]:
        """The files behind that digest, each with a digest of its own."""
        return components.code_parts(*map(spec_name, (self.penalty, self.method, self.model)))

    @property
    def label(self) -> str:
        """What a table calls its training: the penalty's name, or that of a method other than adam."""
        return spec_name(self.penalty if self.method == "adam" else self.method)

    @cached_property
    def problem(self) -> ProblemSettings:
        """The settings of its samples and target: equal for cells that share them."""
        return ProblemSettings(*(getattr(self, name) for name in ProblemSettings._fields))

    def __str__(self) -> str:
        """The settings that are not the default, as `dimension=100 penalty=l1`; for messages."""
        return " ".join(
            f"{name}={getattr(self, name)}" for name, axis in AXES.items() if getattr(self, name) != axis.default
        )


AXES: dict[str, Axis] = {f.name: Axis(f.name, type(f.default), f.default, **f.metadata) for f in fields(Cell)}


_SPEC = re.compile(r"^\s*([A-Za-z_][A-Za-z0-9_]*)\s*(?:\((.*)\))?\s*$")


def nearest(word: str, known: Iterable[str], likeness: float = 0.5) -> str:
    """The known word that is most like another, as the end of a message; empty where none is alike enough, or all of the same."""
    match = difflib.get_close_matches(str(word), [each for each in known if each != word], n=1, cutoff=likeness)
    return f"; did you mean '{match[0]}'?" if match else ""


def as_number(value: Any) -> float | int | None:
    """A finite number, also from text: YAML hands `1e3` over as text. None for anything else."""
    if isinstance(value, str):
        for kind in (int, float):
            with suppress(ValueError):
                return as_number(kind(value))
    return value if is_number(value) else None


def as_bool(value: Any) -> bool | None:
    """A truth value, also from the text of a table or a command line. None for anything else."""
    value = {"true": True, "false": False}.get(value.lower()) if isinstance(value, str) else value
    return value if isinstance(value, bool) else None


# What a network has no use for, and the value that it takes.
OF_NETWORKS = {"sampling": "fixed", "noise": 0.0, "init": "haar", "dtype": "float32"}


def _settle(values: dict[str, Any]) -> None:
    """Set what has no influence to a fixed value. Raises ConfigError where settings exclude each other."""
    method = AXES["method"].entries[spec_name(values["method"])]
    network = AXES["model"].entries[spec_name(values["model"])].network
    if network:
        values["bias"] = False
        able = [name for name, entry in AXES["method"].entries.items() if entry.networks]
        wrong = {name: value for name, value in OF_NETWORKS.items() if values[name] != value}
        if method.name not in able:
            wrong["method"] = " or ".join(able)
        for name, value in wrong.items():
            raise ConfigError(
                f"model '{values['model']}' with {name} {values[name]!r}: a network has none; set {name}: {value}"
            )
    if not method.uses_penalty:
        values["penalty"] = "none"
    if values["dtype"] == "bfloat16" and not method.bfloat16:
        raise ConfigError(
            f"method '{values['method']}' with dtype 'bfloat16': its decompositions need at least float32; set dtype: float32, "
            "or take it from this block's methods"
        )
    if not method.uses_steps:
        values |= {name: AXES[name].default for name in ("lr", "schedule", "warmup")} | {"steps": 1}
    if not AXES["penalty"].entries[spec_name(values["penalty"])].uses_reg:
        values["reg"] = 0.0
    if values["init"] == "twin" and values["determinant"] == "match":
        raise ConfigError(
            "init 'twin' with determinant 'match': the twin is a reflection of the target, so its determinant never matches; "
            "set determinant: mismatch, or init: haar"
        )
    if values["noise"] and values["sampling"] == "fresh":
        raise ConfigError("noise with sampling 'fresh': noise is drawn once; set sampling: fixed, or noise: 0")
    if found := size(values["inputs"]):
        if values["sampling"] == "fresh":
            raise ConfigError(
                f"inputs '{values['inputs']}' with sampling 'fresh': a set of samples ends; set sampling: fixed"
            )
        for axis, most in zip(("samples", "dimension"), found, strict=True):
            if values[axis] > most and not (axis == "dimension" and network):
                noun = {"samples": "samples", "dimension": "entries"}[axis]
                raise ConfigError(
                    f"{axis} {values[axis]} with inputs '{values['inputs']}': it has {most} {noun}; set {axis} ≤ {most}"
                )
    if values["inputs"] == "whitened" and values["sampling"] == "fixed" and values["samples"] < 2:
        raise ConfigError(
            "inputs 'whitened' with samples 1: one centred sample is zero; set samples ≥ 2, or inputs: uniform"
        )
