"""Bring the rows of one training job about."""

from pathlib import Path

from orthogrid.config import check_config
from orthogrid.runner import train_cells

if __name__ == "__main__":
    plan = check_config(snakemake.config)
    train_cells(
        group=snakemake.wildcards.group,
        cells=plan.groups[snakemake.wildcards.group],
        results=Path(snakemake.output.rows).parents[1],
        device=plan.device,
        threads=snakemake.threads,
        log=snakemake.log[0],
    )
