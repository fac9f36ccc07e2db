"""python -m orthogrid.tools.reference FOLDER: write the pages of the documentation that are made of what the code says."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

from ..cells.cell import AXES, Axis
from ..cells.components import methods, penalties
from ..cells.config import BLOCK_KEYS, CONFIG_KEYS
from ..theory.outcomes import MEANING
from .columns import TABLES

MADE = "*Made by `make schema`; what it says stands in the code.*"


def config_page() -> str:
    """Every key of a config, every axis, every penalty and method."""
    return _page(
        "The config",
        "A config is YAML: a name, and blocks. A block is a question and a value, or a list of values, for every axis that is not as "
        "usual; it has a cell for each combination. `defaults` are usual values for all blocks.",
        ("Keys", _table("key", {k: _needed(v.description, v.required) for k, v in CONFIG_KEYS.items()})),
        ("Keys of a block", _table("key", {k: _needed(v.description, v.required) for k, v in BLOCK_KEYS.items()})),
        ("Axes", _table("axis", {name: _axis(axis) for name, axis in AXES.items()})),
        ("Penalties", _table("penalty", {name: entry.summary for name, entry in penalties().items()})),
        ("Methods", _table("method", {name: entry.summary for name, entry in methods().items()})),
    )


def columns_page() -> str:
    """Every column of every table."""
    return _page(
        "Columns",
        "What the tables of `results/<run>/` hold. Numbers are of float64 unless they are whole, and in the units of the data.",
        *((f"`{name}`", f"{text}\n\n{_table('column', columns)}") for name, (text, columns) in TABLES.items()),
    )


def outcomes_page() -> str:
    """Every word for where a run ended."""
    return _page(
        "Outcomes",
        "The column `outcome` of `cells.csv` says where a run ended, from its final weight and from what theory says of its problem.",
        ("Words", _table("outcome", MEANING)),
    )


PAGES = {"config": config_page, "columns": columns_page, "outcomes": outcomes_page}


def _axis(axis: Axis) -> str:
    allowed = "see below" if axis.registry else axis.allowed
    default = str(axis.default).lower() if axis.kind is bool else axis.default
    return f"{axis.description} Default `{default}`; {allowed}."


def _needed(text: str, needed: bool) -> str:
    return f"{text} Required." if needed else text


def _page(title: str, text: str, *sections: tuple[str, str]) -> str:
    parts = [f"# {title}", text, MADE]
    for name, body in sections:
        parts += [f"## {name}", body]
    return "\n\n".join(parts) + "\n"


def _table(head: str, rows: Mapping[str, str]) -> str:
    lines = [f"| {head} | meaning |", "|---|---|"]
    return "\n".join([*lines, *(f"| `{name}` | {text.replace('|', chr(92) + '|')} |" for name, text in rows.items())])


if __name__ == "__main__":
    for name, page in PAGES.items():
        Path(sys.argv[1], f"{name}.md").write_text(page(), encoding="utf-8")
