"""python -m benchmarks.devices FOLDER [--config FILE]: do rows of a GPU tell what rows of a CPU tell?

FOLDER holds rows and traces that a GPU made of cells of a finished run, by default of the published one, whose rows a CPU made.
Writes results/bench/cpu-gpu.csv: by penalty, method and number format, how many cells the GPU trained, how many of their rows come
out as on the CPU (`verify` says when), how many outcomes do, and the median ratio of ‖S‖_F. The last row is of the claims: how many
keep their verdict when these rows and traces take the place of the CPU's.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path

import pandas as pd

from orthogrid.cells.config import Config, load_config
from orthogrid.jobs.files import read_table, write_table
from orthogrid.jobs.store import Store
from orthogrid.run.collect import collect
from orthogrid.run.run import Run
from orthogrid.sections import judge
from orthogrid.theory.predictions import predict_cells
from orthogrid.tools.verify import DIFFERS, compare

ROOT = Path(__file__).parents[1]
TABLE = ROOT / "results" / "bench" / "cpu-gpu.csv"
THREAD = ROOT / "data" / "thread"
SHAPE = ["penalty", "method", "dtype"]
Tables = tuple[pd.DataFrame, pd.DataFrame]  # rows and traces


def instead(rows: Tables, others: Tables) -> Tables:
    """Rows and traces, with the others in the place of those of the same cells."""
    made = others[0]["key"]
    first, second = (
        pd.concat([other, table[~table["key"].isin(made)]], ignore_index=True)
        for table, other in zip(rows, others, strict=True)
    )
    return first, second


def read(config: Config, rows: Tables, predictions: pd.DataFrame, folder: Path) -> Run:
    """The run that a config has with these rows, collected in a folder."""
    config = replace(config, results=str(folder))
    Store(config.root).put("rows", *rows)
    write_table(predictions, config.root / "predictions.csv")
    collect(config, ["rows"], predictions, (read_table(THREAD / "log_a.csv"), read_table(THREAD / "log_b.csv")))
    return Run.read(config, config.root, THREAD)


def held_together(config: Config, folder: Path) -> pd.DataFrame:
    """What the file holds, for a finished run and the results' folder of a GPU."""
    kept, made = (Store(root).finished(config.cells) for root in (config.root, folder))
    predictions = predict_cells(config)
    with tempfile.TemporaryDirectory() as space:
        runs = [
            read(config, rows, predictions, Path(space, name))
            for name, rows in (("cpu", kept), ("gpu", instead(kept, made)))
        ]
        verdicts = [judge(run).set_index("id")["verdict"] for run in runs]
    first, second = (run.cells.set_index("key").to_dict("index") for run in runs)
    cells = {cell.key: cell for cell in config.cells}
    compared = pd.DataFrame(
        {
            **{name: getattr(cells[key], name) for name in SHAPE},
            "row": compare(first[key], second[key], cells[key].code).kind != DIFFERS,
            "outcome": first[key]["outcome"] == second[key]["outcome"],
            "ratio": second[key]["orthogonality_fro"] / first[key]["orthogonality_fro"],
        }
        for key in made[0]["key"]
    )
    grouped = compared.groupby(SHAPE).agg(
        cells=("row", "size"), same_rows=("row", "sum"), same_outcomes=("outcome", "sum"), ratio=("ratio", "median")
    )
    table = grouped.reset_index().assign(what="cells")
    claims = {
        "what": "claims' verdicts",
        "cells": len(verdicts[0]),
        "same_outcomes": (verdicts[0] == verdicts[1]).sum(),
    }
    table = pd.concat([table, pd.DataFrame([claims])], ignore_index=True).assign(device=made[0]["device"].iloc[0])
    counts = ["cells", "same_rows", "same_outcomes"]
    return table.astype(dict.fromkeys(counts, "Int64"))[["what", *SHAPE, *counts, "ratio", "device"]]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.devices", description=__doc__)
    parser.add_argument("folder", type=Path, help="such as gpu/full, after: train --device cuda --results gpu")
    parser.add_argument("--config", default="config/full.yaml", help="of the run (default: %(default)s)")
    options = parser.parse_args()
    found = held_together(load_config(options.config), options.folder)
    write_table(found, TABLE)
    print(found.drop(columns="device").to_string(index=False, na_rep="", float_format=lambda value: f"{value:.3g}"))


if __name__ == "__main__":
    main()
