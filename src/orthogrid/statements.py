"""A file's top-level statements: which names each makes, changes or imports, and which do something else besides.

A statement makes the names that it binds and those whose objects it changes: `NAME = …`, then `NAME[key] = …`, `NAME.update(…)`,
`@name.hook def _(…)`. A block (if, try, for, with) makes the names bound in it. What makes no name may act on all of its module.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

Block = ast.If | ast.Try | ast.TryStar | ast.For | ast.While | ast.With | ast.Match
Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


@dataclass(eq=False)
class Module:
    """One file, taken apart into the statements that make each name, its imports, and the rest."""

    path: Path
    inside: bool  # whether it belongs to the package; a user's file does not
    body: list[ast.stmt] = field(default_factory=list)
    makes: dict[str, list[ast.stmt]] = field(default_factory=dict)
    imports: dict[str, list[Import]] = field(default_factory=dict)
    stars: list[Import] = field(default_factory=list)
    effects: list[ast.stmt] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.body = list(live(self.body))
        bound = [Bound([stmt]) for stmt in self.body]
        for names in bound:
            self.stars += names.stars
            for name, imports in names.imports.items():
                self.imports.setdefault(name, []).extend(imports)
        defined = set().union(*(names.names for names in bound)) - {"_"}
        for stmt, names in zip(self.body, bound, strict=True):
            imported = names.imports if isinstance(stmt, Block) else ()
            owners = (names.names | {*imported} | set(_changed(stmt))) & (defined | {*imported})
            for name in sorted(owners):
                self.makes.setdefault(name, []).append(stmt)
            if _acts(stmt, defined):
                self.effects.append(stmt)


@dataclass(frozen=True)
class Import:
    """`from <level dots><module> import <name>`, or `import <module>` where name is None."""

    level: int
    module: str
    name: str | None


class Bound:
    """The names that statements bind in their own scope: plainly, and by imports."""

    def __init__(self, nodes: Iterable[ast.AST]):
        self.names: set[str] = set()
        self.imports: dict[str, list[Import]] = {}
        self.stars: list[Import] = []
        self.outside: set[str] = set()  # declared global
        self.around: set[str] = set()  # declared nonlocal
        for node in nodes:
            self._visit(node)
        self.names -= self.outside | self.around

    def _visit(self, node: ast.AST) -> None:
        if isinstance(node, Definition):
            self.names.add(node.name)
            return
        if isinstance(node, ast.Lambda):
            return
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            self.names.add(node.id)
        elif isinstance(node, ast.Import):
            for alias in node.names:
                module = alias.name if alias.asname else alias.name.split(".")[0]
                self.imports.setdefault(alias.asname or module, []).append(Import(0, module, None))
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                if alias.name == "*":
                    self.stars.append(Import(node.level, node.module or "", None))
                    continue
                one = Import(node.level, node.module or "", alias.name)
                self.imports.setdefault(alias.asname or alias.name, []).append(one)
        elif isinstance(node, ast.Global | ast.Nonlocal):
            (self.outside if isinstance(node, ast.Global) else self.around).update(node.names)
        elif isinstance(node, ast.ExceptHandler | ast.MatchAs | ast.MatchStar) and node.name:
            self.names.add(node.name)
        elif isinstance(node, ast.MatchMapping) and node.rest:
            self.names.add(node.rest)
        for name, value in ast.iter_fields(node):
            # A comprehension keeps its own targets; an assignment expression inside it binds outside.
            if not (isinstance(node, ast.comprehension) and name == "target") and name != "annotation":
                for child in value if isinstance(value, list) else [value]:
                    if isinstance(child, ast.AST):
                        self._visit(child)


def live(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Statements that an import runs: no docstrings, nothing for type checkers or for `python file.py` alone."""
    for stmt in body:
        if isinstance(stmt, ast.If) and ast.unparse(stmt.test).replace('"', "'").endswith(
            ("TYPE_CHECKING", "__name__ == '__main__'")
        ):
            yield from live(stmt.orelse)
        elif not is_silent(stmt):
            yield stmt


def is_silent(stmt: ast.AST) -> bool:
    return isinstance(stmt, ast.Pass) or (isinstance(stmt, ast.Expr) and isinstance(stmt.value, ast.Constant))


def chain(node: ast.AST) -> tuple[str, tuple[str, ...]] | None:
    """`a.b.c` as ("a", ("b", "c")); None where the expression does not begin with a name."""
    attributes: list[str] = []
    while isinstance(node, ast.Attribute):
        attributes.insert(0, node.attr)
        node = node.value
    return (node.id, tuple(attributes)) if isinstance(node, ast.Name) else None


def _base(node: ast.AST) -> list[str]:
    while isinstance(node, ast.Attribute | ast.Subscript):
        node = node.value
    return [node.id] if isinstance(node, ast.Name) else []


def _inner(block: ast.AST) -> Iterator[ast.stmt]:
    for part in ("body", "orelse", "finalbody"):
        yield from getattr(block, part, [])
    for part in (*getattr(block, "handlers", []), *getattr(block, "cases", [])):
        yield from part.body


def _changed(stmt: ast.stmt) -> list[str]:
    """Names whose objects a statement changes: `NAME[...] = …`, `NAME.update(…)`, `@name.hook def …`."""
    if isinstance(stmt, Block):
        return [name for inner in _inner(stmt) for name in _changed(inner)]
    if isinstance(stmt, Definition):
        calls = [d.func if isinstance(d, ast.Call) else d for d in stmt.decorator_list]
        return [name for call in calls if isinstance(call, ast.Attribute) for name in _base(call)]
    if isinstance(stmt, ast.Assign | ast.Delete):
        flat = [e for t in stmt.targets for e in (t.elts if isinstance(t, ast.Tuple | ast.List) else [t])]
        return [name for target in flat for name in _base(target)]
    if isinstance(stmt, ast.AugAssign | ast.AnnAssign):
        return _base(stmt.target)
    if isinstance(stmt, ast.Expr) and isinstance(stmt.value, ast.Call) and isinstance(stmt.value.func, ast.Attribute):
        return _base(stmt.value.func)
    return []


def _acts(stmt: ast.stmt, defined: set[str]) -> bool:
    """Whether a statement may do more than make or change names of its own module."""
    if isinstance(stmt, Block):
        return any(_acts(inner, defined) for inner in _inner(stmt))
    changed = _changed(stmt)
    if isinstance(stmt, Definition):
        return stmt.name == "_" and bool(stmt.decorator_list) and not set(changed) & defined
    if isinstance(stmt, ast.Assign | ast.AugAssign | ast.AnnAssign | ast.Delete):
        return not set(changed) <= defined
    if isinstance(stmt, ast.Expr) and changed:
        return not set(changed) <= defined
    quiet = (ast.Import, ast.ImportFrom, ast.Global, getattr(ast, "TypeAlias", ast.Global))
    return not (is_silent(stmt) or isinstance(stmt, quiet))
