"""A small house: a package with every kind of name that a row may depend on, and what an edit makes stale there."""

from pathlib import Path

from orthogrid.cells import catalog
from orthogrid.cells.catalog import HOUSE, Layout, code_digest

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
