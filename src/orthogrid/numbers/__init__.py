r"""Every number of the paper's text, once: a run's tables → `\setval{key}{text}` lines.

Each module serves one section of the paper; its functions return key → text. The text is safe in LaTeX, in text and in math; a
measured quantity that the run lacks is an en dash. The thread's own numbers come from its logs and from `Cell()`, which
is its second script; closed forms come from `theory`; settings of the analysis from `claims`; what a claim measured, from
the ledger, as `measured-<id>`.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from ..run import Run
from ..store import write_bytes
from .compute import bench_numbers
from .convergence import ablation_numbers, convergence_numbers, rates_numbers, thread_numbers
from .identifiability import fresh_numbers, identifiability_numbers, regimes_numbers, thread_size_numbers
from .limitations import limitations_numbers
from .methods import cures_numbers, methods_numbers
from .penalties import law_numbers, penalties_numbers
from .precision import precision_numbers
from .reproduction import claims_numbers, cost_numbers, run_numbers
from .trapping import capture_numbers, floor_numbers, grid_numbers, map_numbers


def all_numbers(run: Run, verdicts: pd.DataFrame) -> dict[str, dict[str, str]]:
    """Part of the paper → key → text. Raises ValueError where two parts define one key."""
    sections = {
        "run": run_numbers(run),
        "thread": thread_numbers(run),
        "ablation": ablation_numbers(run),
        "convergence": convergence_numbers(run),
        "rates": rates_numbers(run),
        "penalties": penalties_numbers(run),
        "law": law_numbers(run),
        "thread's size": thread_size_numbers(run),
        "identifiability": identifiability_numbers(run),
        "fresh": fresh_numbers(run),
        "regimes": regimes_numbers(run),
        "floor": floor_numbers(run),
        "map": map_numbers(run, verdicts),
        "capture": capture_numbers(run),
        "grid": grid_numbers(run),
        "methods": methods_numbers(run),
        "cures": cures_numbers(run),
        "precision": precision_numbers(run),
        "claims": claims_numbers(verdicts),
        "limitations": limitations_numbers(verdicts),
        "cost": cost_numbers(run),
        "bench": bench_numbers(run),
    }
    keys = [key for numbers in sections.values() for key in numbers]
    if twice := {key for key in keys if keys.count(key) > 1}:
        raise ValueError(f"defined twice: {', '.join(sorted(twice))}")
    return sections


def write_numbers(run: Run, verdicts: pd.DataFrame, path: Path) -> None:
    """Write numbers.tex."""
    lines = []
    for section, numbers in all_numbers(run, verdicts).items():
        lines += [f"% {section}", *(rf"\setval{{{key}}}{{{value}}}" for key, value in numbers.items())]
    write_bytes(("\n".join(lines) + "\n").encode(), path)
