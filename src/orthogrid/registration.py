"""What `@register` does when it runs: hold a definition against the catalog, or enter it there if it comes from a notebook."""

from __future__ import annotations

import inspect
import sys
from typing import Any

from .catalog import TRAITS, ConfigError, Entry, enter


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
        if not isinstance(value, int | float):
            raise ConfigError(
                f"{file}, line {entry.line}: {kind} '{entry.name}': option '{name}' must have a number as its default, such as 0.25"
            )
    try:
        text = inspect.getsource(definition)
    except (OSError, TypeError):
        text = ""
    return enter(entry, text)
