"""A config file as data: text that is read, never run. Refuses what YAML would take silently or at great length. No torch."""

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
    """Refuses too many levels, and a key that is written twice, of which YAML takes the last without a word."""

    level = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        self.level += 1
        if self.level > DEEPEST:
            line = self.peek_event().start_mark.line + 1
            raise ConfigError(f"line {line}: nested too deeply; a config has at most {DEEPEST} levels")
        node = super().compose_node(parent, index)
        self.level -= 1
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        written: set[Any] = set()  # in this place: what a merge (<<) brings along may be written anew
        for key_node, _ in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":
                continue
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, Hashable) or key in written:
                twice = f"the key '{key}' is written twice in one place; keep one"
                words = twice if isinstance(key, Hashable) else "a key is a word"
                raise yaml.constructor.ConstructorError(None, None, words, key_node.start_mark)
            written.add(key)
        return super().construct_mapping(node, deep=deep)


def read_yaml(path: str | Path) -> Any:
    """The one document of a YAML file. Raises ConfigError that names the file, the place and what is allowed."""
    path = Path(path)
    if not path.is_file():
        folder = path if path.is_dir() else path.parent
        there = sorted(p.name for p in folder.glob("*.yaml"))
        if path.is_dir():
            raise ConfigError(f"{path} is a folder, not a config; in it: {', '.join(there) or 'no YAML file'}")
        raise ConfigError(f"{path}: no such file{nearest(path.name, there)} (there: {', '.join(there) or 'none'})")
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from None
    if len(data) > MOST_BYTES:
        raise ConfigError(f"{path} has {len(data)} bytes; a config has at most {MOST_BYTES}")
    try:
        loader = _Loader(data.decode("utf-8-sig"))
        root = loader.get_single_node()
        if root is None:
            return None
        _measure(root, {}, ())
        return loader.construct_document(root)
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        words = f", line {line}: byte {data[error.start]:#04x} is no UTF-8; save it as UTF-8 text"
    except ConfigError as error:
        words = f", {error}"
    except yaml.YAMLError as error:
        words = " is no valid YAML: " + str(error).replace('in "<unicode string>", ', "in ")
        words += "; indent by spaces, not by tabs" if "'\\t'" in words else ""
    except ValueError as error:  # a date that does not exist, a number of thousands of digits
        words = f" has a value that cannot be read: {error}; write words in quotes"
    raise ConfigError(f"{path}{words}")


def _measure(node: yaml.Node, sizes: dict[int, int], above: tuple[int, ...]) -> int:
    """The number of values of a node, once each alias stands for what it names.

    Raises ConfigError for what becomes too large, or refers to itself.
    """
    line = node.start_mark.line + 1
    if id(node) in above:
        raise ConfigError(f"line {line}: an alias refers to what it stands in; write it out")
    if id(node) not in sizes:
        inner = node.value if isinstance(node, yaml.CollectionNode) else []
        parts = [part for each in inner for part in (each if isinstance(each, tuple) else (each,))]
        sizes[id(node)] = 1 + sum(_measure(part, sizes, (*above, id(node))) for part in parts)
    if sizes[id(node)] > MOST_NODES:
        raise ConfigError(f"line {line}: its aliases stand for more than {MOST_NODES} values; write out what you need")
    return sizes[id(node)]
