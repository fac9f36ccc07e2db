"""Remove the rows, traces and journals of groups that the config no longer asks for."""

from pathlib import Path

from orthogrid.store import Store

if __name__ == "__main__":
    removed = Store(snakemake.params.root).clear(keep=snakemake.params.keep)
    Path(snakemake.log[0]).write_text("".join(f"removed {path}\n" for path in removed))
