"""A run's config: blocks of cells, checked wholly before anything trains. Imports no torch.

A *block* is a cross product over axes that serves one question of the paper. Blocks are views: a cell named by two
blocks is one cell, trained once.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import math
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from . import catalog
from .catalog import ConfigError
from .cell import AXES, Axis, Cell, as_number, canonical, nearest, spec_name
from .costs import bytes_needed
from .declarations import own_readers
from .yamlfile import read_yaml


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
    shards: int
    results: str
    code: tuple[str, ...]
    blocks: tuple[Block, ...]
    source: str = ""  # the file that it was read from, for commands that are told to a reader

    @property
    def root(self) -> Path:
        """The folder of the run's results."""
        return Path(self.results, self.run)

    @cached_property
    def cells(self) -> list[Cell]:
        """Every cell once, in the order of first appearance."""
        return list({cell.key: cell for block in self.blocks for cell in block.cells}.values())

    @cached_property
    def membership(self) -> list[tuple[str, str]]:
        """(block, key) pairs, each once."""
        return [(block.name, key) for block in self.blocks for key in dict.fromkeys(c.key for c in block.cells)]

    def part(self, blocks: Sequence[str] = (), seeds: int | None = None, only: Sequence[str] = ()) -> list[Cell]:
        """The cells of some blocks (all, if none is named), of the first `seeds` seeds of each, of some penalties or methods.

        Raises ConfigError for a block, penalty or method that is not there.
        """
        names = [block.name for block in self.blocks]
        used = {spec_name(spec) for cell in self.cells for spec in (cell.penalty, cell.method)}
        for what, asked, there in (("block", blocks, names), ("penalty or method", only, sorted(used))):
            for name in asked:
                if name not in there:
                    raise ConfigError(
                        f"{what} '{name}' is not in this config{nearest(name, there)} ({', '.join(there)})"
                    )
        kept: dict[str, Cell] = {}
        for block in self.blocks:
            if block.name in (blocks or names):
                first = list(dict.fromkeys(cell.seed for cell in block.cells))[:seeds]
                kept |= {cell.key: cell for cell in block.cells if cell.seed in first}
        return [c for c in kept.values() if not only or {spec_name(c.penalty), spec_name(c.method)} & set(only)]

    @cached_property
    def digest(self) -> str:
        """Changes whenever anything a reader sees could change: run name, title, partial mark, blocks, questions."""
        view = [
            self.run,
            self.title,
            self.partial,
            self.code,
            [(b.name, b.question) for b in self.blocks],
            self.membership,
        ]
        return hashlib.sha256(json.dumps(view).encode()).hexdigest()[:12]


# key: (description, required)
CONFIG_KEYS = {
    "run": ("Name of the run; its results land in results/<run>/. Lower-case letters, digits, '-' and '_'.", True),
    "title": ("What the paper calls this run, in a few words.", False),
    "device": ("auto takes a GPU where there is one; cpu and cuda insist.", False),
    "partial": ("true: aggregate and draw although cells are missing; they are shown as missing.", False),
    "shards": (
        "Into how many training jobs of equal effort the run is cut; 1 fills one machine, more a cluster.",
        False,
    ),
    "results": ("The folder of all runs.", False),
    "code": (
        "Python files of your own whose penalties, methods, figures and claims the run uses; they are executed.",
        False,
    ),
    "defaults": ("Axis values for every block that does not name the axis.", False),
    "blocks": ("The grid: a list of blocks, each a cross product over axes.", True),
}
BLOCK_KEYS = {
    "name": ("Name of the block: the figures and tables of the paper ask for blocks by name.", True),
    "question": ("The question this block answers; shown in the paper.", False),
    "axes": ("Axis values; a list makes an axis of the cross product.", True),
}
DEVICES = ("auto", "cpu", "cuda")
MOST_SHARDS = 100_000
MOST_CELLS = 2_000_000
MOST_STEPS = 10**9
MOST_BYTES = 10**12  # of one cell in training: more than any machine has
LONGEST = 300  # of a title or question
_RUN_NAME = re.compile(r"^[a-z][a-z0-9_-]{0,63}$")
_BLOCK_NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9_-]{0,39}$")
TAKEN = ("bench",)  # folders of results that are no run's
# Snakemake runs what stands under these keys as Python.
RUNS_CODE = ("__use_yte__", "__definitions__", "__variables__")


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
                complain(where, f"unknown key '{key}'{nearest(key, known)} (keys: {', '.join(known)})")
        for key, (_, required) in known.items():
            if required and key not in mapping:
                complain(where, f"key '{key}' is missing")

    if not isinstance(raw, Mapping):
        raise ConfigError(f"{source}: expected a mapping with the keys {', '.join(CONFIG_KEYS)}")
    for key in RUNS_CODE:
        if key in raw:
            complain(
                source,
                f"key '{key}' lets Snakemake run what stands in the file as Python; a config is data, so take it out",
            )
    check_keys(source, {key: value for key, value in raw.items() if key not in RUNS_CODE}, CONFIG_KEYS)
    run = raw.get("run", "unnamed")
    if not (isinstance(run, str) and _RUN_NAME.fullmatch(run)) or run in TAKEN:
        allowed = "a letter, then at most 63 lower-case letters, digits, '-' and '_'"
        complain("run", f"'{run}' is not allowed: {allowed}; and not {', '.join(TAKEN)}")
    title = raw.get("title", run)
    if not _is_line(title):
        complain("title", f"'{title}' is not allowed: {LINE}")
    device = raw.get("device", "auto")
    if device not in DEVICES:
        complain("device", f"'{device}' is not allowed: one of {', '.join(DEVICES)}{nearest(device, DEVICES)}")
    # Snakemake's --config hands true and 4 over as text.
    partial = raw.get("partial", False)
    partial = {"true": True, "false": False}.get(partial.lower(), partial) if isinstance(partial, str) else partial
    if not isinstance(partial, bool):
        complain("partial", f"'{partial}' is not allowed: true or false")
    shards = as_number(raw.get("shards", 1))
    if not isinstance(shards, int) or not 1 <= shards <= MOST_SHARDS:
        complain("shards", f"'{raw['shards']}' is not allowed: an integer from 1 to {MOST_SHARDS}")
    results = raw.get("results", "results")
    if not isinstance(results, str) or not results.strip() or not results.isprintable():
        complain("results", f"'{results}' is not allowed: the name of a folder")
    elif set(results) & set("{}"):
        complain("results", f"'{results}' is not allowed: braces are Snakemake's; rename the folder")
    else:
        results = os.path.expanduser(results)
    unread = False
    code = raw.get("code", [])
    code = [code] if isinstance(code, str) else code
    if not isinstance(code, list) or not all(isinstance(path, str) and path for path in code):
        complain("code", f"'{code}' is not allowed: a list of Python files")
    else:
        try:
            catalog.use_code(code)
            own_readers(code)
        except ConfigError as error:
            complain("code", str(error))
            unread = True
    defaults = {} if raw.get("defaults") is None else raw["defaults"]
    if not isinstance(defaults, Mapping):
        complain("defaults", f"'{defaults}' is not allowed: a mapping from axis to value")
        defaults = {}
    for name, value in defaults.items():
        if isinstance(value, list):
            complain(f"defaults.{name}", "a default is a single value; put lists into a block's axes")
    raw_blocks = raw.get("blocks", [])
    if not isinstance(raw_blocks, list) or (not raw_blocks and "blocks" in raw):
        complain("blocks", "expected a list with at least one block")
        raw_blocks = []
    total = sum(_count({**defaults, **block["axes"]}) for block in raw_blocks if _has_axes(block))
    if total > MOST_CELLS:
        complain("blocks", f"the config asks for {total} cells; at most {MOST_CELLS} are allowed: shorten its lists")
        raw_blocks = []
    if unread:
        raw_blocks = []  # which penalties there are is not known before the files can be read
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
        if not isinstance(name, str) or not _BLOCK_NAME.fullmatch(name):
            complain(where, f"name '{name}' is not allowed: at most 40 letters, digits, '-' and '_'")
        elif name in seen:
            complain(where, "the name is used twice; each block needs its own")
        seen.add(str(name))
        axes = block.get("axes", {})
        if not isinstance(axes, Mapping):
            complain(where, "axes: expected a mapping from axis to value or list of values")
            continue
        question = block.get("question", "")
        if not _is_line(question):
            complain(where, f"question '{question}' is not allowed: {LINE}")
        every = {**defaults, **axes}
        blocks.append(Block(str(name), str(question), tuple(_expand(where, every, complain))))
    if problems:
        listing = "\n".join(f"  - {problem}" for problem in dict.fromkeys(problems))
        raise ConfigError(f"{source} cannot be run; nothing was trained.\n{listing}")
    return Config(run, title, device, partial, shards, results, tuple(code), tuple(blocks), source)  # type: ignore[arg-type]


def _has_axes(block: Any) -> bool:
    return isinstance(block, Mapping) and isinstance(block.get("axes"), Mapping)


def _count(axes: Mapping[str, Any]) -> int:
    """The cells of a cross product, before it is made."""
    return math.prod(len(set(map(repr, values))) if isinstance(values, list) else 1 for values in axes.values())


LINE = f"one line of text that prints, of at most {LONGEST} characters; write numbers and dates in quotes"


def _is_line(text: Any) -> bool:
    return isinstance(text, str) and len(text) <= LONGEST and text.isprintable()


def _expand(where: str, axes: Mapping[str, Any], complain) -> list[Cell]:
    values: dict[str, list[Any]] = {}
    for name, given in axes.items():
        if name not in AXES:
            complain(where, f"unknown axis '{name}'{nearest(name, AXES)} (axes: {', '.join(AXES)})")
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
            cell = Cell(**dict(zip(values, combination, strict=True)))
        except ConfigError as error:
            complain(where, str(error))
            return []
        if cell.steps > MOST_STEPS or bytes_needed(cell) > MOST_BYTES:
            which = f"dimension {cell.dimension}, samples {cell.samples}, steps {cell.steps}"
            complain(
                where, f"{which}: no machine trains that: at most {MOST_STEPS} steps, and a terabyte of memory a cell"
            )
            return []
        cells[cell.key] = cell
    return list(cells.values())


def load_config(path: str | Path, results: str | None = None) -> Config:
    """Read and check a YAML config file, with another folder of results if one is given.

    Raises ConfigError, also for text that is no YAML.
    """
    raw = read_yaml(path)
    if results is not None and isinstance(raw, Mapping):
        raw = {**raw, "results": results}
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
    bodies: dict[str, dict[str, Any]] = {
        "run": {"type": "string", "pattern": _RUN_NAME.pattern},
        "title": {"type": "string"},
        "device": {"enum": list(DEVICES), "default": "auto"},
        "partial": {"type": "boolean", "default": False},
        "shards": {"type": "integer", "minimum": 1, "maximum": MOST_SHARDS, "default": 1},
        "results": {"type": "string", "default": "results"},
        "code": {"type": "array", "items": {"type": "string"}, "default": []},
        "defaults": {"type": "object", "additionalProperties": False, "properties": single},
        "blocks": {"type": "array", "minItems": 1, "items": block},
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Config of an orthogrid run",
        "description": "Generated by `python -m orthogrid schema`; edit AXES, CONFIG_KEYS or BLOCK_KEYS in grid.py and config.py instead.",
        "type": "object",
        "additionalProperties": False,
        "required": [k for k, (_, needed) in CONFIG_KEYS.items() if needed],
        "properties": {k: {**bodies[k], "description": CONFIG_KEYS[k][0]} for k in CONFIG_KEYS},
    }
