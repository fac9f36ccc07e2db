"""Collect the configured cells, their traces and their blocks from the training jobs' files; compare the thread's logs."""

from pathlib import Path

from orthogrid.cells.config import check_config
from orthogrid.jobs.failures import told
from orthogrid.jobs.files import read_table
from orthogrid.jobs.progress import Progress
from orthogrid.jobs.records import on_record
from orthogrid.run.collect import collect
from orthogrid.tools.freeze import frozen

if __name__ == "__main__":
    with told(snakemake.log[0]), on_record(snakemake):
        config = check_config(snakemake.config)
        names = [Path(path).stem for path in snakemake.input.trained]
        predictions, log_a, log_b = (
            read_table(Path(snakemake.input[name])) for name in ("predictions", "log_a", "log_b")
        )
        progress = Progress("collecting rows", 1.0, log=snakemake.log[0])
        more = {"frozen": frozen(snakemake.input.frozen, config)}
        collect(config, names, predictions, (log_a, log_b), more, progress=progress.update)
        progress.close(f"{len(config.cells)} cells collected")
