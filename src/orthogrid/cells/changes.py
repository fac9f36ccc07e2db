"""What changed in the code that trains a cell: the parts behind a code digest, kept beside the rows and compared. Imports no torch."""

from __future__ import annotations

import hashlib

# Private, and not asked for by a name of the catalog's own: what is entered there counts for the frozen ledger.
from .catalog import HOUSE, SOURCE, _filed, _trained
from .cell import Cell, spec_name
from .closure import EFFECTS, Digest
from .statements import Node

# How many changes are named.
MOST = 3


def code_parts(cell: Cell) -> dict[str, str]:
    """The parts of the code that trains a cell, as `penalties.py: l1`, each with eight hex digits of its own text."""
    digest = _trained(SOURCE, HOUSE).copy()
    for kind, name in (("penalty", spec_name(cell.penalty)), ("method", spec_name(cell.method))):
        if (node := _filed(SOURCE, HOUSE)[1].get((kind, name))) is not None:  # None: entered by a notebook
            digest.add(node)
    effects = [(module, EFFECTS) for module in digest.modules if module.effects]
    return {_label(digest, node): _own_text(digest, node) for node in (*digest._numbers, *effects)}


def _label(digest: Digest, node: Node) -> str:
    module, name = node
    path = module.path.relative_to(digest.source.root).as_posix() if module.inside else module.path.name
    return f"{path}: {name or 'statements that make no name'}"


def _own_text(digest: Digest, node: Node) -> str:
    pieces = (p if isinstance(p, bytes) else _label(digest, p).encode() for p in digest.source.text(node))
    return hashlib.sha256(b"\0".join(pieces)).hexdigest()[:8]


def changes(old: dict[str, str] | None, new: dict[str, str]) -> str:
    """What differs, in words: `penalties.py: l1 changed`."""
    if old is None:
        return "the code that made them is not on record"
    told = [
        *(f"{name} changed" for name in new if name in old and old[name] != new[name]),
        *(f"{name} is new" for name in new if name not in old),
        *(f"{name} is gone" for name in old if name not in new),
    ]
    rest = f" and {len(told) - MOST} more" if len(told) > MOST else ""
    return ", ".join(told[:MOST]) + rest or "the same code in another order"
