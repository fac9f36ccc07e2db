"""What the LaTeX sources ask for: values, claims, figures, tables. They are the list; nobody keeps another. Imports no torch."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

COMMENT = re.compile(r"(?<!\\)%.*")
# kind: the macro that asks, with the names in its group
MACROS = {
    "values": re.compile(r"\\val\{([^{}]+)\}"),
    "claims": re.compile(r"\\says(?:\[[^\]]*\])?\{([^{}]+)\}"),
    "figures": re.compile(r"\\blockfigure(?:\[[^\]]*\])?\{([^{}]+)\}"),
    "tables": re.compile(r"\\block(?:long)?table(?:\[[^\]]*\])?\{([^{}]+)\}"),
    "blocks": re.compile(r"\\ifblocks\{([^{}]+)\}"),
}
PLAIN = re.compile(r"[A-Za-z0-9_-]+")  # a macro's own definition asks for #1


@dataclass(frozen=True)
class Asked:
    """Name → the files that ask for it, by their path within the sources; in the order of reading."""

    values: dict[str, list[str]] = field(default_factory=dict)
    claims: dict[str, list[str]] = field(default_factory=dict)
    figures: dict[str, list[str]] = field(default_factory=dict)
    tables: dict[str, list[str]] = field(default_factory=dict)
    blocks: dict[str, list[str]] = field(default_factory=dict)


def asked(folder: str | Path) -> Asked:
    """What the .tex files below a folder ask for."""
    folder, found = Path(folder), Asked()
    for path in sorted(folder.rglob("*.tex")):
        source = COMMENT.sub("", path.read_text(encoding="utf-8"))
        for kind, macro in MACROS.items():
            for match in macro.finditer(source):
                for name in map(str.strip, match[1].split(",")):
                    places = getattr(found, kind).setdefault(name, []) if PLAIN.fullmatch(name) else []
                    place = path.relative_to(folder).as_posix()
                    if place not in places:
                        places.append(place)
    return found
