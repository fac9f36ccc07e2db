"""Which penalties, methods and models there are, and the digest of the code that makes a row.

A row's code digest is that of the trainer's file, the penalty's, the method's, the model's, and all that these import from the engine. So an
edit of `penalties/huber.py` makes the rows of `huber` stale and no others.
"""

from __future__ import annotations

import ast
import inspect
import marshal
import sys
import textwrap
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

from .reading import KINDS, cause, components_of
from .sources import PACKAGE, Text, digest, digests, dotted, parsed, written
from .traits import TRAITS, UNHEARD, ConfigError, Entry, is_number

FOLDERS = {kind: PACKAGE / folder for kind, folder in KINDS.items()}
TRAINER = PACKAGE / "training" / "train.py"

_user_files: dict[Path, bytes] = {}  # with the text that was read
_run_time: dict[tuple[str, str], tuple[Entry, Text]] = {}  # what a notebook registered, and its text


def penalties() -> dict[str, Entry]:
    """Every penalty by name: the package's in their order, then those of a user."""
    return _entries("penalty")


def methods() -> dict[str, Entry]:
    """Every method by name, in the same order."""
    return _entries("method")


def models() -> dict[str, Entry]:
    """Every model by name, in the same order."""
    return _entries("model")


def having(kind: str, **traits: Any) -> tuple[str, ...]:
    """The names of the penalties, methods or models with these traits: `having("method", keeps="on")`."""
    entries = _entries(kind).values()
    return tuple(e.name for e in entries if all(getattr(e, name) == value for name, value in traits.items()))


def component_files(kind: str) -> list[Path]:
    """The package's files of penalties, methods or models: those that its `ORDER` names first, then the others by name."""
    order: list[str] = next(
        ast.literal_eval(stmt.value)
        for stmt in parsed(FOLDERS[kind] / "__init__.py").body
        if isinstance(stmt, ast.Assign) and dotted(stmt.targets[0]) == "ORDER"
    )
    files = sorted(path for path in FOLDERS[kind].glob("*.py") if path.stem != "__init__")
    return sorted(files, key=lambda path: order.index(path.stem) if path.stem in order else len(order))


def code_files(paths: str | Path | Iterable[str | Path]) -> list[Path]:
    """The files that a config's `code:` means: each that it names and, of a folder laid out like the package, its components."""
    named = [Path(path).expanduser() for path in ([paths] if isinstance(paths, str | Path) else paths)]
    files: list[Path] = []
    for path in named:
        files += [f for folder in (".", *KINDS.values()) for f in sorted(path.glob(f"{folder}/*.py"))] or [path]
    return list(dict.fromkeys(file.resolve() for file in files))


def use_code(paths: str | Path | Iterable[str | Path]) -> None:
    """Let the components of a user's Python files count like the package's. Files named before are read again if changed.

    Such a file may import from the package, and from files beside it. It is read, not run. Raises ConfigError, and then
    takes none of the files.
    """
    files = code_files(paths)
    for path in files:
        if not path.is_file():
            what = "is a folder without a Python file, also in penalties/, methods/ and models/; name a Python file"
            missing = "there is no such file; a path is looked up from where you call, not from the config"
            raise ConfigError(f"{path}: {what if path.is_dir() else missing}")
    texts = {path: path.read_bytes() for path in files}
    if _user_files.items() >= texts.items():
        return
    entries = _filed(tuple((_user_files | texts).items()))
    for key, entry in entries.items():
        known, _ = _run_time.get(key, (entry, []))
        if not _same_file(known, entry):
            raise _taken(entry, known)
        try:
            if Path(entry.file) in texts:
                digest([Path(entry.file)], rows=True)
        except (OSError, ValueError, SyntaxError) as error:  # a file beside the user's
            raise ConfigError(f"{entry.place} needs a file that is not readable: {cause(error)}; mend it") from None
    for key in entries:  # the file says more than what a notebook saw of it
        _run_time.pop(key, None)
    _user_files.update(texts)
    code_digest.cache_clear()


def forget_code() -> None:
    """Forget users' files and what notebooks registered. For tests."""
    _user_files.clear()
    _run_time.clear()
    _filed.cache_clear()
    code_digest.cache_clear()


def _entries(kind: str) -> dict[str, Entry]:
    entries = (*_filed(tuple(_user_files.items())).values(), *(entry for entry, _ in _run_time.values()))
    return {entry.name: entry for entry in entries if entry.kind == kind}


@cache
def _filed(user_files: tuple[tuple[Path, bytes], ...]) -> dict[tuple[str, str], Entry]:
    """The entries of the package's files, then those of a user's, which are given with their text."""
    found: dict[tuple[str, str], Entry] = {}
    ours = (path for kind in KINDS for path in component_files(kind))
    for path in (*ours, *(path for path, _ in user_files)):
        for entry in components_of(path):
            known = found.setdefault((entry.kind, entry.name), entry)
            if known is not entry:
                raise _taken(entry, known)
    return found


def _same_file(a: Entry, b: Entry) -> bool:
    return Path(a.file).resolve() == Path(b.file).resolve()


def _taken(entry: Entry, known: Entry) -> ConfigError:
    where = f"{known.file or 'an entry made at run time'}, line {known.line}"
    return ConfigError(f"{entry.place}: the name is taken by {where}; give one of the two another name")


# What `@register` does when it runs.


def registered(kind: str, definition: Any, traits: dict[str, Any]) -> Entry:
    """The entry of a function or class that `@register` was just put on: as its file tells it, or, from a notebook, as it is."""
    function = definition.__init__ if inspect.isclass(definition) else definition
    code = getattr(function, "__code__", None)
    module = sys.modules.get(definition.__module__)
    file = getattr(module, "__file__", None) or (code.co_filename if code else "")
    options = {p.name: p.default for p in inspect.signature(function).parameters.values() if p.kind is p.KEYWORD_ONLY}
    summary = (inspect.getdoc(definition) or "").split("\n")[0]
    entry = Entry(definition.__name__, kind, options, summary, traits, file, code.co_firstlineno if code else 0)
    if known := _filed(tuple(_user_files.items())).get((kind, entry.name)):
        if not _same_file(entry, known):
            raise _taken(entry, known)
        return known
    for name, value in traits.items():
        if name not in TRAITS[kind] or not TRAITS[kind][name].takes(value):
            raise ConfigError(
                f"{entry.place}: {name}={value!r} is no trait; @register takes: {', '.join(TRAITS[kind])}"
            )
    for name, value in options.items():
        if not is_number(value):
            raise ConfigError(f"{entry.place}: option '{name}' must have a number as its default, such as 0.25")
    counted = sorted((name, getattr(entry, name)) for name in TRAITS[kind] if name not in UNHEARD)
    # It may take anything of the package's components, whose files no notebook names.
    files = [file for each in KINDS for file in component_files(each)]
    _run_time[kind, entry.name] = (
        entry,
        [ascii((kind, entry.name, options, counted)), *_run_time_text(definition), *files],
    )
    code_digest.cache_clear()
    return entry


def _run_time_text(definition: Any) -> Text:
    """What tells one version from another: the tree of its source or, of what is typed at a prompt, what it was compiled to."""
    try:
        return list(written(ast.parse(textwrap.dedent(inspect.getsource(definition))), {}))
    except (OSError, TypeError, SyntaxError, ValueError):
        made = vars(definition).values() if inspect.isclass(definition) else [definition]
        return [marshal.dumps(each.__code__).hex() for each in made if hasattr(each, "__code__")]


# The digest of code.


@cache
def code_digest(penalty: str, method: str, model: str) -> str:
    """Twelve hex digits that change when code does that computes the rows of this penalty, method and model."""
    return digest(_roots(penalty, method, model), rows=True)


def code_parts(penalty: str, method: str, model: str) -> dict[str, str]:
    """The files behind a code digest, as `penalties/huber.py`, each with twelve hex digits of its own text."""
    return digests(_roots(penalty, method, model), rows=True)


def changes(old: dict[str, str] | None, new: dict[str, str], most: int = 3) -> str:
    """What differs between the parts of two digests, in words: `penalties/huber.py changed`."""
    if old is None:
        return "the code that made them is not on record"
    found = [
        *(f"{name} changed" for name in new if name in old and old[name] != new[name]),
        *(f"{name} is new" for name in new if name not in old),
        *(f"{name} is gone" for name in old if name not in new),
    ]
    rest = f" and {len(found) - most} more" if len(found) > most else ""
    return ", ".join(found[:most]) + rest or "the same code in another order"


def _roots(penalty: str, method: str, model: str) -> Text:
    roots: Text = [TRAINER]
    for kind, name in (("penalty", penalty), ("method", method), ("model", model)):
        entries = _entries(kind)
        if name not in entries:
            raise ConfigError(f"there is no {kind} '{name}' (there are: {', '.join(entries)})")
        roots += _run_time[kind, name][1] if (kind, name) in _run_time else [Path(entries[name].file)]
    return roots
