"""Write values.csv, values.tex, claims.csv, and the tables and sections of the paper."""

import json
from pathlib import Path

from orthogrid.cells.config import check_config
from orthogrid.jobs.failures import told
from orthogrid.jobs.files import write_bytes, write_table
from orthogrid.jobs.own import load_code
from orthogrid.jobs.records import on_record
from orthogrid.publishing.blocks import block_sections
from orthogrid.publishing.page import write_claims_page
from orthogrid.publishing.sources import asked
from orthogrid.publishing.writing import write_tables, write_values
from orthogrid.run.run import Run
from orthogrid.sections import judge
from orthogrid.sections.ledger import with_explored

if __name__ == "__main__":
    with told(snakemake.log[0]), on_record(snakemake):
        results = Path(snakemake.input.cells).parent
        config = check_config(snakemake.config, source=snakemake.params.configfile)
        load_code(config.code)
        run = Run.read(config, results, Path(snakemake.input.log_a).parent)
        made = json.loads(Path(snakemake.input.summary).read_text(encoding="utf-8"))
        verdicts = judge(run)
        verdicts = with_explored(verdicts, made)
        write_table(verdicts, Path(snakemake.output.claims))
        write_claims_page(verdicts, config.run, Path(snakemake.output.page))
        found = write_values(run, verdicts, made, asked(snakemake.params.sources), results)
        write_tables(run, verdicts, found, [Path(path) for path in snakemake.output.tables])
        write_bytes(block_sections(run).encode(), Path(snakemake.output.blocks))
