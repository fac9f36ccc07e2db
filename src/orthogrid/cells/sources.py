"""Source files as text: what they import, and a digest of what they do. Nothing is run.

A file counts by its syntax tree, written the same on every Python from 3.11 on. Comments, docstrings, annotations and layout
do not count. Where it imports from another file, that file's number stands, so names and places of files do not count either.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterable, Iterator
from functools import cache
from itertools import groupby
from pathlib import Path

from .traits import UNHEARD

PACKAGE = Path(__file__).resolve().parents[1]
# What a row's numbers depend on: these folders, the file that says which way a cell goes, and the one that reads samples.
COUNTED = ("numerics", "penalties", "methods", "models", "training", "cells/shape.py", "cells/inputs.py")
# Of what they import, these change no number: how a cell is written, how a component is read, how kernels are launched. Our own
# kernels change a GPU's by rounding, as the card does, and a CPU's not at all.
SILENT = ("cells/cell.py", "cells/components.py", "numerics/graphs.py", "numerics/kernels.py")
# Of a user's file these make no row: what draws, and what judges.
DRAWN = ("figure", "claim")
# Fields of a tree that do nothing, or that only some Pythons have.
UNSAID = {"ctx", "kind", "type_comment", "type_params", "returns", "annotation", "simple"}

Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
Text = list[str | Path]  # a tree in words, with other files where it imports from them


def digest(roots: Text, rows: bool = False) -> str:
    """Twelve hex digits of words, of files, and of all files that these import.

    With `rows` what can change no number of a row is left out.
    """
    files = closure(roots, rows)
    number = {path: f"file {i}" for i, path in enumerate(files)}
    texts = [roots, *(text_of(path, rows) for path in files)]
    words = [number[piece] if isinstance(piece, Path) else piece for text in texts for piece in text]
    return hashlib.sha256("\0".join(words).encode()).hexdigest()[:12]


def digests(roots: Text, rows: bool = False) -> dict[str, str]:
    """The digest of each of these files alone, by its label. Words come from a notebook and share one."""
    texts = {label(path): text_of(path, rows) for path in closure(roots, rows)}
    if any(isinstance(piece, str) for piece in roots):
        texts["a notebook"] = [piece for piece in roots if isinstance(piece, str)]
    return {name: digest([p if isinstance(p, str) else label(p) for p in text]) for name, text in texts.items()}


def closure(roots: Text, rows: bool = False) -> list[Path]:
    """Files, and those that they import, directly or through others, in the order in which they are met."""
    met = dict.fromkeys(piece for piece in roots if isinstance(piece, Path))
    waiting = list(met)
    for path in waiting:  # grows meanwhile
        new = dict.fromkeys(p for p in text_of(path, rows) if isinstance(p, Path) and p not in met)
        met |= new
        waiting += new
    return waiting


def makes_rows(path: Path) -> bool:
    """Whether a file counts for the numbers of a row: a user's, or one of the engine's that is not silent."""
    inside = label(path)
    return not path.is_relative_to(PACKAGE) or (
        inside not in SILENT and any(inside == each or inside.startswith(f"{each}/") for each in COUNTED)
    )


def label(path: Path) -> str:
    """What a file is called: `penalties/huber.py`, or a user's name of it."""
    return path.relative_to(PACKAGE).as_posix() if path.is_relative_to(PACKAGE) else path.name


def imported_files(*files: Path) -> list[Path]:
    """Some files, and those they import from the package or from beside them, directly or through others, sorted."""
    return sorted(closure([path.resolve() for path in files]))


def digest_of(*names: str) -> str:
    """Twelve hex digits that change when code does in some files of the package, `run/collect.py` say, or in what they import."""
    return digest([PACKAGE / name for name in names])


def files_digest(files: Iterable[Path]) -> str:
    """A digest that changes with any byte of some files, or with their names."""
    parts = [part for path in files for part in (path.name.encode(), path.read_bytes())]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def text_of(path: Path, rows: bool = False) -> Text:
    """A file's tree in words, with the files that it imports from; of `rows`, without files and traits that change no number."""
    return [p for p in _text(path, path.stat().st_mtime_ns, rows) if isinstance(p, str) or not rows or makes_rows(p)]


@cache
def _text(path: Path, changed: int, rows: bool) -> Text:
    tree = parsed(path)
    if not path.is_relative_to(PACKAGE):
        tree = ast.Module([stmt for stmt in tree.body if not _is_drawn(stmt)], [])
    words = written(tree, {id(alias): file for alias, file in _aliases(path)}, rows)
    # Words between two files are one piece: most of a plan's time was in lists of them.
    pieces = ((kind, list(same)) for kind, same in groupby(words, type))
    return [piece for kind, same in pieces for piece in (["\0".join(map(str, same))] if kind is str else same)]


def _is_drawn(stmt: ast.stmt) -> bool:
    decorators = stmt.decorator_list if isinstance(stmt, ast.FunctionDef) else []
    return any(dotted(decorator).rpartition(".")[2] in DRAWN for decorator in decorators)


def written(node: ast.AST, files: dict[int, Path | None], rows: bool = False) -> Iterator[str | Path]:
    """A syntax tree in words. `files` has, by the identity of an import's name, the file that it comes from."""
    if isinstance(node, ast.AnnAssign) and node.value is not None:
        node = ast.Assign([node.target], node.value)
    elif isinstance(node, ast.Call) and dotted(node).endswith("register"):
        heard = [keyword for keyword in node.keywords if not (rows and keyword.arg in UNHEARD)]
        node = ast.Call(node.func, node.args, heard)
    if isinstance(node, ast.alias):
        yield files.get(id(node)) or node.name
        yield f"as {node.asname or node.name}"
    elif isinstance(node, ast.JoinedStr):  # Pythons differ in where they cut the constant text
        text = ""
        for part in [*node.values, None]:
            if isinstance(part, ast.Constant):
                text += str(part.value)
            else:
                yield f"f{text!a}"
                text = ""
                yield from written(part, files, rows) if part else ()
    elif not _is_silent(node):
        yield f"({type(node).__name__}"
        found = any(files.get(id(alias)) for alias in getattr(node, "names", []))
        for name, value in ast.iter_fields(node):
            if name in UNSAID or value is None or value == [] or (found and name in ("module", "level")):
                continue
            yield f"{name}:"
            for child in value if isinstance(value, list) else [value]:
                yield from written(child, files, rows) if isinstance(child, ast.AST) else [ascii(child)]
        yield ")"


def _is_silent(node: ast.AST) -> bool:
    """What an import runs nothing of: docstrings, `pass`, what is for type checkers or for `python file.py` alone."""
    if isinstance(node, ast.If):
        return ast.unparse(node.test).replace('"', "'").endswith(("TYPE_CHECKING", "__name__ == '__main__'"))
    return isinstance(node, ast.Pass) or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))


def parsed(path: Path) -> ast.Module:
    """A file's syntax tree. Raises SyntaxError, ValueError or OSError where it is no Python."""
    return _read(path, path.stat().st_mtime_ns)[0]


def _aliases(path: Path) -> list[tuple[ast.alias, Path | None]]:
    """What a file imports, with the file each comes from if that is the package's or lies beside it."""
    return _read(path, path.stat().st_mtime_ns)[1]


@cache
def _read(path: Path, changed: int) -> tuple[ast.Module, list[tuple[ast.alias, Path | None]]]:
    tree = ast.parse(path.read_bytes(), str(path))
    return tree, list(_imports(path, tree))


def dotted(node: ast.AST) -> str:
    """`a.b.c` of a name, an attribute or a call of one; empty for another expression."""
    if isinstance(node, ast.Call):
        return dotted(node.func)
    if isinstance(node, ast.Attribute):
        before = dotted(node.value)
        return f"{before}.{node.attr}" if before else ""
    return node.id if isinstance(node, ast.Name) else ""


def origin(path: Path, node: ast.AST) -> tuple[Path | None, str]:
    """The file that a dotted name of another file comes from, through its imports, and its name there.

    (None, name) for a name of the file's own, of Python's or of another package's.
    """
    first, _, rest = dotted(node).partition(".")
    for alias, file in _aliases(path):
        if (alias.asname or alias.name.split(".")[0]) == first:
            return file, rest or alias.name
    return None, dotted(node)


def decorated(path: Path) -> Iterator[tuple[Definition, ast.expr, str]]:
    """A file's definitions with each of their decorators, and what this is called in the package; empty for one from elsewhere."""
    for node in ast.walk(parsed(path)):
        if isinstance(node, Definition):
            for decorator in node.decorator_list:
                file, name = origin(path, decorator)
                inside = file is not None and file.is_relative_to(PACKAGE)
                yield node, decorator, name.rpartition(".")[2] if inside else ""


def _imports(path: Path, tree: ast.Module) -> Iterator[tuple[ast.alias, Path | None]]:
    # A user's own come first.
    roots = [PACKAGE.parent] if path.is_relative_to(PACKAGE) else [path.parent, PACKAGE.parent]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias, _file(path, roots, [alias.name.split(".")])) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            folders = [path.parents[node.level - 1]] if node.level else roots
            parts = node.module.split(".") if node.module else []
            # A name is a module of its own, or something defined in the module before it.
            yield from ((alias, _file(path, folders, [[*parts, alias.name], parts])) for alias in node.names)


def _file(importer: Path, folders: list[Path], names: list[list[str]]) -> Path | None:
    """The file of the first of some dotted names that the package has, or the folder of a user's file."""
    homes = [PACKAGE, *([] if importer.is_relative_to(PACKAGE) else [importer.parent])]
    places = [folder.joinpath(*parts) for parts in names for folder in folders]
    files = [file for place in places for file in (place.with_name(f"{place.name}.py"), place / "__init__.py")]
    return next((f for f in files if any(f.is_relative_to(home) for home in homes) and f.is_file()), None)
