"""What is killed, interrupted or edited while it runs, under Snakemake: nothing is lost, left behind or trained twice."""

from __future__ import annotations

import contextlib
import gzip
import os
import random
import re
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import psutil
import pytest
from test_growth import TABLE, mini
from test_workflow import BIN, SMOKE, command, copy_project, keys, rows_files, smoke, snakemake  # noqa: F401

from orthogrid.__main__ import main
from orthogrid.cells.components import ConfigError
from orthogrid.cells.config import load_config
from orthogrid.jobs.locks import hold, let_go
from orthogrid.jobs.store import Store, shard_name

TIMES = ["seconds", "seconds_per_step"]


def long_mini(folder: Path, steps: int = 3000) -> tuple[Path, tuple[str, ...]]:
    """A project whose run takes some seconds."""
    return mini(folder, dimension=60, samples=90, steps=steps, seed=list(range(1, 9)))


TRAIN = [sys.executable, "-m", "orthogrid", "train", "--config", "mini.yaml"]


def begin(project: Path, call: list[str]) -> subprocess.Popen:
    """Start a run in a session of its own; its output goes to out.log."""
    with (project / "out.log").open("w") as log:
        return subprocess.Popen(call, cwd=project, start_new_session=True, stdout=log, stderr=subprocess.STDOUT)


def begin_and_finish_some(project: Path, call: list[str]) -> subprocess.Popen:
    """The same, once some of its cells are finished."""
    process = begin(project, call)
    journals, deadline = project / "results" / "mini" / "journal", time.monotonic() + 120
    while not any(path.stat().st_size for path in journals.glob("*.jsonl")):
        assert time.monotonic() < deadline and process.poll() is None, (project / "out.log").read_text()
        time.sleep(0.05)
    return process


def at_work(project: Path) -> list[psutil.Process]:
    """Training processes of a project, workers included."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.cwd() == str(project) and {"orthogrid", "train"} <= set(process.cmdline()):
                found.append(process)
    return found


def require_no_orphan(project: Path) -> None:
    deadline = time.monotonic() + 15
    while at_work(project):
        assert time.monotonic() < deadline, "an orphan trains on"
        time.sleep(0.1)


def job_of(project: Path) -> psutil.Process:
    working = at_work(project)
    return next(p for p in working if p.ppid() not in {other.pid for other in working})


def finished_keys(project: Path) -> set[str]:
    return set(Store(project / "results" / "mini").finished(load_config(project / "mini.yaml").cells)[0]["key"])


WHERE = {
    "group": lambda project, process, number: os.killpg(process.pid, number),
    "snakemake": lambda project, process, number: process.send_signal(number),
    "job": lambda project, process, number: job_of(project).send_signal(number),
    "worker": lambda project, process, number: job_of(project).children()[0].send_signal(number),
}
MORE_FAULTS = [
    *((name, "group") for name in ("SIGTERM", "SIGHUP", "SIGKILL")), *((name, "snakemake") for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGKILL")),
    *((name, "job") for name in ("SIGINT", "SIGTERM", "SIGKILL")),
]  # fmt: skip


@pytest.mark.parametrize(
    "name, where", [("SIGINT", "group"), *(pytest.param(*fault, marks=pytest.mark.slow) for fault in MORE_FAULTS)]
)
def test_after_a_signal_nothing_is_lost_left_or_trained_twice(tmp_path, monkeypatch, capsys, name, where):
    project, arguments = long_mini(tmp_path)
    process = begin_and_finish_some(project, command("train_all", *arguments))
    WHERE[where](project, process, getattr(signal, name))
    process.wait(timeout=30)
    require_no_orphan(project)
    assert (before := finished_keys(project))
    monkeypatch.chdir(project)
    assert main(TRAIN[3:]) == 0
    assert f'"trained": {32 - len(before)}' in capsys.readouterr().out
    assert len(keys(rows_files(project, "mini"))) == len(finished_keys(project)) == 32


@pytest.mark.slow  # test_runner.py kills workers of its own process
def test_a_worker_that_is_killed_is_noticed_and_its_batch_tried_once_more(tmp_path):
    project, _ = long_mini(tmp_path)
    process = begin_and_finish_some(project, [*TRAIN, "--workers", "2"])
    WHERE["worker"](project, process, signal.SIGKILL)
    assert process.wait(timeout=120) == 0
    assert '"trained": 32' in (project / "out.log").read_text()
    assert len(keys(rows_files(project, "mini"))) == len(finished_keys(project)) == 32


def test_rows_that_were_tampered_with_are_told_and_trained_again_by_plain_snakemake(tmp_path, monkeypatch):
    project, arguments = mini(tmp_path)
    monkeypatch.chdir(project)
    assert main(TRAIN[3:]) == 0
    (path,) = rows_files(project, "mini")
    before = pd.read_csv(path).drop(columns=[*TIMES, "checksum"])
    data = gzip.compress(gzip.decompress(path.read_bytes()).decode().replace(",ok,", ",diverged,", 5).encode())
    path.write_bytes(data)
    output = snakemake(project, "train_all", *arguments)
    assert f"{path.name}, or its traces, was damaged or edited" in output and "5 cells trained" in output
    assert (project / "results" / "mini" / "damaged" / f"rows-{path.name}").read_bytes() == data
    after = pd.concat(pd.read_csv(path) for path in rows_files(project, "mini")).drop_duplicates("key")
    after = after.sort_values("key", ignore_index=True)[before.columns]
    pd.testing.assert_frame_equal(before, after)
    assert not Store(project / "results" / "mini").damaged()


HOLD = "import sys, time; from pathlib import Path; from orthogrid.jobs.locks import hold; hold(Path(sys.argv[1])); print('held', flush=True); time.sleep(600)"


@contextlib.contextmanager
def held(root: Path):
    """A folder that another process holds, until it is killed."""
    holder = subprocess.Popen([sys.executable, "-c", HOLD, str(root)], stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout.readline() == "held\n"
        yield holder
    finally:
        holder.kill()
        holder.wait()


def test_a_second_run_in_a_folder_is_refused_and_told_who_is_at_work(tmp_path, monkeypatch, capsys):
    project, arguments = mini(tmp_path)
    monkeypatch.chdir(project)
    with held(project / "results" / "mini") as holder:
        assert main(TRAIN[3:]) == 2
        output = snakemake(project, "train_all", *arguments, check=False)
        for text in (capsys.readouterr().err, output):
            assert f"a run is at work here, process {holder.pid} " in text and "Traceback" not in text
        with pytest.raises(ConfigError, match=f"process {holder.pid} "):
            hold(project / "results" / "mini")
    hold(project / "results" / "mini")  # the lock died with its holder
    hold(project / "results" / "mini")
    let_go()


# ---- Ten times, at a moment that nobody chose ----


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> pd.DataFrame:
    project, arguments = long_mini(tmp_path_factory.mktemp("undisturbed"))
    snakemake(project, TABLE, *arguments)
    return pd.read_csv(project / TABLE).drop(columns=TIMES)


@pytest.mark.slow
@pytest.mark.parametrize("where", ["worker", "job", "snakemake", "group"])
def test_killed_at_any_moment_and_called_again_it_ends_as_undisturbed(tmp_path, where, undisturbed):
    moments = random.Random(where)
    for trial in range(10):
        project, arguments = long_mini(tmp_path / str(trial))
        process = begin(project, command(TABLE, *arguments))
        started = time.monotonic()
        while not at_work(project) and process.poll() is None:
            time.sleep(0.02)
        loading = time.monotonic() - started
        time.sleep(moments.uniform(0, 0.6 * loading + 2))  # from before its first cell to after its last
        with contextlib.suppress(StopIteration, IndexError, psutil.NoSuchProcess):  # it may have ended
            WHERE[where](project, process, signal.SIGKILL)
        process.wait(timeout=120)
        require_no_orphan(project)
        output = snakemake(project, TABLE, *arguments)
        assert "Traceback" not in output and "damaged" not in output
        pd.testing.assert_frame_equal(undisturbed, pd.read_csv(project / TABLE).drop(columns=TIMES))


# ---- Disks, folders, memory ----


@contextlib.contextmanager
def disk(folder: Path, size: str):
    """A disk of its own, so small; yields a function that changes how it is mounted."""
    folder.mkdir(parents=True, exist_ok=True)
    if os.geteuid() or subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]).returncode:
        pytest.skip("nothing can be mounted here")
    try:
        yield lambda how: subprocess.run(["mount", "-o", f"remount,{how}", str(folder)], check=True)
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_full_disk_is_told_in_words_and_what_was_finished_is_kept(tmp_path, monkeypatch, capsys):
    project, _ = mini(tmp_path, dimension=30, samples=40, steps=400, seed=list(range(1, 16)))
    monkeypatch.chdir(project)
    with disk(project / "results", "150k") as remount:
        assert main(TRAIN[3:]) == 1
        assert "No space left on device" in capsys.readouterr().err
        remount("size=20m")
        assert main(TRAIN[3:]) == 0
        assert "more are trained already" in capsys.readouterr().err
        let_go()


@pytest.mark.slow
def test_a_disk_that_is_full_at_every_stage_loses_nothing(smoke, tmp_path):  # noqa: F811
    """From the plan to LaTeX: each call fails in one sentence, and goes on where there is room again."""
    project = copy_project(tmp_path / "project")
    written = [
        file for file in (smoke / "results" / "smoke").rglob("*.*") if file.name not in ("paper.pdf", "supplement.pdf")
    ]
    all_but_the_pages = sum(-(-file.stat().st_size // 4096) * 4 for file in written)  # KiB
    failed: list[str] = []
    with disk(project / "results", "64k") as remount:

        def call_in(size: str) -> None:
            remount(f"size={size}")
            done = subprocess.run(command(*SMOKE), cwd=project, capture_output=True, text=True)
            output = done.stdout + done.stderr
            assert done.returncode and "Traceback" not in output
            assert "No space left on device. What was finished before is kept" in output
            failed.extend(re.findall(r"Error in rule (\w+)", output) or ["the plan"])

        for size in ("64k", "256k", "1500k"):
            call_in(size)
        remount("size=20m")  # while training runs its journal takes more room than all that follows
        snakemake(project, "results/smoke/cells.csv", *SMOKE)
        call_in(f"{all_but_the_pages + 200}k")
        remount("size=100m")
        snakemake(project, *SMOKE)
        rows = [pd.read_csv(path / "results" / "smoke" / "cells.csv").drop(columns=TIMES) for path in (smoke, project)]
        pd.testing.assert_frame_equal(*rows)
    assert set(failed) == {"the plan", "predict_cells", "train_shard", "build_paper"}


@pytest.mark.slow
def test_results_that_may_only_be_read_are_told(tmp_path):
    project, arguments = mini(tmp_path)
    with disk(project / "results", "20m") as remount:
        remount("ro")
        output = snakemake(project, TABLE, *arguments, check=False)
        assert "Read-only file system" in output and "Traceback" not in output
        remount("rw")
        snakemake(project, TABLE, *arguments)


@pytest.mark.parametrize("kind", ["rows", "traces", "journal", "code", "the run's own"])
def test_what_stands_in_the_way_of_a_file_is_named(tmp_path, capsys, kind):
    config = tmp_path / "c.yaml"
    axes = "{dimension: 4, samples: 8, steps: 5}"
    config.write_text(f"run: x\nresults: {tmp_path}\nblocks: [{{name: a, axes: {axes}}}]\n", encoding="utf-8")
    store, (cell,) = Store(tmp_path / "x"), load_config(config).cells
    if kind in ("rows", "traces", "journal"):
        main(["train", "--config", str(config), "--workers", "1"])
        name = shard_name([cell])
        path = store.file(kind, name)
        store.file("rows", name).unlink()
        path.unlink(missing_ok=True)
        path.mkdir(parents=True)
    else:
        path = store.root / "code" if kind == "code" else store.root
        path.parent.mkdir(exist_ok=True)
        if kind == "code":
            (store.root / "run.json").write_text("{}", encoding="utf-8")  # a run's folder
        path.write_text("in the way", encoding="utf-8")
    assert main(["train", "--config", str(config), "--workers", "1"]) in (1, 2)
    error = capsys.readouterr().err
    assert str(path) in error and "Traceback" not in error
    path.rename(tmp_path / "away")
    assert main(["train", "--config", str(config), "--workers", "1"]) == 0
    assert set(store.finished([cell])[0]["key"]) == {cell.key}


@pytest.mark.slow
def test_a_cell_for_which_memory_does_not_suffice_is_named_and_takes_no_other_with_it(tmp_path):
    config = tmp_path / "c.yaml"
    axes = "{dimension: [5, 16000], samples: 10, steps: 1}"
    config.write_text(f"run: x\nresults: {tmp_path}\nblocks: [{{name: a, axes: {axes}}}]\n", encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "orthogrid", "train", "--config", str(config)], capture_output=True, text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30)),
    )  # fmt: skip
    assert done.returncode == 1 and "can't allocate memory" in done.stderr and "Traceback" not in done.stderr
    assert "1 cells could not be trained, 1 were" in done.stderr and "dimension=16000" in done.stderr


# ---- Places and times ----


@pytest.mark.slow
def test_in_a_folder_of_any_name_without_a_locale_and_without_a_home(smoke, tmp_path):  # noqa: F811
    project = copy_project(tmp_path / "ä b'c #1 €")
    environment = {"PATH": f"{BIN}:/usr/local/bin:/usr/bin:/bin", "LC_ALL": "C", "LANG": "C"}
    done = subprocess.run(command(*SMOKE), cwd=project, env=environment, capture_output=True)
    assert done.returncode == 0, (done.stdout + done.stderr).decode(errors="replace")
    for name in ("paper.pdf", "supplement.pdf"):
        assert (project / "results" / "smoke" / name).stat().st_size > 50_000
    rows = [pd.read_csv(path / "results" / "smoke" / "cells.csv").drop(columns=TIMES) for path in (smoke, project)]
    pd.testing.assert_frame_equal(*rows)


@pytest.mark.slow
@pytest.mark.parametrize("change", ["another seed", "no YAML"])
def test_a_config_that_is_edited_meanwhile_changes_the_next_run_and_not_this_one(tmp_path, change):
    project, arguments = long_mini(tmp_path)
    process = begin_and_finish_some(project, command(TABLE, *arguments))
    config = project / "mini.yaml"
    before = config.read_text(encoding="utf-8")
    config.write_text(before.replace("- 8", "- 9") if change == "another seed" else "blocks: [", encoding="utf-8")
    assert process.wait(timeout=120) == 0, (project / "out.log").read_text()
    assert set(pd.read_csv(project / TABLE)["seed"]) == set(range(1, 9))
    if change == "another seed":
        assert "4 cells trained" in snakemake(project, TABLE, *arguments)
        assert set(pd.read_csv(project / TABLE)["seed"]) == {*range(1, 8), 9}
