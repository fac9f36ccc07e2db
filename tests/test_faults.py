"""What is killed, interrupted or edited while it runs, under Snakemake: nothing is lost, left behind or trained twice."""

from __future__ import annotations

import contextlib
import gzip
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import psutil
import pytest
from test_workflow import TABLE, command, keys, mini, rows_files, snakemake

from orthogrid.catalog import ConfigError
from orthogrid.config import load_config
from orthogrid.locks import hold, let_go
from orthogrid.store import Store


def long_run(folder: Path) -> tuple[Path, subprocess.Popen, tuple[str, ...]]:
    """A run of some seconds under Snakemake, in a session of its own, once some of its cells are finished."""
    project, arguments = mini(folder, dimension=60, samples=90, steps=3000, seed=list(range(1, 9)))
    log = (project / "out.log").open("w")
    process = subprocess.Popen(
        command(TABLE, *arguments), cwd=project, start_new_session=True, stdout=log, stderr=subprocess.STDOUT
    )
    journals, deadline = project / "results" / "mini" / "journal", time.monotonic() + 120
    while not any(path.stat().st_size for path in journals.glob("*.jsonl")):
        assert time.monotonic() < deadline and process.poll() is None, (project / "out.log").read_text()
        time.sleep(0.05)
    return project, process, arguments


def at_work(project: Path) -> list[psutil.Process]:
    """Training processes of a project, workers included."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.cwd() == str(project) and {"orthogrid", "train"} <= set(process.cmdline()):
                found.append(process)
    return found


def job_of(project: Path) -> psutil.Process:
    working = at_work(project)
    return next(p for p in working if p.ppid() not in {other.pid for other in working})


WHERE = {
    "group": lambda project, process, number: os.killpg(process.pid, number),
    "snakemake": lambda project, process, number: process.send_signal(number),
    "job": lambda project, process, number: job_of(project).send_signal(number),
    "worker": lambda project, process, number: job_of(project).children()[0].send_signal(number),
}
FAULTS = [("SIGINT", "group"), ("SIGKILL", "worker")]
MORE_FAULTS = [
    *((name, "group") for name in ("SIGTERM", "SIGHUP", "SIGKILL")), *((name, "snakemake") for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGKILL")),
    *((name, "job") for name in ("SIGINT", "SIGTERM", "SIGKILL")),
]  # fmt: skip


@pytest.mark.parametrize(
    "name, where", [*FAULTS, *(pytest.param(*fault, marks=pytest.mark.slow) for fault in MORE_FAULTS)]
)
def test_after_a_signal_nothing_is_lost_left_or_trained_twice(tmp_path, name, where):
    project, process, arguments = long_run(tmp_path)
    started = time.monotonic()
    WHERE[where](project, process, getattr(signal, name))
    if where == "worker":  # noticed, and its batch tried once more
        assert process.wait(timeout=120) == 0
    else:
        process.wait(timeout=30)
        while at_work(project):
            assert time.monotonic() - started < 15, "an orphan trains on"
            time.sleep(0.1)
        assert time.monotonic() - started < 15
    kept = set(Store(project / "results" / "mini").finished(load_config(project / "mini.yaml").cells)[0]["key"])
    assert kept
    output = snakemake(project, TABLE, *arguments)
    if where != "worker":
        assert f"{32 - len(kept)} cells trained" in output or len(kept) == 32, output
    assert sorted(keys(rows_files(project, "mini"))) == sorted(pd.read_csv(project / TABLE)["key"])


@pytest.mark.parametrize("part", ["one number", "every status", "half the file"])
def test_rows_that_were_tampered_with_are_told_and_trained_again_by_plain_snakemake(tmp_path, part):
    project, arguments = mini(tmp_path)
    snakemake(project, TABLE, *arguments)
    before = pd.read_csv(project / TABLE)
    (path,) = rows_files(project, "mini")
    data = path.read_bytes()
    text = gzip.decompress(data).decode()
    if part == "one number":
        data = gzip.compress(text.replace(text.splitlines()[1].split(",")[18], "0.25", 1).encode())
    elif part == "every status":
        data = gzip.compress(text.replace(",ok,", ",diverged,").encode())
    else:
        data = data[: len(data) // 2]
    path.write_bytes(data)
    output = snakemake(project, "train_all", TABLE, *arguments)
    assert f"{path.name}, or its traces, was damaged or edited" in output and "train_shard" in output
    assert (project / "results" / "mini" / "damaged" / f"rows-{path.name}").read_bytes() == data
    times = ["seconds", "seconds_per_step"]
    pd.testing.assert_frame_equal(before.drop(columns=times), pd.read_csv(project / TABLE).drop(columns=times))
    assert "damaged or edited" not in snakemake(project, "train_all", TABLE, *arguments)


@pytest.mark.parametrize("second", ["snakemake", "train"])
def test_a_second_run_in_a_folder_is_refused_and_told_who_is_at_work(tmp_path, second):
    project, process, arguments = long_run(tmp_path)
    try:
        call = {
            "snakemake": command(TABLE, *arguments),
            "train": [sys.executable, "-m", "orthogrid", "train", "--config", "mini.yaml"],
        }[second]
        told = subprocess.run(call, cwd=project, capture_output=True, text=True)
        output = told.stdout + told.stderr
        assert told.returncode != 0 and f"a run is at work here, process {process.pid}" in output
        assert "Traceback" not in output
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=30)


@pytest.mark.skipif(os.geteuid() != 0, reason="a disk of its own needs root")
def test_a_full_disk_is_told_in_words_and_what_was_finished_is_kept(tmp_path):
    project, _ = mini(tmp_path, dimension=30, samples=40, steps=400, seed=list(range(1, 16)))
    (project / "results").mkdir()
    call = [sys.executable, "-m", "orthogrid", "train", "--config", "mini.yaml"]
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=150k", "tmpfs", str(project / "results")]).returncode:
        pytest.skip("nothing can be mounted here")
    try:
        full = subprocess.run(call, cwd=project, capture_output=True, text=True)
        assert full.returncode == 1 and "No space left on device" in full.stderr and "Traceback" not in full.stderr
        subprocess.run(["mount", "-o", "remount,size=20m", str(project / "results")], check=True)
        rest = subprocess.run(call, cwd=project, capture_output=True, text=True, check=True)
        assert "more are finished already" in rest.stderr
    finally:
        subprocess.run(["umount", str(project / "results")], check=True)


def test_the_lock_dies_with_its_holder(tmp_path):
    code = "import sys, time; from pathlib import Path; from orthogrid.locks import hold; hold(Path(sys.argv[1])); print('held', flush=True); time.sleep(60)"
    holder = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(ConfigError, match=f"process {holder.pid} "):
        hold(tmp_path)
    holder.kill()
    holder.wait()
    hold(tmp_path)
    hold(tmp_path)
    let_go()
