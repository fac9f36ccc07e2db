"""What `@register` does when it runs: hold a definition against the catalog, or enter it there if it comes from a notebook."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from typing import Any

from .catalog import enter
from .entries import TRAITS, ConfigError, Entry, is_number


def registered(kind: str, definition: Any, traits: dict[str, Any]) -> Entry:
    """The entry of a function or class that `@register` was just put on: as its file tells it, or, from a notebook, as it is."""
    function = definition.__init__ if inspect.isclass(definition) else definition
    code = getattr(function, "__code__", None)
    options = {p.name: p.default for p in inspect.signature(function).parameters.values() if p.kind is p.KEYWORD_ONLY}
    module = sys.modules.get(definition.__module__)
    file = getattr(module, "__file__", None) or (code.co_filename if code else "")
    summary = (inspect.getdoc(definition) or "").split("\n")[0]
    entry = Entry(definition.__name__, kind, options, summary, traits, file, code.co_firstlineno if code else 0)
    for name, value in traits.items():
        if name not in TRAITS[kind] or not TRAITS[kind][name].takes(value):
            raise ConfigError(
                f"{file}, line {entry.line}: {kind} '{entry.name}': {name}={value!r} is no trait; @register takes: {', '.join(TRAITS[kind])}"
            )
    for name, value in options.items():
        if not is_number(value):
            raise ConfigError(
                f"{file}, line {entry.line}: {kind} '{entry.name}': option '{name}' must have a number as its default, such as 0.25"
            )
    try:
        text = inspect.getsource(definition)
    except (OSError, TypeError):  # typed at a prompt: what it was compiled to tells one version from another
        text = "\n".join(_compiled(definition))
    return enter(entry, text)


def _compiled(definition: Any) -> Iterator[str]:
    """Instructions, names and constants of a function or of a class's own ones. Not the same for every Python."""
    if inspect.isclass(definition):
        for name, member in vars(definition).items():
            if inspect.isfunction(member):
                yield f"def {name}"
                yield from _compiled(member)
        return
    code = definition if inspect.iscode(definition) else getattr(definition, "__code__", None)
    if code is not None:
        yield f"{code.co_code.hex()} {code.co_names}"
        for constant in code.co_consts:
            yield from _compiled(constant) if inspect.iscode(constant) else [ascii(constant)]
