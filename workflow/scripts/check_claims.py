"""Print the verdicts; exit with an error where one is refuted that the theory does not foretell."""

import sys
from pathlib import Path

from orthogrid.jobs.failures import told
from orthogrid.jobs.files import read_table, write_bytes
from orthogrid.presenting.ledger import summary, unexpected

if __name__ == "__main__":
    with told(snakemake.log[0]):
        verdicts = read_table(Path(snakemake.input.claims))
        words = summary(verdicts)
        print(words)
        write_bytes(f"{words}\n".encode(), Path(snakemake.log[0]))
        sys.exit(0 if unexpected(verdicts).empty else 1)
