"""Write the page in which every cell of a run can be looked at."""

from pathlib import Path

from orthogrid.config import check_config
from orthogrid.explorer import write_explorer
from orthogrid.failures import told
from orthogrid.run import Run

if __name__ == "__main__":
    with told():
        config = check_config(snakemake.config, source=snakemake.params.configfile)
        run = Run.read(config, Path(snakemake.input.cells).parent, Path(snakemake.input.log_a).parent)
        write_explorer(run, snakemake.output.page)
