"""Collect the configured cells, their traces and their blocks from the training jobs' files."""

from pathlib import Path

from orthogrid.run import collect_cells, collect_traces, membership
from orthogrid.config import check_config
from orthogrid.store import write_table

if __name__ == "__main__":
    plan = check_config(snakemake.config)
    write_table(collect_cells(plan, snakemake.input.rows), Path(snakemake.output.cells))
    write_table(collect_traces(plan, snakemake.input.traces), Path(snakemake.output.traces))
    write_table(membership(plan), Path(snakemake.output.membership))
