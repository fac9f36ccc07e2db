"""Digests: they hear what a row depends on and nothing else."""

import ast
import glob
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from small_house import ALL, METHOD_NAMES, PENALTY_NAMES, digests, edit, stale

from orthogrid.cells import catalog
from orthogrid.cells.catalog import (
    HOUSE,
    SOURCE,
    ConfigError,
    Layout,
    code_digest,
)
from orthogrid.cells.closure import Digest, Source
from orthogrid.cells.statements import _acts, chain

pytestmark = pytest.mark.usefixtures("fresh_catalog")

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


def test_a_package_used_as_a_value_counts_with_all_its_files(house):
    (house / "tools").mkdir()
    (house / "tools" / "__init__.py").write_text("")
    (house / "tools" / "one.py").write_text("def one(s):\n    return s\n")
    edit(
        house / "penalties.py",
        "return FAST * s",
        "from . import tools\n    return [getattr(tools, name) for name in s]",
    )
    before = digests(house)
    edit(house / "tools" / "one.py", "return s", "return 2 * s")
    assert stale(before, digests(house)) == {"fast"}


def test_what_is_told_beside_the_nodes_counts(house):
    source = Source(house, "orthogrid")
    node = source.node("penalties", "helper")
    told = [Digest(source).add(node).add_text(text).value() for text in ("a", "a", "b")]
    assert told[0] == told[1] != told[2] and Digest(source).add(node).value() not in told


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
    ("try:\n    f = 1\nexcept ValueError:\n    f = helper", True),
    ("match 1:\n    case 1:\n        f = helper", True),
    ("class B:\n    def __init__(self): helper\nclass f(B): ...", True),
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


def package_digest(root: Path, user: Path | None = None) -> str:
    """Of the function f in a user's file, or in the package's module m."""
    source = Source(root, "pack")
    node = (source.read(user), "f") if user else source.node("m", "f")
    return Digest(source).add(node).value()


def test_an_external_module_in_a_users_file_counts_by_its_name(tmp_path):
    (tmp_path / "pack").mkdir()
    user = tmp_path / "user.py"
    found = set()
    for module in ("math", "cmath", "numpy.lib.scimath"):
        user.write_text(f"from {module} import sqrt\ndef f(s): return sqrt(s)\n")
        found.add(package_digest(tmp_path / "pack", user))
    assert len(found) == 3


def test_a_package_that_a_users_file_imports_first_has_its_effects_all_the_same(tmp_path):
    root, user = tmp_path / "pack", tmp_path / "user.py"
    root.mkdir()
    (root / "m.py").write_text("def g(s): return s\n")
    user.write_text("from pack.m import g\ndef f(s): return g(s)\n")
    found = set()
    for effect in ("", "import torch\ntorch.manual_seed(1)\n", "import torch\ntorch.manual_seed(2)\n"):
        (root / "__init__.py").write_text(effect)
        found.add(package_digest(root, user))
    assert len(found) == 3


def test_a_package_means_no_file_of_its_own_by_the_name_of_an_external_module(tmp_path):
    (tmp_path / "__init__.py").write_text("import random\nrandom.seed(0)\n")
    (tmp_path / "m.py").write_text("def f(s): return s\n")
    found = set()
    for text in ("def seed(n): return n\n", "def seed(n): return 2 * n\n"):
        (tmp_path / "random.py").write_text(text)
        found.add(package_digest(tmp_path))
    assert len(found) == 1


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
    ("@fro2.multiplier(factor=4)", "@fro2.multiplier(factor=5)", {"fro2"}),
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


def test_chains_of_attributes_are_read_in_their_order():
    assert chain(ast.parse("a.b.c.d", mode="eval").body) == ("a", ("b", "c", "d"))
    assert chain(ast.parse("a().b", mode="eval").body) is None


@pytest.mark.parametrize(
    "statement, acts",
    [
        ("y = 1", False), ("y.z = 1", False), ("other.x = 1", True), ("y, other.x = 1, 2", True), ("y.append(1)", False),
        ("other.append(1)", True), ("print(1)", True), ("del y", False), ("y += 1", False), ("import os", False),
        ("if y:\n    other.x = 1", True), ("if y:\n    y = 2", False),
        ("try:\n    y = 2\nexcept E:\n    other.x = 1", True), ("match y:\n    case 1:\n        other.x = 1", True),
    ],
)  # fmt: skip
def test_a_statement_acts_where_it_reaches_beyond_its_module(statement, acts):
    assert _acts(ast.parse(statement).body[0], {"y", "z"}) is acts


def test_a_star_in_a_module_that_is_used_as_a_value_counts(house):
    (house / "more.py").write_text("def one(s):\n    return s\n")
    with (house / "shapes.py").open("a") as file:
        file.write("\nfrom .more import *\n")
    edit(house / "penalties.py", "return FAST * s", "return [getattr(shapes, name) for name in s]")
    before = digests(house)
    edit(house / "more.py", "return s", "return 2 * s")
    assert stale(before, digests(house)) == {"fast"}


def test_a_method_that_another_one_only_names_counts(house):
    edit(house / "cell.py", "self.plain()", "self.plain.__name__")
    before = digests(house)
    edit(house / "cell.py", 'return "adam"', 'return "sgd"')
    assert stale(before, digests(house)) == ALL


def test_a_class_has_the_init_of_the_nearest_base_that_has_one(tmp_path):
    (tmp_path / "a.py").write_text("class A:\n    def __init__(self, one): ...\nclass B(A): ...\n")
    (tmp_path / "b.py").write_text("from .a import B\nclass N: ...\nclass C(N, B): ...\nclass D(N): ...\n")
    source = Source(tmp_path, "pack")
    module = source.read(tmp_path / "b.py", inside=True)
    classes = {stmt.name: stmt for (stmt,) in (module.makes[name] for name in "NCD")}
    where, init = source.constructor(module, classes["C"])
    assert where.path == tmp_path / "a.py" and [arg.arg for arg in init.args.args] == ["self", "one"]
    for name in "ND":
        assert source.constructor(module, classes[name]) == (module, None)
