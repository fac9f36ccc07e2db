"""The catalog: entries as their source, a user's file or a notebook tells them."""

import copy
import inspect
import pickle
from pathlib import Path

import pytest
from small_house import ALL, METHOD_NAMES, PENALTY_NAMES, digests, edit, stale

from orthogrid.cells import catalog
from orthogrid.cells.catalog import (
    HOUSE,
    TRAITS,
    ConfigError,
    Entry,
    code_digest,
    enter,
    forget_code,
    use_code,
)

pytestmark = pytest.mark.usefixtures("fresh_catalog")


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
