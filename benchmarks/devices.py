"""python -m benchmarks.devices CPU_RUN GPU_RUN: do rows of a GPU tell what rows of a CPU tell?

Both are finished runs of one config; the second may hold rows of the first where the GPU has made none. Writes
results/bench/cpu-gpu.csv: by penalty, method and number format, how many cells a GPU trained, how many of their rows come out as
on the CPU (`verify` says when), how many outcomes do, and the median ratio of ‖S‖_F. The last row holds the claims' verdicts.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd

from orthogrid.cell import Cell
from orthogrid.diff import difference, read_run
from orthogrid.files import write_table
from orthogrid.verify import DIFFERS, compare

TABLE = Path(__file__).parents[1] / "results" / "bench" / "cpu-gpu.csv"
SHAPE = ["penalty", "method", "dtype"]


def compared(one: pd.DataFrame, other: pd.DataFrame) -> pd.DataFrame:
    """One row for each cell that the second run has from a GPU: its shape, and how it came out."""
    keys = other.index[other["device"].str.startswith("cuda")]
    first, second = (table.loc[keys].to_dict("index") for table in (one, other))
    return pd.DataFrame(
        {
            **{name: second[key][name] for name in SHAPE},
            "row": compare(first[key], second[key], Cell.from_row(second[key]).code).kind != DIFFERS,
            "outcome": first[key]["outcome"] == second[key]["outcome"],
            "ratio": second[key]["orthogonality_fro"] / first[key]["orthogonality_fro"],
        }
        for key in keys
    )


def table(run: str, other: str) -> pd.DataFrame:
    """What the file holds, for the folders of two finished runs."""
    one, two = read_run(run), read_run(other)
    cells = compared(one["cells"], two["cells"])
    grouped = cells.groupby(SHAPE, sort=True).agg(
        cells=("row", "size"), same_rows=("row", "sum"), same_outcomes=("outcome", "sum"), ratio=("ratio", "median")
    )
    changed, claims = difference(run, other)["claims"]["changed"], len(one["claims"])
    verdicts = pd.DataFrame([{"cells": claims, "same_outcomes": claims - len(changed)}])
    made = two["cells"]["device"]
    told = pd.concat(
        [grouped.reset_index().assign(what="cells"), verdicts.assign(what="claims' verdicts")], ignore_index=True
    ).assign(device=next(device for device in made if device.startswith("cuda")))
    whole = ["cells", "same_rows", "same_outcomes"]
    told[whole] = told[whole].astype("Int64")
    return told[["what", *SHAPE, "cells", "same_rows", "same_outcomes", "ratio", "device"]]


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    found = table(*sys.argv[1:])
    write_table(found, TABLE)
    print(found.drop(columns="device").to_string(index=False, na_rep="", float_format=lambda value: f"{value:.3g}"))
