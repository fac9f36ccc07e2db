"""Build the PDF of a run."""

from pathlib import Path

from orthogrid.latex import build

if __name__ == "__main__":
    build(
        sources=Path(snakemake.params.sources),
        results=Path(snakemake.input.numbers).parent,
        output=Path(snakemake.output.paper),
        log=Path(snakemake.log[0]),
    )
