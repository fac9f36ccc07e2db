"""Collect the configured cells, their traces and their blocks from the training jobs' files."""

import json
from pathlib import Path

from orthogrid.config import check_config
from orthogrid.run import collect_cells, collect_traces, membership, summary
from orthogrid.store import write_bytes, write_table

if __name__ == "__main__":
    config = check_config(snakemake.config)
    names = [Path(path).stem for path in snakemake.input.rows]
    cells = collect_cells(config, names)
    write_table(cells, Path(snakemake.output.cells))
    write_table(collect_traces(config, names), Path(snakemake.output.traces))
    write_table(membership(config), Path(snakemake.output.membership))
    write_bytes((json.dumps(summary(config, cells), indent=2) + "\n").encode(), Path(snakemake.output.summary))
