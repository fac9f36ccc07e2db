"""Shim, replaced by the name-closure catalog."""

from functools import cache

from .identity import METHOD_MODULES, Entry, registry
from .identity import code_digest as _digest

__all__ = ["Entry"]


class ConfigError(ValueError):
    """A config that cannot be run. Its text has one line for each problem: key, value, what is allowed, how to mend it."""


def penalties():
    return registry("penalties.py")


@cache
def methods():
    return {n: e for m in METHOD_MODULES for n, e in registry(m).items()}


def code_digest(p, m):
    return _digest(p, m)
