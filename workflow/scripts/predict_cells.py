"""Write what the theory predicts for every configured cell."""

from pathlib import Path

from orthogrid.config import check_config
from orthogrid.predictions import predict_cells
from orthogrid.progress import Progress
from orthogrid.store import write_table

if __name__ == "__main__":
    plan = check_config(snakemake.config)
    progress = Progress("predictions", 1.0, log=snakemake.log[0])
    table = predict_cells(plan, lambda done, total: progress.update(done / total))
    write_table(table, Path(snakemake.output.predictions))
    progress.close(f"{len(table)} cells predicted")
