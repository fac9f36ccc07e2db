"""Penalties and methods as their source text tells them: names, options, traits, and the code digest of their rows.

Nothing is imported to find out, so a plan of ten thousand cells needs no torch. An entry is a function (a penalty) or a
class (a method) decorated with `@register(...)`, in the package or in a file that a user names with `use_code`.

A row's identity is its cell key plus a code digest: the trainer, the penalty, the method, and all that each of them reaches
(`closure`). So a helper of one penalty makes that penalty's rows stale and no others.
"""

from __future__ import annotations

import ast
import textwrap
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from .closure import Digest, Node, Source
from .entries import TRAITS, UNHEARD, ConfigError, Entry, is_number
from .statements import Definition, Module, chain

SOURCE = Path(__file__).parents[1]
PACKAGE = "orthogrid"


@dataclass(frozen=True)
class Layout:
    """Where things stand in the package. No name of a module enters a digest."""

    penalties: tuple[str, ...]
    methods: tuple[str, ...]
    trainer: tuple[tuple[str, str], ...]  # what every row is made by: (module, name), or (module, Class.member)
    left_out: tuple[str, ...] = ()  # modules that change how fast a row is made, never its numbers


# Of `Cell` only what the trainer asks of a cell counts: the description of an axis makes no row stale.
HOUSE = Layout(
    penalties=("penalties",),
    methods=("methods.optimizers", "methods.constraints", "methods.cures", "methods.libraries"),
    trainer=(
        ("training.train", "train_batch"),
        ("cells.cell", "Cell.problem"),
        ("cells.cell", "Cell.by_gram"),
        ("cells.cell", "spec_name"),
        ("cells.cell", "spec_options"),
    ),
    left_out=("numerics.graphs", "cells.registration"),
)


_user_files: dict[Path, bytes | None] = {}  # with what was read; a missing file has none
_run_time: dict[tuple[str, str], tuple[Entry, str]] = {}  # by kind and name: what a notebook registered, its text


def penalties(root: Path = SOURCE, layout: Layout = HOUSE) -> dict[str, Entry]:
    """Every penalty by name: the package's in the order of their source, then those of a user."""
    return _entries("penalty", root, layout)


def methods(root: Path = SOURCE, layout: Layout = HOUSE) -> dict[str, Entry]:
    """Every method by name, in the same order."""
    return _entries("method", root, layout)


def having(kind: str, **traits: Any) -> tuple[str, ...]:
    """The names of the penalties or methods with these traits: `having("method", keeps="on")`."""
    entries = _entries(kind, SOURCE, HOUSE).values()
    return tuple(e.name for e in entries if all(e.trait(name) == value for name, value in traits.items()))


def _entries(kind: str, root: Path, layout: Layout) -> dict[str, Entry]:
    return _filed(root, layout)[0][kind] | {e.name: e for e, _ in _run_time.values() if e.kind == kind}


def use_code(paths: str | Path | Iterable[str | Path], root: Path = SOURCE, layout: Layout = HOUSE) -> None:
    """Let the entries of a user's Python files count like the package's. Files named before are read again if changed.

    Such a file may import from the package, and from files beside it. It is read, not run. Raises ConfigError, and then
    takes none of the files.
    """
    named = [paths] if isinstance(paths, str | Path) else list(paths)
    resolved = list(dict.fromkeys(Path(path).expanduser().resolve() for path in named))
    texts = {path: path.read_bytes() if path.is_file() else None for path in resolved}
    if all(path in _user_files and _user_files[path] == text for path, text in texts.items()):
        return
    before, kept = dict(_user_files), dict(_run_time)
    _user_files.update(texts)
    _forget_what_was_read()
    try:
        entries, nodes = _filed(root, layout)
        for (kind, name), node in nodes.items():
            entry = entries[kind][name]
            known, _ = _run_time.get((kind, name), (entry, ""))
            if not _same_file(known, entry):
                raise _taken(entry, known)
            _run_time.pop((kind, name), None)  # the file says more than what a notebook saw of it
            if Path(entry.file) in resolved:
                _reach(Digest(_source(root, layout)), entry, node)
    except Exception:
        _user_files.clear()
        _user_files.update(before)
        _run_time.update(kept)
        _forget_what_was_read()
        raise


def enter(entry: Entry, source_text: str = "", root: Path = SOURCE, layout: Layout = HOUSE) -> Entry:
    """Take in what a notebook registers at run time, and return the entry that holds.

    What was read from the same file already stands. Names that the text uses are looked up in the package, not in the notebook.
    Without a text, only name, options and traits tell one version from another. To add a hook later, enter the entry again with
    both texts.
    """
    filed = _filed(root, layout)[0][entry.kind].get(entry.name)
    if filed is not None:
        if not _same_file(entry, filed):
            raise _taken(entry, filed)
        return filed
    _run_time[entry.kind, entry.name] = (entry, source_text)
    code_digest.cache_clear()
    return entry


def forget_code() -> None:
    """Forget users' files, what notebooks registered, and everything read. For tests."""
    _user_files.clear()
    _run_time.clear()
    _forget_what_was_read()


@cache
def code_digest(penalty: str, method: str, root: Path = SOURCE, layout: Layout = HOUSE) -> str:
    """Twelve hex digits that change when code does that computes the rows of this penalty and method."""
    digest = _trained(root, layout).copy()
    for kind, name in (("penalty", penalty), ("method", method)):
        entries = _entries(kind, root, layout)
        if name not in entries:
            raise ConfigError(f"there is no {kind} '{name}' (there are: {', '.join(entries)})")
        node = _filed(root, layout)[1].get((kind, name))
        if node is not None:
            _reach(digest, entries[name], node)
        else:
            entry, text = _run_time[kind, name]
            counted = sorted((n, entry.trait(n)) for n, trait in TRAITS[kind].items() if trait.counts)
            digest.add_text(ascii((kind, name, sorted(entry.options.items()), counted)))
            _add_run_time(digest, kind, name, text, layout)
    return digest.value()


def digest_of(*names: tuple[str, str], root: Path = SOURCE, layout: Layout = HOUSE) -> str:
    """Twelve hex digits that change when code does that some (module, name) of the package reach."""
    source = _source(root, layout)
    return Digest(source).add(*(source.node(module, name) for module, name in names)).value()


def _reach(digest: Digest, entry: Entry, node: Node) -> None:
    try:
        digest.add(node)
    except (OSError, ValueError, SyntaxError) as error:  # a file beside the user's
        raise ConfigError(f"{_place(entry)} needs a file that is not readable: {_cause(error)}; mend it") from None


def _add_run_time(digest: Digest, kind: str, name: str, text: str, layout: Layout) -> None:
    modules = layout.penalties if kind == "penalty" else layout.methods
    try:
        body = ast.parse(textwrap.dedent(text)).body
    except (SyntaxError, ValueError):  # a lambda's line, a cell's magic
        digest.add_text("\n".join(filter(None, map(str.strip, text.splitlines()))))
        return
    stars = [ast.ImportFrom(f"{PACKAGE}.{module}", [ast.alias("*")], 0) for module in modules]
    module = Module(Path(f"<{name}>"), False, [*stars, *body])
    digest.add(*((module, made) for made in module.makes), (module, ""))


@cache
def _trained(root: Path, layout: Layout) -> Digest:
    source = _source(root, layout)
    return Digest(source).add(*(source.node(module, name) for module, name in layout.trainer))


@cache
def _source(root: Path, layout: Layout) -> Source:
    return Source(root, PACKAGE, layout.left_out, UNHEARD)


@cache
def _filed(root: Path, layout: Layout) -> tuple[dict[str, dict[str, Entry]], dict[tuple[str, str], Node]]:
    """By kind: the entries of the package's files, then those of a user's. And where each of them is defined."""
    source = _source(root, layout)
    modules = [source.named(module) for module in (*layout.penalties, *layout.methods)]
    found, nodes = {"penalty": {}, "method": {}}, {}  # type: ignore[var-annotated]
    for module in dict.fromkeys((*modules, *(_user_module(source, path) for path in _user_files))):
        for stmt, decorator in _registered(source, module):
            entry = _entry(source, module, stmt, decorator)
            known = found[entry.kind].setdefault(entry.name, entry)
            if known is not entry:
                raise _taken(entry, known)
            nodes[entry.kind, entry.name] = (module, entry.name)
    return found, nodes


def _user_module(source: Source, path: Path) -> Module:
    try:
        return source.read(path)
    except FileNotFoundError:
        raise ConfigError(f"{path}: there is no such file; name a Python file that is there") from None
    except (OSError, SyntaxError, ValueError) as error:
        raise ConfigError(f"{_cause(error, path)}; name a Python file that runs") from None


def _cause(error: Exception, path: Path | str = "") -> str:
    if isinstance(error, SyntaxError):
        return f"{error.filename or path}, line {error.lineno}: no valid Python: {error.msg}"
    return f"{path}: {error}" if path else str(error)


def _registered(source: Source, module: Module) -> Iterator[tuple[Definition, ast.expr]]:
    """The entries of a file, each with its `@register`, which may stand bare or be called."""
    top = set(map(id, module.body))
    for stmt in [n for statement in module.body for n in ast.walk(statement) if isinstance(n, Definition)]:
        for decorator in stmt.decorator_list:
            called = chain(decorator.func if isinstance(decorator, ast.Call) else decorator)
            if called == ("register", ()) and not source.lookup(module, "register"):
                raise ConfigError(
                    f"{_at(module, decorator)}: 'register' is not imported; write from {PACKAGE}.penalties import register, "
                    "or the one of methods"
                )
            if source.registers(module, decorator):
                if id(stmt) not in top:
                    raise ConfigError(
                        f"{_at(module, stmt)}: '{stmt.name}' is registered inside another definition or block; "
                        "move it to the top level of the file, where its name can be read"
                    )
                yield stmt, decorator


def _entry(source: Source, module: Module, stmt: Definition, decorator: ast.expr) -> Entry:
    kind = "method" if isinstance(stmt, ast.ClassDef) else "penalty"
    where, function = module, stmt
    if kind == "method":
        where, function = source.constructor(module, stmt)  # type: ignore[arg-type,assignment]
    traits = _traits(module, kind, decorator) if isinstance(decorator, ast.Call) else {}
    options = {} if function is None else _options(where, kind, stmt.name, function)  # type: ignore[arg-type]
    summary = (ast.get_docstring(stmt) or "").split("\n")[0]
    return Entry(stmt.name, kind, options, summary, traits, str(module.path), stmt.lineno)


def _traits(module: Module, kind: str, decorator: ast.Call) -> dict[str, Any]:
    known, traits = TRAITS[kind], {}
    if decorator.args:
        raise ConfigError(f"{_at(module, decorator)}: @register takes traits by name only: {', '.join(known)}")
    for keyword in decorator.keywords:
        place, written = _at(module, keyword), ast.unparse(keyword.value)
        if keyword.arg not in known:
            given = f"'{keyword.arg}'" if keyword.arg else f"**{written}"
            raise ConfigError(f"{place}: {given} is no trait of a {kind}; @register takes: {', '.join(known)}")
        value = _literal(keyword.value)
        if not known[keyword.arg].takes(value):
            raise ConfigError(
                f"{place}: trait {keyword.arg}={written} must be written out, since it is read without running the file: "
                f"{known[keyword.arg].allowed}"
            )
        traits[keyword.arg] = value
    return traits


def _options(module: Module, kind: str, name: str, function: ast.FunctionDef) -> dict[str, float]:
    """Keyword-only arguments and their defaults, once the positional ones are found right."""
    arguments = function.args
    wanted = 1 if kind == "penalty" else 2
    if (
        len(arguments.posonlyargs + arguments.args) != wanted
        or arguments.defaults
        or arguments.vararg
        or arguments.kwarg
    ):
        must = (
            f"the function must take exactly one positional argument, then options: def {name}(s, *, delta=0.1)"
            if kind == "penalty"
            else "its __init__ must take the batch, then options: def __init__(self, batch, *, strength=0.1)"
        )
        raise ConfigError(f"{_at(module, function)}: {kind} '{name}' has ({ast.unparse(arguments)}); {must}")
    options: dict[str, float] = {}
    for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        value = None if default is None else _literal(default)
        if not is_number(value):
            has = "no default" if default is None else f"the default {ast.unparse(default)}"
            raise ConfigError(
                f"{_at(module, argument)}: option '{argument.arg}' of {kind} '{name}' has {has}; it must have a number "
                "written out, such as 0.25, since it is read without running the file"
            )
        options[argument.arg] = float(value)  # type: ignore[arg-type]
    return options


def _literal(node: ast.expr) -> Any:
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError):
        return None  # no trait or option may be None


def _at(module: Module, node: ast.AST) -> str:
    return f"{module.path}, line {node.lineno}"  # type: ignore[attr-defined]


def _place(entry: Entry) -> str:
    return f"{entry.file}, line {entry.line}: {entry.kind} '{entry.name}'"


def _same_file(a: Entry, b: Entry) -> bool:
    return a.file == b.file or (bool(a.file and b.file) and Path(a.file).resolve() == Path(b.file).resolve())


def _taken(entry: Entry, known: Entry) -> ConfigError:
    return ConfigError(
        f"{_place(entry)}: the name is taken by {known.file or 'an entry made at run time'}, line {known.line}; "
        "give one of the two another name"
    )


def _forget_what_was_read() -> None:
    for remembered in (code_digest, _trained, _source, _filed):
        remembered.cache_clear()
