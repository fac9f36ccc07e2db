"""What a row is made of: digests of the code that computed it, read from source text and never by importing it.

A row's identity is its cell key plus a code digest. The digest covers the tokens of the shared numerical modules and of
the cell's own penalty or method: editing one penalty makes its rows stale and no others. Comments, docstrings
and layout do not count. Only the standard library is used, so that planning ten thousand cells imports no torch.
"""

from __future__ import annotations

import ast
import hashlib
import io
import tokenize
from dataclasses import dataclass
from functools import cache
from pathlib import Path

SOURCE = Path(__file__).parent

# The modules whose every token takes part in computing a row. A module of plans, progress, files or figures is not here.
SHARED_MODULES = tuple(f"numerics/{name}.py" for name in ("linalg", "problem", "metrics", "adam", "batch", "train")) + (
    "methods/base.py",
)
# In these, a decorated function or class belongs to the entry it defines; the rest is shared: by every row for penalties,
# by the rows of the module's own methods for the others.
PENALTY_MODULE = "penalties.py"
METHOD_MODULES = tuple(f"methods/{name}.py" for name in ("optimizers", "constraints", "libraries", "cures"))

_LAYOUT = {tokenize.NL, tokenize.COMMENT, tokenize.ENCODING, tokenize.ENDMARKER}
_STRUCTURE = {tokenize.NEWLINE: "NEWLINE", tokenize.INDENT: "INDENT", tokenize.DEDENT: "DEDENT"}


@cache
def tokens(source: str) -> list[str]:
    """The meaningful tokens of Python source: no comments, docstrings or layout, the same on every Python ≥ 3.11.

    Python 3.12 began to take f-strings apart into several tokens; they are put together again here.
    """
    lines = source.splitlines(keepends=True)
    found: list[tuple[int, str]] = []
    f_string_start, depth = None, 0
    # Python < 3.12 has no such token types; None never equals a token's type.
    f_start, f_end = getattr(tokenize, "FSTRING_START", None), getattr(tokenize, "FSTRING_END", None)
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == f_start:
            f_string_start = f_string_start if depth else token.start
            depth += 1
        elif token.type == f_end:
            depth -= 1
            if depth == 0:
                found.append((tokenize.STRING, _between(lines, f_string_start, token.end)))
        elif depth == 0 and token.type not in _LAYOUT:
            found.append((token.type, _STRUCTURE.get(token.type, token.string)))
    kept: list[str] = []
    boundary = {tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT}
    i = 0
    while i < len(found):
        kind, text = found[i]
        starts_statement = i == 0 or found[i - 1][0] in boundary
        ends_statement = i + 1 == len(found) or found[i + 1][0] == tokenize.NEWLINE
        if kind == tokenize.STRING and starts_statement and ends_statement:
            i += 2  # a string that is a whole statement: a docstring, with its line end
            continue
        kept.append(text)
        i += 1
    return kept


def _between(lines: list[str], start: tuple[int, int], end: tuple[int, int]) -> str:
    (first, left), (last, right) = start, end
    if first == last:
        return lines[first - 1][left:right]
    return "".join([lines[first - 1][left:], *lines[first : last - 1], lines[last - 1][:right]])


@dataclass(frozen=True)
class Entry:
    """One decorated definition of a registry module: a penalty or a method."""

    name: str
    options: dict[str, float]  # keyword-only arguments and their defaults
    summary: str  # first line of the docstring
    flags: dict[str, bool]  # the decorator's arguments

    @property
    def uses_reg(self) -> bool:
        """Whether reg changes training or report of a penalty."""
        return self.flags.get("uses_reg", True)

    @property
    def uses_penalty(self) -> bool:
        """Whether a method trains with the cell's penalty."""
        return self.flags.get("uses_penalty", False)

    @property
    def uses_steps(self) -> bool:
        """Whether a method trains at all; a closed form does not."""
        return self.flags.get("uses_steps", True)

    @property
    def library(self) -> bool:
        """Whether a method is a library of its own name, which may not be installed."""
        return self.flags.get("library", False)

    @property
    def bfloat16(self) -> bool:
        """Whether a method can train in bfloat16."""
        return self.flags.get("bfloat16", True)


@cache
def split_registry(source: str) -> tuple[dict[str, Entry], dict[str, str], str]:
    """Take a registry module apart: its entries, the source text of each, and the text shared by all.

    An entry is a function or class decorated with `@register` or `@register(...)`. A helper decorated with
    `@<entry>.<hook>` (say `@fro2.multiplier`) belongs to that entry.
    """
    lines = source.splitlines(keepends=True)
    entries: dict[str, Entry] = {}
    texts: dict[str, str] = {}
    owned: set[int] = set()
    for node in ast.parse(source).body:
        if not isinstance(node, ast.FunctionDef | ast.ClassDef):
            continue
        owner = None
        for decorator in node.decorator_list:
            call = decorator.func if isinstance(decorator, ast.Call) else decorator
            if isinstance(call, ast.Name) and call.id == "register":
                owner = node.name
                flags = {}
                if isinstance(decorator, ast.Call):
                    flags = {k.arg: ast.literal_eval(k.value) for k in decorator.keywords}
                entries[owner] = Entry(owner, _options(node), (ast.get_docstring(node) or "").split("\n")[0], flags)
            elif isinstance(call, ast.Attribute) and isinstance(call.value, ast.Name) and call.value.id in entries:
                owner = call.value.id
        if owner is not None:
            span = range(min(d.lineno for d in node.decorator_list) - 1, node.end_lineno)
            owned.update(span)
            texts[owner] = texts.get(owner, "") + "".join(lines[i] for i in span)
    shared = "".join(line for i, line in enumerate(lines) if i not in owned)
    return entries, texts, shared


def _options(node: ast.FunctionDef | ast.ClassDef) -> dict[str, float]:
    if isinstance(node, ast.ClassDef):
        inits = [n for n in node.body if isinstance(n, ast.FunctionDef) and n.name == "__init__"]
        if not inits:
            return {}
        node = inits[0]
    names = [a.arg for a in node.args.kwonlyargs]
    return {n: float(ast.literal_eval(d)) for n, d in zip(names, node.args.kw_defaults, strict=True) if d is not None}


@cache
def registry(module: str, root: Path = SOURCE) -> dict[str, Entry]:
    """The entries of `penalties.py` or `constraints.py`, without importing either (they import torch)."""
    path = root / module
    return split_registry(path.read_text())[0] if path.exists() else {}


@cache
def code_digest(penalty: str, method: str = "", root: Path = SOURCE) -> str:
    """Twelve hex digits that change when code does that computes the rows of this penalty and method ("" for plain Adam)."""
    parts: list[str] = []
    for module in SHARED_MODULES:
        parts += ["#module", module, *tokens((root / module).read_text())]
    for module, entry in ((PENALTY_MODULE, penalty), *((module, method) for module in METHOD_MODULES)):
        path = root / module
        if not path.exists():
            continue
        _, texts, shared = split_registry(path.read_text())
        if module == PENALTY_MODULE or entry in texts:
            parts += ["#registry", module, *tokens(shared)]
        if entry in texts:
            parts += ["#entry", entry, *tokens(texts[entry])]
    return hashlib.sha256("\x00".join(parts).encode()).hexdigest()[:12]
