"""Remove the rows and traces that the config no longer asks for, and the journals."""

from pathlib import Path

from orthogrid.config import check_config
from orthogrid.failures import told
from orthogrid.store import Store

if __name__ == "__main__":
    with told():
        config = check_config(snakemake.config)
        removed = Store(config.root).clear(config.cells)
        Path(snakemake.log[0]).write_text("".join(f"removed {path}\n" for path in removed), encoding="utf-8")
