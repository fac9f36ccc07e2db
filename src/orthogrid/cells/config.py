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
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from . import components
from .cell import AXES, Axis, Cell, as_bool, as_number, nearest
from .components import ConfigError
from .costs import bytes_needed
from .shape import spec_name
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
    source: str = ""  # the file that it was read from, for commands that a reader is given
    heading: str = ""
    authors: str = ""
    abstract: str = ""
    draft: bool = False

    @property
    def root(self) -> Path:
        """The folder of the run's results."""
        return Path(self.results, self.run)

    @cached_property
    def cells(self) -> list[Cell]:
        """Every cell once, in the order of its first block."""
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
        chosen: dict[str, Cell] = {}
        for block in self.blocks:
            if block.name in (blocks or names):
                first = list(dict.fromkeys(cell.seed for cell in block.cells))[:seeds]
                chosen |= {cell.key: cell for cell in block.cells if cell.seed in first}
        return [c for c in chosen.values() if not only or {spec_name(c.penalty), spec_name(c.method)} & set(only)]

    @cached_property
    def digest(self) -> str:
        """Twelve hex digits that change with anything a reader sees: name, titles, partial mark, code, blocks, questions."""
        questions = [(block.name, block.question) for block in self.blocks]
        view = [self.run, self.title, self.partial, self.code, questions, self.membership]
        view += [words for words in (self.heading, self.authors, self.abstract) if words]
        return hashlib.sha256(json.dumps(view).encode()).hexdigest()[:12]


DEVICES = ("auto", "cpu", "cuda")
MOST_SHARDS = 10_000  # of which Snakemake makes a plan within a minute
MOST_CELLS = 2_000_000
MOST_STEPS = 10**9
MOST_BYTES = 10**12  # of one cell in training: more than any machine has
LONGEST = 300  # of a title or question
LONGEST_TEXT = 3000
_RUN_NAME = re.compile(r"^[a-z][a-z0-9_-]{0,63}$")
_BLOCK_NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9_-]{0,39}$")
TAKEN = ("bench",)  # folders of results that are no run's
# Snakemake runs what stands under these keys as Python.
RUNS_CODE = ("__use_yte__", "__definitions__", "__variables__")
LINE = f"one line of text that prints, of at most {LONGEST} characters; write numbers and dates in quotes"


class Key(NamedTuple):
    """One key of a config or of a block.

    `read` gives the value as the run takes it, or None for one that is not allowed.
    """

    description: str
    allowed: str = ""
    read: Callable[[Any], Any] = lambda value: value
    default: Any = None
    required: bool = False
    schema: Mapping[str, Any] = {}


def _matching(pattern: re.Pattern[str], taken: Sequence[str] = ()) -> Callable[[Any], str | None]:
    return lambda text: text if isinstance(text, str) and pattern.fullmatch(text) and text not in taken else None


def _line(text: Any) -> str | None:
    return text if isinstance(text, str) and len(text) <= LONGEST and text.isprintable() else None


def _text(text: Any) -> str | None:
    words = " ".join(text.split()) if isinstance(text, str) else None
    return words if words is not None and len(words) <= LONGEST_TEXT and words.isprintable() else None


def _shards(value: Any) -> int | None:
    number = as_number(value)  # Snakemake's --config hands 4 over as text
    return number if isinstance(number, int) and 1 <= number <= MOST_SHARDS else None


def _folder(path: Any) -> str | None:
    is_one = isinstance(path, str) and path.strip() and path.isprintable() and not set(path) & set("{}")
    return os.path.expanduser(path) if is_one else None


def _files(paths: Any) -> list[str] | None:
    paths = [paths] if isinstance(paths, str) else paths
    return paths if isinstance(paths, list) and all(isinstance(path, str) and path for path in paths) else None


# The one source of the check, the JSON Schema and docs/config.md, as AXES is for axes.
CONFIG_KEYS = {
    "run": Key(
        "Name of the run; its results land in results/<run>/. Lower-case letters, digits, '-' and '_'.",
        f"a letter, then at most 63 lower-case letters, digits, '-' and '_'; and not {', '.join(TAKEN)}",
        _matching(_RUN_NAME, TAKEN), "unnamed", True, {"type": "string", "pattern": _RUN_NAME.pattern},
    ),
    "title": Key("What the paper calls this run, in a few words.", LINE, _line, "", schema={"type": "string"}),
    "heading": Key("The paper's title, in place of this project's.", LINE, _line, "", schema={"type": "string"}),
    "authors": Key("The paper's authors, as it is to print them.", LINE, _line, "", schema={"type": "string"}),
    "abstract": Key(
        "The paper's abstract, as plain text.", f"text that prints, of at most {LONGEST_TEXT} characters", _text, "",
        schema={"type": "string"},
    ),
    "device": Key(
        "auto takes a GPU where there is one; cpu and cuda insist.", f"one of {', '.join(DEVICES)}",
        lambda name: name if name in DEVICES else None, "auto", schema={"enum": list(DEVICES), "default": "auto"},
    ),
    "partial": Key(
        "true: aggregate and draw although cells are missing; they are shown as missing.", "true or false",
        as_bool, False, schema={"type": "boolean", "default": False},
    ),
    "draft": Key(
        "true: a PDF without the tags that a screen reader needs, in half the time.", "true or false",
        as_bool, False, schema={"type": "boolean", "default": False},
    ),
    "shards": Key(
        "Into how many training jobs of equal effort the run is cut; 1 fills one machine, more a cluster.",
        f"an integer from 1 to {MOST_SHARDS}", _shards, 1,
        schema={"type": "integer", "minimum": 1, "maximum": MOST_SHARDS, "default": 1},
    ),
    "results": Key(
        "The folder of all runs.", "the name of a folder without braces, which are Snakemake's", _folder, "results",
        schema={"type": "string", "default": "results"},
    ),
    "code": Key(
        "Python files of your own whose penalties, methods, figures and claims the run uses; they are executed. "
        "A path is looked up from where you call.",
        "a list of Python files", _files, [], schema={"type": "array", "items": {"type": "string"}, "default": []},
    ),
    "defaults": Key("Axis values for every block that does not name the axis."),
    "blocks": Key("The grid: a list of blocks, each a cross product over axes.", default=(), required=True),
}  # fmt: skip
BLOCK_KEYS = {
    "name": Key(
        "Name of the block: the figures and tables of the paper ask for blocks by name.",
        "at most 40 letters, digits, '-' and '_'", _matching(_BLOCK_NAME), "unnamed", True,
        {"type": "string", "minLength": 1},
    ),
    "question": Key("The question this block answers; shown in the paper.", LINE, _line, "", schema={"type": "string"}),
    "axes": Key("Axis values; a list makes an axis of the cross product.", default={}, required=True),
}  # fmt: skip


def check_config(raw: Mapping[str, Any], source: str = "config") -> Config:
    """Check a config wholly and expand its blocks; no torch, no files but those of `code`.

    Raises ConfigError with one line for every problem found.
    """
    if not isinstance(raw, Mapping):
        raise ConfigError(f"{source}: expected a mapping with the keys {', '.join(CONFIG_KEYS)}")
    wrong = [
        f"{source}: key '{key}' lets Snakemake run what stands in the file as Python; a config is data, so take it out"
        for key in RUNS_CODE
        if key in raw
    ]
    given = {key: value for key, value in raw.items() if key not in RUNS_CODE}
    values = _read_keys(given, CONFIG_KEYS, source, wrong)
    blocks: list[Block] = []
    try:
        components.use_code(values["code"] or [])
        components.penalties()  # also where a file of the package's cannot be read: once, not for every block
    except ConfigError as error:  # which penalties there are is not known before the files can be read
        wrong.append(f"code: {error}")
    else:
        blocks = _read_blocks(values["blocks"], values["defaults"], wrong)
    if wrong:
        listing = "\n".join(f"  - {problem}" for problem in dict.fromkeys(wrong))
        raise ConfigError(f"{source} cannot be run; nothing was trained.\n{listing}")
    title = values["title"] if "title" in raw else values["run"]
    how = {
        name: values[name]
        for name in ("run", "heading", "authors", "abstract", "device", "partial", "draft", "shards", "results")
    }
    return Config(**how, title=title, code=tuple(values["code"]), blocks=tuple(blocks), source=source)


# What is wrong is added to the list `wrong`, in words.


def _read_keys(raw: Mapping[Any, Any], keys: Mapping[str, Key], where: str, wrong: list[str]) -> dict[str, Any]:
    """The value of every key, None for one that is not allowed."""
    wrong += [f"{where}: unknown key '{k}'{nearest(k, keys)} (keys: {', '.join(keys)})" for k in raw if k not in keys]
    wrong += [f"{where}: key '{k}' is missing" for k, key in keys.items() if key.required and k not in raw]
    values = {}
    for k, key in keys.items():
        value = raw.get(k, key.default)
        values[k] = key.read(value)
        if values[k] is None and key.allowed:
            near = nearest(value, key.schema.get("enum", ()))
            place = f"{k}:" if keys is CONFIG_KEYS else f"{where}: {k}"
            wrong.append(f"{place} '{value}' is not allowed: {key.allowed}{near}")
    return values


def _read_blocks(given: Any, defaults: Any, wrong: list[str]) -> list[Block]:
    """The blocks of a config with its defaults."""
    defaults = {} if defaults is None else defaults
    if not isinstance(defaults, Mapping):
        wrong.append(f"defaults: '{defaults}' is not allowed: a mapping from axis to value")
        defaults = {}
    for name, value in defaults.items():
        if isinstance(value, list):
            wrong.append(f"defaults.{name}: a default is a single value; put lists into a block's axes")
    if not isinstance(given, list) or not given:
        if given != CONFIG_KEYS["blocks"].default:  # else the key is missing, which was said already
            wrong.append("blocks: expected a list with at least one block")
        return []
    axes = [block.get("axes") for block in given if isinstance(block, Mapping)]
    total = sum(_count({**defaults, **values}) for values in axes if isinstance(values, Mapping))
    if total > MOST_CELLS:
        wrong.append(f"blocks: the config asks for {total} cells; at most {MOST_CELLS} are allowed: shorten its lists")
        return []
    blocks: dict[str, Block] = {}
    for number, block in enumerate(given, start=1):
        if not isinstance(block, Mapping):
            wrong.append(f"blocks[{number}]: expected a mapping with the keys {', '.join(BLOCK_KEYS)}")
            continue
        name = str(block.get("name", f"blocks[{number}]"))
        where = f"block '{name}'"
        values = _read_keys(block, BLOCK_KEYS, where, wrong)
        if name in blocks:
            wrong.append(f"{where}: the name is used twice; each block needs its own")
        cells: list[Cell] = []
        if isinstance(values["axes"], Mapping):
            cells = _expand({**defaults, **values["axes"]}, where, wrong)
        else:
            wrong.append(f"{where}: axes: expected a mapping from axis to value or list of values")
        blocks[name] = Block(name, values["question"], tuple(cells))
    return list(blocks.values())


def _count(axes: Mapping[str, Any]) -> int:
    """The number of cells of a cross product, before it is made."""
    return math.prod(len(set(map(repr, values))) if isinstance(values, list) else 1 for values in axes.values())


def _expand(axes: Mapping[str, Any], where: str, wrong: list[str]) -> list[Cell]:
    """The cells of a block's cross product; none where its values exclude each other."""
    values: dict[str, list[Any]] = {}
    for name, given in axes.items():
        if (axis := AXES.get(name)) is None:
            wrong.append(f"{where}: unknown axis '{name}'{nearest(name, AXES)} (axes: {', '.join(AXES)})")
            continue
        options = given if isinstance(given, list) else [given]
        if not options:
            empty = f"the list is empty; give at least one value ({axis.allowed}), or leave the axis out"
            wrong.append(f"{where}: {name}: {empty}")
        canonical: dict[Any, None] = {}  # in order, each once
        for option in options:
            try:
                canonical[axis.canonical(option)] = None
            except ValueError as error:
                wrong.append(f"{where}: {name}: {error}")
        values[name] = list(canonical)
    cells: dict[str, Cell] = {}
    try:
        for combination in itertools.product(*values.values()):
            cell = Cell(**dict(zip(values, combination, strict=True)))
            if cell.steps > MOST_STEPS or bytes_needed(cell) > MOST_BYTES:
                raise ConfigError(
                    f"dimension {cell.dimension}, samples {cell.samples}, steps {cell.steps}: no machine trains that: "
                    f"at most {MOST_STEPS} steps, and a terabyte of memory a cell"
                )
            cells[cell.key] = cell
    except ConfigError as error:
        wrong.append(f"{where}: {error}")
        return []
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
    """The JSON Schema of a config, for editors: made from AXES, CONFIG_KEYS and BLOCK_KEYS."""
    one = {name: _axis_schema(axis) for name, axis in AXES.items()}
    several = {name: {"anyOf": [body, {"type": "array", "items": body, "minItems": 1}]} for name, body in one.items()}
    block = _mapping_schema(BLOCK_KEYS, axes=_axes_schema(several))
    blocks = {"type": "array", "minItems": 1, "items": block}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Config of an orthogrid run",
        "description": "Made by `python -m orthogrid schema`; edit AXES in cells/cell.py, CONFIG_KEYS or BLOCK_KEYS in cells/config.py.",
        **_mapping_schema(CONFIG_KEYS, defaults=_axes_schema(one), blocks=blocks),
    }


def _mapping_schema(keys: Mapping[str, Key], **inner: Mapping[str, Any]) -> dict[str, Any]:
    properties = {k: {**inner.get(k, key.schema), "description": key.description} for k, key in keys.items()}
    required = [k for k, key in keys.items() if key.required]
    return {"type": "object", "additionalProperties": False, "required": required, "properties": properties}


def _axes_schema(bodies: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    about = {name: {"default": axis.default, "description": axis.description} for name, axis in AXES.items()}
    properties = {name: {**body, **about[name]} for name, body in bodies.items()}
    return {"type": "object", "additionalProperties": False, "properties": properties}


def _axis_schema(axis: Axis) -> dict[str, Any]:
    if axis.registry:
        return {"type": "string", "pattern": r"^\s*[A-Za-z_][A-Za-z0-9_]*\s*(\(.*\))?\s*$"}
    if axis.choices:
        return {"enum": list(axis.choices)}
    if axis.kind is bool:
        return {"type": "boolean"}
    least = {"exclusiveMinimum" if axis.exclusive else "minimum": axis.minimum}
    number = {"type": "integer" if axis.kind is int else "number", **least}
    # YAML hands 1e3 over as text.
    return {"anyOf": [number, {"type": "string", "pattern": r"^\s*\+?[0-9.]+([eE][+-]?[0-9]+)?\s*$"}]}
