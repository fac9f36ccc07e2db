"""The files of the package and of users that a module's code reaches through its imports, read as text and never executed."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]


def imported_files(module: Path, package: Path = PACKAGE) -> list[Path]:
    """A module's file and those it imports from the package, directly or through others, sorted.

    `from ..analysis.select import only` reaches analysis/select.py alone: that a package's __init__ runs as well changes nothing in
    what `only` does. A file outside the package also reaches the files beside it.
    """
    module = module.resolve()
    reached, waiting = set(), [module]
    while waiting:
        path = waiting.pop()
        if path not in reached:
            reached.add(path)
            waiting += _imports(path, path.stat().st_mtime_ns, package.resolve(), module.parent)
    return sorted(reached)


def files_digest(files: Iterable[Path]) -> str:
    """Changes with any byte of some files, or with their names."""
    parts = [part for path in files for part in (path.name.encode(), path.read_bytes())]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


@cache
def _imports(path: Path, changed: int, package: Path, beside: Path) -> list[Path]:
    """The files that one file names, of the package or of a user's folder; `changed` tells versions of it apart."""
    roots = [package.parent] if path.is_relative_to(package) else [beside, package.parent]  # a user's own come first
    found = []
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            for alias in node.names:
                found += _first(roots, alias.name.split("."), package, beside)
        elif isinstance(node, ast.ImportFrom):
            folders = [path.parents[node.level - 1]] if node.level else roots
            parts = node.module.split(".") if node.module else []
            for alias in node.names:  # a name is a module of its own, or something defined in the module before it
                names = [[*parts, alias.name], parts]
                found += next(filter(None, (_first(folders, name, package, beside) for name in names)), [])
    return found


def _first(folders: Iterable[Path], parts: list[str], package: Path, beside: Path) -> list[Path]:
    return next(filter(None, (list(_below(folder, parts, package, beside)) for folder in folders)), [])


def _below(folder: Path, parts: list[str], package: Path, beside: Path) -> Iterator[Path]:
    """The file of a dotted name, if the package or the user's folder has it."""
    place = folder.joinpath(*parts)
    for path in (place.with_suffix(".py"), place / "__init__.py"):
        if (path.is_relative_to(package) or (parts and path.is_relative_to(beside))) and path.exists():
            yield path
            return
