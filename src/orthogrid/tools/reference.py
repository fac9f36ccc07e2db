"""python -m orthogrid.tools.reference: print docs/config.md, which is made of what the code says of its keys, axes and components."""

from __future__ import annotations

from collections.abc import Mapping

from ..cells.cell import AXES, Axis
from ..cells.components import methods, models, penalties
from ..cells.config import BLOCK_KEYS, CONFIG_KEYS, Key

TITLE = """# The config

A config is YAML: a name, and blocks. A block is a question and a value, or a list of values, for every axis that is not as usual; it has \
a cell for each combination. `defaults` are usual values for all blocks.

*Made by `make schema`; what it says stands in the code.*
"""


def config_page() -> str:
    """The page in Markdown: every key of a config, every axis, every penalty, method and model."""
    tables: dict[str, tuple[str, Mapping[str, str]]] = {
        "Keys": ("key", _keys(CONFIG_KEYS)),
        "Keys of a block": ("key", _keys(BLOCK_KEYS)),
        "Axes": ("axis", {name: _axis(axis) for name, axis in AXES.items()}),
        "Penalties": ("penalty", {name: entry.summary for name, entry in penalties().items()}),
        "Methods": ("method", {name: entry.summary for name, entry in methods().items()}),
        "Models": ("model", {name: entry.summary for name, entry in models().items()}),
    }
    lines = [TITLE]
    for title, (head, rows) in tables.items():
        lines += [f"## {title}", "", f"| {head} | meaning |", "|---|---|"]
        lines += [f"| `{name}` | {text.replace('|', chr(92) + '|')} |" for name, text in rows.items()] + [""]
    return "\n".join(lines)


def _keys(keys: Mapping[str, Key]) -> dict[str, str]:
    return {name: key.description + " Required." * key.required for name, key in keys.items()}


def _axis(axis: Axis) -> str:
    allowed = "see below" if axis.registry else axis.allowed
    default = str(axis.default).lower() if axis.kind is bool else axis.default
    return f"{axis.description} Default `{default}`; {allowed}."


if __name__ == "__main__":
    print(config_page(), end="")
