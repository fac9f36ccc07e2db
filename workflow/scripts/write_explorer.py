"""Write the page in which every cell of a run can be looked at."""

from pathlib import Path

from orthogrid.cells.config import check_config
from orthogrid.jobs.failures import told
from orthogrid.jobs.records import on_record
from orthogrid.publishing.explorer import write_explorer
from orthogrid.run.run import Run

if __name__ == "__main__":
    with told(snakemake.log[0]), on_record(snakemake):
        config = check_config(snakemake.config, source=snakemake.params.configfile)
        run = Run.read(config, Path(snakemake.input.cells).parent, Path(snakemake.input.log_a).parent)
        write_explorer(run, snakemake.output.page)
