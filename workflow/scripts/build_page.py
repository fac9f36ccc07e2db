"""Build the HTML page of a run."""

import sys
from pathlib import Path

from orthogrid.jobs.failures import told
from orthogrid.jobs.files import write_bytes
from orthogrid.jobs.records import on_record
from orthogrid.publishing.webpage import PageError, build_page

if __name__ == "__main__":
    with told(snakemake.log[0]), on_record(snakemake):
        log, page = Path(snakemake.log[0]), Path(snakemake.output[0])
        sources = Path(next(path for path in snakemake.input.sources if path.endswith("paper.tex"))).parent
        try:
            build_page(sources, Path(snakemake.input.values).parent, page, log)
        except PageError as error:
            write_bytes(f"{error}\n".encode(), log)
            sys.exit(1)
