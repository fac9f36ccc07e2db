"""The catalog: entries as their source tells them, and digests that hear what a row depends on and nothing else."""

import ast
import copy
import glob
import inspect
import os
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from orthogrid import catalog
from orthogrid.catalog import (
    HOUSE,
    SOURCE,
    TRAITS,
    ConfigError,
    Entry,
    Layout,
    code_digest,
    enter,
    forget_code,
    use_code,
)
from orthogrid.closure import Digest, Source

# A small house: every kind of name that a row may depend on.
FILES = {
    "__init__.py": "",
    "cell.py": '''
from dataclasses import dataclass, replace

@dataclass(frozen=True)
class Cell:
    """A cell."""
    dimension: int = axis(5, "Size of W.")
    reg: float = axis(1.0, "Weight of the penalty.")

    @property
    def problem(self):
        return replace(self, reg=0.0, method=self.plain())

    @property
    def by_gram(self):
        return self.dimension > 3

    def plain(self):
        return "adam"

    @property
    def key(self):
        return hash(self)

def spec_name(spec):
    return spec.split("(")[0]

def spec_options(spec):
    return spec.partition("(")[2]
''',
    "penalties.py": '''
from __future__ import annotations

import math
from math import sqrt

import torch
from torch import Tensor

from . import shapes
from .cell import spec_name
from .numerics.linalg import each, total
from .numerics.linalg import twice as doubled

PENALTIES: dict[str, Penalty] = {}
POWER = 3
POWER = POWER + 1
SCALES = {"a": 1}
SCALES["b"] = 2
SCALES.update(c=3)
try:
    FAST, size = 1, 5
except ImportError:
    FAST = 2

class Penalty:
    def __init__(self, name, value):
        self.name, self.value = name, value

def register(**traits):
    """Make a function a penalty."""
    def wrap(function):
        PENALTIES[function.__name__] = Penalty(function.__name__, function)
        return PENALTIES[function.__name__]
    return wrap

def find_penalty(spec):
    return PENALTIES[spec_name(spec)]

@register(attached=False, uses_reg=False)
def none(s: Tensor) -> Tensor:
    """No penalty."""
    return torch.zeros_like(s)

@register(products=2)
def fro2(s: Tensor, *, delta: float = 1e-3) -> Tensor:
    """Squares.

    And more.
    """
    helper = 3  # no other's
    return total(s.square()) * delta * helper

@fro2.multiplier
def _(s: Tensor) -> Tensor:
    return s.mul_(4)

@register()
def powered(s: Tensor) -> Tensor:
    """Powers."""
    scales = [size for size in s]
    return helper(s) ** POWER + scales

def helper(s: Tensor) -> Tensor:
    return below(s) + 1

def below(s):
    return s - 1

@register(decomposes=True, products=7)
def shaped(s: Tensor, *, low: float = -2) -> Tensor:
    """Shapes."""
    return shapes.round(s) + doubled(s) + SCALES["a"] + Table.width + sqrt(2)

class Table(shapes.Base):
    width = 3

@register()
def fast(s):
    """Fast."""
    return FAST * s
''',
    "shapes.py": '''
def round(s):
    return s.round()

class Base:
    height = 1

def unused(s):
    return s
''',
    "methods/__init__.py": "from .base import METHODS, make_method, register\n",
    "methods/base.py": '''
from ..cell import spec_name, spec_options
from ..numerics.graphs import Repeated

METHODS = {}

class Method:
    def __init__(self, batch):
        self.advance = Repeated(self.step)

    def step(self, t):
        self.batch.update(t)

def register(**traits):
    def wrap(method):
        METHODS[method.__name__] = method
        return method
    return wrap

def make_method(spec, batch):
    return METHODS[spec_name(spec)](batch, **spec_options(spec))
''',
    "methods/optimizers.py": '''
from . import base
from .base import register

@register(uses_penalty=True)
class adam(base.Method):
    """Adam."""
''',
    "methods/constraints.py": '''
import torch
from ..numerics.linalg import each
from .base import Method, register

STRENGTH = 0.5

class Corrected(Method):
    def correct(self):
        self.strength = STRENGTH

@register(keeps="near", matrices=6)
class landing(Corrected):
    """Landing."""
    def __init__(self, batch, *, strength: float = 1.0):
        super().__init__(batch)

@register(keeps="on")
class pogo(Corrected):
    """Pogo."""
    cost: int = 2

@register()
class deeper(landing):
    """Inherits an option."""

@register(bfloat16=False)
class qr(Method):
    """QR."""
    def correct(self):
        return each(q_factor, self.batch)

def q_factor(a):
    return torch.linalg.qr(a)
''',
    "methods/cures.py": "from . import base\n",
    "methods/libraries.py": '''
from .base import Method, register

@register(library=True)
class geoopt(Method):
    """A library."""
    def step(self, t):
        import geoopt as library
        from ..numerics.linalg import twice
        return twice(library.step(t))
''',
    "numerics/__init__.py": "",
    "numerics/linalg.py": '''
import os
import torch

os.environ.setdefault("MKL_CBWR", "AUTO")

ALIGNMENT = 64

def total(x):
    return x.sum(-1)

def each(function, batch):
    return [function(matrix) for matrix in batch]

def twice(x):
    return 2 * x

def padded(count: "Count") -> "Shape":
    return count * ALIGNMENT
''',
    "numerics/problem.py": '''
from dataclasses import dataclass
from ..cell import Cell

@dataclass
class Problem:
    cell: Cell
    rank: int = 3

def draw(cell: Cell) -> Problem:
    return Problem(cell)
''',
    "numerics/metrics.py": '''
def trace(w):
    return _norm(w)

def _norm(w):
    return w.norm()

def never(w):
    return w
''',
    "numerics/batch.py": '''
from .linalg import padded
from .problem import draw

class Batch:
    def __init__(self, cells):
        self.weight = padded(len(cells))
        self.problems = [draw(cell) for cell in cells]
''',
    "registration.py": "def registered(kind, definition, traits):\n    return kind\n",
    "numerics/graphs.py": "class Repeated:\n    warm_up = 3\n",
    "numerics/train.py": '''
from . import metrics
from .batch import Batch
from ..methods import make_method
from ..penalties import find_penalty

ADAM = {"eps": 1e-8}

def train_batch(cells, eps=ADAM["eps"]):
    batch = Batch(cells)
    make_method("adam", batch), find_penalty("fro2")
    return metrics.trace(f"{batch.weight:>{eps}} and {cells!r}")
''',
    "store.py": "import os\nos.environ['A'] = 'b'\n",
}  # fmt: skip

PENALTY_NAMES = ["none", "fro2", "powered", "shaped", "fast"]
METHOD_NAMES = ["adam", "landing", "pogo", "deeper", "qr", "geoopt"]
ALL = {*PENALTY_NAMES, *METHOD_NAMES}


@pytest.fixture(autouse=True)
def fresh():
    forget_code()
    yield
    forget_code()


@pytest.fixture
def house(tmp_path):
    root = tmp_path / "orthogrid"
    for name, text in FILES.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert text.count(old) == 1, (path, old, text.count(old))
    path.write_text(text.replace(old, new))


def digests(root: Path, layout: Layout = HOUSE) -> dict[tuple[str, str], str]:
    """Those of every pair, read anew."""
    catalog._forget_what_was_read()
    pairs = [(p, m) for p in catalog.penalties(root, layout) for m in catalog.methods(root, layout)]
    return {(p, m): code_digest(p, m, root, layout) for p, m in pairs}


def stale(before: dict, after: dict) -> set[str]:
    """The entries all of whose pairs changed; a pair that changed must have such a one."""
    assert list(before) == list(after)
    changed = {pair for pair in before if before[pair] != after[pair]}
    names = {name for pair in before for name in pair}
    whole = {name for name in names if all(pair in changed for pair in before if name in pair)}
    assert all(set(pair) & whole for pair in changed)
    return whole


EDITS = [
    # A penalty: its text, a hook, a helper, a helper's helper, constants, a class, its base, an alias, an import.
    ("penalties.py", "s.square()", "s.abs()", {"fro2"}),
    ("penalties.py", "s.mul_(4)", "s.mul_(5)", {"fro2"}),
    ("penalties.py", "delta: float = 1e-3", "delta: float = 2e-3", {"fro2"}),
    ("penalties.py", "below(s) + 1", "below(s) + 2", {"powered"}),
    ("penalties.py", "s - 1", "s - 2", {"powered"}),
    ("penalties.py", "POWER = 3", "POWER = 4", {"powered"}),
    ("penalties.py", "POWER + 1", "POWER + 2", {"powered"}),
    ("penalties.py", '{"a": 1}', '{"a": 2}', {"shaped"}),
    ("penalties.py", 'SCALES["b"] = 2', 'SCALES["b"] = 3', {"shaped"}),
    ("penalties.py", "SCALES.update(c=3)", "SCALES.update(c=4)", {"shaped"}),
    ("penalties.py", "width = 3", "width = 4", {"shaped"}),
    ("penalties.py", "from math import sqrt", "from numpy import sqrt", {"shaped"}),
    ("penalties.py", "FAST = 2", "FAST = 3", {"fast"}),
    ("penalties.py", "linalg import twice as doubled", "linalg import total as doubled", {"shaped"}),
    ("shapes.py", "s.round()", "s.ceil()", {"shaped"}),
    ("shapes.py", "height = 1", "height = 2", {"shaped"}),
    # A shadowing local is no use of the module's name: `helper` in fro2, `size` in powered.
    ("penalties.py", "def helper(s: Tensor)", "def helper(t: Tensor)", {"powered"}),
    # A method: its text, its base, a constant of the base, a helper, what it imports itself.
    ("methods/constraints.py", "strength: float = 1.0", "strength: float = 2.0", {"landing", "deeper"}),
    ("methods/constraints.py", "self.strength = STRENGTH", "self.weight = STRENGTH", {"landing", "pogo", "deeper"}),
    ("methods/constraints.py", "STRENGTH = 0.5", "STRENGTH = 0.6", {"landing", "pogo", "deeper"}),
    ("methods/constraints.py", "linalg.qr(a)", "linalg.svd(a)", {"qr"}),
    ("methods/constraints.py", "cost: int = 2", "cost: ClassVar[int] = 2", {"pogo"}),
    ("methods/libraries.py", "import geoopt as library", "import geotorch as library", {"geoopt"}),
    ("methods/libraries.py", "linalg import twice", "linalg import total as twice", {"geoopt"}),
    ("methods/base.py", "self.batch.update(t)", "self.batch.update(t + 1)", {*METHOD_NAMES}),
    ("numerics/linalg.py", "in batch]", "in batch if matrix]", {"qr"}),
    ("numerics/linalg.py", "return 2 * x", "return x + x", {"shaped", "geoopt"}),
    # Traits that the trainer reads count.
    ("penalties.py", "decomposes=True", "decomposes=False", {"shaped"}),
    # The trainer, all of a cell that it asks for, and what acts on a module of its.
    ("cell.py", "reg=0.0", "reg=1.0", ALL),
    ("cell.py", 'return "adam"', 'return "sgd"', ALL),
    ("cell.py", 'spec.partition("(")[2]', 'spec.partition("[")[2]', ALL),
    ("cell.py", 'spec.split("(")', 'spec.split("[")', ALL),
    ("numerics/linalg.py", '"AUTO"', '"COMPATIBLE"', ALL),
    ("numerics/linalg.py", "ALIGNMENT = 64", "ALIGNMENT = 32", ALL),
    ("numerics/__init__.py", None, "import torch\ntorch.set_num_threads(1)\n", ALL),
    ("__init__.py", None, "import os\nif 'A' in os.environ:\n    os.environ.clear()\n", ALL),
    ("numerics/linalg.py", None, "\nassert ALIGNMENT\n", ALL),
    ("numerics/metrics.py", "w.norm()", "w.sum()", ALL),
    ("numerics/train.py", "1e-8", "1e-7", ALL),
    ("numerics/train.py", "eps=ADAM", "epsilon=ADAM", ALL),
    ("numerics/train.py", "{cells!r}", "{cells!s}", ALL),
    ("numerics/train.py", "} and {", "} or {", ALL),
    ("numerics/problem.py", "rank: int = 3", "rank: int = 4", ALL),
    ("numerics/problem.py", "rank: int = 3", "rank: InitVar[int] = 3", ALL),
    ("methods/base.py", "METHODS[spec_name(spec)]", "METHODS[spec]", ALL),
    ("penalties.py", "return PENALTIES[spec_name(spec)]", "return PENALTIES[spec]", ALL),
    ("penalties.py", "self.name, self.value = name, value", "self.value = value", {*PENALTY_NAMES}),
    ("penalties.py", "FAST, size = 1, 5", "FAST, size = 1, 5; print()", ALL),  # a block that acts
]  # fmt: skip


@pytest.mark.parametrize("file, old, new, names", EDITS)
def test_an_edit_makes_stale_what_it_reaches_and_nothing_else(house, file, old, new, names):
    before = digests(house)
    if old is None:
        (house / file).write_text((house / file).read_text() + new)
    else:
        edit(house / file, old, new)
    # Where all rows of every penalty are stale, so are those of every method.
    expected = ALL if {*PENALTY_NAMES} <= names or {*METHOD_NAMES} <= names else names
    assert stale(before, digests(house)) == expected


SILENT = [
    ("penalties.py", '"""Powers."""', '"""Powers, and more."""'),
    ("penalties.py", "# no other's", "# another comment"),
    ("penalties.py", "    return helper(s) ** POWER + scales", "    return (\n        helper(s)**POWER + scales\n    )"),
    ("penalties.py", 'SCALES["a"] + Table', "(SCALES['a']) + Table"),
    ("penalties.py", "import math\n", "import math\nimport itertools\nfrom .numerics import metrics\n"),
    ("penalties.py", "s: Tensor) -> Tensor:\n    return below", "s: Table) -> Table:\n    return below"),
    ("penalties.py", "import torch\n", "import torch as t\n", "torch.zeros_like", "t.zeros_like"),
    ("penalties.py", "shapes.round(s)", "rounded(s)", "from . import shapes\n", "from . import shapes\nfrom .shapes import round as rounded\n"),
    ("penalties.py", "products=7", "products=8"),
    ("penalties.py", "POWER = 3\n", "POWER: int = 3\n"),
    ("penalties.py", "PENALTIES: dict", "if TYPE_CHECKING:\n    from .cell import Cell\nPENALTIES: dict"),
    ("methods/constraints.py", "matrices=6", "matrices=7"),
    ("methods/constraints.py", "(Corrected):\n    \"\"\"Pogo", "(Corrected,):\n    \"\"\"Pogo"),
    ("cell.py", '"Size of W."', '"Another text."'),
    ("cell.py", "return hash(self)", "return 1 + hash(self)"),
    ("shapes.py", "def unused(s)", "def unused(t)"),
    ("numerics/graphs.py", "warm_up = 3", "warm_up = 4"),
    ("numerics/metrics.py", "def never(w)", "def never(v)"),
    ("numerics/linalg.py", '"Count"', '"Number"'),
    ("store.py", "'b'", "'c'"),
    ("numerics/train.py", "ADAM = {", "if __name__ == '__main__':\n    print()\nADAM = {"),
    ("numerics/train.py", "def train_batch", '"A string of no use."\n\n\ndef train_batch'),
]  # fmt: skip


@pytest.mark.parametrize("file, replacements", [(file, pairs) for file, *pairs in SILENT])
def test_what_computes_nothing_makes_nothing_stale(house, file, replacements):
    before, text = digests(house), (house / file).read_text()
    for old, new in zip(replacements[::2], replacements[1::2], strict=True):
        edit(house / file, old, new)
    assert (house / file).read_text() != text and digests(house) == before


def test_a_new_entry_makes_nothing_stale(house):
    before = digests(house)
    with (house / "penalties.py").open("a") as file:
        file.write("\n@register()\ndef cubic(s):\n    return helper(s) + POWER\n")
    after = digests(house)
    assert before.items() < after.items() and ("cubic", "adam") in after


def test_order_of_definitions_does_not_count(house):
    before = digests(house)
    path = house / "penalties.py"
    head, *parts = path.read_text().split("\ndef helper")
    helper, end, rest = parts[0].partition("\n\ndef below")
    path.write_text(f"{head}{end}{rest}\ndef helper{helper}\n")
    assert path.read_text().index("def below") < path.read_text().index("def helper") and digests(house) == before


def test_a_move_between_files_does_not_count(house):
    before = digests(house)
    path = house / "penalties.py"
    helpers = path.read_text()[path.read_text().index("def helper") : path.read_text().index("@register(decomposes")]
    edit(path, helpers, "")
    edit(path, "from . import shapes\n", "from . import shapes\nfrom .deep.er import helper\n")
    (house / "deep").mkdir()
    (house / "deep" / "er.py").write_text("from ..exports import *\n")
    (house / "exports.py").write_text("from torch import Tensor\n" + helpers)
    assert digests(house) == before
    edit(house / "exports.py", "s - 1", "s - 2")
    assert stale(before, digests(house)) == {"powered"}


def test_a_module_renamed_does_not_count(house):
    before = digests(house)
    (house / "numerics" / "metrics.py").rename(house / "measures.py")
    edit(house / "numerics" / "train.py", "from . import metrics\n", "import orthogrid.measures\n")
    edit(house / "numerics" / "train.py", "metrics.trace", "orthogrid.measures.trace")
    assert digests(house) == before


def test_which_of_two_equal_names_is_meant_counts(house):
    """A set of texts would not hear it: both helpers are reached either way."""
    (house / "one.py").write_text("def pick(s):\n    return s\n")
    (house / "two.py").write_text("def pick(s):\n    return -s\n")
    edit(house / "penalties.py", "from . import shapes\n", "from . import shapes\nfrom .one import pick as a\nfrom .two import pick as b\n")  # fmt: skip
    edit(house / "penalties.py", "return FAST * s", "return a(s) + b(s) + 2 * a(s)")
    before = digests(house)
    edit(house / "penalties.py", "from .one import pick as a\nfrom .two import pick as b", "from .two import pick as a\nfrom .one import pick as b")  # fmt: skip
    assert stale(before, digests(house)) == {"fast"}
    before = digests(house)
    edit(house / "penalties.py", "+ 2 * a(s)", "+ 2 * b(s)")  # both were met before
    assert stale(before, digests(house)) == {"fast"}


@pytest.mark.parametrize(
    "use", ["getattr(shapes, 'unused')(s)", "[f(s) for f in vars(shapes)]", "shapes.__dict__['unused']"]
)
def test_a_module_used_as_a_value_counts_whole(house, use):
    edit(house / "penalties.py", "return FAST * s", f"return {use}")
    before = digests(house)
    edit(house / "shapes.py", "def unused(s)", "def unused(t)")
    assert stale(before, digests(house)) == {"fast"}


def test_a_function_that_asks_for_globals_has_its_whole_module(house):
    edit(house / "shapes.py", "return s.round()", "return globals()['unused'](s)")
    before = digests(house)
    edit(house / "shapes.py", "def unused(s)", "def unused(t)")
    assert stale(before, digests(house)) == {"shaped"}


SCOPES = [
    ("def f(s):\n    return [helper for helper in s]", False),
    ("def f(s):\n    return [x for x in helper]", True),
    ("def f(s):\n    g = lambda helper: helper\n    return g(s)", False),
    ("def f(s, *, g=lambda helper: 1):\n    return helper(s)", True),
    ("def f(s):\n    def helper(): ...\n    return helper", False),
    ("def f(s):\n    def inner():\n        helper = 1\n    return helper", True),
    ("def f(s):\n    global helper\n    helper = 1", True),
    ("class f:\n    global helper\n    helper = 1", True),
    ("def f(s):\n    helper = 1\n    def inner():\n        nonlocal helper\n        helper = 2", False),
    ("def f(s):\n    helper = 1\n    def inner():\n        global helper\n        return helper", True),
    ("def f(s):\n    return [helper for helper in helper]", True),
    ("def f(s):\n    x = [helper for helper in s]\n    return helper(x)", True),
    ("def f(s):\n    g = lambda: (helper := 1)\n    return helper(s)", True),
    ("if helper:\n    from .shapes import round as f", True),
    ("def f(s):\n    helper: int = 1\n    return helper", False),
    ("def f(s):\n    with s as helper:\n        return helper", False),
    ("def f(s):\n    try: s()\n    except E as helper: return helper", False),
    ("def f(s):\n    match s:\n        case [helper, *_]: return helper", False),
    ("def f(s):\n    if any((helper := x) for x in s): return helper", False),
    ("def f(s):\n    from .shapes import round as helper\n    return helper(s)", False),
    ("def f(s):\n    class C:\n        helper = 1\n        other = helper\n    return C", False),
    ("def f(s):\n    class C:\n        helper = helper\n    return C", True),
    ("def f(s):\n    class C:\n        helper = 1\n        def m(self): return helper\n    return C", True),
    ("def f(s):\n    class C:\n        if s: helper = 1\n        other = helper\n    return C", True),
    ("def f(s):\n    return s.helper", False),
    ("def f(s):\n    return s(helper=1)", False),
    ("def f(s: helper) -> helper:\n    x: helper = 1", False),
    ("class f(helper): ...", True),
    ("@helper\ndef f(s): ...", True),
    ("class f:\n    x: helper = 1", False),
    ("f = [helper for helper in ()]", False),
    ("for f in helper: pass", True),
    ("f = 1\nf += helper", True),
    ("f = {}\nf['a'] = helper", True),
    ("f = C()\nf.a, f.b = helper, 1", True),
    ("def f(s): ...\n@f.hook\ndef other(s):\n    return helper", True),
    ("def f(s): ...\ndef other(s):\n    return helper", False),
    ("while True:\n    f = 1\n    break\nelse:\n    f = helper", True),
]


@pytest.mark.parametrize("text, reached", SCOPES)
def test_a_name_is_followed_where_it_is_the_modules_own(tmp_path, text, reached):
    (tmp_path / "shapes.py").write_text("def round(s): ...\n")

    def digest(helper: str) -> str:
        (tmp_path / "m.py").write_text(f"{text}\n\ndef helper(s):\n    return {helper}\n")
        source = Source(tmp_path, "pack")
        return Digest(source).add(source.node("m", "f")).value()

    assert (digest("1") != digest("2")) == reached


def test_what_is_external_counts_as_what_it_is(tmp_path):
    def digest(text: str) -> str:
        (tmp_path / "m.py").write_text(text)
        source = Source(tmp_path, "pack")
        return Digest(source).add(source.node("m", "f")).value()

    same = [
        "import torch\ndef f(s): return torch.linalg.qr(s)",
        "from torch import linalg as l\ndef f(s): return l.qr(s)",
    ]
    other = ["from torch.linalg import svd as qr\ndef f(s): return qr(s)", "def f(s): return torch.linalg.qr(s)"]
    assert digest(same[0]) == digest(same[1]) and len({digest(t) for t in (same[0], *other)}) == 3


def test_a_circle_of_re_exports_ends(tmp_path):
    (tmp_path / "a.py").write_text("from .b import f\nfrom .b import *\ndef g(s): return f(s)\n")
    (tmp_path / "b.py").write_text("from .a import f\nfrom .a import *\n")
    source = Source(tmp_path, "pack")
    assert len(Digest(source).add(source.node("a", "g")).value()) == 12


def test_a_root_that_is_not_there_is_an_error(house):
    for root in (("cell", "Cell.nothing"), ("cell", "nothing"), ("nothing", "f")):
        with pytest.raises(LookupError, match="nothing"):
            code_digest("fro2", "adam", house, Layout(HOUSE.penalties, HOUSE.methods, (root,)))


def test_a_digest_is_twelve_digits_of_its_own_for_each_pair(house):
    found = digests(house)
    assert len(set(found.values())) == len(found) == len(PENALTY_NAMES) * len(METHOD_NAMES)
    assert all(len(d) == 12 and int(d, 16) >= 0 for d in found.values())
    with pytest.raises(ConfigError, match=r"no penalty 'froo'.*none, fro2"):
        code_digest("froo", "adam", house)
    with pytest.raises(ConfigError, match=r"no method 'froo'.*adam, landing"):
        code_digest("fro2", "froo", house)


def test_entries_are_what_the_source_says(house):
    penalties, methods = catalog.penalties(house), catalog.methods(house)
    assert list(penalties) == PENALTY_NAMES and list(methods) == METHOD_NAMES
    assert penalties["fro2"].options == {"delta": 1e-3} and penalties["shaped"].options == {"low": -2.0}
    assert penalties["fro2"].summary == "Squares." and penalties["fro2"].kind == "penalty"
    assert Path(penalties["fro2"].file) == house / "penalties.py"
    assert (house / "penalties.py").read_text().splitlines()[penalties["fro2"].line - 1].startswith("def fro2")
    assert [p.products for p in penalties.values()] == [0, 2, 2, 7, 2]
    assert [p.attached for p in penalties.values()] == [False, True, True, True, True]
    assert [m.keeps for m in methods.values()] == ["", "near", "on", "", "", ""]
    assert methods["landing"].matrices == 6 and methods["adam"].matrices == 4 and methods["geoopt"].library
    assert methods["adam"].uses_penalty and not methods["qr"].bfloat16 and not penalties["none"].uses_reg
    # Of the nearest base that has an __init__.
    assert methods["landing"].options == methods["deeper"].options == {"strength": 1.0} and not methods["pogo"].options
    for kind, entries in (("penalty", penalties), ("method", methods)):
        for entry in entries.values():
            assert {n: getattr(entry, n) for n in TRAITS[kind]} == {n: entry.trait(n) for n in TRAITS[kind]}
    with pytest.raises(AttributeError, match="keeps"):
        _ = penalties["fro2"].keeps  # a method's trait
    assert pickle.loads(pickle.dumps(methods["qr"])) == copy.deepcopy(methods["qr"]) == methods["qr"]


def test_the_catalog_cannot_be_changed_through_what_it_returns(house):
    catalog.penalties(house).clear()
    assert list(catalog.penalties(house)) == PENALTY_NAMES


BAD = [
    ("penalties.py", "delta: float = 1e-3", "delta: float = 1 / 3", "def fro2", r"delta.*1 / 3.*written out"),
    ("penalties.py", "delta: float = 1e-3", "delta: float", "def fro2", r"delta.*no default"),
    ("penalties.py", "delta: float = 1e-3", "delta=True", "def fro2", r"delta.*True.*number"),
    ("penalties.py", "def fro2(s: Tensor,", "def fro2(s: Tensor, t,", "def fro2", r"exactly one positional"),
    ("penalties.py", "def fro2(s: Tensor, *", "def fro2(*s", "def fro2", r"exactly one positional"),
    ("penalties.py", "attached=False, ", "attached=FLAG, ", "attached=FLAG", r"attached=FLAG.*True or False"),
    ("penalties.py", "attached=False, ", "attached=0, ", "attached=0", r"attached=0.*True or False"),
    ("penalties.py", "attached=False, ", "atached=False, ", "atached", r"'atached' is no trait.*attached.*products"),
    ("penalties.py", "attached=False, ", "**FLAGS, ", "**FLAGS", r"\*\*FLAGS is no trait"),
    ("penalties.py", "attached=False, ", "False, ", "@register(False", r"by name only"),
    ("penalties.py", "products=7", "products=-7", "products=-7", r"products=-7.*≥ 0"),
    ("penalties.py", "products=7", "products='7'", "products='7'", r"products='7'.*≥ 0"),
    ("penalties.py", "def fast(s)", "def fro2(s)", "def fro2(s)", r"'fro2'.*taken by"),
    ("penalties.py", "@register()\ndef fast", "def outer():\n  @register()\n  def fast", "def fast", r"inside another"),
    ("methods/constraints.py", 'keeps="on"', 'keeps="maybe"', "maybe", r'one of "on", "near", ""'),
    ("methods/constraints.py", "batch, *, strength", "batch, strength", "def __init__", r"def __init__\(self, batch, \*"),
    ("methods/constraints.py", "strength: float = 1.0", "strength: float = 2 * 3", "def __init__", r"'strength'.*2 \* 3"),
    ("methods/optimizers.py", "uses_penalty", "uses_reg", "uses_reg", r"'uses_reg' is no trait of a method"),
]  # fmt: skip


@pytest.mark.parametrize("file, old, new, at, says", BAD)
def test_what_cannot_be_read_is_said_with_file_and_line(house, file, old, new, at, says):
    edit(house / file, old, new)
    lines = [i + 1 for i, line in enumerate((house / file).read_text().splitlines()) if at in line]
    with pytest.raises(ConfigError, match=f"(?s){says}") as error:
        catalog.methods(house)
    assert any(str(error.value).startswith(f"{house / file}, line {line}: ") for line in lines), error.value


USER = '''
from orthogrid.penalties import register
from orthogrid.methods.base import Method, register as method
from orthogrid import shapes
from helpers import soften
import more

@register(products=3)
def mine(s, *, width=2):
    """Mine."""
    return soften(s) + shapes.round(s)

@method(keeps="on")
class own(Method):
    """Own."""
    def __init__(self, batch, *, speed=1.5):
        super().__init__(batch)
        more.start()

@figure("x")
def draw(): ...
'''


@pytest.fixture
def user(tmp_path):
    folder = tmp_path / "user"
    folder.mkdir()
    (folder / "mine.py").write_text(USER)
    (folder / "helpers.py").write_text("def soften(s):\n    return s\n\ndef harden(s):\n    return s\n")
    (folder / "more.py").write_text("def start(): ...\n")
    return folder / "mine.py"


def test_a_users_file_counts_like_the_package(house, user, monkeypatch):
    before = digests(house)
    use_code([user], house)
    penalties, methods = catalog.penalties(house), catalog.methods(house)
    assert list(penalties) == [*PENALTY_NAMES, "mine"] and list(methods) == [*METHOD_NAMES, "own"]
    assert penalties["mine"].options == {"width": 2.0} and penalties["mine"].products == 3
    assert methods["own"].options == {"speed": 1.5} and methods["own"].keeps == "on"
    assert penalties["mine"].file == str(user) and penalties["mine"].summary == "Mine."
    after = digests(house)
    assert before.items() < after.items()  # nothing of the package is stale
    use_code(house / "penalties.py", house)  # the package's own
    monkeypatch.chdir(user.parent)
    use_code("mine.py", house)  # the same file by another name
    assert digests(house) == after
    forget_code()
    assert list(catalog.penalties(house)) == PENALTY_NAMES


@pytest.mark.parametrize(
    "file, old, new, names",
    [
        ("user/mine.py", "+ shapes.round(s)", "- shapes.round(s)", {"mine"}),
        ("user/helpers.py", "soften(s):\n    return s", "soften(s):\n    return -s", {"mine"}),
        ("user/helpers.py", "harden(s):\n    return s", "harden(s):\n    return -s", set()),
        ("user/more.py", "...", "return 1", {"own"}),
        ("user/mine.py", "def draw(): ...", "def draw(): return 1", set()),
        ("user/mine.py", "products=3", "products=4", set()),
        ("orthogrid/shapes.py", "s.round()", "s.ceil()", {"mine", "shaped"}),
        ("orthogrid/methods/base.py", "self.batch.update(t)", "self.batch.update(1)", {*METHOD_NAMES, "own"}),
    ],
)
def test_a_users_file_is_followed(tmp_path, house, user, file, old, new, names):
    use_code([user], house)
    before = digests(house)
    edit(tmp_path / file, old, new)
    every = {*ALL, "mine", "own"}
    assert stale(before, digests(house)) == (every if {*METHOD_NAMES} <= names else names)


def test_a_register_that_is_not_the_packages_enters_nothing(house, user):
    user.write_text(
        "import atexit\ndef register(f): ...\n@register\ndef mine(s): ...\n@atexit.register\ndef stop(): ...\n"
    )
    use_code([user], house)
    assert list(catalog.penalties(house)) == PENALTY_NAMES


def test_a_changed_file_is_read_again_when_it_is_named_again(house, user):
    use_code([user], house)
    before = code_digest("mine", "adam", house)
    edit(user, "return soften(s)", "return 2 * soften(s)")
    assert code_digest("mine", "adam", house) == before
    use_code([user], house)
    assert code_digest("mine", "adam", house) != before


@pytest.mark.parametrize(
    "old, new, says",
    [
        ("def mine", "def fro2", r"mine.py, line 9: penalty 'fro2'.*taken by.*penalties.py, line \d+.*another name"),
        ("class own", "class adam", r"mine.py, line 14: method 'adam'.*taken by.*optimizers.py"),
        ("def mine(s, ", "def mine(", r"mine.py, line 9:.*exactly one positional"),
        ("batch, *, speed", "batch, speed", r"mine.py, line 16:.*def __init__\(self, batch, \*"),
        ("self, batch, *", "self, *", r"mine.py, line 16:.*def __init__\(self, batch, \*"),
        ("width=2", "width=[2]", r"mine.py, line 9: option 'width'.*\[2\]"),
        ("return soften", "return return", r"mine.py, line 11: no valid Python"),
        ("from orthogrid.penalties import register\n", "", r"mine.py, line 7.*register.*import"),
    ],
)
def test_a_users_file_that_cannot_count_is_refused_whole(house, user, old, new, says):
    fine = user.with_name("fine.py")
    fine.write_text("from orthogrid.penalties import register\n@register()\ndef good(s): ...\n")
    edit(user, old, new)
    with pytest.raises(ConfigError, match=says):
        use_code([fine, user], house)
    assert list(catalog.penalties(house)) == PENALTY_NAMES  # none of the files was taken


def test_a_users_file_needs_files_that_can_be_read(house, user):
    with pytest.raises(ConfigError, match=r"nothing\.py: there is no such file"):
        use_code([user, user.with_name("nothing.py")], house)
    user.with_name("helpers.py").write_text("def soften(:\n")
    with pytest.raises(ConfigError, match=r"mine\.py, line 9: penalty 'mine'.*helpers\.py, line 1"):
        use_code([user], house)
    user.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match=r"mine\.py"):
        use_code([user], house)
    with pytest.raises(ConfigError, match=r"user: "):
        use_code([user.parent], house)


def test_two_files_of_a_user_may_not_share_a_name(house, user):
    use_code([user], house)
    other = user.with_name("other.py")
    other.write_text("from orthogrid.penalties import register\n@register()\ndef mine(s): ...\n")
    with pytest.raises(ConfigError, match=r"other\.py, line 3: penalty 'mine'.*taken by .*mine\.py, line 9"):
        use_code([other], house)
    assert catalog.penalties(house)["mine"].file == str(user)


TEXT = "@register()\ndef noted(s, *, a=1):\n    return s * a\n"


def noted(**changes) -> Entry:
    return Entry(
        **{"name": "noted", "kind": "penalty", "options": {"a": 1.0}, "file": "<ipython-1>", "line": 2, **changes}
    )


def test_an_entry_made_at_run_time_has_a_digest_of_its_text(house):
    before = digests(house)

    def digest(text: str, **changes) -> str:
        assert enter(noted(**changes), text, house).name == "noted"
        return code_digest("noted", "adam", house)

    first = digest(TEXT)
    assert list(catalog.penalties(house)) == [*PENALTY_NAMES, "noted"] and "noted" not in catalog.methods(house)
    assert digest(TEXT.replace("s * a", "(s*a)  # why"), file="<ipython-2>", line=9) == first
    assert digest("    " + TEXT.replace("\n", "\n    ")) == first  # a definition inside another
    different = [digest(TEXT.replace("s * a", "s + a")), digest(""), digest("", options={"a": 2.0})]
    different += [digest("", traits={"attached": False}), digest("lambda s: s)"), digest("lambda s: 2 * s)")]
    assert len({first, *different}) == 7
    assert digest("", traits={"products": 5}) == digest("")
    assert before.items() < digests(house).items()


def test_an_entry_made_at_run_time_follows_names_of_the_package(house):
    enter(noted(), TEXT.replace("s * a", "helper(s)"), house)
    enter(Entry("quick", "method"), "@register()\nclass quick(Corrected):\n    pass\n", house)
    before = digests(house)
    edit(house / "penalties.py", "s - 1", "s - 2")
    edit(house / "methods" / "constraints.py", "STRENGTH = 0.5", "STRENGTH = 0.6")
    assert stale(before, digests(house)) == {"powered", "noted", "landing", "pogo", "deeper", "quick"}


def test_an_entry_made_at_run_time_takes_no_name_of_a_file(house, user):
    with pytest.raises(ConfigError, match=r"<ipython-1>, line 2: penalty 'fro2'.*taken by .*penalties\.py"):
        enter(noted(name="fro2"), TEXT, house)
    known = catalog.penalties(house)["fro2"]
    assert enter(noted(name="fro2", file=known.file), TEXT, house) is known  # the file itself, when it is run
    enter(noted(name="mine"), TEXT, house)
    with pytest.raises(ConfigError, match=r"mine\.py, line 9: penalty 'mine'.*taken by <ipython-1>, line 2"):
        use_code([user], house)
    assert catalog.penalties(house)["mine"].file == "<ipython-1>"
    enter(noted(name="mine", file=str(user)), TEXT, house)  # the file ran before it was named
    use_code([user], house)
    assert catalog.penalties(house)["mine"].products == 3


# The package as it stands.


def real_copy(tmp_path: Path) -> Path:
    root = tmp_path / "orthogrid"
    shutil.copytree(SOURCE, root, ignore=shutil.ignore_patterns("__pycache__"))
    return root


def edit_anywhere(root: Path, old: str, new: str) -> None:
    """In the file that has the text, wherever it stands."""
    (path,) = [path for path in root.rglob("*.py") if old in path.read_text()]
    edit(path, old, new)


def real_digests(root: Path = SOURCE) -> dict[tuple[str, str], str]:
    return digests(root, HOUSE)


REAL_EDITS = [
    ("s.mul_(4)\n\n\n@register()\ndef fro(", "s.mul_(5)\n\n\n@register()\ndef fro(", {"fro2"}),
    ("return torch.linalg.inv_ex(w)", "return torch.linalg.inv(w)", {"logdet"}),
    (
        "return each(torch.linalg.eigvalsh, s)",
        "return torch.linalg.eigvalsh(s)",
        {"spectral", "spectral2", "nuclear", "vonneumann"},
    ),
    ("beta: float = 0.01", "beta: float = 0.02", {"parseval"}),
    ("q, r = torch.linalg.qr(a)\n    return q * r.diagonal(dim1", "q, r = torch.linalg.qr(2 * a)\n    return q * r.diagonal(dim1", {"riemannian_qr"}),
    ("COST = 8", "COST = 4", {"widened"}),
    ("weight = (u @ vt).mT", "weight = u @ vt", {"procrustes", "procrustes_side"}),
    ("torch.rand(k, n", "torch.rand(n, k", None),
    ('penalty="none", reg=0.0,', 'penalty="none", reg=1.0,', None),
    ('inside = spec.partition("(")[2].rstrip(")")', 'inside = spec.partition("(")[2]', None),
    ('os.environ.setdefault("MKL_CBWR", "AUTO")', 'os.environ.setdefault("MKL_CBWR", "COMPATIBLE")', None),
    ("PENALTIES[penalty.name] = penalty", "PENALTIES[penalty.name] = penalty  # why", set()),
    ('"Size n of the n × n weight.', '"The size n of the n × n weight.', set()),
    ("WARM_UP = 3", "WARM_UP = 4", set()),
]  # fmt: skip


@pytest.mark.parametrize("old, new, names", REAL_EDITS)
def test_edits_of_the_real_package(tmp_path, old, new, names):
    before, root = real_digests(), real_copy(tmp_path)
    assert real_digests(root) == before
    edit_anywhere(root, old, new)
    every = {name for pair in before for name in pair}
    assert stale(before, real_digests(root)) == (every if names is None else names)


def test_what_the_trainer_asks_of_a_cell_is_in_every_digest():
    """A method of `Cell` that a numerical module calls must be a root, since a cell is followed by its roots alone."""
    source = catalog._source(SOURCE, HOUSE)
    cell = next(module for module, name in HOUSE.trainer if name == "Cell.problem")
    (definition,) = source.named(cell).makes["Cell"]
    members = {stmt.name for stmt in definition.body if isinstance(stmt, ast.FunctionDef)}
    digest = catalog._trained(SOURCE, HOUSE).copy().add(*catalog._filed(SOURCE, HOUSE)[1].values())
    modules = [module for module in digest.modules if module is not source.named(cell)]
    nodes = [node for module in modules for stmt in module.body for node in ast.walk(stmt)]
    asked = {node.attr for node in nodes if isinstance(node, ast.Attribute)} - {"__init__"}
    assert members & asked == {name.removeprefix("Cell.") for _, name in HOUSE.trainer if name.startswith("Cell.")}


def test_entries_are_what_the_modules_register():
    from orthogrid.penalties import PENALTIES

    penalties, methods = catalog.penalties(layout=HOUSE), catalog.methods(layout=HOUSE)
    assert list(penalties) == list(PENALTIES)
    assert {n: e.attached for n, e in penalties.items()} == {n: p.attached for n, p in PENALTIES.items()}
    assert all(e.summary for e in (*penalties.values(), *methods.values()))
    from orthogrid.methods import METHODS

    assert set(methods) == set(METHODS)
    for name, entry in methods.items():
        parameters = inspect.signature(METHODS[name].__init__).parameters.values()
        assert entry.options == {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}, name


def other_pythons() -> list[str]:
    found = [shutil.which(f"python3.{minor}") for minor in range(11, 16)]
    found += glob.glob(os.path.expanduser("~/.pyenv/versions/3.*/bin/python3"))
    versions = {}
    for path in filter(None, found):
        done = subprocess.run([path, "-c", "import sys; print(*sys.version_info[:2])"], capture_output=True, text=True)
        if done.returncode == 0 and (version := tuple(map(int, done.stdout.split()))) >= (3, 11):
            versions[version] = path
    return [path for version, path in sorted(versions.items()) if version != sys.version_info[:2]]


def test_digests_are_the_same_on_other_pythons(house):
    pythons = other_pythons()
    if not pythons:
        pytest.skip("no other Python ≥ 3.11 here")
    edit(
        house / "numerics" / "metrics.py",
        "w.norm()",
        '"a" f"{w!r:>{w}}{{}}" f"{w = }" "é\\N{BULLET}" + f"""{\n w:{w}d}"""',
    )
    # These modules alone, since the package needs libraries that other Pythons may lack.
    (house.parent / "alone").mkdir()
    for name in ("catalog", "closure", "entries", "statements"):
        shutil.copy(SOURCE / f"{name}.py", house.parent / "alone")
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); from pathlib import Path; from alone import catalog;"
        f"house, real = Path(sys.argv[2]), Path(sys.argv[3]); layout = catalog.Layout{tuple(vars(HOUSE).values())!r};"
        "print([catalog.code_digest(p, 'landing', house) for p in catalog.penalties(house)]);"
        "print([catalog.code_digest('fro2', m, real, layout) for m in catalog.methods(real, layout)])"
    )
    expected = f"{[code_digest(p, 'landing', house) for p in PENALTY_NAMES]}\n"
    expected += f"{[code_digest('fro2', m, layout=HOUSE) for m in catalog.methods(layout=HOUSE)]}\n"
    for python in pythons:
        done = subprocess.run(
            [python, "-c", code, str(house.parent), str(house), str(SOURCE)], capture_output=True, text=True, check=True
        )
        assert done.stdout == expected, python
