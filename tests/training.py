"""Cells to be trained in a folder, and what is then found there: for tests of rows files, jobs and tables."""

from __future__ import annotations

import pandas as pd

from orthogrid.cells.cell import Cell
from orthogrid.cells.config import check_config
from orthogrid.jobs import runner
from orthogrid.jobs.files import read_table
from orthogrid.jobs.store import Store
from orthogrid.run.collect import pieces

CELLS = [Cell(dimension=6, samples=s, steps=5, seed=seed) for s in (3, 4) for seed in (1, 2, 3)]
REAL = runner.train_batch


def config_of(cells, folder, run="x", **more):
    axes = {
        "dimension": 6,
        "samples": sorted({c.samples for c in cells}),
        "steps": 5,
        "seed": sorted({c.seed for c in cells}),
    }
    return check_config({"run": run, "results": str(folder), "blocks": [{"name": "a", "axes": axes}], **more})


def collect_cells(config, names):
    return pd.concat([rows for rows, _, _ in pieces(config, names)], ignore_index=True)


def train(cells, root, **how):
    return runner.train_cells(cells, root, device="cpu", **how)


def rows_of(root):
    return pd.concat([Store(root).rows(name) for name in names(root)], ignore_index=True)


def rows_files(root):
    return sorted((root / "rows").glob("*.csv.gz"))


def without_time(table):
    return table.drop(columns=["seconds", "seconds_per_step"]).sort_values("key", ignore_index=True)


def assert_same_rows(one, two):
    pd.testing.assert_frame_equal(without_time(rows_of(one)), without_time(rows_of(two)))
    tables = [
        pd.concat(read_table(path) for path in (root / "traces").iterdir()).sort_values(
            ["key", "step"], ignore_index=True
        )
        for root in (one, two)
    ]
    pd.testing.assert_frame_equal(*tables)


def names(root):
    return [path.name.removesuffix(".csv.gz") for path in rows_files(root)]
