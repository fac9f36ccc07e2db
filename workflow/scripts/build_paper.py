"""Build the PDFs of a run."""

import sys
from pathlib import Path

from orthogrid.jobs.failures import told
from orthogrid.jobs.files import write_bytes
from orthogrid.jobs.records import on_record
from orthogrid.publishing.latex import LatexError, build, page_count

if __name__ == "__main__":
    with told(snakemake.log[0]), on_record(snakemake):
        log, paper, supplement = (Path(path) for path in (snakemake.log[0], *snakemake.output))
        try:
            passes = build(
                sources=Path(next(path for path in snakemake.input.sources if path.endswith("paper.tex"))).parent,
                results=paper.parent,
                log=Path(
                    snakemake.params.cache, "paper.log"
                ),  # no log of the job's, which Snakemake prints where it fails
                cache=Path(snakemake.params.cache),
                draft=snakemake.params.draft,
            )
        except LatexError as error:
            write_bytes(f"{error}\n".encode(), log)
            sys.exit(1)
        pages = ", ".join(f"{path.name} has {page_count(path)} pages" for path in (paper, supplement))
        write_bytes(f"LaTeX made {passes} passes; {pages}\n".encode(), log)
