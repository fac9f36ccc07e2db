"""Collect the configured cells, their traces and their blocks from the training jobs' files; compare the thread's logs."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from orthogrid.config import check_config
from orthogrid.freeze import frozen
from orthogrid.outcomes import with_outcomes
from orthogrid.run import collect_cells, collect_traces, compare_thread, membership, summary
from orthogrid.store import SUFFIX, read_table, write_bytes, write_table

if __name__ == "__main__":
    config = check_config(snakemake.config)
    names = [Path(path).name.removesuffix(SUFFIX) for path in snakemake.input.rows]
    logs = [read_table(Path(snakemake.input[name])) for name in ("log_a", "log_b")]
    cells = with_outcomes(collect_cells(config, names), read_table(Path(snakemake.input.predictions)))
    traces = collect_traces(config, names)
    tables = {
        "traces": traces,
        "cells": cells,
        "membership": membership(config),
        "thread": compare_thread(cells, traces, *logs),
    }
    # Compressing lets go of Python's lock: the traces are compressed while the rest is written.
    with ThreadPoolExecutor() as pool:
        jobs = [pool.submit(write_table, table, Path(snakemake.output[name])) for name, table in tables.items()]
    for job in jobs:
        job.result()
    told = summary(config, cells) | {"frozen": frozen(snakemake.input.frozen, config)}
    write_bytes((json.dumps(told, indent=2) + "\n").encode(), Path(snakemake.output.summary))
