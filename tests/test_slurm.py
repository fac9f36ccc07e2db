"""A real cluster of one machine: shards as Slurm jobs, one of them killed by the scheduler."""

from __future__ import annotations

import contextlib
import getpass
import importlib.util
import os
import platform
import shutil
import subprocess
import time
from pathlib import Path

import pandas as pd
import pytest
from test_growth import TABLE, mini
from test_workflow import SMOKE, command, copy_project, keys, results, rows_files, smoke, snakemake  # noqa: F401 - a fixture

from orthogrid.cells.config import load_config
from orthogrid.jobs.store import Store

LACKING = [
    name
    for name in ("slurmctld", "slurmd", "munged", "sbatch")
    if not shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin")
]
ETC = Path("/etc/slurm")  # where a job's own commands look, whatever its environment
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(LACKING), reason=f"no Slurm here: {', '.join(LACKING)} missing (Debian: slurm-wlm, munge)"),
    pytest.mark.skipif((ETC / "slurm.conf").exists(), reason="this machine has a cluster of its own"),
    pytest.mark.skipif(os.geteuid() != 0, reason="a test cluster needs root"),
    pytest.mark.skipif(
        importlib.util.find_spec("snakemake_executor_plugin_slurm") is None, reason="pip install -e '.[slurm]'"
    ),
]
CLUSTER = ("--workflow-profile", "profiles/slurm", "--slurm-status-command", "squeue", "--set-threads", "train_shard=1",
           "--default-resources", "mem_mb=500", "runtime=20", "--seconds-between-status-checks", "3", "--slurm-init-seconds-before-status-checks", "3", "--latency-wait", "20")  # fmt: skip

CONF = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CryptoType=crypto/munge
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=sched_interval=2,batch_sched_delay=1
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
MinJobAge=3600
ReturnToService=2
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
SlurmctldPort=16817
SlurmdPort=16818
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory={memory} State=UNKNOWN
PartitionName=debug Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """Slurm on this machine, with one node; the environment that its commands need."""
    folder = tmp_path_factory.mktemp("slurm")
    for name in ("state", "spool", "munge"):
        (folder / name).mkdir(mode=0o700)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20 - 500
    conf = CONF.format(host=platform.node(), user=getpass.getuser(), folder=folder, cpus=os.cpu_count(), memory=memory)
    ETC.mkdir(exist_ok=True)
    (ETC / "slurm.conf").write_text(conf, encoding="utf-8")
    (ETC / "cgroup.conf").write_text("CgroupPlugin=cgroup/v1\nCgroupAutomount=no\n", encoding="utf-8")
    key = folder / "munge" / "key"
    key.write_bytes(os.urandom(1024))
    key.chmod(0o400)
    path = f"{os.environ['PATH']}:/usr/sbin"
    environment = {**os.environ, "PATH": path}
    calls = [
        ["munged", "--force", "--foreground", f"--key-file={key}", f"--socket={folder}/munge.socket", f"--pid-file={folder}/munge.pid",
         f"--log-file={folder}/munged.log", f"--seed-file={folder}/munge/seed"],
        ["slurmctld", "-D"],
        ["slurmd", "-D"],
    ]  # fmt: skip
    with contextlib.ExitStack() as stack:
        for name in ("slurm.conf", "cgroup.conf"):
            stack.callback((ETC / name).unlink)
        log = stack.enter_context((folder / "out.log").open("w", encoding="utf-8"))
        for call in calls:
            process = subprocess.Popen(call, env=environment, stdout=log, stderr=log, start_new_session=True)
            stack.callback(process.wait)
            stack.callback(process.terminate)
            time.sleep(1)
        deadline = time.monotonic() + 30
        while (
            "idle"
            not in subprocess.run(["sinfo", "-h", "-o", "%T"], env=environment, capture_output=True, text=True).stdout
        ):
            told = "\n".join(
                p.read_text(encoding="utf-8", errors="replace")[-1500:] for p in sorted(folder.glob("*.log"))
            )
            assert time.monotonic() < deadline, told
            time.sleep(0.5)
        yield {"PATH": path}


def test_smoke_goes_through_slurm_to_the_paper(cluster, tmp_path, smoke):  # noqa: F811
    project = copy_project(tmp_path / "project")
    output = snakemake(project, *CLUSTER, "--configfile", SMOKE[-1], "--config", "shards=3", **cluster)
    assert output.count("has been submitted with SLURM jobid") == 3
    assert (results(project) / "paper.pdf").exists() and len(rows_files(project)) == 3
    times = ["seconds", "seconds_per_step"]
    here, there = (pd.read_csv(results(each) / "cells.csv").drop(columns=times) for each in (smoke, project))
    pd.testing.assert_frame_equal(here, there)


def test_a_job_that_the_scheduler_kills_is_resumed(cluster, tmp_path):
    project, _ = mini(tmp_path, dimension=60, samples=90, steps=3000, seed=list(range(1, 13)))
    arguments = (*CLUSTER, "--configfile", "mini.yaml")
    environment = {**os.environ, **cluster}
    log = (project / "out.log").open("w", encoding="utf-8")
    process = subprocess.Popen(
        command(TABLE, *arguments), cwd=project, env=environment, stdout=log, stderr=subprocess.STDOUT
    )
    journals, deadline = project / "results" / "mini" / "journal", time.monotonic() + 180
    while not any(path.stat().st_size for path in journals.glob("*.jsonl")):
        told = Path(log.name).read_text(encoding="utf-8")
        assert time.monotonic() < deadline and process.poll() is None, told
        time.sleep(0.1)
    (job,) = subprocess.run(
        ["squeue", "-h", "-o", "%i"], env=environment, capture_output=True, text=True
    ).stdout.split()
    subprocess.run(["scancel", job], env=environment, check=True)
    assert process.wait(timeout=180) != 0
    time.sleep(2)
    cells = load_config(project / "mini.yaml").cells
    kept = set(Store(project / "results" / "mini").finished(cells)[0]["key"])
    assert 0 < len(kept) < len(cells)
    snakemake(project, TABLE, *arguments, **cluster)
    trained = [p.read_text(encoding="utf-8") for p in (project / "results" / "mini" / "logs" / "train").glob("*.log")]
    assert any(f"{len(cells) - len(kept)} cells trained" in text for text in trained), trained
    assert sorted(keys(rows_files(project, "mini"))) == sorted(pd.read_csv(project / TABLE)["key"])
