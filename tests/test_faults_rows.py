"""What goes wrong with rows, journals and tables on disk: each is told in words, and no exit status hides it."""

from __future__ import annotations

import gzip
import os
import shutil
import signal
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from conftest import ROOT
from training import CELLS, config_of, names, train

from orthogrid.__main__ import main
from orthogrid.cells.components import ConfigError
from orthogrid.jobs.failures import in_words
from orthogrid.jobs.files import write_bytes
from orthogrid.jobs.locks import require_run_folder
from orthogrid.jobs.plan import Plan, describe, summary
from orthogrid.jobs.records import on_record, set_aside_edited
from orthogrid.jobs.runner import TrainingError
from orthogrid.jobs.store import Store
from orthogrid.tools.verify import verify

# ---- The same cells in two files ----


def doubled(run: Path, **changes) -> tuple[str, str]:
    """A second file of the same rows with some columns changed; the names of both, that first which is taken."""
    store, (name,) = Store(run), names(run)
    store.put("f" * 12, store.rows(name).assign(**changes), store.traces(name))
    return name, "f" * 12


def test_other_values_under_the_same_keys_are_told_with_both_files_and_none_is_removed(run, capsys):
    taken, other = doubled(run, distance=0.5, torch="0.1")
    config = config_of(CELLS, run.parent)
    (told,) = (line for line in summary(Plan(config), 1) if "hold other values of 6 cells" in line)
    assert f"{taken}.csv.gz and " in told and f"{other}.csv.gz" in told
    store = Store(run)
    assert set(store.where(CELLS).values()) == {taken} and "0.1" not in store.torch_versions(CELLS)
    store.gather(CELLS)
    assert names(run) == [taken, other]
    assert train(CELLS[:2], run) == 0 and "hold other values of 2 cells" in capsys.readouterr().err


@pytest.mark.parametrize("changes", [{}, {"torch": "0.1", "seconds": 9.0}])
def test_the_same_values_made_elsewhere_are_no_contradiction(run, changes):
    doubled(run, **changes)
    assert Store(run).contradictions(CELLS) == []


def test_a_row_of_other_code_before_the_one_that_is_taken_is_not_the_one_verified(run):
    store, (name,) = Store(run), names(run)
    rows = store.rows(name)[:2]
    store.put("0" * 12, rows.assign(code=["0" * 12, rows["code"][1]], steps=[7, 5]), store.traces(name))
    report, holds = verify(config_of(CELLS, run.parent), 1.0, 1, most=6)
    assert holds, report


# ---- What is gone while a job is at work ----


def truncated(run: Path) -> None:
    path = Store(run).file("rows", names(run)[0])
    write_bytes(path.read_bytes()[:200], path)


def without_journal(run: Path) -> None:
    shutil.rmtree(run / "journal")


@pytest.mark.parametrize("harm", [truncated, without_journal])
@pytest.mark.parametrize("name", [None, "0" * 12])
def test_cells_that_are_gone_when_a_job_ends_are_told_and_trained_by_the_next(run, monkeypatch, harm, name):
    store, real = Store(run), Store.settle
    if harm is without_journal:
        shutil.rmtree(run / "rows")

    def settle(self, *what):
        harm(run)
        real(self, *what)

    more = [*CELLS, *(replace(CELLS[0], seed=seed) for seed in (8, 9))]
    monkeypatch.setattr(Store, "settle", settle)
    with pytest.raises(TrainingError, match=r"[68] cells that were trained are gone"):
        train(more, run, name=name)
    monkeypatch.setattr(Store, "settle", real)
    assert train(more, run) and store.unfiled(more) == []


# ---- What cannot be read ----


READERS = {
    "rows": lambda store: store.where(CELLS),
    "journal": lambda store: store.finished_keys(CELLS),
    "shards": lambda store: store.unmark(),
}


@pytest.mark.parametrize("kind", READERS)
def test_a_folder_that_cannot_be_read_is_no_empty_one(run, kind):
    folder, user = run / kind, os.geteuid()
    folder.mkdir(exist_ok=True)
    folder.chmod(0)
    try:
        if not user:  # to root no folder is closed, and to anyone else all of this test's are
            os.seteuid(65534)
        with pytest.raises(PermissionError) as error:
            READERS[kind](Store(run))
        assert f"{folder}: Permission denied" in in_words(error.value)
    finally:
        os.seteuid(user)
        folder.chmod(0o755)


# ---- What nobody wrote ----

BRACKETS = "[" * 200_000
WRITTEN = {
    "rows": BRACKETS, "a header of rows": f"key,{BRACKETS},code,checksum\n", "a line of rows": f"key,code,checksum\n{BRACKETS}\n",
    "traces": BRACKETS, "journal": f"{BRACKETS}\n", "code": BRACKETS,
}  # fmt: skip


@pytest.fixture
def config(run):
    """The file of a config whose run this is."""
    path = run.parent / "c.yaml"
    axes = "{dimension: 6, samples: [3, 4], steps: 5, seed: [1, 2, 3]}"
    path.write_text(f"run: x\nresults: {run.parent}\nblocks: [{{name: a, axes: {axes}}}]\n", encoding="utf-8")
    return path


@pytest.mark.parametrize("what", WRITTEN)
def test_brackets_without_end_are_damage_like_any_other(run, config, capsys, what):
    store, (name,), kind = Store(run), names(run), what.split()[-1]
    if what == "code":  # is read where rows are stale
        store.put(name, store.rows(name).assign(code="0" * 12), store.traces(name))
        name = "0" * 12
    elif kind == "rows":
        shutil.copy(store.file("traces", name), store.file("traces", "1" * 12))
        name = "1" * 12
    path = store.file(kind, name)
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(gzip.compress(WRITTEN[what].encode()) if path.suffix == ".gz" else WRITTEN[what].encode())
    assert main(["plan", "--config", str(config)]) == 0
    assert ("all 6 cells are trained" in capsys.readouterr().out) == (what not in ("traces", "code"))


# ---- Something else in the place of a file ----

ELSE = {"a FIFO": os.mkfifo, "a folder": Path.mkdir, "a loop of links": lambda path: path.symlink_to(path)}


@pytest.fixture
def impatient():
    """What waits for a FIFO is interrupted."""

    def interrupt(number, frame):
        raise AssertionError("it waits")

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 2)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("kind", ["rows", "traces", "journal"])
@pytest.mark.parametrize("what", ELSE)
def test_what_is_no_file_in_the_place_of_one_is_named_and_not_waited_for(run, config, capsys, kind, what):
    path = Store(run).file(kind, names(run)[0])
    path.parent.mkdir(exist_ok=True)
    path.unlink(missing_ok=True)
    ELSE[what](path)
    assert main(["plan", "--config", str(config)]) == 1
    assert str(path) in (told := capsys.readouterr().err) and "move it away" in told
    assert main(["train", "--config", str(config)]) in (1, 2)
    assert str(path) in capsys.readouterr().err


@pytest.mark.usefixtures("impatient")
def test_a_record_of_code_that_is_no_file_is_as_none(run):
    os.mkfifo(run / "code" / "0123456789ab.json")
    assert Store(run).code_parts("0123456789ab") is None


# ---- Many files ----


def test_a_plan_asks_the_disk_a_few_times_for_a_rows_file(tmp_path, monkeypatch):
    for cell in CELLS:
        train([cell], tmp_path / "x")
    asked, stat = [], Path.stat
    monkeypatch.setattr(Path, "stat", lambda path, **how: asked.append(path.name) or stat(path, **how))
    describe(Plan(config_of(CELLS, tmp_path)), 1)
    assert 0 < sum(name.endswith(".csv.gz") for name in asked) <= 15 * len(CELLS)


def test_there_are_at_most_as_many_shards_as_a_plan_is_made_of_within_a_minute(tmp_path):
    assert config_of(CELLS, tmp_path, shards=10_000).shards == 10_000
    with pytest.raises(ConfigError, match="an integer from 1 to 10000"):
        config_of(CELLS, tmp_path, shards=10_001)


# ---- Tables and pages ----


@pytest.mark.parametrize("text", ["", "a,b\n1,3\n"])
def test_what_was_emptied_or_edited_since_it_was_made_is_told_and_put_aside(tmp_path, monkeypatch, text):
    monkeypatch.chdir(tmp_path)
    root, job = Path("x"), SimpleNamespace(rule="r", output=["x/cells.csv"], wildcards=SimpleNamespace(root="x"))
    cells = root / "cells.csv"
    assert set_aside_edited(root) == []
    for _ in range(2):
        with on_record(job):
            write_bytes(b"a,b\n1,2\n", cells)
            assert set_aside_edited(root) == []  # a job is at work
        assert set_aside_edited(root) == [] and cells.exists()
        cells.write_text(text)
        (told,) = set_aside_edited(root)
        assert told.startswith("x/cells.csv was emptied or edited") and not cells.exists()
        assert (root / "damaged" / "cells.csv").read_text() == text
        assert set_aside_edited(root) == []


def test_every_script_that_makes_files_puts_them_on_record():
    scripts = {path.stem: path.read_text(encoding="utf-8") for path in (ROOT / "workflow" / "scripts").glob("*.py")}
    none = {name for name, text in scripts.items() if "with told(snakemake.log[0]), on_record(snakemake):" not in text}
    assert none == {"check_claims", "clear_old_rows"}


@pytest.mark.parametrize("name", ["paper.pdf", "cells.csv", "figures/trap.pdf"])
def test_a_folder_in_the_place_of_a_file_is_not_taken_for_it(run, name):
    (run / name).mkdir(parents=True)
    with pytest.raises(ConfigError, match=f"{name} is no file; move it away"):
        require_run_folder(run)
