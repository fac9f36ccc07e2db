"""Build the PDFs of a run."""

import sys
from pathlib import Path

from orthogrid.failures import told
from orthogrid.latex import LatexError, build, page_count

if __name__ == "__main__":
    with told():
        log, paper, supplement = (Path(path) for path in (snakemake.log[0], *snakemake.output))
        try:
            passes = build(
                sources=Path(next(path for path in snakemake.input.sources if path.endswith("paper.tex"))).parent,
                results=paper.parent,
                log=paper.parent / "cache" / "paper.log",  # no log of the job's, which Snakemake prints where it fails
            )
        except LatexError as error:
            log.write_text(f"{error}\n", encoding="utf-8")
            sys.exit(1)
        pages = ", ".join(f"{path.name} has {page_count(path)} pages" for path in (paper, supplement))
        log.write_text(f"LaTeX made {passes} passes; {pages}\n", encoding="utf-8")
