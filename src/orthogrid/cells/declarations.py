"""What reads which block, as the source declares it; a config held against that. The text is parsed, nothing is imported.

A figure, a table, a section's values and a claim declare the blocks that they read in their decorators. So Snakemake's plan knows
the figures of a user's files before these run, and `check` finds a misspelt block: one that nobody reads gets a section of its own
in the paper, and a figure without its blocks is left out. Parsing takes milliseconds, importing the figures seconds.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from .cell import nearest
from .components import ConfigError, code_files
from .sources import PACKAGE, Definition, decorated, parsed

if TYPE_CHECKING:
    from .config import Block, Config

WHOLE = "*"  # declared by what reads the whole run, its config included
BLOCK_FIGURE = "block_"  # begins the name of the figure of a block that the package does not know
MOST_LISTED = 6  # missing blocks are listed up to this number, and counted above it
# decorator: how its function is written, what the name must look like, an example
KINDS = {
    "figure": ("def draw_{}(run)", r"[A-Za-z]\w*", '@figure("law grid")'),
    "table": ("def {}_table(run, verdicts)", r"[A-Za-z]\w*", '@table("law grid")'),
    "values": ("def {}_values(run)", r"[A-Za-z]\w*", '@values("law grid")'),
    "claim": ("def {}(run, cells)", r"[a-z0-9]+(-[a-z0-9]+)*", '@claim("an-id", "…", ">", blocks="law grid")'),
}
OWN = ("figure", "claim")  # what a user's file may declare


@dataclass(frozen=True)
class Reader:
    """A figure, a table, a section's values or a claim: the blocks that it declares, its docstring, and where it stands."""

    kind: str
    name: str
    blocks: tuple[str, ...]
    file: Path
    text: str = ""
    line: int = 0

    def __str__(self) -> str:
        return f"{self.kind} '{self.name}'"


@cache
def readers(folder: Path = PACKAGE / "sections") -> tuple[Reader, ...]:
    """All of the package, by kind and file."""
    found = [reader for path in sorted(folder.glob("*.py")) for reader in _declared_in(path, KINDS)]
    return tuple(sorted(found, key=lambda reader: list(KINDS).index(reader.kind)))


def own_readers(paths: Iterable[str | Path]) -> tuple[Reader, ...]:
    """The figures and claims of a user's files, in the order of their source.

    Raises ConfigError for a declaration that cannot be read, a function with other arguments, or a name that is taken.
    """
    found: dict[str, Reader] = {}
    for path in code_files(paths):
        for reader in _declared_in(path, OWN):
            taken = found.get(str(reader)) or next((r for r in readers() if str(r) == str(reader)), None)
            if taken is not None:
                owner = f"{taken.file}, line {taken.line}" if str(reader) in found else "the package"
                raise ConfigError(f"{path}, line {reader.line}: {reader} is taken by {owner}; give it another name")
            found[str(reader)] = reader
    return tuple(found.values())


def _declared_in(path: Path, kinds: Iterable[str]) -> Iterator[Reader]:
    """What a file declares under decorators of the package, by whatever name. Raises ConfigError for what its text does not tell."""
    top = parsed(path).body
    for node, decorator, kind in decorated(path):
        if kind not in kinds:
            continue
        place, (written, allowed, example) = f"{path}, line {node.lineno}", KINDS[kind]
        before, after = written.removeprefix("def ").partition("(")[0].split("{}")
        stem = node.name.removeprefix(before).removesuffix(after)
        if node not in top:
            raise ConfigError(f"{place}: {kind} '{node.name}' must stand at the top level of the file")
        try:
            name, blocks = _declared(decorator, kind, stem)
        except (ValueError, KeyError, AttributeError, TypeError):
            raise ConfigError(
                f"{place}: the blocks that {node.name} reads must stand in its decorator as text: {example}"
            ) from None
        if not re.fullmatch(allowed, str(name), re.ASCII):
            raise ConfigError(f"{place}: {kind} '{name}': a name is of plain letters and digits: {allowed}")
        if not _takes(node, written.count(",") + 1):
            given = "a class" if isinstance(node, ast.ClassDef) else ast.unparse(node.args)
            raise ConfigError(f"{place}: {kind} '{name}' has ({given}); it must be written {written.format(stem)}")
        yield Reader(kind, name, blocks, path, ast.get_docstring(node) or "", node.lineno)


def _declared(decorator: ast.expr, kind: str, stem: str) -> tuple[str, tuple[str, ...]]:
    """The reader's name and its blocks, as its decorator states them. Raises one of several errors where that is no plain text."""
    if not isinstance(decorator, ast.Call):
        raise ValueError("without blocks")
    given = {keyword.arg: keyword.value for keyword in decorator.keywords}
    if kind == "claim":
        name = ast.literal_eval(decorator.args[0] if decorator.args else given["id"])
        return name, tuple(ast.literal_eval(given["blocks"]).split())
    blocks = given.get("blocks", decorator.args[0] if decorator.args else ast.Constant(""))
    return stem, tuple(ast.literal_eval(blocks).split())


def _takes(node: Definition, wanted: int) -> bool:
    """Whether a definition is a function that can be called with so many positional arguments."""
    if not isinstance(node, ast.FunctionDef):
        return False
    given = len(node.args.posonlyargs + node.args.args)
    needed = given - len(node.args.defaults)
    return needed <= wanted <= (wanted if node.args.vararg else given) and None not in node.args.kw_defaults


# A config held against what is declared.


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


def figure_names(config: Config, asked: Iterable[str]) -> list[str]:
    """The figures of a run: those asked for that read a block of it, or none; those of blocks that the paper does not know; a user's."""
    there, known = {WHOLE, *(block.name for block in config.blocks)}, figures(config)
    shown = [name for name in asked if not known[name].blocks or there.intersection(known[name].blocks)]
    own = [reader.name for reader in own_readers(config.code) if reader.kind == "figure"]
    return [*shown, *block_figure_names(config), *own]


def figures(config: Config) -> dict[str, Reader]:
    """By name, the figures of the package and of the config's own files."""
    return {reader.name: reader for reader in _readers(config) if reader.kind == "figure"}


def missing_blocks(config: Config) -> dict[str, list[str]]:
    """By block that is declared and that a config lacks, who reads it."""
    there, missing = {block.name for block in config.blocks}, dict[str, list[str]]()
    for reader in _readers(config):
        for block in reader.blocks:
            if block != WHOLE and block not in there:
                missing.setdefault(block, []).append(str(reader))
    return missing


def complaints(config: Config) -> list[str]:
    """A line for each block that nobody declares, and one for each that is declared and missing, where these are few.

    What declares the whole run shows every block and does not count.
    """
    there, missing = [block.name for block in config.blocks], missing_blocks(config)
    read = {block for reader in _readers(config) for block in reader.blocks}
    lines = []
    for block in there:
        if block not in read:
            hint = nearest(block, missing, 0.6)
            lines.append(f"block '{block}' is new to the paper, which gives it a section of its own{hint}")
    if len(missing) > MOST_LISTED:
        lines.append(
            f"this config has {len(known_blocks().intersection(there))} of the {len(known_blocks())} blocks that the paper reads; "
            "what it shows and claims of the others is left out"
        )
        taken = ", ".join(f"'{block}'" for block in there if block in known_blocks())
        lines += [
            f"the paper's figures and claims read {taken}; give a block that asks something else another name"
        ] * bool(taken)
        own = set(map(str, own_readers(config.code)))
        missing = {block: names for block, names in missing.items() if own.intersection(names)}
    for block, names in missing.items():
        shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
        hint = "" if block in known_blocks() else nearest(block, there, 0.6)
        lines.append(f"this config has no block '{block}', which {shown} read{'s' if len(names) == 1 else ''}{hint}")
    return lines


def _readers(config: Config) -> tuple[Reader, ...]:
    return (*readers(), *own_readers(config.code))
