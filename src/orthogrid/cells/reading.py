"""A penalty, method or model as its file's text tells it.

It is a file: `penalties/<name>.py`, `methods/<name>.py`, `models/<name>.py`, or one of a user's, with a function (a penalty) or a
class (the others) under that folder's `@register(...)`. It is read and not run, so a plan of ten thousand cells needs no torch.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .sources import PACKAGE, Definition, decorated, dotted, origin, parsed
from .traits import TRAITS, ConfigError, Entry, is_number

TAKES = {"method": "batch", "model": "cells"}  # each at its making
KINDS = {"penalty": "penalties", "method": "methods", "model": "models"}  # and the folder of each


def components_of(path: Path) -> Iterator[Entry]:
    """The components of a file. Raises ConfigError for one that its text does not tell."""
    try:
        tree = parsed(path)
    except (OSError, SyntaxError, ValueError) as error:
        raise ConfigError(f"{cause(error, path)}; name a Python file that runs") from None
    for stmt, decorator, name in decorated(path):
        if origin(path, decorator) == (None, "register") and dotted(decorator) == "register":
            raise ConfigError(
                f"{path}, line {decorator.lineno}: 'register' is not imported; write from {PACKAGE.name}.penalties import "
                "register, or the one of methods or models"
            )
        if name != "register":
            continue
        if stmt not in tree.body:
            raise ConfigError(
                f"{path}, line {stmt.lineno}: '{stmt.name}' is registered inside another definition or block; "
                "move it to the top level of the file, where its name can be read"
            )
        yield _entry(path, stmt, decorator)


def _entry(path: Path, stmt: Definition, decorator: ast.expr) -> Entry:
    if not isinstance(decorator, ast.Call):
        raise ConfigError(f"{path}, line {decorator.lineno}: write @register() with its brackets above '{stmt.name}'")
    file, _ = origin(path, decorator)
    kind = next((kind for kind, folder in KINDS.items() if file and file.parent.name == folder), "method")
    if (kind == "penalty") != isinstance(stmt, ast.FunctionDef):
        wanted = "function" if kind == "penalty" else "class"
        raise ConfigError(
            f"{path}, line {stmt.lineno}: '{stmt.name}' is registered as a {kind}, which is a {wanted}; make it one, or import "
            "register from another folder"
        )
    traits = _traits(path, kind, decorator)
    where, function = _constructor(path, stmt) if isinstance(stmt, ast.ClassDef) else (path, stmt)
    options = {} if function is None else _options(where, kind, stmt.name, function)
    summary = (ast.get_docstring(stmt) or "").split("\n")[0]
    return Entry(stmt.name, kind, options, summary, traits, str(path), stmt.lineno)


def _traits(path: Path, kind: str, decorator: ast.Call) -> dict[str, Any]:
    known, traits = TRAITS[kind], {}
    if decorator.args:
        raise ConfigError(f"{path}, line {decorator.lineno}: @register takes traits by name only: {', '.join(known)}")
    for keyword in decorator.keywords:
        place, written = f"{path}, line {keyword.lineno}", ast.unparse(keyword.value)
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


def _options(path: Path, kind: str, name: str, function: ast.FunctionDef | ast.AsyncFunctionDef) -> dict[str, float]:
    """Keyword-only arguments and their defaults, once the positional ones are found right."""
    arguments = function.args
    wanted = 1 if kind == "penalty" else 2
    positional = arguments.posonlyargs + arguments.args
    if len(positional) != wanted or arguments.defaults or arguments.vararg or arguments.kwarg:
        must = (
            f"the function must take exactly one positional argument, then options: def {name}(s, *, delta=0.1)"
            if kind == "penalty"
            else f"its __init__ must take the {TAKES[kind]}, then options: def __init__(self, {TAKES[kind]}, *, strength=0.1)"
        )
        raise ConfigError(f"{path}, line {function.lineno}: {kind} '{name}' has ({ast.unparse(arguments)}); {must}")
    options: dict[str, float] = {}
    for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        value = None if default is None else _literal(default)
        if not is_number(value):
            has = "no default" if default is None else f"the default {ast.unparse(default)}"
            raise ConfigError(
                f"{path}, line {argument.lineno}: option '{argument.arg}' of {kind} '{name}' has {has}; it must have a number "
                "written out, such as 0.25, since it is read without running the file"
            )
        options[argument.arg] = float(value)
    return options


def _literal(node: ast.expr) -> Any:
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError):
        return None  # no trait or option may be None


def _constructor(path: Path, stmt: ast.ClassDef) -> tuple[Path, Any]:
    """The `__init__` of a class or of the nearest base whose text is here, with the file that holds it."""
    for inner in stmt.body:
        if isinstance(inner, ast.FunctionDef) and inner.name == "__init__":
            return path, inner
    for base in stmt.bases:
        file, name = origin(path, base)
        for other in parsed(file or path).body:
            if isinstance(other, ast.ClassDef) and other.name == name.rpartition(".")[2] and other is not stmt:
                found = _constructor(file or path, other)
                if found[1] is not None:
                    return found
    return path, None


def cause(error: Exception, path: Path | str = "") -> str:
    """Why a file cannot be read, in words."""
    if isinstance(error, SyntaxError):
        return f"{error.filename or path}, line {error.lineno}: no valid Python: {error.msg}"
    return f"{path}: {error}" if path else str(error)
