"""Print the verdicts; exit with an error where one is refuted that the theory does not foretell."""

import sys
from pathlib import Path

from orthogrid.failures import told
from orthogrid.files import read_table
from orthogrid.paper import summary, unexpected

if __name__ == "__main__":
    with told():
        verdicts = read_table(Path(snakemake.input.claims))
        words = summary(verdicts)
        print(words)
        Path(snakemake.log[0]).write_text(words + "\n", encoding="utf-8")
        sys.exit(0 if unexpected(verdicts).empty else 1)
