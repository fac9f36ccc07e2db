"""Who reads which block: the declarations of figures, tables, numbers and claims, from their source and without importing it.

A block that nobody reads is in no figure, and a figure whose block a config lacks is empty. Either may be a misspelt name, so
`python -m orthogrid check` says both. Reading the text takes milliseconds; importing the figures takes seconds.
"""

from __future__ import annotations

import ast
import difflib
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from .config import Config

WHOLE = "*"
# folder: (what its readers are called, the decorator that declares, what of a function's name is not the reader's)
FOLDERS = {
    "figures": ("figure", "figure", "draw_"),
    "tables": ("table", "reads", ""),
    "numbers": ("numbers", "reads", "_numbers"),
    "claims": ("claim", "claim", ""),
}


@dataclass(frozen=True)
class Reader:
    """A figure, a table, a section of numbers or a claim, and the blocks that it declares."""

    kind: str
    name: str
    blocks: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.kind} '{self.name}'"


@cache
def readers(package: Path = Path(__file__).parent) -> tuple[Reader, ...]:
    """All of them, in the order of their source. Raises ValueError for a declaration that is no plain text."""
    return tuple(
        reader
        for folder in FOLDERS
        for path in sorted((package / folder).glob("*.py"))
        for reader in _declared(path, folder)
    )


def _declared(path: Path, folder: str) -> Iterator[Reader]:
    kind, decorator, affix = FOLDERS[folder]
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        for call in node.decorator_list if isinstance(node, ast.FunctionDef) else ():
            if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == decorator):
                continue
            keywords = {keyword.arg: keyword.value for keyword in call.keywords}
            name, blocks = node.name.replace(affix, ""), keywords.get("blocks", call.args[0] if call.args else None)
            try:
                if decorator == "claim":  # its first argument is its id
                    name, blocks = ast.literal_eval(call.args[0]), keywords["blocks"]
                yield Reader(kind, name, tuple(ast.literal_eval(blocks).split()) if blocks else ())
            except (ValueError, KeyError, IndexError, AttributeError):
                raise ValueError(
                    f"{path}, line {call.lineno}: the blocks that {node.name} reads must stand there as text"
                ) from None


def unread_blocks(config: Config) -> list[tuple[str, str | None, str]]:
    """The blocks of a config that no reader declares, each with the nearest name that one misses, and a sentence.

    What declares the whole run (the table of the grid, say) shows every block and does not count.
    """
    there, read = _names(config), _read()
    missed = [name for name in read if name not in there]
    unread = []
    for block in there:
        if block not in read:
            near = _nearest(block, missed)
            hint = f"; did you mean '{near}'?" if near else ""
            unread.append(
                (block, near, f"block '{block}' is trained, but no figure, table, number or claim reads it{hint}")
            )
    return unread


def unfed(config: Config) -> list[tuple[Reader, str, str | None, str]]:
    """Every reader and block that it declares and a config lacks, with the nearest block that nobody reads, and a sentence."""
    there, read = _names(config), _read()
    unread = [name for name in there if name not in read]
    hungry = []
    for reader in readers():
        for block in reader.blocks:
            if block != WHOLE and block not in there:
                near = _nearest(block, unread)
                hint = f"; did you mean block '{near}'?" if near else ""
                hungry.append(
                    (reader, block, near, f"{reader} reads block '{block}', which this config does not have{hint}")
                )
    return hungry


def complaints(config: Config) -> list[str]:
    """Both for a reader in a hurry: a line for each unread block, and one for each block that is missed."""
    lines = [message for _, _, message in unread_blocks(config)]
    missed: dict[str, list[str]] = {}
    for reader, block, _, _ in unfed(config):
        missed.setdefault(block, []).append(str(reader))
    for block, hungry in missed.items():
        shown = ", ".join(hungry[:3]) + (f" and {len(hungry) - 3} more" if len(hungry) > 3 else "")
        lines.append(f"this config has no block '{block}', which {shown} read{'s' if len(hungry) == 1 else ''}")
    return lines


def _names(config: Config) -> list[str]:
    return [block.name for block in config.blocks]


def _read() -> list[str]:
    """The names of all blocks that are declared, each once."""
    return list(dict.fromkeys(block for reader in readers() for block in reader.blocks if block != WHOLE))


def _nearest(word: str, known: Collection[str]) -> str | None:
    return next(iter(difflib.get_close_matches(word, known, n=1, cutoff=0.6)), None)
