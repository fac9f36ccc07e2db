"""Code digests: deaf to comments, docstrings and layout, equal on every Python, and local to a penalty."""

import functools
import glob
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from orthogrid import identity
from orthogrid.identity import METHOD_MODULES, PENALTY_MODULE, SOURCE, code_digest, registry, split_registry, tokens

TOKENS, SPLIT = functools.cache(tokens), functools.cache(split_registry)

PLAIN = """
def f(a, b):
    c = a + b
    if c:
        c = g(f"{c:>{b}} and {a!r}", 'x')
    return c
"""
REDRESSED = '''
# a comment
"""A module's docstring."""


def f(a, b):
    """A docstring."""

    c = a + b  # why
    if c:
            c = g(
                f"{c:>{b}} and {a!r}", 'x')
    return c
'''


def test_tokens_are_deaf_to_comments_docstrings_and_layout():
    assert tokens(PLAIN) == tokens(REDRESSED)


@pytest.mark.parametrize(
    "old, new",
    [("a + b", "a - b"), ("{a!r}", "{a!s}"), ("'x'", "'y'"), ("    return c", "        return c"), ("a, b", "b, a")],
)
def test_tokens_hear_every_change_of_meaning(old, new):
    assert old in PLAIN and tokens(PLAIN) != tokens(PLAIN.replace(old, new))


def test_a_string_that_is_a_value_is_no_docstring():
    assert tokens("x = 'a'\n") != tokens("x = 'b'\n")
    assert tokens("return_('a')\n") != tokens("return_('b')\n")


@pytest.fixture
def source(tmp_path, monkeypatch):
    """A copy of the source. A text is taken apart once for all digests."""
    monkeypatch.setattr(identity, "tokens", TOKENS)
    monkeypatch.setattr(identity, "split_registry", SPLIT)
    for path in SOURCE.glob("*.py"):
        shutil.copy(path, tmp_path)
    return tmp_path


def edit(source: Path, module: str, old: str, new: str) -> None:
    path = source / module
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    code_digest.cache_clear()
    registry.cache_clear()


def digests(source: Path) -> dict[str, str]:
    code_digest.cache_clear()
    return {name: code_digest(name, root=source) for name in registry(PENALTY_MODULE)}


def method_digests(source: Path, penalty: str = "fro2") -> dict[str, str]:
    """The digests of every method's rows with one penalty."""
    code_digest.cache_clear()
    names = [name for module in METHOD_MODULES for name in registry(module)]
    return {name: code_digest(penalty, name, source) for name in names}


def changed(before: dict[str, str], after: dict[str, str]) -> set[str]:
    assert list(before) == list(after)
    return {name for name in before if before[name] != after[name]}


@pytest.mark.parametrize(
    "old, new",
    [("s.mul_(4)\n\n\n@register()\ndef fro(", "s.mul_(5)\n\n\n@register()\ndef fro("), ("def fro2(s", "def fro2(t")],
)
def test_editing_a_penalty_makes_its_rows_stale_and_no_others(source, old, new):
    before = digests(source)
    edit(source, "penalties.py", old, new)
    after = digests(source)
    assert changed(before, after) == {"fro2"}


@pytest.mark.parametrize(
    "module, old, new, stale",
    [
        ("constraints.py", "beta: float = 0.01", "beta: float = 0.02", {"parseval"}),
        ("constraints.py", "-self.strength * self.rates", "self.strength * self.rates", {"landing"}),
        ("constraints.py", "rate * self.batch.weight.shape[-1]", "rate", {"geoopt"}),
        ("constraints.py", "keeps_side = True", "keeps_side = bool(1)", {"procrustes_side"}),
        # What methods share is every one's in the module.
        ("constraints.py", "weight = (u @ vt).mT", "weight = u @ vt", set(registry("constraints.py"))),
        ("cures.py", "COST = 8", "COST = 4", {"widened"}),
        ("cures.py", "self.low**rest", "self.low * rest", {"reg_ramp"}),
        ("cures.py", "better = loss", "better = 2 * loss", {"restart"}),
    ],
)  # fmt: skip
def test_editing_a_method_makes_its_rows_stale_and_no_others(source, module, old, new, stale):
    plain, methods = digests(source), method_digests(source)
    edit(source, module, old, new)
    assert changed(methods, method_digests(source)) == stale
    assert plain == digests(source)


@pytest.mark.parametrize("module, others", [("constraints.py", "cures.py"), ("cures.py", "constraints.py")])
def test_a_modules_shared_code_belongs_to_its_own_methods(source, module, others):
    plain, methods = digests(source), method_digests(source)
    path = source / module
    path.write_text(path.read_text() + "\nadded = 1\n")
    assert changed(methods, method_digests(source)) == set(registry(module, source))
    assert plain == digests(source)
    assert not set(registry(module, source)) & set(registry(others, source))


def test_a_cures_digest_depends_on_its_cells_penalty(source):
    assert set(map(len, map(set, zip(*(method_digests(source, p).values() for p in ("fro2", "l1")), strict=True)))) == {
        2
    }
    with_l1, with_fro2 = method_digests(source, "l1"), method_digests(source)
    edit(source, "penalties.py", "s.mul_(4)\n", "s.mul_(5)\n")
    assert changed(with_fro2, method_digests(source)) and not changed(with_l1, method_digests(source, "l1"))


def test_all_combinations_have_digests_of_their_own():
    combined = [code_digest(p, m) for p in ("fro2", "l1") for m in ("", "reg_ramp", "widened", "landing")]
    assert len(set(combined)) == len(combined)


def test_adding_a_penalty_makes_nothing_stale(source):
    before = digests(source)
    path = source / "penalties.py"
    path.write_text(
        path.read_text() + "\n\n@register()\ndef cubic(s: Tensor) -> Tensor:\n    return total(s.abs() ** 3)\n"
    )
    assert before == digests(source)
    registry.cache_clear()
    assert "cubic" in registry("penalties.py", source)


@pytest.mark.parametrize(
    "module, old, new",
    [
        ("train.py", "1e-8", "1e-7"),
        ("linalg.py", "x.sum(-1).sum(-1)", "x.sum((-1, -2))"),
        ("problem.py", "torch.rand(k, n", "torch.rand(n, k"),
        ("methods.py", "self.batch.set_rates(t)", "self.batch.set_rates(t + 1)"),
        ("penalties.py", "self.value(s, **options)", "2 * self.value(s, **options)"),
    ],
)
def test_editing_shared_code_makes_every_row_stale(source, module, old, new):
    before, methods = digests(source), method_digests(source)
    edit(source, module, old, new)
    assert changed(before, digests(source)) == set(before)
    assert changed(methods, method_digests(source)) == set(methods)


@pytest.mark.parametrize("module", ["figures.py", "progress.py", "runner.py", "store.py", "grid.py"])
def test_code_that_computes_no_row_is_not_in_the_digest(source, module):
    before = digests(source)
    path = source / module
    path.write_text((path.read_text() if path.exists() else "") + "\nadded = 1\n")
    assert before == digests(source)


def test_a_cosmetic_edit_makes_nothing_stale(source):
    before = digests(source)
    edit(source, "train.py", "ADAM = {", "# a comment\nADAM = {")
    edit(source, "penalties.py", '"""sum |S_ij| (the thread', '"""Sum of |S_ij| (the thread')
    assert before == digests(source)


def test_registry_is_what_the_modules_register():
    from orthogrid.penalties import PENALTIES

    entries = registry("penalties.py")
    assert list(entries) == list(PENALTIES)
    assert {n: e.uses_reg for n, e in entries.items()} == {n: p.uses_reg for n, p in PENALTIES.items()}
    assert {n: e.flags.get("attached", True) for n, e in entries.items()} == {
        n: p.attached for n, p in PENALTIES.items()
    }
    assert entries["huber"].options == {"delta": 1e-3} and all(e.summary for e in entries.values())


def test_registries_of_methods_are_what_the_modules_register():
    import inspect

    import orthogrid.numerics.train  # noqa: F401 - the methods enter with it
    from orthogrid.methods.base import METHODS

    entries = {name: entry for module in METHOD_MODULES for name, entry in registry(module).items()}
    assert {"adam", *entries} == set(METHODS) and all(e.summary for e in entries.values())
    for name, entry in entries.items():
        parameters = inspect.signature(METHODS[name].__init__).parameters.values()
        assert entry.options == {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}, name
    assert all(e.uses_penalty for e in registry("cures.py").values())
    assert not any(e.uses_penalty for e in registry("constraints.py").values())
    assert {n for n, e in entries.items() if not e.uses_steps} == {"procrustes", "procrustes_side"}


def test_hooks_belong_to_their_entry():
    entries, texts, shared = split_registry(
        "@register()\ndef a(s):\n    return s\n\n@a.gradient\ndef _(w):\n    return w\n\nx = 1\n"
    )
    assert list(entries) == ["a"] and "return w" in texts["a"] and shared.split() == ["x", "=", "1"]


def other_pythons() -> list[str]:
    found = [shutil.which(f"python3.{minor}") for minor in range(11, 16)]
    found += glob.glob(os.path.expanduser("~/.pyenv/versions/3.*/bin/python3"))
    versions = {}
    for path in filter(None, found):
        done = subprocess.run([path, "-c", "import sys; print(*sys.version_info[:2])"], capture_output=True, text=True)
        if done.returncode == 0 and (version := tuple(map(int, done.stdout.split()))) >= (3, 11):
            versions[version] = path
    return [path for version, path in sorted(versions.items()) if version != sys.version_info[:2]]


def test_decorators_arguments_are_flags():
    entries, _, _ = split_registry(
        "@register\ndef a(s): ...\n@register(uses_reg=False, attached=False)\ndef b(s, *, x=2): ...\n"
        "@register(uses_penalty=True)\nclass c:\n    def __init__(self, batch, *, y: float = 3): ...\n"
    )
    assert [e.flags for e in entries.values()] == [{}, {"uses_reg": False, "attached": False}, {"uses_penalty": True}]
    assert [e.options for e in entries.values()] == [{}, {"x": 2.0}, {"y": 3.0}]
    assert entries["a"].uses_reg and not entries["b"].uses_reg and entries["c"].uses_penalty
    assert not entries["a"].uses_penalty and entries["a"].uses_steps


def test_digest_is_the_same_on_other_pythons():
    pythons = other_pythons()
    if not pythons:
        pytest.skip("no other Python ≥ 3.11 here")
    # The module alone, since the package's other modules need libraries that other Pythons may lack.
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import identity;"
        "print({name: identity.code_digest(name) for name in identity.registry('penalties.py')});"
        "print(identity.tokens(sys.stdin.read()))"
    )
    expected = f"{ {name: code_digest(name) for name in registry('penalties.py')} }\n{tokens(PLAIN)}\n"
    for python in pythons:
        done = subprocess.run(
            [python, "-c", code, str(SOURCE)], input=PLAIN, capture_output=True, text=True, check=True
        )
        assert done.stdout == expected, python
