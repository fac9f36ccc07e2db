"""The files of the package that a module's code reaches through its imports, read as text and never executed."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).parent


def imported_files(module: Path, package: Path = PACKAGE) -> list[Path]:
    """A module's file and those it imports from the package, directly or through others, sorted.

    `from ..claims.select import only` reaches claims/select.py alone: that a package's __init__ runs as well changes nothing in
    what `only` does.
    """
    reached, waiting = set(), [module.resolve()]
    while waiting:
        path = waiting.pop()
        if path not in reached:
            reached.add(path)
            waiting += _imports(path, path.stat().st_mtime_ns, package.resolve())
    return sorted(reached)


def files_digest(files: Iterable[Path]) -> str:
    """Changes with any byte of some files, or with their names."""
    parts = [part for path in files for part in (path.name.encode(), path.read_bytes())]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


@cache
def _imports(path: Path, changed: int, package: Path) -> list[Path]:
    """The package's files that one file names; `changed` tells versions of it apart."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                found += _below(package.parent, alias.name.split("."), package)
        elif isinstance(node, ast.ImportFrom):
            folder = path.parents[node.level - 1] if node.level else package.parent
            parts = node.module.split(".") if node.module else []
            for alias in node.names:  # a name is a module of its own, or something defined in the module before it
                found += list(_below(folder, [*parts, alias.name], package)) or _below(folder, parts, package)
    return found


def _below(folder: Path, parts: list[str], package: Path) -> Iterator[Path]:
    """The file of a dotted name, if the package has it."""
    place = folder.joinpath(*parts)
    for path in (place.with_suffix(".py"), place / "__init__.py"):
        if path.is_relative_to(package) and path.exists():
            yield path
            return
