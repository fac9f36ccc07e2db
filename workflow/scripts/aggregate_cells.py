"""Collect the configured cells, their traces and their blocks from the training jobs' files; compare the thread's logs."""

import json
from pathlib import Path

from orthogrid.config import check_config
from orthogrid.run import collect_cells, collect_traces, compare_thread, membership, summary
from orthogrid.store import read_table, write_bytes, write_table

if __name__ == "__main__":
    config = check_config(snakemake.config)
    names = [Path(path).stem for path in snakemake.input.rows]
    logs = [read_table(Path(snakemake.input[name])) for name in ("log_a", "log_b")]
    cells, traces = collect_cells(config, names), collect_traces(config, names)
    tables = {
        "cells": cells,
        "traces": traces,
        "membership": membership(config),
        "thread": compare_thread(cells, traces, *logs),
    }
    for name, table in tables.items():
        write_table(table, Path(snakemake.output[name]))
    write_bytes((json.dumps(summary(config, cells), indent=2) + "\n").encode(), Path(snakemake.output.summary))
