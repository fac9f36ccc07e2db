"""Remove the rows and traces that the config no longer asks for, and the journals."""

from pathlib import Path

from orthogrid.cells.config import check_config
from orthogrid.jobs.failures import told
from orthogrid.jobs.files import write_bytes
from orthogrid.jobs.store import Store

if __name__ == "__main__":
    with told(snakemake.log[0]):
        config = check_config(snakemake.config)
        removed = Store(config.root).clear(config.cells)
        write_bytes("".join(f"removed {path}\n" for path in removed).encode(), Path(snakemake.log[0]))
