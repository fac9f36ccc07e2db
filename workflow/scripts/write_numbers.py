"""Write numbers.tex, claims.csv and the tables of the paper."""

import json
from pathlib import Path

from orthogrid.appendix import write_own_figures
from orthogrid.claims import judge
from orthogrid.config import check_config
from orthogrid.numbers import write_numbers
from orthogrid.own import load_code
from orthogrid.run import Run
from orthogrid.store import write_table
from orthogrid.tables import write_tables

if __name__ == "__main__":
    results = Path(snakemake.input.cells).parent
    config = check_config(snakemake.config, source=snakemake.params.configfile)
    load_code(config.code)
    run = Run.read(config, results, Path(snakemake.input.log_a).parent, snakemake.input.bench)
    verdicts = judge(run)
    write_table(verdicts, Path(snakemake.output.claims))
    told = json.loads(Path(snakemake.input.summary).read_text(encoding="utf-8"))
    write_numbers(run, verdicts, Path(snakemake.output.numbers), told["frozen"])
    write_own_figures(config, Path(snakemake.output.own))
    write_tables(run, verdicts, [Path(path) for path in snakemake.output.tables])
