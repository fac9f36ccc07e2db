"""Faults of a person's own files, and of what surrounds a call, are told in words: no traceback, no silence, no wrong folder."""

from __future__ import annotations

import errno
import gzip
import io
import os
import re
import shlex
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml
from conftest import ROOT

from orthogrid.__main__ import main
from orthogrid.cells.cell import nearest
from orthogrid.cells.components import ConfigError, penalties
from orthogrid.cells.config import load_config
from orthogrid.jobs import own
from orthogrid.jobs.failures import in_words, told, where
from orthogrid.jobs.own import try_penalties
from orthogrid.jobs.progress import Progress
from orthogrid.jobs.sealed import readable
from orthogrid.jobs.store import Store
from orthogrid.presenting import ledger
from orthogrid.publishing.explorer.pack import pack
from orthogrid.sections import CLAIMS, judge
from orthogrid.tools.diff import read_run
from orthogrid.tools.verify import DIFFERS, Comparison, report

pytestmark = pytest.mark.usefixtures("alone")
HEAD = "import os, sys, torch\nfrom orthogrid.penalties import register\n"
VALUE = HEAD + "N = []\n@register()\ndef mine(s):\n    return {}\n"
SQUARES = "(s**2).sum((1, 2))"
FRO2 = VALUE.format(SQUARES)


@pytest.fixture
def call(tmp_path, monkeypatch, capsys):
    """Run a command on a config of one cell with a file of one's own; returns its status and what it says on stderr."""
    monkeypatch.chdir(tmp_path)

    def run(words: str, penalty: str = "mine", command: str = "check", **more: str) -> tuple[int, str]:
        Path("own.py").write_text(words, encoding="utf-8")
        axes = {"dimension": 4, "samples": 8, "steps": 5, "penalty": penalty, **more}
        config = {"run": "x", "code": ["own.py"], "blocks": [{"name": "a", "axes": axes}]}
        Path("c.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
        status = main([command, "--config", "c.yaml"])
        assert status != 2 or not list(tmp_path.rglob("*.csv*"))
        return status, capsys.readouterr().err

    return run


ODD = {
    "mean of the batch": (f"{SQUARES} + (s**2).sum((1, 2)).mean()", "for a matrix alone than beside another"),
    "gradient alone": (f"{SQUARES} + s.sum() - s.sum().detach()", "for a matrix alone than beside another"),
    "one for two": ("(s**2).sum((1, 2)).squeeze()", "must return one value for each matrix"),
    "chance": (f"{SQUARES} * torch.rand(())", "at a second call"),
    "earlier calls": (f"{SQUARES} * (N.append(1) or len(N))", "at a second call"),
    "complex": ("torch.linalg.eigvals(s).pow(2).sum(1)", "must return one value for each matrix, a real tensor"),
    "zero": ("(0 * s).sum((1, 2))", "is 0 whatever W is"),
    "leaves": ("sys.exit(0)", "cannot be computed: SystemExit"),
    "ends": ("os._exit(0)", "cannot be computed: RuntimeError: os._exit(0) would end the process"),
    "moves": (f"os.chdir('/') or {SQUARES}", "changes the working folder"),
}  # fmt: skip


@pytest.mark.parametrize(("value", "message"), ODD.values(), ids=ODD)
def test_a_penalty_that_is_no_function_of_one_matrix_is_told(call, value, message):
    status, said = call(VALUE.format(value))
    assert status == 2 and said.count(message) == 1 and said.count("\n") == 2


BY_HAND = {
    "half": ("return 2 * s", False), "right": ("return 4 * s", True), "right in place": ("return s.mul_(4)", True),
    "one for two": ("return 4 * s[:1]", False), "a number": ("return 4 * s.sum((1, 2))", False),
    "complex": ("return 4 * s + 0j", False), "raises": ("raise GeneratorExit", False), "nothing": ("return None", False),
}  # fmt: skip


@pytest.mark.parametrize(("body", "right"), BY_HAND.values(), ids=BY_HAND)
@pytest.mark.parametrize("kind", ["multiplier", "gradient"])
def test_a_gradient_by_hand_is_held_against_the_value(call, body, right, kind):
    if kind == "gradient":  # of ||W W' - I||^2: 4 S W
        body = f"s = s @ s.mT @ s - s\n    {body}"
    status, said = call(f"{FRO2}@mine.{kind}\ndef _(s):\n    {body}\n")
    assert status == (0 if right else 2), said
    assert right or "has another gradient by hand" in said or "cannot be computed" in said


def test_the_packages_own_penalties_pass():
    specs = [f"{name}()" for name, entry in penalties().items() if entry.uses_reg]
    assert len(specs) > 10 and try_penalties(specs) == []


def test_options_that_leave_no_penalty_are_refused(call, capsys):
    status, said = call("", "huber(delta=0)")
    assert status == 2 and "penalty 'huber(delta=0.0)'" in said and "is 0 whatever W is" in said
    assert call("", "huber(delta=0.01)")[0] == 0


@pytest.mark.parametrize("what", ["penalties", "methods"])
def test_a_name_that_no_config_could_hold_is_told(call, what):
    words = (
        FRO2
        if what == "penalties"
        else HEAD + "from orthogrid.methods import Method\n@register()\nclass mine(Method): ...\n"
    )
    status, said = call(words.replace("mine", "größe").replace("orthogrid.penalties", f"orthogrid.{what}"), "größe")
    assert status == 2 and "'größe': a name is of plain letters" in said and "did you mean" not in said


def test_no_word_is_suggested_in_place_of_itself():
    assert nearest("fro2", ["fro2"]) == "" and nearest("fro2", ["fro2", "fro"]) == "; did you mean 'fro'?"


LINES = {
    "raise BaseException('b')": "own.py, line 3: BaseException: b", "raise GeneratorExit": "own.py, line 3: GeneratorExit",
    "raise SystemExit": "own.py, line 3: SystemExit", "os._exit(0)": "own.py, line 3: RuntimeError: os._exit(0) would end",
    "os.chdir('/')": "own.py changes the working folder", "sys.path.clear()": "own.py changes sys.path",
    "sys.path = []": "own.py changes sys.path", "os.close(1)": "own.py changes sys.stdout",
    "sys.stdout.close()": "own.py changes sys.stdout", "sys.stdout = None": "own.py changes sys.stdout",
    "torch.set_default_device('meta')": "own.py changes torch's default device",
}  # fmt: skip


@pytest.mark.parametrize("command", ["check", "train"])
@pytest.mark.parametrize("line", LINES)
def test_a_file_that_ends_or_upsets_the_process_is_told(call, monkeypatch, line, command):
    monkeypatch.setattr("sys.stdout", io.StringIO())
    monkeypatch.setattr("sys.path", list(sys.path))
    kept = os.dup(1)
    try:
        status, said = call(f"{HEAD}{line}\n", "fro2", command)
    finally:
        os.dup2(kept, 1)
        os.close(kept)
        torch.set_default_device(None)
    assert status == 2 and LINES[line] in said and said.count("\n") == 2


def test_a_file_may_add_to_the_path_and_fork_children_that_exit(call):
    words = "sys.path.insert(0, 'more')\nif not os.fork():\n    os._exit(7)\nassert os.waitstatus_to_exitcode(os.wait()[1]) == 7\n"
    assert call(HEAD + words, "fro2")[0] == 0


METHOD = """import os, sys
from orthogrid.methods import register
from orthogrid.methods.sgd import sgd
@register(uses_penalty=True)
class mine(sgd):
    def step(self, t):
        {}
"""


@pytest.mark.parametrize("line", ["os._exit(0)", "sys.exit(0)", "raise BaseException('b')"])
def test_a_method_that_ends_the_process_in_training_is_a_failure_of_its_cells(call, line):
    status, said = call(METHOD.format(line), "fro2", "train", method="mine")
    assert status == 1 and "1 cells could not be trained" in said and "Traceback" not in said, said


def test_docstrings_and_asserts_of_a_users_file_count_without_pythons_own(call, monkeypatch):
    def without(*given, optimize: int = -1, **how):  # python -OO
        return compile(*given, optimize=2 if optimize == -1 else optimize, **how)

    monkeypatch.setattr(own, "compile", without, raising=False)
    words = "from orthogrid import claim\n@claim('mine', '', '>', blocks='a')\ndef f(run, cells):\n    'Measured.'\n"
    assert call(words, "fro2")[0] == 0 and CLAIMS["mine"].predicate.startswith("Measured.")
    assert all(each.predicate for each in CLAIMS.values())
    Path("wrong.py").write_text("assert False\n")
    with pytest.raises(ConfigError, match=r"wrong\.py, line 1: AssertionError"):
        own.load_code("wrong.py")


CLAIM = """
from orthogrid import claim, measured, mean
@claim("mine", "", ">", blocks="law", predicate="A fit.")
def mine(run, cells):
    return {}
"""


@pytest.mark.parametrize(
    ("returns", "verdict", "words"),
    [
        ("measured(3.0, 1, cells)", "untested", "a number without an interval"),
        ("measured(3.0, 1, cells, exact=True)", "supported", ""),
        ("measured(mean([3.0, 3.1, 3.2]), 1, cells)", "supported", ""),
        ("3.0", "", r"own\.py, line 3, in mine: TypeError: it returned 3\.0; end it with: return measured\("),
        ("cells['none']", "", r"own\.py, line 5, in mine: KeyError: 'none'\. It saw (\d+) of the \1 cells"),
    ],
)
def test_what_a_claim_of_ones_own_returns(tmp_path, monkeypatch, small_run, returns, verdict, words):
    monkeypatch.chdir(tmp_path)
    Path("own.py").write_text(CLAIM.format(returns), encoding="utf-8")
    own.load_code("own.py")
    monkeypatch.setattr(ledger, "CLAIMS", {"mine": CLAIMS["mine"]})
    if not verdict:
        with pytest.raises(ConfigError, match=words):
            judge(small_run)
        return
    (row,) = judge(small_run).itertuples()
    assert row.verdict == verdict and row.reason.startswith(words) and bool(row.reason) == bool(words)


def test_a_fault_is_told_where_the_users_code_is_though_the_project_lies_in_its_folder():
    names: dict = {}
    text = "from orthogrid.cells.cell import Cell\ndef f():\n    return Cell(dimension='x')\n"
    exec(compile(text, str(ROOT / "mine.py"), "exec"), names)
    with pytest.raises(ValueError) as caught:
        names["f"]()
    assert re.search(r"mine\.py, line 3, in f: \w+Error: ", where(caught.value, names["f"]))


def test_what_stops_a_job_goes_to_its_log(tmp_path):
    for error, words in ((ConfigError("mend it"), "mend it\n"), (ValueError("odd"), "ValueError: odd\n")):
        with pytest.raises(SystemExit), told(str(tmp_path / "logs" / "a.log")):
            raise error
        assert (tmp_path / "logs" / "a.log").read_text(encoding="utf-8").rstrip("\n").endswith(words.strip())


NAME = "it's mine/my c.yaml"


def test_commands_can_be_pasted_wherever_the_config_lies(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path(NAME).parent.mkdir()
    Path(NAME).write_text("run: x\nblocks: [{name: a, axes: {dimension: 4, samples: 8, steps: 5}}]\n")
    config = load_config(NAME)
    main(["show", "--config", NAME, config.cells[0].key])
    main(["plan", "--config", NAME, "--nothing-new"])
    told = capsys.readouterr()
    for text in (told.out, told.err, report(config, {"a" * 12: Comparison(DIFFERS, {})}, Store("results/x"))):
        assert f"--config {shlex.quote(NAME)}" in text


def test_commands_of_a_finished_run_can_be_pasted(monkeypatch, small_run):
    run = replace(small_run, config=replace(small_run.config, source=NAME))
    monkeypatch.setattr(ledger, "CLAIMS", dict(list(CLAIMS.items())[10:16]))
    assert f"--config {shlex.quote(NAME)} " in max(judge(run)["command"], key=len)
    assert pack(run)[0]["config"] == shlex.quote(NAME)


@pytest.mark.parametrize("name", ["--output={}:x", "--output={}:config", "HEAD:--output={}"])
def test_no_name_of_a_run_is_an_option_of_git(tmp_path, name):
    with pytest.raises(ConfigError):
        read_run(name.format(tmp_path / "written"))
    assert not list(tmp_path.iterdir())


def shell(line: str, folder: Path, **environment: str) -> tuple[int, str, str]:
    """Status, stdout and stderr of `python -m orthogrid` with these words, redirected as a shell does."""
    (folder / "λ.yaml").write_text("run: x\nblocks: [{name: a, question: λ, axes: {dimension: 4}}]\n", encoding="utf-8")
    command = ["bash", "-c", f"set -o pipefail; {shlex.quote(sys.executable)} -m orthogrid {line}"]
    done = subprocess.run(command, cwd=folder, env=os.environ | environment, capture_output=True)
    return done.returncode, done.stdout.decode(), done.stderr.decode()


@pytest.mark.parametrize(
    ("line", "status", "out", "error"),
    [
        ("schema > /dev/full", 1, "", "what was found could not be printed: No space left"),
        ("plan --config nope.yaml 2>&-", 2, "", ""),
    ],
)
def test_output_that_goes_nowhere_is_no_traceback(tmp_path, line, status, out, error):
    found = shell(line, tmp_path)
    assert found[0] == status and found[1].startswith(out) and bool(found[1]) == bool(out)
    assert found[2].startswith(error) and "Traceback" not in found[2] and bool(found[2]) == bool(error)


def test_a_reader_that_leaves_is_no_fault(monkeypatch, capsys):
    reads, writes = os.pipe()
    os.close(reads)
    with os.fdopen(writes, "w", encoding="utf-8") as left:
        monkeypatch.setattr("sys.stdout", left)
        assert main(["schema"]) == 0 and capsys.readouterr().err == ""


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_what_an_encoding_has_not_is_escaped(tmp_path, encoding):
    status, out, error = shell("plan --config λ.yaml", tmp_path, PYTHONIOENCODING=encoding)
    assert status == 0 and r"\u03bb" in out and error == ""


def test_progress_that_nobody_can_see_stops_nothing(monkeypatch, tmp_path):
    with open("/dev/full", "w", encoding="utf-8") as full:
        monkeypatch.setattr("sys.stderr", full)
        Progress("training", 1.0, tmp_path / "log").close("done")
        full.buffer.raw.close()  # what it still holds
    assert "training: done" in (tmp_path / "log").read_text()


def test_limits_of_the_system_are_told(monkeypatch):
    monkeypatch.setattr(tempfile, "_candidate_tempdir_list", list)
    with pytest.raises(FileNotFoundError) as nowhere:
        tempfile._get_default_tempdir()
    assert "set TMPDIR" in in_words(nowhere.value)
    assert "TMPDIR" in in_words(OSError(errno.ENOSPC, "No space left on device", "/tmp/x"))
    assert "ulimit" in in_words(OSError(errno.EFBIG, "File too large")) and in_words(
        OSError(errno.ELOOP, "A loop", "x")
    )


def test_a_file_made_to_fill_the_memory_is_read_no_further(tmp_path):
    path, length = tmp_path / "rows.csv.gz", 30 << 20
    path.write_bytes(gzip.compress(bytes(length)))
    text, whole = readable(path)
    assert not whole and len(text) < length / 3
    path.write_bytes(gzip.compress(b"key\n" * 1000))
    assert readable(path) == ("key\n" * 1000, True)
