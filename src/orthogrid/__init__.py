"""Training grids of nearly orthogonal linear layers, and the theory and figures that explain them.

The package imports nothing of Snakemake and can be used from a notebook:

>>> from orthogrid import Cell, table, train_batch
>>> results = train_batch([Cell(dimension=20, samples=60, seed=seed) for seed in range(3)])
>>> table(results)[["fit", "distance", "outcome"]]

`orthogrid.orthogonality(weight, "fro2")` is a penalty for the weights of any network.
"""

import importlib
import os
from pathlib import Path

# A row must not depend on the batch it was trained in. Intel's MKL, which carries torch's CPU matrix products, promises
# the same bits for the same operands only in this mode; it reads the variable at its first call. Costs nothing
# measurable (`AUTO` keeps the machine's fastest instruction set).
os.environ.setdefault("MKL_CBWR", "AUTO")


def offer_to_child_processes() -> None:
    """Let Python processes started from this one import the package as it stands here, installed or not."""
    paths = [str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, paths))


# name: the module that defines it. Imported at first use: planning imports the package, and need not wait for torch.
PUBLIC = {
    "Cell": "cells.cell",
    "train_batch": "training.train",
    "table": "practice.notebook",
    "orthogonality": "practice.orthogonality",
    **dict.fromkeys(("Diagnosis", "diagnose", "suggest_reg"), "practice.diagnose"),
    **dict.fromkeys(("ExtraRow", "extra_row"), "practice.extra_row"),
    **dict.fromkeys(("canvas", "claim", "figure", "measured"), "sections"),
    **dict.fromkeys(("geometric_mean", "mean", "share"), "analysis.intervals"),
}


def __getattr__(name: str):
    if name not in PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{PUBLIC[name]}"), name)
