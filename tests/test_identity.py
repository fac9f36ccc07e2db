"""Code digests: deaf to comments, docstrings and layout, equal on every Python, and local to a penalty."""

import glob
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from orthogrid.identity import SOURCE, code_digest, registry, split_registry, tokens

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
def source(tmp_path):
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
    return {name: code_digest(name, source) for name in registry("penalties.py")}


@pytest.mark.parametrize("old, new", [("s.mul_(4)", "s.mul_(5)"), ("def fro2(s", "def fro2(t")])
def test_editing_a_penalty_makes_its_rows_stale_and_no_others(source, old, new):
    before = digests(source)
    edit(source, "penalties.py", old, new)
    after = digests(source)
    assert [name for name in before if before[name] != after[name]] == ["fro2"]


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
        ("penalties.py", "self.value(s, **options)", "2 * self.value(s, **options)"),
    ],
)
def test_editing_shared_code_makes_every_row_stale(source, module, old, new):
    before = digests(source)
    edit(source, module, old, new)
    after = digests(source)
    assert all(before[name] != after[name] for name in before)


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
    assert entries["huber"].options == {"delta": 1e-3} and all(e.summary for e in entries.values())


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
