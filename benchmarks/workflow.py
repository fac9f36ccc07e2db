"""What the whole workflow costs beside its training: a run from nothing, one more reg, ten thousand cells.

Everything happens in copies of the project in a temporary folder. The default run is used where it is finished, since it
takes a quarter of an hour to make; the small one is made anew.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd
import yaml

from orthogrid.jobs.store import Store

ROOT = Path(__file__).parents[1]
PARTS = ("Snakefile", "config", "workflow", "profiles", "paper", "data", "src", "pyproject.toml", "environment.yml")
MANY = 10_000


def copy_project(target: Path) -> Path:
    """The sources alone."""
    for name in PARTS:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy2
        copy(ROOT / name, target / name)
    return target


def call(project: Path, *arguments: str) -> tuple[float, str]:
    """Seconds that a command took in a project, and what it printed."""
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    environment["PYTHONPATH"] = str(project / "src")
    started = time.perf_counter()
    done = subprocess.run(arguments, cwd=project, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(arguments)} failed:\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}")
    return time.perf_counter() - started, done.stdout + done.stderr


def snakemake(project: Path, config: str, *arguments: str) -> tuple[float, str]:
    return call(project, sys.executable, "-m", "snakemake", *arguments, "--cores", "all", "--configfile", config)


def job_seconds(results: Path) -> pd.Series:
    """Wall seconds of each job of a run, as Snakemake measured them, by the name of its file."""
    paths = sorted((results / "benchmarks").rglob("*.tsv"))
    return pd.Series({path.stem: float(pd.read_csv(path, sep="\t")["s"].iloc[-1]) for path in paths})


def training_share(results: Path) -> dict[str, float]:
    """Training jobs: their wall seconds, and those in which the cores trained."""
    store = Store(results)
    shards = set(store.held())
    rows = pd.concat([store.rows(name) for name in shards])
    jobs = job_seconds(results)
    return {"jobs": jobs[jobs.index.isin(shards)].sum(), "training": rows["seconds"].sum() / (os.cpu_count() or 1)}


def run_from_nothing(folder: Path, say) -> tuple[Path, list[dict]]:
    """The small run, LaTeX included."""
    say("the small run from nothing")
    project = copy_project(folder / "smoke")
    wall, _ = snakemake(project, "config/smoke.yaml")
    results = project / "results" / "smoke"
    cells, share = len(pd.read_csv(results / "cells.csv")), training_share(results)
    rows = [
        ("share of the time that is not training", 1 - share["training"] / wall, ""),
        ("whole run", wall, "s"),
        ("cells a minute, whole run", 60 * cells / wall, "1/min"),
    ]
    rows += [
        ("training jobs", share["jobs"], "s"),
        ("training jobs: outside training", share["jobs"] - share["training"], "s"),
    ]
    rows += [
        (f"job {name}", s, "s")
        for name, s in job_seconds(results).items()
        if not Store(results).file("rows", name).exists()
    ]
    return project, [record(f"smoke: {what}", value, unit, cells) for what, value, unit in rows]


def default_run(folder: Path, say) -> tuple[Path | None, list[dict]]:
    """The finished default run of this checkout, copied with Snakemake's records; None where it is not finished."""
    if not (ROOT / "results/default/paper.pdf").exists():
        say("results/default is not finished: left out (make paper, then make bench)")
        return None, []
    project = copy_project(folder / "default")
    shutil.copytree(ROOT / "results/default", project / "results/default")
    if (ROOT / ".snakemake/metadata").exists():
        shutil.copytree(ROOT / ".snakemake/metadata", project / ".snakemake/metadata")
    results = project / "results" / "default"
    cells, share, jobs = len(pd.read_csv(results / "cells.csv")), training_share(results), job_seconds(results)
    rows = [
        ("all jobs", jobs.sum(), "s"), ("training jobs", share["jobs"], "s"),
        ("training jobs: outside training", share["jobs"] - share["training"], "s"),
        ("share of all jobs' time that is not training", 1 - share["training"] / jobs.sum(), ""),
        ("training jobs: share outside training", 1 - share["training"] / share["jobs"], ""),
    ]  # fmt: skip
    return project, [record(f"default: {what}", value, unit, cells) for what, value, unit in rows]


def one_more_reg(project: Path, run: str, config: str, say) -> list[dict]:
    """A value added to the grid's regs: what the update takes beyond the training of its new cells."""
    say(f"one more reg in {run}")
    results, path = project / "results" / run, project / config
    snakemake(project, config)  # whatever the copy still needs
    before = set(pd.read_csv(results / "cells.csv")["key"])
    raw = yaml.safe_load(path.read_text())
    axes = next(block["axes"] for block in raw["blocks"] if block["name"] == "grid")
    axes["reg"] = [*axes["reg"], 31]
    path.write_text(yaml.safe_dump(raw, sort_keys=False))
    until_rows, _ = snakemake(project, config, "train_all")
    wall = until_rows + snakemake(project, config)[0]
    cells = pd.read_csv(results / "cells.csv")
    new = cells[~cells["key"].isin(before)]
    training = new["seconds"].sum() / (os.cpu_count() or 1)
    jobs = job_seconds(results)
    parts = {
        name: jobs[name] for name in ("predict_cells", "aggregate_cells", "draw_figures", "write_values", "build_paper")
    }
    rows = [
        ("wall", wall, "s"),
        ("training of its cells", training, "s"),
        ("beyond its cells, until the rows are there", until_rows - training, "s"),
        ("beyond its cells, until the paper is there", wall - training, "s"),
    ]
    rows += [(f"job {name}", seconds, "s") for name, seconds in parts.items()]
    return [record(f"{run}, one more reg: {what}", value, unit, len(new)) for what, value, unit in rows]


def many_cells(folder: Path, say) -> list[dict]:
    """Ten thousand tiny cells: planned in 64 shards, trained, collected from their rows, and found finished."""
    say(f"{MANY} cells")
    project = copy_project(folder / "many")
    axes = {
        "dimension": 4,
        "samples": 3,
        "steps": 1,
        "reg": [1 + i for i in range(100)],
        "seed": list(range(MANY // 100)),
    }
    config = project / "config" / "many.yaml"
    config.write_text(yaml.safe_dump({"run": "many", "blocks": [{"name": "grid", "axes": axes}]}))
    name, table = str(config.relative_to(project)), "results/many/cells.csv"
    plan, output = snakemake(project, name, table, "--dry-run", "--config", "shards=64")
    assert re.search(r"train_shard +64\b", output), output
    train, _ = call(project, sys.executable, "-m", "orthogrid", "train", "--config", name)
    collect, output = snakemake(project, name, table)
    assert "train_shard" not in output, output
    nothing, output = snakemake(project, name, table)
    assert "Nothing to be done" in output, output
    rows = [("dry run, 64 shards", plan), ("training", train), ("collecting", collect), ("nothing to do", nothing)]
    return [record(f"{MANY} cells: {what}", value, "s", MANY) for what, value in rows]


def record(what: str, value: float, unit: str, cells: int) -> dict:
    return {"what": what, "cells": cells, "value": value, "unit": unit}


def measure(say) -> list[dict]:
    """All of it, as records."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for part in ("smoke", "default", "many"):
            (folder / part).mkdir()
        project, records = run_from_nothing(folder, say)
        records += one_more_reg(project, "smoke", "config/smoke.yaml", say)
        project, more = default_run(folder, say)
        records += more
        if project is not None:
            records += one_more_reg(project, "default", "config/config.yaml", say)
        return records + many_cells(folder, say)
