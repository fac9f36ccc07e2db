"""Configs from strangers: whatever is wrong is told at once, in words that name it, and nothing runs."""

from __future__ import annotations

import gzip
import re
import string
import time

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_workflow import copy_project, snakemake

from orthogrid.__main__ import main
from orthogrid.cells.cell import AXES
from orthogrid.cells.components import ConfigError
from orthogrid.cells.config import MOST_CELLS, check_config, load_config

GOOD = "run: mine\nblocks:\n  - name: a\n    axes: {dimension: 6, steps: 5, seed: [1, 2]}\n"
LIMIT = 2.0  # seconds of an answer


def with_axis(text: str) -> str:
    return GOOD.replace("seed: [1, 2]", text)


def named(text: str) -> str:
    return GOOD.replace("mine", text)


def block(text: str) -> str:
    return GOOD.replace("name: a", text)


BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{new}: &{new} [{', '.join([f'*{old}'] * 9)}]\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)
# name: (the file, what its answer names)
WRONG = {
    # What is no config at all.
    "empty": ("", "expected a mapping"),
    "a number": ("5", "expected a mapping"),
    "a list": ("- a\n", "expected a mapping"),
    "two documents": (GOOD + "---\n" + GOOD, "no valid YAML"),
    "a tab": (GOOD.replace("    axes", "\taxes"), "indent by spaces, not by tabs"),
    "a tag that runs code": (GOOD + "title: !!python/object/apply:os.system ['true']\n", "line 5"),
    "binary": (bytes(range(256)), "byte 0x80"),
    "latin-1": ((GOOD + "title: café\n").encode("latin-1"), "line 5: byte 0xe9"),
    "utf-16": (GOOD.encode("utf-16"), "UTF-8"),
    "gzip": (gzip.compress(GOOD.encode()), "UTF-8"),
    "too long a file": (GOOD + "#" + "x" * 2_000_000, "at most 1000000"),
    "too deep": ("[" * 5000, "nested too deeply"),
    "too deep in a value": (GOOD + "title: " + "[" * 100 + "]" * 100, "levels"),
    # Doubled keys.
    "run twice": (GOOD + "run: other\n", "'run' is written twice"),
    "blocks twice": (GOOD + "blocks: []\n", "'blocks' is written twice"),
    "an axis twice": (with_axis("reg: 1, reg: 2"), "'reg' is written twice"),
    "name twice": (block("name: a\n    name: b"), "'name' is written twice"),
    # Too much.
    "aliases that multiply": (BOMB + GOOD, "aliases stand for more than"),
    "aliases that multiply in an axis": (with_axis("seed: *i").replace("run", BOMB + "run", 1), "aliases stand for more than"),
    "an alias of itself": ("run: mine\nblocks: &a [*a]\n", "line 2: an alias refers to what it stands in"),
    "8e8 cells": (
        with_axis(f"seed: {list(range(1000))}, reg: {list(range(1, 901))}, samples: {list(range(1, 901))}"), "810000000 cells",
    ),
    "too many cells in all": (
        with_axis(f"seed: {list(range(1000))}, reg: &r {list(range(1, 1101))}")
        + "  - name: b\n    axes: {seed: *r, reg: *r}\n", f"at most {MOST_CELLS}",
    ),
    "a dimension for no machine": (with_axis("samples: 4").replace("6", "1000000000"), "dimension 1000000000"),
    "samples for no machine": (with_axis("samples: 1000000000000"), "samples 1000000000000"),
    "steps for no life": (GOOD.replace("steps: 5", "steps: 1000000000000"), "steps 1000000000000"),
    "5000 digits": (with_axis("seed: " + "9" * 5000), "cannot be read"),
    "a date that is none": (GOOD + "title: 2020-13-45\n", "cannot be read"),
    # Keys.
    "a key of no kind": (GOOD + "blokcs: 1\n", "did you mean 'blocks'"),
    "a number as key": (GOOD + "5: 1\n", "unknown key '5'"),
    "nothing as key": (GOOD + "? \n: 1\n", "unknown key 'None'"),
    "a list as key": (GOOD + "? [a, b]\n: 1\n", "line 5"),
    "a block's key of no kind": (block("name: a\n    nmae: b"), "unknown key 'nmae'"),
    "an axis of no kind": (with_axis("sed: 1"), "did you mean 'seed'"),
    "no run": (GOOD.replace("run: mine\n", ""), "'run' is missing"),
    "no blocks": ("run: mine\n", "'blocks' is missing"),
    "no block": ("run: mine\nblocks: []\n", "at least one block"),
    "no axes": ("run: mine\nblocks:\n  - name: a\n", "'axes' is missing"),
    "a block that is a word": ("run: mine\nblocks: [a]\n", "blocks[1]"),
    "axes that are a list": ("run: mine\nblocks:\n  - name: a\n    axes: [1]\n", "axes: expected a mapping"),
    "a name twice in two blocks": (GOOD + "  - name: a\n    axes: {seed: 3}\n", "used twice"),
    **{f"{key} of Snakemake's": (f"{key}: true\n{GOOD}", key) for key in ("__use_yte__", "__definitions__", "__variables__")},
    # Names and texts.
    **{
        f"run {text!r}": (named(text), "run:")
        for text in ("1e5", "1.0e+5", '"mine\\n"', "m" * 65, "bench", "a/b", "..", "Mine", "''", "[a]", "5", "null", "true", "2020-01-01", "é")
    },
    **{
        f"{key} {text!r}": (GOOD + f"title: {text}\n" if key == "title" else block(f"name: a\n    question: {text}"), key)
        for key in ("title", "question")
        for text in ("null", "[a]", "{a: 1}", "5", "2020-01-01", "true", '"a\\x07b"', '"a\\nb"', '"\\ud800"', '"\\u202e"', "a" * 301)
    },
    **{f"block {text!r}": (block(f"name: {text}"), "name") for text in ('""', "'[x] y'", "b" * 41, "5", "null", "[a]", "'-a'", "a.b", "é")},
    **{f"defaults {text}": (GOOD + f"defaults: {text}\n", "defaults" if "{r" not in text or "[" in text else text[1:4]) for text in ("0", "[]", "''", "false", "[1]", "{reg: [1]}", "{rge: 1}", "{reg: -1}")},
    **{f"results {text}": (GOOD + f"results: {text}\n", "results") for text in ("5", "''", "[a]", "null", '"a\\0b"', "' '")},
    **{f"shards {text}": (GOOD + f"shards: {text}\n", "shards") for text in ("0", "-1", "1.5", "1000000", "many", "[1]", "null")},
    **{f"partial {text}": (GOOD + f"partial: {text}\n", "partial") for text in ("perhaps", "2", "[true]", "null")},
    **{f"device {text}": (GOOD + f"device: {text}\n", "device") for text in ("tpu", "0", "[cpu]", "null")},
    **{f"code {text}": (GOOD + f"code: {text}\n", "code") for text in ("5", "nothing.py", "[5]", "{a: b}", "['']", ".")},
    # Every axis with what no axis takes.
    **{
        f"{axis} {text}": (with_axis(f"{axis}: {text}") if axis not in ("dimension", "steps") else re.sub(rf"{axis}: \d", f"{axis}: {text}", GOOD), axis)
        for axis in AXES
        for text in ("null", "[]", "[[1]]", "{a: 1}", "'?'", "-1", ".nan", ".inf", "2020-01-01")
        if not (axis == "bias" and text == "-1")
    },
}  # fmt: skip


ASKED_OF_ALL = list(WRONG)[::10]  # of every command, each of which reads its config by the same function


@pytest.fixture
def answer(tmp_path, monkeypatch, capsys):
    """What a command says of a config, within the time, without a trace of Python and without a file written."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "c.yaml"

    def ask(text: str | bytes, command: str) -> str:
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        started = time.perf_counter()
        assert main([command, "--config", "c.yaml"]) == 2
        took = time.perf_counter() - started
        told = capsys.readouterr().err
        assert took < LIMIT and "Traceback" not in told and "c.yaml" in told, told
        assert sorted(p.name for p in tmp_path.iterdir()) == ["c.yaml"]
        return told

    return ask


def test_there_are_enough_of_them():
    assert len(WRONG) >= 150 and load_config  # the good one is good:
    assert len(check_config(yaml.safe_load(GOOD)).cells) == 2


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_config_is_answered_in_words_by_every_command(answer, name):
    text, words = WRONG[name]
    message = answer(text, "check")
    assert words in message
    if name in ASKED_OF_ALL:
        assert answer(text, "plan") == answer(text, "train") == message


def test_a_folder_and_a_file_that_is_not_there(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "d").mkdir()
    (tmp_path / "near.yaml").write_text(GOOD, encoding="utf-8")
    for path, words in (("d", "is a folder"), ("nera.yaml", "did you mean 'near.yaml'"), ("x/y.yaml", "no such file")):
        assert main(["check", "--config", path]) == 2
        assert words in capsys.readouterr().err


@pytest.mark.parametrize("text", ["a\\b $x$ 50 % _ & # {} ^ ~", "Ω στην αρχή", "中文", "emoji 🙂", "naïve — “quotes”"])
def test_a_text_that_prints_is_taken_as_typed(text):
    raw = yaml.safe_load(GOOD)
    raw["title"] = raw["blocks"][0]["question"] = text
    config = check_config(raw)
    assert config.title == config.blocks[0].question == text


def test_what_is_written_twice_on_purpose_is_taken(tmp_path):
    """A byte order mark, an alias, a merge with one key anew."""
    path = tmp_path / "c.yaml"
    text = "run: mine\nblocks:\n  - name: a\n    axes: &a {dimension: 6, seed: &s [1, 2]}\n  - name: b\n    axes: {<<: *a, dimension: 7, samples: *s}\n"
    path.write_bytes(b"\xef\xbb\xbf" + text.encode())
    assert [len(block.cells) for block in load_config(path).blocks] == [2, 4]
    assert {cell.dimension for cell in load_config(path).blocks[1].cells} == {7}


JUNK = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=40)
    | st.text(string.printable, max_size=40)
    | st.dates(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8) | st.integers(), inner, max_size=4),
    max_leaves=12,
)
PLACES = [
    (), ("run",), ("title",), ("device",), ("partial",), ("shards",), ("results",), ("defaults",), ("blocks",), ("blocks", 0),
    ("blocks", 0, "name"), ("blocks", 0, "question"), ("blocks", 0, "axes"), *(("blocks", 0, "axes", axis) for axis in AXES), ("anything",),
]  # fmt: skip


@settings(max_examples=200, deadline=2000, suppress_health_check=[HealthCheck.too_slow])
@given(place=st.sampled_from(PLACES), junk=JUNK)
def test_junk_anywhere_is_taken_or_refused_in_words(place, junk):
    raw = yaml.safe_load(GOOD)
    at = raw
    for step in place[:-1]:
        at = at[step]
    if place:
        at[place[-1]] = junk
    else:
        raw = junk
    try:
        config = check_config(raw)
    except ConfigError as error:
        assert str(error)
    else:
        assert config.cells


ASKED_OF_SNAKEMAKE = [
    "an axis twice",
    "8e8 cells",
    "aliases that multiply",
    "__use_yte__ of Snakemake's",
    "a key of no kind",
    "title '5'",
    "seed -1",
]


@pytest.mark.slow
@pytest.mark.parametrize("name", ASKED_OF_SNAKEMAKE)
def test_snakemake_says_the_same(tmp_path, name):
    text, words = WRONG[name]
    project = copy_project(tmp_path)
    (project / "c.yaml").write_text(text, encoding="utf-8")
    told = snakemake(project, "--dry-run", "--cores", "1", "--configfile", "c.yaml", check=False)
    assert words in told
    assert not (project / "results").exists()
