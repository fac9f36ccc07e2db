"""A file's statements: which names each makes, changes or imports, and its text with global names replaced by what they mean.

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
Comprehension = ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp

WHOLE = "*"  # the node of a module that is used as a value: everything in it may be meant
# A function that calls these may use any name of its module.
REFLECTIVE = {"globals", "eval", "exec"}
_UNTOLD = {"ctx", "kind", "type_comment", "type_params", "returns", "annotation", "simple"}


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


Node = tuple[Module, str]  # a name of a module; `Class.member` is one too


class Bound:
    """The names that statements bind in their own scope: plainly, and by imports."""

    def __init__(self, nodes: Iterable[ast.AST]):
        self.names: set[str] = set()
        self.imports: dict[str, list[Import]] = {}
        self.stars: list[Import] = []
        self.outside: set[str] = set()  # declared global
        for node in nodes:
            self._visit(node)

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
        elif isinstance(node, ast.Global):
            self.outside.update(node.names)
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


@dataclass
class Scope:
    bound: set[str]
    imports: dict[str, list[Import]] = field(default_factory=dict)
    outside: set[str] = field(default_factory=set)  # names declared global here
    is_class: bool = False


class Reader:
    """Writes a syntax tree down, with what each global name stands for in the place of the name.

    `source` says what that is: a `closure.Source`, which stands above this module.
    """

    def __init__(self, source, module: Module):
        self.source, self.module = source, module
        self.scopes: list[Scope] = []
        self.pieces: list[str | Node] = []
        self.owner, self.members = "", set()  # type: ignore[var-annotated]  # the class whose single method is read, and its methods

    def say(self, text: str) -> None:
        self.pieces.append(text)

    def finished(self) -> list[bytes | Node]:
        joined: list[bytes | Node] = []
        words: list[str] = []
        for piece in [*self.pieces, None]:
            if isinstance(piece, str):
                words.append(piece)
                continue
            joined.append(" ".join(words).encode())
            words = []
            if piece is not None:
                joined.append(piece)
        return joined

    def enter_class(self, owner: str, definitions: list[ast.ClassDef]) -> None:
        """Read single members of a class from here on; the other methods that they call are followed."""
        bodies = [stmt for definition in definitions for stmt in definition.body]
        self.owner, self.members = owner, {s.name for s in bodies if isinstance(s, Definition)}
        self.scopes.append(Scope(Bound(bodies).names, is_class=True))

    def put(self, targets: list[tuple[Node | str, tuple]]) -> None:
        self.say("<")
        for target, rest in targets:
            self.pieces.append(target)
            self.say(".".join(("", *rest)))
        self.say(">")

    def mention(self, name: str, attributes: tuple[str, ...]) -> None:
        """A name and its attributes: a local as it is written, a global as what it stands for."""
        written = ".".join((name, *attributes))
        for depth, scope in enumerate(reversed(self.scopes)):
            if name in scope.outside:
                break
            if scope.is_class and depth:
                continue  # a class's names are not seen in its methods
            if name in scope.imports:
                found = [t for one in scope.imports[name] for t in self.source.imported(self.module, one)]
                self.put([pair for target in found for pair in self.source.follow(target, attributes)])
                return
            if name in scope.bound:
                if name == "self" and attributes and attributes[0] in self.members:
                    self.put([((self.module, f"{self.owner}.{attributes[0]}"), attributes[1:])])
                else:
                    self.say(f"local {written}")
                return
        targets = self.source.resolve(self.module, name, attributes)
        if not targets and name in REFLECTIVE:
            targets = [((self.module, WHOLE), ())]
        if not targets:
            self.say(f"builtin {written}")
        else:
            self.put(targets)

    def tell(self, node: ast.AST | None) -> None:
        if node is None:
            self.say("None")
        elif is_silent(node):
            pass
        elif isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load) and self._binds_in_class(node.id):
            self.say(f"local {node.id}")
        elif isinstance(node, ast.Name | ast.Attribute) and (names := chain(node)):
            self.mention(*names)
        elif isinstance(node, ast.Constant):
            self.say(ascii(node.value))
        elif isinstance(node, ast.JoinedStr):
            self._tell_string(node)
        elif isinstance(node, Definition | ast.Lambda):
            self._tell_definition(node)
        elif isinstance(node, Comprehension):
            self._tell_comprehension(node)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            # Inside a function or block: what it gives is in place of its names, but for those that are never used.
            found = [t for many in Bound([node]).imports.values() for one in many for t in self._external(one)]
            self.say("".join(f"import {name};" for name in found))
        elif isinstance(node, ast.AnnAssign):
            self._tell_annotated(node)
        else:
            self._tell_fields(node)

    def _binds_in_class(self, name: str) -> bool:
        """Whether a name that is stored is an attribute of the class whose body is read."""
        return bool(self.scopes) and self.scopes[-1].is_class and name not in self.scopes[-1].outside

    def _external(self, one: Import) -> list[str]:
        return [target for target in self.source.imported(self.module, one) if isinstance(target, str)]

    def _tell_fields(self, node: ast.AST, without: Iterable[str] = ()) -> None:
        self.say(f"({type(node).__name__}")
        for name, value in ast.iter_fields(node):
            if name in _UNTOLD or name in without or value is None or value == []:
                continue
            self.say(f"{name}:")
            for child in value if isinstance(value, list) else [value]:
                if isinstance(child, ast.AST) or child is None:
                    self.tell(child)
                else:
                    self.say(ascii(child))
        self.say(")")

    def _tell_string(self, node: ast.JoinedStr) -> None:
        # Pythons differ in where they cut the constant text between fields.
        self.say("(f")
        text = ""
        for value in node.values:
            if isinstance(value, ast.Constant):
                text += value.value  # type: ignore[operator]
                continue
            self.say(ascii(text))
            text = ""
            self.tell(value)
        self.say(f"{text!a})")

    def _tell_annotated(self, node: ast.AnnAssign) -> None:
        if self.scopes and self.scopes[-1].is_class:
            self.say(f"(Field {ast.unparse(node.annotation)!a}")
            self.tell(node.target)
            self.tell(node.value)
            self.say(")")
        elif node.value is not None:
            self.tell(ast.Assign([node.target], node.value))

    def _tell_definition(self, node: ast.AST) -> None:
        self.say(f"({type(node).__name__} {getattr(node, 'name', '')}")
        for decorator in getattr(node, "decorator_list", []):
            self.say("@")
            if not self.scopes and isinstance(decorator, ast.Call) and self.source.registers(self.module, decorator):
                heard = [k for k in decorator.keywords if k.arg not in self.source.unheard]
                decorator = ast.Call(decorator.func, decorator.args, heard)
            self.tell(decorator)
        if isinstance(node, ast.ClassDef):
            for part in (*node.bases, *node.keywords):
                self.tell(part)
            scope = Scope(set(), is_class=True)
            self.scopes.append(scope)
            for stmt in node.body:
                self.tell(stmt)
                # From here on the class's own; what only a branch binds may still be the module's.
                if not isinstance(stmt, Block):
                    names = Bound([stmt])
                    scope.bound |= names.names
                    scope.outside |= names.outside
                    scope.imports |= names.imports
        else:
            arguments = node.args  # type: ignore[attr-defined]
            for default in (*arguments.defaults, *arguments.kw_defaults):
                self.tell(default)  # in the scope around the function
            body = node.body if isinstance(node.body, list) else [node.body]  # type: ignore[attr-defined]
            names = Bound(body)
            parameters = {a.arg for a in ast.iter_child_nodes(arguments) if isinstance(a, ast.arg)}
            self.scopes.append(Scope(parameters | names.names, names.imports, names.outside))
            self._tell_fields(arguments, without=("defaults", "kw_defaults"))
            for stmt in body:
                self.tell(stmt)
        self.say(")")
        self.scopes.pop()

    def _tell_comprehension(self, node: Comprehension) -> None:
        first, *others = node.generators
        self.say(f"({type(node).__name__}")
        self.tell(first.iter)  # in the scope around it
        targets = [n.id for g in node.generators for n in ast.walk(g.target) if isinstance(n, ast.Name)]
        self.scopes.append(Scope(set(targets)))
        self._tell_fields(first, without=("iter",))
        for generator in others:
            self._tell_fields(generator)
        self._tell_fields(node, without=("generators",))
        self.say(")")
        self.scopes.pop()
