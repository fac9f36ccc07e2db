"""The grid: axes, cells, blocks, and the check of a config. Imports no torch, so that a plan takes a moment.

A *cell* is one training run: a value for every axis. A *block* is a cross product over axes that serves one question of
the paper. Blocks are views: a cell named by two blocks is one cell, trained once.
"""

from __future__ import annotations

import difflib
import hashlib
import itertools
import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from .identity import code_digest, registry


@dataclass(frozen=True)
class Axis:
    """One setting of a cell: its type, what is allowed, and what a user should know before changing it."""

    name: str
    kind: type
    default: Any
    description: str
    choices: tuple[str, ...] = ()
    minimum: float | None = None
    exclusive: bool = False  # whether the minimum itself is forbidden
    registry: str = ""  # the module whose entries are the allowed names

    @property
    def allowed(self) -> str:
        if self.registry:
            return "one of " + ", ".join(registry_names(self))
        if self.choices:
            return "one of " + ", ".join(self.choices)
        if self.kind is bool:
            return "true or false"
        noun = "an integer" if self.kind is int else "a number"
        return f"{noun} {'>' if self.exclusive else '≥'} {self.minimum:g}"


def registry_names(axis: Axis) -> list[str]:
    return [*axis.choices, *registry(axis.registry)]


class ConfigError(ValueError):
    """A config that cannot be run. Its text has one line for each problem: key, value, what is allowed, how to mend it."""


def _axis(default: Any, description: str, **limits: Any) -> Any:
    return field(default=default, metadata={"description": description, **limits})


@dataclass(frozen=True)
class Cell:
    """One training run. Build one from any spelling with `make_cell`; the fields here are canonical.

    The fields are the axes, with the thread's second script as defaults: `Cell()` is log B.
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
        "uniform: entries from [0, 1), the thread's; whitened: centred, nonzero eigenvalues of the Gram matrix all equal.",
        choices=("uniform", "whitened"),
    )
    penalty: str = _axis(
        "fro2",
        "Orthogonality penalty: a function of penalties.py, with its options in brackets: huber(delta=0.01).",
        registry="penalties.py",
    )
    reg: float = _axis(1000.0, "Weight of the penalty in the loss.", minimum=0)
    method: str = _axis(
        "adam", "Optimiser, or a constrained method of constraints.py.", choices=("adam",), registry="constraints.py"
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
    steps: int = _axis(1000, "Number of optimiser steps.", minimum=1)
    dtype: str = _axis(
        "float32", "Precision of the training; metrics are float64 always.", choices=("float32", "float64")
    )
    seed: int = _axis(2021, "Seed of the cell's own random numbers. Error bars are over seeds.", minimum=0)

    @cached_property
    def key(self) -> str:
        """Twelve hex digits that depend on the settings alone: not on their order or spelling, nor on block or run."""
        return hashlib.sha256(json.dumps(self.settings, sort_keys=True).encode()).hexdigest()[:12]

    @property
    def settings(self) -> dict[str, Any]:
        return {f.name: getattr(self, f.name) for f in fields(self)}

    @property
    def family(self) -> str:
        """The name of the penalty or constrained method, without its options: one training job serves one family."""
        return spec_name(self.penalty if self.method == "adam" else self.method)

    @property
    def code(self) -> str:
        return code_digest(self.family)

    @property
    def problem(self) -> Cell:
        """The cell's data and target as a cell: equal for cells that share them (paired comparisons)."""
        return replace(
            self, penalty="none", reg=0.0, method="adam", determinant="mismatch", init="haar", lr=1e-3, schedule="constant", steps=1
        )  # fmt: skip


AXES: dict[str, Axis] = {f.name: Axis(f.name, type(f.default), f.default, **f.metadata) for f in fields(Cell)}

_SPEC = re.compile(r"^\s*([A-Za-z_][A-Za-z0-9_]*)\s*(?:\((.*)\))?\s*$")


def spec_name(spec: str) -> str:
    """The name in a spec such as `huber(delta=0.01)`."""
    return spec.split("(")[0]


def spec_options(spec: str) -> dict[str, float]:
    """The options in a canonical spec: {'delta': 0.01}."""
    inside = spec.partition("(")[2].rstrip(")")
    return {k: float(v) for k, v in (item.split("=") for item in inside.split(",") if item)}


def _nearest(word: str, known: Iterable[str]) -> str:
    match = difflib.get_close_matches(str(word), list(known), n=1, cutoff=0.5)
    return f"; did you mean '{match[0]}'?" if match else ""


def _canonical_spec(axis: Axis, value: Any) -> str:
    """`huber( delta = 1e-2 )` → `huber(delta=0.01)`; an option at its default is left out."""
    names = registry_names(axis)
    match = _SPEC.match(value) if isinstance(value, str) else None
    if not match or match[1] not in names:
        bare = match[1] if match else value
        raise ValueError(f"'{value}' is not allowed: {axis.allowed}{_nearest(bare, names)}")
    name, inside = match[1], match[2]
    defaults = registry(axis.registry)[name].options if name in registry(axis.registry) else {}
    options = {}
    for item in filter(None, (part.strip() for part in (inside or "").split(","))):
        option, _, text = (part.strip() for part in item.partition("="))
        if option not in defaults:
            known = ", ".join(defaults) or "none"
            raise ValueError(
                f"'{value}': {name} has no option '{option}' (it has: {known}){_nearest(option, defaults)}"
            )
        number = _number(text)
        if number is None or not number > 0:
            raise ValueError(f"'{value}': option {option} must be a number > 0, got '{text}'")
        if float(number) != defaults[option]:
            options[option] = float(number)
    return name + (f"({','.join(f'{k}={options[k]!r}' for k in sorted(options))})" if options else "")


def _number(value: Any) -> float | int | None:
    """A finite number, also from a numeric string: YAML hands `1e3` over as a string. Else None."""
    if isinstance(value, bool):
        return None
    if isinstance(value, str):
        try:
            value = int(value)
        except ValueError:
            try:
                value = float(value)
            except ValueError:
                return None
    return value if isinstance(value, int | float) and math.isfinite(value) else None


def canonical(name: str, value: Any) -> Any:
    """The canonical form of one axis value; ValueError, saying what is allowed, when there is none."""
    axis = AXES[name]
    if axis.registry:
        return _canonical_spec(axis, value)
    if axis.choices:
        if value not in axis.choices:
            raise ValueError(f"'{value}' is not allowed: {axis.allowed}{_nearest(value, axis.choices)}")
        return value
    if axis.kind is bool:
        if not isinstance(value, bool):
            raise ValueError(f"'{value}' is not allowed: {axis.allowed}")
        return value
    number = _number(value)
    fits = number is not None and (number > axis.minimum if axis.exclusive else number >= axis.minimum)
    if not fits or (axis.kind is int and number != int(number)):
        raise ValueError(f"'{value}' is not allowed: {axis.allowed}")
    return axis.kind(number)


def make_cell(**settings: Any) -> Cell:
    """A canonical cell from any spelling of its settings.

    A setting without influence is set to a fixed value, so that cells which are the same run have the same key: the reg
    of penalty `none`, the penalty of a constrained method.

    Raises ConfigError for an unknown axis, a value out of range, or settings that exclude each other.
    """
    values = {}
    for name, value in settings.items():
        if name not in AXES:
            raise ConfigError(f"unknown axis '{name}'{_nearest(name, AXES)} (axes: {', '.join(AXES)})")
        try:
            values[name] = canonical(name, value)
        except ValueError as error:
            raise ConfigError(f"{name}: {error}") from None
    cell = Cell(**values)
    if cell.method != "adam":
        cell = replace(cell, penalty="none")
    if not registry("penalties.py")[spec_name(cell.penalty)].uses_reg:
        cell = replace(cell, reg=0.0)
    if cell.init == "twin" and cell.determinant == "match":
        raise ConfigError(
            "init 'twin' with determinant 'match': the twin is a reflection of the target, so its determinant never matches; "
            "set determinant: mismatch, or init: haar"
        )
    if cell.inputs == "whitened" and cell.sampling == "fixed" and cell.samples < 2:
        raise ConfigError(
            "inputs 'whitened' with samples 1: one centred sample is zero; set samples ≥ 2, or inputs: uniform"
        )
    return cell


@dataclass(frozen=True)
class Block:
    """A named cross product over axes, and the question it answers."""

    name: str
    question: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Config:
    """A checked config: what one run trains and how its results are named."""

    run: str
    title: str
    device: str
    partial: bool
    blocks: tuple[Block, ...]

    @cached_property
    def cells(self) -> list[Cell]:
        """Every cell once, in the order of first appearance."""
        return list({cell.key: cell for block in self.blocks for cell in block.cells}.values())

    @cached_property
    def membership(self) -> list[tuple[str, str]]:
        """(block, key) pairs, each once."""
        return [(block.name, key) for block in self.blocks for key in dict.fromkeys(c.key for c in block.cells)]

    @cached_property
    def groups(self) -> dict[str, list[Cell]]:
        """Cells by training job. A job's name says what its rows file holds: `<family>-<digest of its cells and code>`."""
        families: dict[str, list[Cell]] = {}
        for cell in self.cells:
            families.setdefault(cell.family, []).append(cell)
        return {f"{name}-{_group_digest(cells)}": cells for name, cells in families.items()}

    @cached_property
    def digest(self) -> str:
        """Changes whenever anything a reader sees could change: run name, title, partial mark, blocks, questions."""
        view = [self.run, self.title, self.partial, [(b.name, b.question) for b in self.blocks], self.membership]
        return hashlib.sha256(json.dumps(view).encode()).hexdigest()[:12]


def _group_digest(cells: list[Cell]) -> str:
    text = "\n".join([cells[0].code, *sorted(cell.key for cell in cells)])
    return hashlib.sha256(text.encode()).hexdigest()[:12]


# key: (description, required)
CONFIG_KEYS = {
    "run": ("Name of the run; its results land in results/<run>/. Lower-case letters, digits, '-' and '_'.", True),
    "title": ("What the paper calls this run, in a few words.", False),
    "device": ("auto takes a GPU where there is one; cpu and cuda insist.", False),
    "partial": ("true: aggregate and draw although cells are missing; they are shown as missing.", False),
    "defaults": ("Axis values for every block that does not name the axis.", False),
    "blocks": ("The grid: a list of blocks, each a cross product over axes.", True),
}
BLOCK_KEYS = {
    "name": ("Name of the block: the figures and tables of the paper ask for blocks by name.", True),
    "question": ("The question this block answers; shown in the paper.", False),
    "axes": ("Axis values; a list makes an axis of the cross product.", True),
}
DEVICES = ("auto", "cpu", "cuda")
_RUN_NAME = re.compile(r"^[a-z0-9][a-z0-9_-]*$")


def check_config(raw: Mapping[str, Any], source: str = "config") -> Config:
    """Check a config wholly and expand its blocks; no torch, no files.

    Raises ConfigError with one line for every problem found.
    """
    problems: list[str] = []

    def complain(where: str, text: str) -> None:
        problems.append(f"{where}: {text}")

    def check_keys(where: str, mapping: Mapping, known: Mapping) -> None:
        for key in mapping:
            if key not in known:
                complain(where, f"unknown key '{key}'{_nearest(key, known)} (keys: {', '.join(known)})")
        for key, (_, required) in known.items():
            if required and key not in mapping:
                complain(where, f"key '{key}' is missing")

    if not isinstance(raw, Mapping):
        raise ConfigError(f"{source}: expected a mapping with the keys {', '.join(CONFIG_KEYS)}")
    check_keys(source, raw, CONFIG_KEYS)
    run = raw.get("run", "unnamed")
    if not (isinstance(run, str) and _RUN_NAME.match(run)):
        complain("run", f"'{run}' is not allowed: lower-case letters, digits, '-' and '_'")
    device = raw.get("device", "auto")
    if device not in DEVICES:
        complain("device", f"'{device}' is not allowed: one of {', '.join(DEVICES)}{_nearest(device, DEVICES)}")
    partial = raw.get("partial", False)
    if not isinstance(partial, bool):
        complain("partial", f"'{partial}' is not allowed: true or false")
    defaults = raw.get("defaults") or {}
    if not isinstance(defaults, Mapping):
        complain("defaults", "expected a mapping from axis to value")
        defaults = {}
    for name, value in defaults.items():
        if isinstance(value, list):
            complain(f"defaults.{name}", "a default is a single value; put lists into a block's axes")
    raw_blocks = raw.get("blocks", [])
    if not isinstance(raw_blocks, list) or (not raw_blocks and "blocks" in raw):
        complain("blocks", "expected a list with at least one block")
        raw_blocks = []
    blocks: list[Block] = []
    seen: set[str] = set()
    for number, block in enumerate(raw_blocks, start=1):
        where = f"blocks[{number}]"
        if not isinstance(block, Mapping):
            complain(where, f"expected a mapping with the keys {', '.join(BLOCK_KEYS)}")
            continue
        name = block.get("name", where)
        where = f"block '{name}'"
        check_keys(where, block, BLOCK_KEYS)
        if not isinstance(name, str) or not name:
            complain(where, "a block's name is a word")
        elif name in seen:
            complain(where, "the name is used twice; each block needs its own")
        seen.add(str(name))
        axes = block.get("axes", {})
        if not isinstance(axes, Mapping):
            complain(where, "axes: expected a mapping from axis to value or list of values")
            continue
        cells = _expand(where, {**defaults, **axes}, complain)
        blocks.append(Block(str(name), str(block.get("question", "")), tuple(cells)))
    if problems:
        listing = "\n".join(f"  - {problem}" for problem in dict.fromkeys(problems))
        raise ConfigError(f"{source} cannot be run; nothing was trained.\n{listing}")
    return Config(run, str(raw.get("title", run)), device, partial, tuple(blocks))


def _expand(where: str, axes: Mapping[str, Any], complain) -> list[Cell]:
    values: dict[str, list[Any]] = {}
    for name, given in axes.items():
        if name not in AXES:
            complain(where, f"unknown axis '{name}'{_nearest(name, AXES)} (axes: {', '.join(AXES)})")
            continue
        options = given if isinstance(given, list) else [given]
        if not options:
            complain(
                where,
                f"{name}: the list is empty; give at least one value ({AXES[name].allowed}), or leave the axis out",
            )
        good = []
        for option in options:
            try:
                good.append(canonical(name, option))
            except ValueError as error:
                complain(where, f"{name}: {error}")
        values[name] = list(dict.fromkeys(good))
    cells: dict[str, Cell] = {}
    for combination in itertools.product(*values.values()):
        try:
            cell = make_cell(**dict(zip(values, combination, strict=True)))
        except ConfigError as error:
            complain(where, str(error))
            return []
        cells[cell.key] = cell
    return list(cells.values())


def load_config(path: str | Path) -> Config:
    """Read and check a YAML config file. Raises ConfigError, also for text that is no YAML."""
    path = Path(path)
    if not path.exists():
        known = sorted(p.name for p in path.parent.glob("*.yaml")) if path.parent.exists() else []
        raise ConfigError(f"{path}: no such file{_nearest(path.name, known)} (there: {', '.join(known) or 'none'})")
    try:
        raw = yaml.safe_load(path.read_text())
    except yaml.YAMLError as error:
        raise ConfigError(f"{path} is no valid YAML: {error}") from None
    return check_config(raw, source=str(path))


def json_schema() -> dict[str, Any]:
    """The JSON Schema of a config, for editors: generated from AXES, CONFIG_KEYS and BLOCK_KEYS, their only source."""

    def axis_schema(axis: Axis) -> dict[str, Any]:
        if axis.registry:
            body: dict[str, Any] = {"type": "string", "pattern": r"^\s*[A-Za-z_][A-Za-z0-9_]*\s*(\(.*\))?\s*$"}
        elif axis.choices:
            body = {"enum": list(axis.choices)}
        elif axis.kind is bool:
            body = {"type": "boolean"}
        else:
            bound = {"exclusiveMinimum" if axis.exclusive else "minimum": axis.minimum}
            number = {"type": "integer" if axis.kind is int else "number", **bound}
            # YAML hands 1e3 over as a string.
            body = {"anyOf": [number, {"type": "string", "pattern": r"^\s*\+?[0-9.]+([eE][+-]?[0-9]+)?\s*$"}]}
        return {**body, "default": axis.default, "description": axis.description}

    single = {name: axis_schema(axis) for name, axis in AXES.items()}
    either = {}
    for name, axis in AXES.items():
        one = {k: v for k, v in single[name].items() if k not in ("default", "description")}
        either[name] = {
            "anyOf": [one, {"type": "array", "items": one, "minItems": 1}],
            "default": axis.default,
            "description": axis.description,
        }
    block = {
        "type": "object",
        "additionalProperties": False,
        "required": [k for k, (_, needed) in BLOCK_KEYS.items() if needed],
        "properties": {
            "name": {"type": "string", "minLength": 1, "description": BLOCK_KEYS["name"][0]},
            "question": {"type": "string", "description": BLOCK_KEYS["question"][0]},
            "axes": {
                "type": "object",
                "additionalProperties": False,
                "properties": either,
                "description": BLOCK_KEYS["axes"][0],
            },
        },
    }
    bodies = {
        "run": {"type": "string", "pattern": _RUN_NAME.pattern},
        "title": {"type": "string"},
        "device": {"enum": list(DEVICES), "default": "auto"},
        "partial": {"type": "boolean", "default": False},
        "defaults": {"type": "object", "additionalProperties": False, "properties": single},
        "blocks": {"type": "array", "minItems": 1, "items": block},
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Config of an orthogrid run",
        "description": "Generated by `python -m orthogrid schema`; edit AXES, CONFIG_KEYS or BLOCK_KEYS in grid.py instead.",
        "type": "object",
        "additionalProperties": False,
        "required": [k for k, (_, needed) in CONFIG_KEYS.items() if needed],
        "properties": {k: {**bodies[k], "description": CONFIG_KEYS[k][0]} for k in CONFIG_KEYS},
    }
