"""python -m benchmarks.scale [--cells 1000000] [--folder DIR]: what planning, rows and aggregation cost at that size.

Nothing is trained. The rows are the published run's, dealt out to other cells: true in size and form, not in meaning. Each
stage runs in a process of its own, so that its memory is its own. What they need and what the training itself would take
on a cluster is written to results/bench/scale.csv.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from itertools import cycle, islice
from pathlib import Path

import pandas as pd
import yaml

from orthogrid.cells.config import load_config
from orthogrid.cells.costs import Costs
from orthogrid.jobs.files import read_table, write_table
from orthogrid.jobs.plan import Plan, batches, describe, shards
from orthogrid.jobs.store import Store, shard_name
from orthogrid.run.collect import collect
from orthogrid.run.run import Run
from orthogrid.theory.predictions import predict_cells

ROOT = Path(__file__).parents[1]
THREAD = ROOT / "data" / "thread"
PUBLISHED = ROOT / "results" / "full"
JOBS = 64
# By seed there are 1600 cells.
AXES = {
    "dimension": [5, 10, 20, 30, 50], "samples": [10, 20, 40, 80], "reg": [0.1, 0.3, 1, 3, 10, 30, 100, 300, 1000, 3000],
    "penalty": ["fro2", "fro", "l1", "l1_detached"], "determinant": ["match", "mismatch"],
}  # fmt: skip
TEMPLATES = 500  # published cells whose rows are dealt out
LOGGED = 36  # at most so many points has the trace of one of these


def write_config(folder: Path, cells: int) -> Path:
    """The config of so many cells, the last seed's rounded up."""
    seeds = math.ceil(cells / math.prod(map(len, AXES.values())))
    config = {
        "run": "scale", "shards": JOBS, "results": str(folder / "results"),
        "blocks": [{"name": "scale", "axes": AXES | {"seed": list(range(seeds))}}],
    }  # fmt: skip
    path = folder / "scale.yaml"
    path.write_text(yaml.safe_dump(config, default_flow_style=None), encoding="utf-8")
    return path


_MADE: dict[str, pd.DataFrame] = {}


def make_rows(path: Path) -> None:
    """Rows and traces files as the training jobs would have left them."""
    config = load_config(path)
    with ProcessPoolExecutor(os.cpu_count(), initializer=_read_templates) as pool:
        list(pool.map(_make, [str(config.root)] * JOBS, shards(config.cells, JOBS, Costs()).values()))


def _read_templates() -> None:
    store = Store(PUBLISHED)
    (name,) = store.held()
    rows, traces = store.rows(name), store.traces(name)
    points = traces.groupby("key").size()
    rows = rows[(rows["status"] == "ok") & rows["key"].map(points).le(LOGGED)].head(TEMPLATES)
    _MADE.update(rows=rows, traces=traces[traces["key"].isin(rows["key"])])


def _make(root: str, cells: list) -> None:
    templates = _MADE["rows"]
    places = list(islice(cycle(range(len(templates))), len(cells)))
    rows = templates.iloc[places].reset_index(drop=True)
    settings = pd.DataFrame([cell.settings for cell in cells])
    rows[settings.columns] = settings
    rows["key"], rows["code"] = [cell.key for cell in cells], [cell.code for cell in cells]
    whose = pd.DataFrame({"like": templates["key"].iloc[places].to_numpy(), "key": rows["key"]})
    traces = _MADE["traces"].rename(columns={"key": "like"}).merge(whose, on="like").drop(columns="like")
    traces = traces[["key", *(name for name in traces if name != "key")]]
    Store(root).put(shard_name(cells), rows, traces)


def _predict(path: Path) -> None:
    config = load_config(path)
    write_table(predict_cells(config), config.root / "predictions.csv")


def _collect(path: Path) -> None:
    config = load_config(path)
    names = sorted(file.name.partition(".")[0] for file in (config.root / "rows").iterdir())
    logs = read_table(THREAD / "log_a.csv"), read_table(THREAD / "log_b.csv")
    collect(config, names, read_table(config.root / "predictions.csv"), logs)


# In the order of their measurement.
STAGES: dict[str, Callable[[Path], object]] = {
    "check": load_config,
    "plan, nothing finished": lambda path: describe(Plan(load_config(path)), JOBS),
    "rows made up": make_rows,
    "plan, all finished": lambda path: describe(Plan(load_config(path)), JOBS),
    "predictions": _predict,
    "tables": _collect,
    "tables read by figures and claims": lambda path: Run.read(
        load_config(path), path.parent / "results/scale", THREAD
    ),
}


def measure(stage: str, path: Path) -> dict[str, float]:
    """Seconds and the most memory, in GB, of a stage in a process of its own."""
    call = [sys.executable, "-m", "benchmarks.scale", "--stage", stage, "--folder", str(path.parent)]
    done = subprocess.run(call, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description=__doc__)
    parser.add_argument("--cells", type=int, default=1_000_000)
    parser.add_argument("--folder", type=Path, help="where its files go; kept (default: a temporary one)")
    parser.add_argument("--stage", choices=STAGES, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.stage:
        started = time.perf_counter()
        STAGES[options.stage](options.folder / "scale.yaml")
        most = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)) / 1e6
        print(json.dumps({"seconds": time.perf_counter() - started, "gigabytes": most}))
        return 0
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        path = write_config(folder, options.cells)
        config, costs = load_config(path), Costs()
        records = []
        for stage in STAGES:
            records.append({"stage": stage, **measure(stage, path)})
            print(records[-1], file=sys.stderr, flush=True)
        published = load_config(ROOT / "config" / "full.yaml").cells
        each = sum(map(costs.seconds, published)) / len(published)
        training = sum(map(costs.batch_seconds, batches(config.cells, costs)))
        for like, seconds in (("", training), (", of cells like the published", each * len(config.cells))):
            records.append({"stage": f"training on {JOBS} workers{like}", "seconds": seconds / JOBS})
        size = sum(file.stat().st_size for file in config.root.rglob("*") if file.is_file()) / 1e9
        records.append({"stage": "files", "gigabytes": size})
    table = pd.DataFrame(records)
    table.insert(1, "cells", len(config.cells))
    write_table(table, ROOT / "results" / "bench" / "scale.csv")
    print(table.to_string(index=False, float_format=lambda value: f"{value:.3g}"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
