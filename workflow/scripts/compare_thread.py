"""Compare the thread's logs with the cells that are the thread's scripts."""

from pathlib import Path

from orthogrid.run import compare_thread
from orthogrid.store import read_table, write_table

if __name__ == "__main__":
    tables = [read_table(Path(snakemake.input[name])) for name in ("cells", "traces", "log_a", "log_b")]
    write_table(compare_thread(*tables), Path(snakemake.output.thread))
