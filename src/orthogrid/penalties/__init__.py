"""Orthogonality penalties, one file each: functions of S = WWᵀ - I, for a batch of weights."""

import importlib

from ..cells.components import component_files
from .base import PENALTIES, Penalty, find_penalty, register

# As tables list them and figures colour them. A file that is not named here comes after.
ORDER = (
    "none", "l1_detached", "fro2_detached", "l1", "fro2", "fro", "spectral", "spectral2", "nuclear", "coherence", "row_sum",
    "offdiag", "huber", "logdet", "vonneumann",
)  # fmt: skip

for file in component_files("penalty"):
    importlib.import_module(f".{file.stem}", __name__)

__all__ = ["PENALTIES", "Penalty", "find_penalty", "register"]
