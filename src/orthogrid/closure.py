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
from dataclasses import dataclass, field
from pathlib import Path

from .statements import Block, Bound, Definition, Import, Module, chain, is_silent, live

Node = tuple[Module, str]  # a name of a module; `Class.member` is one too
Comprehension = ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp

WHOLE = "*"  # the node of a module that is used as a value: everything in it may be meant
EFFECTS = ""  # the node of the statements that make no name
# A function that calls these may use any name of its module.
REFLECTIVE = {"globals", "eval", "exec"}

_UNTOLD = {"ctx", "kind", "type_comment", "type_params", "returns", "annotation", "simple"}


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
        return self._modules[path]

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
                found += self.imported(module, one)
            if not found:
                starred = [self.find(module, one) for one in module.stars]
                found = [t for star in starred if isinstance(star, Module) for t in self.lookup(star, name)]
            if not found and module.path.name == "__init__.py" and not name.startswith("__"):
                submodule = self._file(module.path.parent, [name], module.inside)
                found = [submodule] if submodule else []
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


@dataclass
class Scope:
    bound: set[str]
    imports: dict[str, list[Import]] = field(default_factory=dict)
    outside: set[str] = field(default_factory=set)  # names declared global here
    is_class: bool = False


class Reader:
    """Writes a syntax tree down, with what each global name stands for in the place of the name."""

    def __init__(self, source: Source, module: Module):
        self.source, self.module = source, module
        self.scopes: list[Scope] = []
        self.pieces: list[str | Node] = []
        self.owner, self.members = "", set()  # the class whose single method is read, and its methods

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
                text += value.value
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
                    scope.imports |= names.imports
        else:
            arguments = node.args
            for default in (*arguments.defaults, *arguments.kw_defaults):
                self.tell(default)  # in the scope around the function
            body = node.body if isinstance(node.body, list) else [node.body]
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


class Digest:
    """A hash of nodes and of all that they reach, in the order in which they are met."""

    def __init__(self, source: Source):
        self.source = source
        self._hash = hashlib.sha256()
        self._numbers: dict[Node, int] = {}
        self._modules: dict[Module, None] = {}

    def copy(self) -> Digest:
        """The same so far, to go on from in several ways."""
        other = Digest(self.source)
        other._hash, other._numbers, other._modules = self._hash.copy(), dict(self._numbers), dict(self._modules)
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
                self._modules.setdefault(module)
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
        while new := [module for module in whole._modules if module not in done]:
            done.update(new)
            texts = [self.source.text((module, EFFECTS)) for module in new if module.effects]
            waiting: list[Node] = []
            for text in sorted(texts, key=lambda text: [p if isinstance(p, bytes) else b"" for p in text]):
                whole._add_text(text, waiting)
            for node in waiting:
                whole._add_text(self.source.text(node), waiting)
        return whole._hash.hexdigest()[:12]
