"""What a definition reaches, read from source text: itself and every name of the package that it uses, and theirs.

A *node* is a name of a module, with all statements that make it. Its text is its syntax tree with the global names taken
out. What each of them stands for is put in their place: another node, or the full name of something external.
A digest numbers the nodes as it meets them, so it knows no file, no alias, and no order of definitions.

The text has no comments, docstrings, layout, redundant brackets or imports. It has annotations only in the body
of a class, where a dataclass reads them, and names in annotations are never followed. It is the same on every Python ≥ 3.11.

A statement that makes no name (an assertion, a call, a block that holds one) may act on all of its module. It counts
as soon as any name of the module is reached, as do those of the `__init__` files above it.

Not seen: names made of strings (`importlib.import_module`), and what one module does to the names of another, until a name
of the acting module is reached.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterable
from pathlib import Path

from .statements import WHOLE, Bound, Definition, Import, Module, Node, Reader, chain, live

EFFECTS = ""  # the node of the statements that make no name


class Source:
    """The files of a package, and of users beside it, with the text of their nodes. Read once."""

    def __init__(self, root: Path, package: str, left_out: Iterable[str] = (), unheard: Iterable[str] = ()):
        self.root, self.package = root, package
        self.unheard = frozenset(unheard)  # keywords of `@register` that are no part of an entry's text
        self._modules: dict[Path, Module | None] = {}
        self._found: dict[tuple[Module, str], list] = {}
        self._texts: dict[Node, list[bytes | Node]] = {}
        self._above: dict[Module, list[Module]] = {}
        self.left_out = {self.named(module) for module in left_out}

    def named(self, dotted: str) -> Module:
        """A module of the package by its name within it, such as `numerics.train`."""
        module = self._file(self.root, dotted.split("."), inside=True)
        if module is None:
            raise LookupError(f"{self.root} has no module {dotted}")
        return module

    def node(self, dotted: str, name: str) -> Node:
        """A node by its names; `Class.member` is one method of a class, without the rest of it."""
        node = (self.named(dotted), name)
        if not self._statements(node):
            raise LookupError(f"{node[0].path} does not define {name}")
        return node

    def read(self, path: Path, inside: bool = False) -> Module:
        """A file taken apart. Raises SyntaxError, ValueError or OSError where it is no Python."""
        if path not in self._modules:
            self._modules[path] = Module(path, inside, ast.parse(path.read_bytes(), str(path)).body)
        return self._modules[path]  # type: ignore[return-value]

    def _file(self, folder: Path, parts: list[str], inside: bool) -> Module | None:
        base = folder.joinpath(*parts)
        for path in (base.parent / f"{base.name}.py", base / "__init__.py") if parts else (base / "__init__.py",):
            if path in self._modules or path.is_file():
                return self.read(path, inside)
        if base.is_dir() and (parts or inside):  # a package without `__init__`
            return self._modules.setdefault(base / "__init__.py", Module(base / "__init__.py", inside))
        return None

    def find(self, importer: Module, one: Import) -> Module | str:
        """The module of an import, or the name of one that is not ours."""
        parts = one.module.split(".") if one.module else []
        if one.level:
            folder, inside = importer.path.parents[one.level - 1], importer.inside
        elif parts[0] == self.package:
            folder, parts, inside = self.root, parts[1:], True
        elif importer.inside:
            return one.module
        else:
            folder, inside = importer.path.parent, False
        return self._file(folder, parts, inside) or "." * one.level + one.module

    def imported(self, importer: Module, one: Import) -> list[Module | Node | str]:
        """What an import binds."""
        module = self.find(importer, one)
        if one.name is None:
            return [module]
        return [f"{module}.{one.name}"] if isinstance(module, str) else self.lookup(module, one.name) or [module]

    def lookup(self, module: Module, name: str) -> list[Module | Node | str]:
        """What a name stands for in a module, re-exports followed; empty for a builtin."""
        if (module, name) not in self._found:
            self._found[module, name] = []  # ends a circle of re-exports
            found = [(module, name)] if name in module.makes else []
            for one in module.imports.get(name, ()):
                found += self.imported(module, one)  # type: ignore[arg-type]
            if not found:
                starred = [self.find(module, one) for one in module.stars]
                found = [t for star in starred if isinstance(star, Module) for t in self.lookup(star, name)]  # type: ignore[misc]
            if not found and module.path.name == "__init__.py" and not name.startswith("__"):
                submodule = self._file(module.path.parent, [name], module.inside)
                found = [submodule] if submodule else []  # type: ignore[list-item]
            self._found[module, name] = found
        return self._found[module, name]

    def follow(self, target: Module | Node | str, attributes: tuple[str, ...]) -> list[tuple[Node | str, tuple]]:
        """What `target.a.b` stands for, and the attributes that are left over."""
        if isinstance(target, str):
            return [(".".join((target, *attributes)), ())]
        if isinstance(target, tuple):
            return [(f"left out: {target[1]}" if target[0] in self.left_out else target, attributes)]
        if attributes and (found := self.lookup(target, attributes[0])):
            return [pair for one in found for pair in self.follow(one, attributes[1:])]
        return [("left out" if target in self.left_out else (target, WHOLE), attributes)]

    def resolve(self, module: Module, name: str, attributes: tuple[str, ...] = ()) -> list[tuple[Node | str, tuple]]:
        return [pair for target in self.lookup(module, name) for pair in self.follow(target, attributes)]

    def registers(self, module: Module, decorator: ast.expr) -> bool:
        """Whether a decorator is the package's `register`, by whatever name."""
        names = chain(decorator.func if isinstance(decorator, ast.Call) else decorator)
        if names is None:
            return False
        imported = [one.name for one in module.imports.get(names[0], ())]
        # Where the package makes the name when it is asked for, what it is called decides.
        called = names[1][-1] if names[1] else (imported or [names[0]])[-1]
        return any(
            isinstance(target, tuple)
            and target[0].inside
            and ((target[1] == "register" and not rest) or (target[1] == WHOLE and called == "register"))
            for target, rest in self.resolve(module, *names)
        )

    def constructor(self, module: Module, stmt: ast.ClassDef, seen: tuple = ()) -> tuple[Module, Definition | None]:
        """The `__init__` of a class or of the nearest base whose text is here, with the module that holds it."""
        for inner in stmt.body:
            if isinstance(inner, ast.FunctionDef) and inner.name == "__init__":
                return module, inner
        for base in filter(None, map(chain, stmt.bases)):
            for target, rest in self.resolve(module, *base):
                if isinstance(target, tuple) and not rest and target not in seen:
                    for made in target[0].makes.get(target[1], ()):
                        if isinstance(made, ast.ClassDef):
                            found = self.constructor(target[0], made, (*seen, target))
                            if found[1] is not None:
                                return found
        return module, None

    def _statements(self, node: Node) -> list[ast.stmt]:
        module, name = node
        if name == EFFECTS:
            return module.effects
        owner, _, member = name.partition(".")
        made = module.makes.get(owner, [])
        if not member:
            return made
        bodies = [live(stmt.body) for stmt in made if isinstance(stmt, ast.ClassDef)]
        return [s for body in bodies for s in body if member in Bound([s]).names]

    def text(self, node: Node) -> list[bytes | Node]:
        """The text of a node, with other nodes where it mentions them."""
        if node not in self._texts:
            self._texts[node] = self._whole(node[0]) if node[1] == WHOLE else self._written(node)
        return self._texts[node]

    def _written(self, node: Node) -> list[bytes | Node]:
        module, name = node
        reader = Reader(self, module)
        owner, _, member = name.partition(".")
        if member:
            reader.enter_class(owner, [s for s in module.makes[owner] if isinstance(s, ast.ClassDef)])
        for stmt in self._statements(node):
            reader.tell(stmt)
        return reader.finished()

    def _whole(self, module: Module) -> list[bytes | Node]:
        reader = Reader(self, module)
        for name in sorted({*module.makes, *module.imports}):
            reader.say(f"{name}=")
            reader.mention(name, ())
        for star in module.stars:
            reader.put(self.follow(self.find(module, star), ()))
        if module.path.name == "__init__.py":
            for path in sorted(module.path.parent.glob("*.py")):
                if path != module.path:
                    reader.put(self.follow(self.read(path, module.inside), ()))
        return reader.finished()

    def above(self, module: Module) -> list[Module]:
        """The packages that Python runs before it can import a module, outermost first."""
        if module not in self._above:
            folders = [f for f in module.path.parents if f == self.root or self.root in f.parents]
            packages = [self._file(folder, [], inside=True) for folder in reversed(folders)] if module.inside else []
            self._above[module] = [package for package in packages if package]
        return self._above[module]


class Digest:
    """A hash of nodes and of all that they reach, in the order in which they are met."""

    def __init__(self, source: Source):
        self.source = source
        self._hash = hashlib.sha256()
        self._numbers: dict[Node, int] = {}
        self.modules: dict[Module, None] = {}

    def copy(self) -> Digest:
        """The same so far, to go on from in several ways."""
        other = Digest(self.source)
        other._hash, other._numbers, other.modules = self._hash.copy(), dict(self._numbers), dict(self.modules)
        return other

    def add(self, *roots: Node) -> Digest:
        waiting: list[Node] = []
        for root in roots:
            self._meet(root, waiting)
        for node in waiting:  # grows meanwhile
            self._add_text(self.source.text(node), waiting)
        return self

    def add_text(self, text: str) -> Digest:
        """What counts beside the nodes."""
        self._hash.update(b"\0text" + text.encode())
        return self

    def _meet(self, node: Node, waiting: list[Node]) -> None:
        if node not in self._numbers:
            self._numbers[node] = len(self._numbers)
            waiting.append(node)
            for module in (node[0], *self.source.above(node[0])):
                self.modules.setdefault(module)
        self._hash.update(b"\0node%d" % self._numbers[node])

    def _add_text(self, pieces: list[bytes | Node], waiting: list[Node]) -> None:
        for piece in pieces:
            if isinstance(piece, bytes):
                self._hash.update(b"\0" + piece)
            else:
                self._meet(piece, waiting)
        self._hash.update(b"\0end")

    def value(self) -> str:
        """Twelve hex digits. The statements that make no name come last, so that they know no order of modules either."""
        whole = self.copy()
        done: set[Module] = set()
        while new := [module for module in whole.modules if module not in done]:
            done.update(new)
            texts = [self.source.text((module, EFFECTS)) for module in new if module.effects]
            waiting: list[Node] = []
            for text in sorted(texts, key=lambda text: [p if isinstance(p, bytes) else b"" for p in text]):
                whole._add_text(text, waiting)
            for node in waiting:
                whole._add_text(self.source.text(node), waiting)
        return whole._hash.hexdigest()[:12]
