"""Write what the theory predicts for every configured cell."""

from pathlib import Path

from orthogrid.cells.config import check_config
from orthogrid.jobs.failures import told
from orthogrid.jobs.files import write_table
from orthogrid.jobs.progress import Progress
from orthogrid.jobs.records import on_record
from orthogrid.theory.predictions import predict_cells

if __name__ == "__main__":
    with told(snakemake.log[0]), on_record(snakemake):
        plan, output = check_config(snakemake.config), Path(snakemake.output.predictions)
        progress = Progress("predictions", 1.0, log=snakemake.log[0])
        table = predict_cells(
            plan, lambda done, total: progress.update(done / total), cache=Path(snakemake.params.cache, "predictions")
        )
        write_table(table, output)
        progress.close(f"{len(table)} cells predicted")
