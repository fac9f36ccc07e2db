"""Files are read and written as UTF-8 whatever the locale: another would blame a config for a dash in its title."""

from __future__ import annotations

import ast

import pytest
from conftest import ROOT

FILES = sorted(path for folder in ("src", "workflow") for path in (ROOT / folder).rglob("*.py"))
OPEN, WHOLE = ("open", "fdopen"), ("read_text", "write_text")


def unspecified(source: str) -> list[int]:
    """Lines with a call that opens a text, or reads one of another program, in whatever encoding the locale has."""
    lines = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if ast.unparse(node.func) == "os.open":  # a descriptor, not a text
                continue
            given = {keyword.arg for keyword in node.keywords}
            modes = [n.value for n in (*node.args, *(k.value for k in node.keywords)) if isinstance(n, ast.Constant)]
            binary = any(isinstance(mode, str) and set(mode) <= set("rwaxb+") and "b" in mode for mode in modes)
            text = name in WHOLE or (name in OPEN and not binary) or "text" in given
            if text and "encoding" not in given:
                lines.append(node.lineno)
    return lines


def test_every_text_has_its_encoding():
    found = {str(path.relative_to(ROOT)): unspecified(path.read_text(encoding="utf-8")) for path in FILES}
    assert not {name: lines for name, lines in found.items() if lines}


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("open(p)", [1]),
        ("p.open('a')", [1]),
        ("p.read_text()", [1]),
        ("run(c, text=True)", [1]),
        ("p.open('rb')", []),
        ("os.open(p, os.O_RDWR)", []),
        ("p.read_text(encoding='utf-8')", []),
        ("run(c, encoding='utf-8')", []),
        ("p.write_text('b')", [1]),
    ],
)
def test_the_scanner_itself(source, found):
    assert unspecified(source) == found
