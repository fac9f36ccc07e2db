"""Build the PDF of a run."""

import sys
from pathlib import Path

from orthogrid.latex import LatexError, build

if __name__ == "__main__":
    log, output = Path(snakemake.log[0]), Path(snakemake.output.paper)
    try:
        passes = build(
            sources=Path(next(path for path in snakemake.input.sources if path.endswith("paper.tex"))).parent,
            results=Path(snakemake.input.numbers).parent,
            output=output,
            log=output.parent / "cache" / "paper.log",  # no log of the job's, which Snakemake prints where it fails
        )
    except LatexError as error:
        log.write_text(f"{error}\n", encoding="utf-8")
        sys.exit(1)
    log.write_text(f"LaTeX ran {passes} times\n", encoding="utf-8")
