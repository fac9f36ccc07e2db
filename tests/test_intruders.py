"""What a stranger's folder, config or file could reach, lose or run: a link, a repository, a name, a line of code."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
import torch
import yaml
from test_growth import TABLE, mini
from test_workflow import command, keys, rows_files, snakemake
from training import CELLS, train

from orthogrid.cells.components import ConfigError
from orthogrid.cells.config import check_config
from orthogrid.jobs.locks import hold, let_go
from orthogrid.jobs.own import load_code
from orthogrid.jobs.progress import Progress
from orthogrid.jobs.store import Store
from orthogrid.penalties import PENALTIES
from orthogrid.run.collect import rows_date


def stamps(project: Path) -> dict[str, int]:
    """When each rows file was written: trained again, it would be younger."""
    return {path.name: path.stat().st_mtime_ns for path in rows_files(project, "mini")}


# ---- What Snakemake does to its outputs ----


def interrupted_after_training(project: Path, arguments: tuple[str, ...], moment: float, target: str) -> dict[str, int]:
    """Press Ctrl-C so many seconds after the rows appeared; when each rows file was written."""
    process = subprocess.Popen(
        command(target, *arguments), cwd=project, start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    deadline = time.monotonic() + 120
    while not rows_files(project, "mini"):
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.01)
    time.sleep(moment)
    os.killpg(process.pid, signal.SIGINT)
    process.wait(timeout=60)
    return stamps(project)


def test_a_ctrl_c_just_after_training_and_a_forced_run_train_nothing_again(tmp_path):
    project, arguments = mini(tmp_path)
    before = interrupted_after_training(project, arguments, 0.0, "train_all")
    assert len(keys(rows_files(project, "mini"))) == 12
    output = snakemake(project, "train_all", *arguments, "--forceall")
    assert "cells trained" not in output and "nothing is trained" in output
    assert stamps(project) == before


@pytest.mark.slow
@pytest.mark.parametrize("moment", [0.0, 0.3, 1.0])
def test_a_ctrl_c_at_any_moment_after_training_trains_nothing_again(tmp_path, moment):
    project, arguments = mini(tmp_path)
    before = interrupted_after_training(project, arguments, moment, TABLE)
    assert "cells trained" not in snakemake(project, TABLE, *arguments)
    assert stamps(project) == before


@pytest.mark.slow
@pytest.mark.parametrize("how", [("-R", "train_shard"), ("-F",), ("--delete-all-output",), ("--touch",)])
def test_rows_stay_whatever_is_asked_of_snakemake(tmp_path, how):
    project, arguments = mini(tmp_path)
    snakemake(project, TABLE, *arguments)
    before = stamps(project)
    snakemake(project, TABLE, *arguments, *how)
    assert stamps(project) == before
    assert "cells trained" not in snakemake(project, TABLE, *arguments)
    assert stamps(project) == before


# ---- What a config says reaches no shell ----

NASTY = '-a b\'s "q" $HOME $(touch pwned) `touch pwned` & ; #\\ü'


def test_a_folder_of_any_name_is_a_name_and_nothing_else(tmp_path):
    project, arguments = mini(tmp_path)
    raw = yaml.safe_load((project / "mini.yaml").read_text())
    (project / "mini.yaml").write_text(yaml.safe_dump(raw | {"results": NASTY}, allow_unicode=True), encoding="utf-8")
    snakemake(project, "train_all", *arguments)
    assert Store(project / NASTY / "mini").held() and not list(project.rglob("pwned"))


def test_a_tilde_is_the_home_folder_and_braces_are_refused(monkeypatch):
    monkeypatch.setenv("HOME", "/home/somebody")
    raw = {"run": "x", "blocks": [{"name": "a", "axes": {}}]}
    assert check_config(raw | {"results": "~/runs"}).root == Path("/home/somebody/runs/x")
    with pytest.raises(ConfigError, match=r"'a\{x\}' is not allowed: .* without braces"):
        check_config(raw | {"results": "a{x}"})


# ---- A stranger's folder of results ----


def test_a_repository_inside_a_runs_folder_runs_nothing(tmp_path):
    root = tmp_path / "run"
    (root / "rows").mkdir(parents=True)
    (root / "rows" / "0123456789ab.csv.gz").write_bytes(b"")
    subprocess.run(["git", "init", "-q", str(root)], check=True)
    subprocess.run(
        ["git", "-C", str(root), "config", "core.fsmonitor", f"touch {tmp_path / 'pwned'}; true"], check=True
    )
    assert rows_date(root / "rows")
    assert not (tmp_path / "pwned").exists()


@pytest.mark.parametrize("name", [".lock", "journal/0123456789ab.jsonl", "rows", "logs/train.log"])
def test_a_link_in_a_runs_folder_is_refused_and_its_target_stays(tmp_path, name):
    target, root = tmp_path / "precious", tmp_path / "run"
    target.write_text("precious")
    (root / name).parent.mkdir(parents=True)
    (root / "run.json").write_text("{}")
    (root / name).symlink_to(target)
    with pytest.raises(ConfigError, match=r"is a symbolic link; a run's folder has none"):
        hold(root)
    assert target.read_text() == "precious"


def test_a_clone_by_hard_links_has_a_lock_a_log_and_a_journal_of_its_own(tmp_path):
    mine, theirs = tmp_path / "mine", tmp_path / "theirs"
    record = {"row": {"key": "a", "code": "b"}, "trace": []}
    hold(mine)
    Store(mine).append("0123456789ab", [record])
    Progress("x", 1.0, mine / "log").close("mine")
    files = [path for path in mine.rglob("*") if path.is_file()]
    for path in files:
        copy = theirs / path.relative_to(mine)
        copy.parent.mkdir(parents=True, exist_ok=True)
        os.link(path, copy)
    before = {path: path.read_bytes() for path in files}
    hold(theirs)  # the other is still held
    Store(theirs).append("0123456789ab", [record])
    Progress("x", 1.0, theirs / "log").close("theirs")
    let_go()
    assert {path: path.read_bytes() for path in files} == before
    assert (theirs / "journal" / "0123456789ab.jsonl").read_bytes().count(b"checksum") == 2


@pytest.mark.parametrize("name", ["docs", "."])
def test_a_folder_that_holds_something_else_is_no_runs(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "explorer.html").write_text("theirs")
    with pytest.raises(ConfigError, match="is not empty and holds no run"):
        hold(Path(name))
    assert not (tmp_path / ".lock").exists()


def test_clearing_removes_what_the_store_wrote_and_nothing_else(tmp_path):
    train(CELLS[:1], root := tmp_path / "x")
    precious = tmp_path / "elsewhere"
    precious.mkdir()
    theirs = [root / "rows" / "theirs.csv.gz", root / "journal" / "notes.jsonl", precious / "rows-0123456789ab.csv.gz"]
    for path in theirs:
        path.write_bytes(b"")
    (root / "damaged").symlink_to(precious)
    old = root / "journal" / "0123456789ab.jsonl"
    old.write_bytes(b"")
    assert Store(root).clear(CELLS[:1]) == [old]
    assert all(path.exists() for path in theirs)


# ---- A line of a user's file changes no row but its own ----

LINES = {
    "torch's default dtype": "torch.set_default_dtype(torch.float64)",
    "torch's default device": "torch.set_default_device('meta')",
    "the variable MKL_CBWR": "os.environ['MKL_CBWR'] = 'COMPATIBLE'",
    "penalty 'fro2', value": "PENALTIES['fro2'].value = PENALTIES['l1'].value",
    "orthogrid.numerics.linalg.total": "from orthogrid.numerics import linalg; linalg.total = torch.sum",
    "orthogrid.methods.batch.Batch.update": "from orthogrid.methods.batch import Batch; Batch.update = None",
}


@pytest.mark.usefixtures("alone")
@pytest.mark.parametrize("what", LINES)
def test_a_file_that_changes_how_other_rows_come_out_is_refused(tmp_path, monkeypatch, what):
    from orthogrid.methods.batch import Batch
    from orthogrid.numerics import linalg

    for owner, name in ((PENALTIES["fro2"], "value"), (linalg, "total"), (Batch, "update")):
        monkeypatch.setattr(owner, name, getattr(owner, name))  # put back afterwards
    monkeypatch.setenv("MKL_CBWR", os.environ["MKL_CBWR"])
    path = tmp_path / "mine.py"
    path.write_text(f"import os, torch\nfrom orthogrid.penalties import PENALTIES\n{LINES[what]}\n")
    try:
        with pytest.raises(ConfigError, match=r"mine.py changes ") as error:
            load_code(path)
    finally:
        torch.set_default_dtype(torch.float32)
        torch.set_default_device(None)
    assert f"mine.py changes {what}, " in str(error.value)
