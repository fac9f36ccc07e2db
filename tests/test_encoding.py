"""Files are read and written as UTF-8 whatever the locale: another would blame a config for a dash in its title."""

from __future__ import annotations

import ast

from conftest import ROOT

FILES = sorted(path for folder in ("src", "workflow") for path in (ROOT / folder).rglob("*.py"))
OPEN, WHOLE = ("open", "fdopen"), ("read_text", "write_text")


def unspecified(source: str) -> list[int]:
    """Lines with a call that opens a text, or reads one of another program, in whatever encoding the locale has."""
    lines = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            given = {keyword.arg for keyword in node.keywords}
            modes = [n.value for n in (*node.args, *(k.value for k in node.keywords)) if isinstance(n, ast.Constant)]
            binary = any(isinstance(mode, str) and set(mode) <= set("rwaxb+") and "b" in mode for mode in modes)
            descriptor = ast.unparse(node.func) == "os.open"
            text = name in WHOLE or (name in OPEN and not binary and not descriptor) or "text" in given
            if text and "encoding" not in given:
                lines.append(node.lineno)
    return lines


def test_every_text_has_its_encoding():
    found = {path: unspecified(path.read_text(encoding="utf-8")) for path in FILES}
    assert not {path: lines for path, lines in found.items() if lines}


def test_the_scanner_itself():
    for source in ("open(p)", "p.open('a')", "p.read_text()", "run(c, text=True)", "p.write_text('b')"):
        assert unspecified(source) == [1]
    for source in ("p.open('rb')", "p.read_text(encoding='utf-8')", "run(c, encoding='utf-8')", "os.open(p, flags)"):
        assert unspecified(source) == []
