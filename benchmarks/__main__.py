"""python -m benchmarks [--device cpu|cuda] [--quick] [--only steps|memory|workflow|small ...]: one run, one table.

Writes results/bench/<device>.csv and prints it. `small`, a part of `steps`, is the table of small matrices beside JAX. The machine should be idle.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import time
from importlib import metadata
from pathlib import Path

import pandas as pd
import torch

from benchmarks.records import COLUMNS
from orthogrid.jobs.files import write_table
from orthogrid.jobs.runner import device_name, find_device

from . import memory, steps, workflow

PARTS = ("steps", "memory", "workflow")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--quick", action="store_true", help="small sizes: to see that it runs")
    parser.add_argument("--only", nargs="+", choices=(*PARTS, "small"), default=PARTS)
    parser.add_argument("--results", type=Path, default=Path("results/bench"))
    options = parser.parse_args()
    device = find_device(options.device)

    def say(text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    started = time.strftime("%Y-%m-%dT%H:%M", time.gmtime())  # what was measured in one run
    records: list[dict] = []
    if "workflow" in options.only:
        records += workflow.measure(say)
    if "memory" in options.only:
        say("memory")
        records += memory.measure(device.type, options.quick)
    if "steps" in options.only:
        records += steps.measure(device.type, options.quick)
    elif "small" in options.only:
        records += steps.measure(device.type, options.quick, small=True)
    cores = 1 if device.type == "cuda" else len(steps.available_cores())
    table = pd.DataFrame(records).reindex(columns=list(COLUMNS))
    made = [cores, _device(device), torch.__version__, _version("jax"), started]
    table[["cores", "device", "torch", "jax", "started"]] = made
    folder = options.results / "quick" if options.quick else options.results
    path = folder / f"{_slug(_device(device))}.csv"
    write_table(table, path)
    shown = table.drop(columns=["cores", "device", "torch", "jax", "started"]).dropna(axis=1, how="all")
    print(shown.to_string(index=False, na_rep="", float_format=lambda value: f"{value:.4g}"))
    print(f"\n{path}: {_device(device)}, {cores} core(s), torch {torch.__version__}")
    return 0


def _device(device: torch.device) -> str:
    """The processor alone: how many threads a row's worker has does not matter here."""
    return device_name(device).replace(", 1 thread", "")


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


if __name__ == "__main__":
    os.chdir(Path(__file__).parents[1])
    sys.exit(main())
