"""What figures, tables, values and claims declare, from their source and without importing it. Imports no torch.

A user's own files declare figures and claims, which are read from their text too. So a plan can ask for them by name. A name that
is taken, or a function that cannot be called, is told before anything runs.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from ..cells.components import ConfigError, Definition
from ..cells.sources import PACKAGE as SOURCE
from ..cells.sources import origin, parsed

# The decorators that declare what is read: (name, the folder where they are used, what of a function's name is not the reader's)
DECORATORS = (
    ("figure", "figures", "draw_"),
    ("table", "sections", "_table"),
    ("values", "sections", "_values"),
    ("claim", "sections", ""),
)
# decorator of a user's file: (where it is defined, how its function is written, what the name must look like)
OWN = {
    "figure": ("presenting/style.py", "def draw_{}(run)", re.compile(r"[A-Za-z][A-Za-z0-9_]*", re.ASCII)),
    "claim": ("presenting/ledger.py", "def {}(run, cells)", re.compile(r"[a-z0-9]+(-[a-z0-9]+)*", re.ASCII)),
}


@dataclass(frozen=True)
class Reader:
    """A figure, a table, a section's values or a claim, and the blocks that it declares."""

    kind: str
    name: str
    blocks: tuple[str, ...]
    text: str = ""  # the docstring of a user's function
    place: str = ""  # file and line of a user's function
    file: Path = SOURCE

    def __str__(self) -> str:
        return f"{self.kind} '{self.name}'"


@cache
def readers(package: Path = SOURCE) -> tuple[Reader, ...]:
    """All of the package, in the order of their source. Raises ValueError for a declaration that is no plain text."""
    return tuple(
        reader
        for decorator, folder, affix in DECORATORS
        for path in sorted((package / folder).glob("*.py"))
        for reader in _declared(path, decorator, affix)
    )


def own_readers(paths: Iterable[str | Path]) -> tuple[Reader, ...]:
    """The figures and claims of a user's files, in the order of their source.

    Raises ConfigError for a declaration that cannot be read, a function with other arguments, or a name that is taken.
    """
    found: dict[str, Reader] = {}
    for path in dict.fromkeys(Path(path).expanduser().resolve() for path in paths):
        for reader in _own(path):
            taken = found.get(str(reader)) or next((r for r in readers() if str(r) == str(reader)), None)
            if taken is not None:
                raise ConfigError(
                    f"{reader.place}: {reader} is taken by {taken.place or 'the package'}; give it another name"
                )
            found[str(reader)] = reader
    return tuple(found.values())


def own_figure_names(paths: Iterable[str | Path]) -> list[str]:
    """The names of a user's figures, which a plan asks for."""
    return [reader.name for reader in own_readers(paths) if reader.kind == "figure"]


def _declared(path: Path, decorator: str, affix: str) -> Iterator[Reader]:
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if not isinstance(node, ast.FunctionDef):
            continue
        for call in node.decorator_list:
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == decorator:
                try:
                    name, blocks = _told(call, decorator, node.name.replace(affix, ""))
                except _Untold:
                    raise ValueError(
                        f"{path}, line {call.lineno}: the blocks that {node.name} reads must stand there as text"
                    ) from None
                yield Reader(decorator, name, blocks, file=path)


class _Untold(ValueError):
    """A declaration that is no plain text."""


def _told(call: ast.Call, decorator: str, name: str) -> tuple[str, tuple[str, ...]]:
    """The reader's name and its blocks, as its decorator says them."""
    keywords = {keyword.arg: keyword.value for keyword in call.keywords}
    try:
        if decorator == "claim":  # its first argument is its id
            name = ast.literal_eval(call.args[0] if call.args else keywords["id"])
            return name, tuple(ast.literal_eval(keywords["blocks"]).split())
        blocks = keywords.get("blocks", call.args[0] if call.args else None)
        return name, tuple(ast.literal_eval(blocks).split()) if blocks else ()
    except (ValueError, KeyError, AttributeError, TypeError):
        raise _Untold from None


def _own(path: Path) -> Iterator[Reader]:
    for node in [n for n in ast.walk(parsed(path)) if isinstance(n, Definition)]:
        for decorator in node.decorator_list:
            kind = _decorator(path, decorator)
            if kind is None:
                continue
            place = f"{path}, line {node.lineno}"
            if node not in parsed(path).body:
                raise ConfigError(f"{place}: {kind} '{node.name}' must stand at the top level of the file")
            _, call, allowed = OWN[kind]
            try:
                if not isinstance(decorator, ast.Call):
                    raise _Untold
                name, blocks = _told(decorator, kind, node.name.removeprefix("draw_"))
            except _Untold:
                how = '@figure("law grid")' if kind == "figure" else '@claim("an-id", "…", ">", blocks="law grid")'
                raise ConfigError(
                    f"{place}: the blocks that {node.name} reads must stand in its decorator as text: {how}"
                ) from None
            if not (isinstance(name, str) and allowed.fullmatch(name)):
                raise ConfigError(f"{place}: {kind} '{name}': a name is of plain letters and digits: {allowed.pattern}")
            if not _takes(node, call.count(",") + 1):
                given = ast.unparse(node.args) if hasattr(node, "args") else "a class"
                raise ConfigError(
                    f"{place}: {kind} '{name}' has ({given}); it must be written {call.format(node.name.removeprefix('draw_'))}"
                )
            yield Reader(kind, name, blocks, " ".join((ast.get_docstring(node) or "").split()), place, path)


def _takes(node: ast.AST, wanted: int) -> bool:
    """Whether a definition is a function that can be called with so many positional arguments."""
    if not isinstance(node, ast.FunctionDef):
        return False
    given = len(node.args.posonlyargs + node.args.args)
    needed = given - len(node.args.defaults)
    return needed <= wanted <= (wanted if node.args.vararg else given) and None not in node.args.kw_defaults


def _decorator(path: Path, decorator: ast.expr) -> str | None:
    """Whether a decorator is the package's `figure` or `claim`, by whatever name."""
    file, name = origin(path, decorator)
    name = name.rpartition(".")[2]
    return name if file is not None and file.is_relative_to(SOURCE) and name in OWN else None
