"""A config file as data: text that is read, never run. What YAML would take silently or at great length is refused. No torch."""

from __future__ import annotations

from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from .cell import nearest
from .components import ConfigError

MOST_BYTES = 1_000_000  # the published config has 8 000
MOST_NODES = 1_000_000  # values, each alias counted as often as it stands for them
DEEPEST = 40  # levels; a config has five


class _Loader(yaml.SafeLoader):
    """Refuses a key that is written twice, of which YAML takes the last without a word."""


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict:
    written: set[Any] = set()  # in this place: what a merge (<<) brings along may be written anew
    for key_node, _ in node.value:
        if key_node.tag == "tag:yaml.org,2002:merge":
            continue
        key = loader.construct_object(key_node, deep=True)
        if not isinstance(key, Hashable):
            raise yaml.constructor.ConstructorError(None, None, "a key is a word", key_node.start_mark)
        if key in written:
            raise yaml.constructor.ConstructorError(
                None, None, f"the key '{key}' is written twice in one place; keep one", key_node.start_mark
            )
        written.add(key)
    loader.flatten_mapping(node)
    return {loader.construct_object(k, deep=True): loader.construct_object(v, deep=True) for k, v in node.value}


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)


def read_yaml(path: str | Path) -> Any:
    """The one document of a YAML file. Raises ConfigError that names the file, the place and what is allowed."""
    path = Path(path)
    if path.is_dir():
        there = ", ".join(sorted(p.name for p in path.glob("*.yaml"))) or "no YAML file"
        raise ConfigError(f"{path} is a folder, not a config; in it: {there}")
    if not path.exists():
        known = sorted(p.name for p in path.parent.glob("*.yaml")) if path.parent.exists() else []
        raise ConfigError(f"{path}: no such file{nearest(path.name, known)} (there: {', '.join(known) or 'none'})")
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from None
    if len(data) > MOST_BYTES:
        raise ConfigError(f"{path} has {len(data)} bytes; a config has at most {MOST_BYTES}")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise ConfigError(
            f"{path}, line {line}: byte {data[error.start]:#04x} is no UTF-8; save it as UTF-8 text"
        ) from None
    try:
        _measure(yaml.compose(text, Loader=_Loader), path)
        return yaml.load(text, Loader=_Loader)
    except ConfigError:
        raise
    except yaml.YAMLError as error:
        told = str(error).replace('in "<unicode string>", ', "in ")
        raise ConfigError(f"{path} is no valid YAML: {told}") from None
    except RecursionError:
        raise ConfigError(f"{path} is nested too deeply; a config has at most {DEEPEST} levels") from None
    except ValueError as error:  # a date that does not exist, a number of thousands of digits
        raise ConfigError(f"{path} has a value that cannot be read: {error}; write words in quotes") from None


def _measure(root: yaml.Node | None, path: Path) -> None:
    """Refuse what would become too large or deep once aliases stand for what they name, or refers to itself."""
    sizes: dict[int, int] = {}

    def size(node: yaml.Node, above: tuple[int, ...]) -> int:
        if id(node) in above:
            raise ConfigError(
                f"{path}, line {node.start_mark.line + 1}: an alias refers to what it stands in; write it out"
            )
        if len(above) > DEEPEST:
            raise ConfigError(f"{path}, line {node.start_mark.line + 1}: more than {DEEPEST} levels; a config has five")
        if id(node) not in sizes:
            inner: list[yaml.Node] = []
            if isinstance(node, yaml.SequenceNode):
                inner = node.value
            elif isinstance(node, yaml.MappingNode):
                inner = [each for pair in node.value for each in pair]
            sizes[id(node)] = 1 + sum(size(each, (*above, id(node))) for each in inner)
        if sizes[id(node)] > MOST_NODES:
            raise ConfigError(f"{path}: its aliases stand for more than {MOST_NODES} values; write out what you need")
        return sizes[id(node)]

    if root is not None:
        size(root, ())
