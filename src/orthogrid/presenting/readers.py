"""Who reads which block: a config held against the declarations of figures, tables, values and claims, a user's own among them.

A block that nobody reads gets a section of its own in the paper, and a figure without its blocks is left out. Either may be a
misspelt name, so `python -m orthogrid check` says both. Reading the text takes milliseconds; importing the figures takes seconds.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection
from functools import cache

from ..cells.config import Block, Config
from .declarations import Reader, own_readers, readers

__all__ = ["Reader", "block_figure_names", "complaints", "readers", "unfed", "unknown_blocks", "unread_blocks"]
WHOLE = "*"
MOST_TOLD = 6  # blocks that are missed, from which on they are counted
BLOCK_FIGURE = "block_"  # begins the name of the figure of a block that the package does not know


@cache
def known_blocks() -> frozenset[str]:
    """The names of the blocks that the package reads."""
    return frozenset(name for reader in readers() for name in reader.blocks)


def unknown_blocks(config: Config) -> list[Block]:
    """The blocks of a config that nothing in the package reads by name: the paper gives each a section of its own."""
    return [block for block in config.blocks if block.name not in known_blocks()]


def block_figure_names(config: Config) -> list[str]:
    """The names of the figures that show them."""
    return [BLOCK_FIGURE + block.name for block in unknown_blocks(config)]


def unread_blocks(config: Config) -> list[tuple[str, str | None, str]]:
    """The blocks of a config that no reader declares, each with the nearest name that one misses, and a sentence.

    What declares the whole run (the table of the grid, say) shows every block and does not count.
    """
    there, read = _names(config), _read(config)
    missed = [name for name in read if name not in there]
    unread = []
    for block in there:
        if block not in read:
            near = _nearest(block, missed)
            hint = f"; did you mean '{near}'?" if near else ""
            unread.append(
                (block, near, f"block '{block}' is new to the paper, which gives it a section of its own{hint}")
            )
    return unread


def unfed(config: Config) -> list[tuple[Reader, str, str | None, str]]:
    """Every reader and block that it declares and a config lacks, with the nearest block that nobody reads, and a sentence."""
    there, read = _names(config), _read(config)
    unread = [name for name in there if name not in read]
    hungry = []
    for reader in _readers(config):
        for block in reader.blocks:
            if block != WHOLE and block not in there:
                near = _nearest(block, unread)
                hint = f"; did you mean block '{near}'?" if near else ""
                hungry.append(
                    (reader, block, near, f"{reader} reads block '{block}', which this config does not have{hint}")
                )
    return hungry


def complaints(config: Config) -> list[str]:
    """Both for a reader in a hurry: a line for each unread block, and one for each block that is missed, where these are few."""
    lines = [message for _, _, message in unread_blocks(config)]
    missed: dict[str, list[str]] = {}
    for reader, block, _, _ in unfed(config):
        missed.setdefault(block, []).append(str(reader))
    if len(missed) > MOST_TOLD:
        there = len(known_blocks().intersection(_names(config)))
        lines.append(
            f"this config has {there} of the {len(known_blocks())} blocks that the paper reads; figures, claims and sentences of the others are left out"
        )
        return lines
    for block, hungry in missed.items():
        shown = ", ".join(hungry[:3]) + (f" and {len(hungry) - 3} more" if len(hungry) > 3 else "")
        lines.append(f"this config has no block '{block}', which {shown} read{'s' if len(hungry) == 1 else ''}")
    return lines


def _names(config: Config) -> list[str]:
    return [block.name for block in config.blocks]


def _readers(config: Config) -> tuple[Reader, ...]:
    """The package's and those of the config's own files."""
    return (*readers(), *own_readers(config.code))


def _read(config: Config) -> list[str]:
    """The names of all blocks that are declared, each once."""
    return list(dict.fromkeys(block for reader in _readers(config) for block in reader.blocks if block != WHOLE))


def _nearest(word: str, known: Collection[str]) -> str | None:
    return next(iter(difflib.get_close_matches(word, known, n=1, cutoff=0.6)), None)
