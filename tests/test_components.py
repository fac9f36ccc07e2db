"""A component is a file: what its text tells, and which edits make which rows stale."""

from __future__ import annotations

import inspect
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from conftest import ROOT

from orthogrid.cells import components, sources
from orthogrid.cells.components import ConfigError, changes, code_digest, code_parts, forget_code, use_code
from orthogrid.cells.config import check_config
from orthogrid.cells.reading import KINDS
from orthogrid.cells.sources import COUNTED, PACKAGE, SILENT, closure, imported_files, label, makes_rows, text_of

pytestmark = pytest.mark.usefixtures("alone")
PENALTIES, METHODS = list(components.penalties()), list(components.methods())
ALL = {*PENALTIES, *METHODS}
RELATIVE = {"landing", "pogo", "riemannian_qr", "riemannian_polar"}
LIBRARIES = {"torch_exp", "torch_cayley", "torch_householder", "geotorch", "geoopt"}
EIGEN = {"spectral", "spectral2", "nuclear", "vonneumann"}


@pytest.fixture(scope="module")
def before() -> dict[str, str]:
    """The digests of the package, and so of each copy of it: places of files do not count."""
    return digests()


@pytest.fixture
def house(before, tmp_path, monkeypatch) -> Path:
    """A copy of the package's cells and engine, in the place of the package."""
    root = tmp_path / "orthogrid"
    root.mkdir()
    for name in ("__init__.py", "cells", "numerics", "penalties", "methods", "models", "training"):
        source = PACKAGE / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, root / name)
    monkeypatch.setattr(sources, "PACKAGE", root)
    monkeypatch.setattr(components, "PACKAGE", root)
    monkeypatch.setattr(components, "TRAINER", root / "training" / "train.py")
    monkeypatch.setattr(components, "FOLDERS", {kind: root / folder for kind, folder in KINDS.items()})
    forget_code()
    return root


def digests() -> dict[str, str]:
    """By component: of a penalty with adam, of a method without a penalty. Read anew."""
    components._filed.cache_clear()
    components.code_digest.cache_clear()
    sources._text.cache_clear()
    sources._read.cache_clear()
    of_penalties = {name: code_digest(name, "adam", "linear") for name in components.penalties()}
    return of_penalties | {name: code_digest("none", name, "linear") for name in components.methods()}


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text, f"{old!r} is not in {path}"
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def stale(before: dict[str, str]) -> set[str]:
    now = digests()
    return {name for name in before if now.get(name) != before[name]}


# ---- What makes rows stale ----

STALE = [
    # A penalty, a method, what several share, what all share.
    ("penalties/huber.py", "inside / 2", "inside / 3", {"huber"}),
    ("penalties/huber.py", "1e-3) -> Tensor:\n    \"\"\"", "1e-2) -> Tensor:\n    \"\"\"", {"huber"}),
    ("penalties/eigen.py", "eigvalsh", "eigvals", EIGEN),
    ("methods/lifted.py", "noise: float = 1e-3", "noise: float = 1e-2", {"lifted"}),
    ("methods/rows.py", "mul_(2)", "mul_(3)", {"lifted"} | LIBRARIES),
    ("models/linear.py", "or math.nan", "or math.inf", ALL),
    ("models/relu2.py", "relu()", "tanh()", set()),  # these are the rows of `linear`
    ("models/network.py", "math.sqrt(columns)", "columns", set()),
    ("methods/relative.py", "mul_(0.5)", "mul_(0.6)", RELATIVE),
    ("methods/corrected.py", "strength: float = 0.5", "strength: float = 0.4", RELATIVE | {"newton_schulz", "parseval"}),
    ("numerics/linalg.py", "ALONE_FROM = 384", "ALONE_FROM = 385", ALL),
    ("training/train.py", "STACK_ELEMENTS = 200_000", "STACK_ELEMENTS = 300_000", ALL),
    ("cells/shape.py", "GRAM_FROM = 1.2", "GRAM_FROM = 1.3", ALL),
    # A trait that the trainer reads, and one that estimates a cost.
    ("penalties/nuclear.py", "decomposes=True", "decomposes=False", {"nuclear"}),
    ("methods/lifted.py", "matrices=8", "matrices=9", set()),
]  # fmt: skip
# What changes no number.
SILENT_EDITS = [
    ("penalties/huber.py", "Smooth L1", "A smooth L1"),
    ("penalties/huber.py", "inside / 2", "(inside/2)"),
    ("penalties/huber.py", "size = s.abs()", "size: Tensor = s.abs()"),
    ("penalties/huber.py", "def huber(s: Tensor", "def huber(s"),
    ("numerics/graphs.py", "WARM_UP = 3", "WARM_UP = 4"),
    ("cells/cell.py", "Time grows with its cube", "Time grows fast"),
    ("cells/reading.py", "takes traits by name only", "takes names only"),
]  # fmt: skip


@pytest.mark.parametrize(("file", "old", "new", "names"), STALE)
def test_an_edit_makes_the_rows_stale_that_depend_on_it_and_no_others(house, before, file, old, new, names):
    edit(house / file, old, new)
    assert stale(before) == names - ({"none"} if file.startswith("penalties/") else set())


def test_edits_that_change_no_number_make_no_rows_stale(house, before):
    for file, old, new in SILENT_EDITS:
        edit(house / file, old, new)
    assert stale(before) == set()


def test_names_and_places_of_files_do_not_count(house, before):
    (house / "numerics" / "metrics.py").rename(house / "numerics" / "measures.py")
    for name in ("models/base", "models/linear", "models/network", "methods/batch"):
        edit(house / f"{name}.py", "from ..numerics import metrics", "from ..numerics import measures as metrics")
    (house / "penalties" / "eigen.py").rename(house / "penalties" / "spectra.py")
    for name in ("spectral", "spectral2", "nuclear", "vonneumann"):
        edit(house / "penalties" / f"{name}.py", "from .eigen import", "from .spectra import")
    assert stale(before) == set()


def test_the_same_name_from_another_file_counts(house, before):
    shutil.copy(house / "penalties" / "eigen.py", house / "penalties" / "other.py")
    edit(house / "penalties" / "other.py", "eigvalsh", "eigvals")
    assert stale(before) == set()
    edit(house / "penalties" / "nuclear.py", "from .eigen import", "from .other import")
    assert stale(before) == {"nuclear"}


def unlisted(root: Path) -> set[str]:
    """Files that the engine imports, and that neither count nor are listed as silent."""
    files = [path for folder in COUNTED if "." not in folder for path in (root / folder).glob("*.py")]
    reached = {piece for path in files for piece in text_of(path) if isinstance(piece, Path)}
    return {label(path) for path in reached if not makes_rows(path)} - set(SILENT)


def test_what_the_engine_imports_counts_or_is_listed_as_silent(house):
    assert unlisted(house) == set()
    for silent in SILENT:
        assert (house / silent).is_file()
    (house / "jobs").mkdir()
    (house / "jobs" / "store.py").write_text("LOOKS = 5\n")
    edit(house / "numerics" / "linalg.py", "import contextlib\n", "import contextlib\nfrom ..jobs.store import LOOKS\n")
    assert unlisted(house) == {"jobs/store.py"}


def test_the_parts_of_a_digest_say_what_changed(house):
    before = code_parts("huber", "lifted", "linear")
    assert {"penalties/huber.py", "methods/lifted.py", "methods/adam.py", "training/train.py"} <= set(before)
    assert not {"penalties/eigen.py", "numerics/graphs.py", "cells/cell.py"} & set(before)
    edit(house / "penalties" / "huber.py", "inside / 2", "inside / 3")
    digests()
    assert changes(before, code_parts("huber", "lifted", "linear")) == "penalties/huber.py changed"
    assert changes(before, code_parts("l1", "lifted", "linear")) == "penalties/l1.py is new, penalties/huber.py is gone"
    assert changes(None, before) == "the code that made them is not on record"
    assert changes({"a": "1", "b": "1", "c": "1", "d": "1"}, {}).endswith("c is gone and 1 more")


def test_a_plan_needs_no_torch_and_every_order_of_reading_gives_one_digest():
    code = "import sys; from orthogrid.cells.cell import Cell; print(Cell().code, Cell(penalty='huber').code, 'torch' in sys.modules)"
    one = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    digests()
    assert one == [code_digest("fro2", "adam", "linear"), code_digest("huber", "adam", "linear"), "False"]


# ---- What a file tells ----


def test_entries_are_what_the_files_register():
    from orthogrid import methods, models, penalties

    assert set(penalties.PENALTIES) == set(PENALTIES) and set(methods.METHODS) == set(METHODS)
    for kind, module in (("penalty", penalties), ("method", methods)):
        assert [path.stem for path in components.component_files(kind)][: len(module.ORDER)] == list(module.ORDER)
        assert set(module.ORDER) == set(PENALTIES if kind == "penalty" else METHODS)
    assert [path.stem for path in components.component_files("model")][: len(models.ORDER)] == list(models.ORDER)
    assert set(models.ORDER) == set(models.MODELS) == set(components.models())
    for name, entry in components.penalties().items():
        assert penalties.PENALTIES[name].entry == entry and entry.summary and Path(entry.file).stem == name
    for name, entry in [*components.methods().items(), *components.models().items()]:
        parameters = inspect.signature((methods.METHODS | models.MODELS)[name].__init__).parameters.values()
        assert entry.options == {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}, name
        assert entry.summary and Path(entry.file).stem == name


def test_a_file_in_a_folder_of_the_package_is_a_component_at_once(house):
    (house / "penalties" / "cubic.py").write_text(
        "from .base import register\n@register()\ndef cubic(s, *, scale=1):\n    '''Third powers.'''\n    return scale * s.abs()**3\n"
    )
    digests()
    assert list(components.penalties()) == [*PENALTIES, "cubic"]
    entry = components.penalties()["cubic"]
    assert (entry.options, entry.summary, entry.products) == ({"scale": 1.0}, "Third powers.", 2)


BAD = [
    ("penalties/none.py", "attached=False, ", "attached=0, ", r"trait attached=0 .*True or False"),
    ("penalties/none.py", "attached=False, ", "atached=False, ", r"'atached' is no trait.*attached.*products"),
    ("penalties/none.py", "attached=False, ", "**FLAGS, ", r"\*\*FLAGS is no trait"),
    ("penalties/none.py", "attached=False, ", "False, ", r"by name only"),
    ("penalties/none.py", "attached=False, ", "products=-7, ", r"products=-7 .*≥ 0"),
    ("penalties/fro2.py", "def fro2(s", "def none(s", r"'none'.*taken by .*none.py"),
    ("penalties/none.py", "@register(attached=False, uses_reg=False)\n", "class A:\n    @register()\n    def inner(s): ...\n\n\n", r"inside another"),
    ("methods/landing.py", 'keeps="near"', 'keeps="maybe"', r'one of "on", "near", ""'),
    ("methods/landing.py", "batch, *, strength", "batch, strength", r"def __init__\(self, batch, \*"),
    ("methods/landing.py", "strength: float = 1.0", "strength: float = 2 * 3", r"'strength'.*2 \* 3"),
    ("methods/landing.py", "constrains", "uses_reg", r"'uses_reg' is no trait of a method"),
]  # fmt: skip


@pytest.mark.parametrize(("file", "old", "new", "says"), BAD)
def test_what_cannot_be_read_is_said_with_file_and_line(house, file, old, new, says):
    edit(house / file, old, new)
    with pytest.raises(ConfigError, match=rf"(?s)/{file}, line \d+: .*{says}"):
        digests()


def test_a_file_of_the_package_that_cannot_be_read_is_told_once(house):
    (house / "penalties" / "cubic.py").write_text("def cubic(:\n")
    forget_code()
    with pytest.raises(ConfigError) as error:
        check_config({"run": "x", "blocks": [{"name": name, "axes": {"seed": 1}} for name in "abc"]})
    assert str(error.value).count("cubic.py, line 1: no valid Python") == 1


# ---- A user's files ----

USER = '''
from orthogrid.penalties import register
from orthogrid.methods.base import Method, register as method
from orthogrid.numerics import linalg
from orthogrid import figure
from helpers import soften
import more

@register(products=3)
def mine(s, *, width=2):
    """Mine."""
    return soften(s) + linalg.total(s)

@figure("x")
def draw(): ...
'''
OTHER = '''
import atexit
from orthogrid import methods
import helpers

@methods.register(keeps="on")
class own(methods.Method):
    """Own."""
    def __init__(self, batch, *, speed=1.5):
        super().__init__(batch)
        helpers.harden()

@atexit.register
def stop(): ...
'''


@pytest.fixture
def user(tmp_path):
    folder = tmp_path / "user"
    folder.mkdir()
    (folder / "mine.py").write_text(USER)
    (folder / "other.py").write_text(OTHER)
    (folder / "helpers.py").write_text("def soften(s):\n    return s\n\ndef harden(s):\n    return s\n")
    (folder / "more.py").write_text("def start(): ...\n")
    return folder


def test_a_users_files_count_like_the_package(user, before, monkeypatch):
    use_code([user / "mine.py", user / "other.py"])
    penalties, methods = components.penalties(), components.methods()
    assert list(penalties) == [*PENALTIES, "mine"] and list(methods) == [*METHODS, "own"]
    assert penalties["mine"].options == {"width": 2.0} and penalties["mine"].products == 3
    assert methods["own"].options == {"speed": 1.5} and methods["own"].keeps == "on"
    assert penalties["mine"].file == str(user / "mine.py") and penalties["mine"].summary == "Mine."
    after = digests()
    assert before.items() < after.items()  # nothing of the package is stale
    monkeypatch.chdir(user)
    use_code("mine.py")  # the same file by another name
    assert digests() == after
    forget_code()
    use_code(user)  # the folder
    assert digests() == after


@pytest.mark.parametrize(
    ("file", "old", "new", "names"),
    [
        ("user/mine.py", "+ linalg", "- linalg", {"mine"}),
        ("user/helpers.py", "soften(s):\n    return s", "soften(s):\n    return -s", {"mine", "own"}),
        ("user/more.py", "...", "return 1", {"mine"}),
        ("user/mine.py", "def draw(): ...", "def draw(): return 1", set()),
        ("user/mine.py", "products=3", "products=4", set()),
        ("orthogrid/penalties/huber.py", "inside / 2", "inside / 3", {"huber"}),
        ("orthogrid/numerics/linalg.py", "ALONE_FROM = 384", "ALONE_FROM = 385", {*ALL, "mine", "own"}),
    ],
)
def test_a_users_file_is_followed(tmp_path, house, user, file, old, new, names):
    use_code(user)
    before = digests()
    edit(tmp_path / file, old, new)
    assert stale(before) == names


def test_a_changed_file_is_read_again_when_it_is_named_again(user):
    use_code(user)
    before = code_digest("mine", "adam", "linear")
    edit(user / "mine.py", "return soften(s)", "return 2 * soften(s)")
    use_code(user)
    assert code_digest("mine", "adam", "linear") != before


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("def mine", "def fro2", r"mine.py, line 10: penalty 'fro2'.*taken by.*fro2.py, line \d+.*another name"),
        ("def mine(s, ", "def mine(", r"mine.py, line 10:.*exactly one positional"),
        ("width=2", "width=[2]", r"mine.py, line 10: option 'width'.*\[2\]"),
        ("return soften", "return return", r"mine.py, line 12: no valid Python"),
        ("from orthogrid.penalties import register\n", "", r"mine.py, line 8.*register.*import"),
    ],
)
def test_a_users_file_that_cannot_count_is_refused_whole(user, old, new, says):
    (user / "fine.py").write_text("from orthogrid.penalties import register\n@register()\ndef good(s): ...\n")
    edit(user / "mine.py", old, new)
    with pytest.raises(ConfigError, match=says):
        use_code([user / "fine.py", user / "mine.py"])
    assert list(components.penalties()) == PENALTIES  # none of the files was taken


def test_a_users_file_needs_files_that_can_be_read(user):
    with pytest.raises(ConfigError, match=r"nothing\.py: there is no such file"):
        use_code([user / "mine.py", user / "nothing.py"])
    (user / "helpers.py").write_text("def soften(:\n")
    with pytest.raises(ConfigError, match=r"mine\.py, line 10: penalty 'mine'.*helpers\.py, line 1"):
        use_code(user / "mine.py")
    (user / "mine.py").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match=r"mine\.py"):
        use_code(user / "mine.py")


def test_two_files_of_a_user_may_not_share_a_name(user):
    use_code(user)
    (user / "again.py").write_text("from orthogrid.penalties import register\n@register()\ndef mine(s): ...\n")
    with pytest.raises(
        ConfigError, match=r"mine\.py, line 10|again\.py, line 3: penalty 'mine'.*taken by .*mine\.py, line 10"
    ):
        use_code(user / "again.py")
    assert components.penalties()["mine"].file == str(user / "mine.py")


def test_files_beside_a_users_are_followed_and_those_of_python_are_not(user):
    names = {path.name for path in imported_files(user / "mine.py")}
    assert {"mine.py", "helpers.py", "more.py", "linalg.py"} <= names and "other.py" not in names
    assert [label(path) for path in closure([user / "other.py"], rows=True)][:1] == ["other.py"]


# ---- Notebooks ----


def register(text: str, **space) -> str:
    """The code digest of `noted` after a cell of a notebook ran."""
    header = "from orthogrid.penalties import register\n"
    exec(compile(header + textwrap.dedent(text), "<cell>", "exec"), {"__name__": "__main__", **space})
    return code_digest("noted", "adam", "linear")


def test_what_a_notebook_registers_has_a_digest_of_its_own(user, before):
    text = "@register()\ndef noted(s, *, a=1):\n    return s * a\n"
    first = register(text)
    assert list(components.penalties()) == [*PENALTIES, "noted"]
    assert register(text) == first and register(text.replace("s * a", "s + a")) != first
    assert before.items() < digests().items()
    with pytest.raises(ConfigError, match=r"penalty 'fro2': the name is taken by .*fro2\.py"):
        register(text.replace("noted", "fro2"))
    with pytest.raises(ConfigError, match=r"'a' must have a number"):
        register(text.replace("a=1", "a='1'"))
    with pytest.raises(ConfigError, match=r"kepes=1 is no trait"):
        register(text.replace("register()", "register(kepes=1)"))
    register(text.replace("noted", "mine"))
    with pytest.raises(ConfigError, match=r"mine\.py, line 10: penalty 'mine'.*taken by "):
        use_code(user)


def test_the_house_is_where_the_tests_look():
    assert PACKAGE == ROOT / "src" / "orthogrid"
