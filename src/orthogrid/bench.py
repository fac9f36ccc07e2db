"""The benchmark's records as the paper reads them: one table a device, from results/bench/."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from .store import TEXT

FLOOR, OURS, WHOLE, PART = "two products", "orthogrid", "orthogrid, whole training", "part: "
BATCH_DIMENSION = 100  # where batches of several sizes are timed
KEYS = ["dimension", "samples", "penalty", "batch"]
COLUMNS = (
    "what", *KEYS, "milliseconds", "ratio_to_floor", "ratio_low", "ratio_high", "rounds", "steps", "cells", "value", "unit", "cores",
    "device", "torch", "jax", "started",
)  # fmt: skip


def read_bench(paths: Sequence[str | Path] = ()) -> pd.DataFrame:
    """The records of all devices, a GPU's first; without any files a table without rows."""
    tables = [pd.read_csv(path, dtype=TEXT | {"jax": str}) for path in sorted(map(str, paths), key=_gpu_first)]
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=list(COLUMNS))


def _gpu_first(path: str) -> tuple[bool, str]:
    return not Path(path).name.startswith("cuda"), path


def thread_size(bench: pd.DataFrame) -> pd.DataFrame:
    """What was timed at the largest dimension of a whole training: the ways to train that are compared."""
    largest = bench.loc[bench["what"] == WHOLE, "dimension"].max()
    return bench[bench["milliseconds"].notna() & (bench["dimension"] == largest)]


def scaling(bench: pd.DataFrame, axis: str) -> pd.DataFrame:
    """Our steps with fro2 along one axis, the others held: dimension (k = n/16), samples (at the thread's size), or batch; and
    our whole trainings along the axis steps."""
    if axis == "steps":
        return bench[(bench["what"] == WHOLE) & (bench["dimension"] == BATCH_DIMENSION)]
    ours = bench[(bench["what"] == OURS) & (bench["penalty"] == "fro2")]
    few = ours["samples"] == (ours["dimension"] // 16).clip(lower=2)
    large = ours["dimension"] == thread_size(bench)["dimension"].max()
    chosen = {
        "dimension": few & (ours["batch"] == 8),
        "samples": large & (ours["batch"] == 8) & ~few,
        "batch": (ours["dimension"] == BATCH_DIMENSION) & (ours["samples"] == 2 * BATCH_DIMENSION) & ~large,
    }[axis]
    return ours[chosen].drop_duplicates(["device", "dimension", "samples", "batch"])
