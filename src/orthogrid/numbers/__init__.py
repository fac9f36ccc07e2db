r"""Every number of the paper's text, once: a run's tables → `\setval{key}{text}` lines.

The functions return key → text. The text is safe in LaTeX, in text and in math; a
measured quantity that the run lacks is an en dash. The thread's own numbers come from its logs and from `Cell()`, which
is its second script; closed forms come from `theory`; settings of the analysis from `claims`; what a claim measured, from
the ledger, as `measured-<id>`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from ..run import Run
from ..store import write_bytes
from .compute import bench_numbers
from .reproduction import claims_numbers, cost_numbers, frozen_numbers, limitations_numbers, run_numbers
from .thread import settings_numbers, thread_numbers

# Part of the paper → its section, in the order of the file.
SECTIONS: dict[str, Callable[..., dict[str, str]]] = {
    "run": run_numbers,
    "thread": thread_numbers,
    "settings": settings_numbers,
    "claims": claims_numbers,
    "limitations": limitations_numbers,
    "cost": cost_numbers,
    "bench": bench_numbers,
}
JUDGED = ("claims", "limitations")  # those that quote verdicts


def section_numbers(name: str, run: Run, verdicts: pd.DataFrame) -> dict[str, str]:
    """The values of one section."""
    return SECTIONS[name](run, verdicts) if name in JUDGED else SECTIONS[name](run)


def all_numbers(run: Run, verdicts: pd.DataFrame, frozen: Mapping[str, Any] | None = None) -> dict[str, dict[str, str]]:
    """Part of the paper → key → text; `frozen` is what run.json says of the freeze. Raises ValueError where two parts define one key."""
    sections = {name: section_numbers(name, run, verdicts) for name in SECTIONS}
    sections["frozen"] = frozen_numbers(frozen or {})
    keys = [key for numbers in sections.values() for key in numbers]
    if twice := {key for key in keys if keys.count(key) > 1}:
        raise ValueError(f"defined twice: {', '.join(sorted(twice))}")
    return sections


def write_numbers(run: Run, verdicts: pd.DataFrame, path: Path, frozen: Mapping[str, Any] | None = None) -> None:
    """Write numbers.tex; `frozen` is what run.json says of the freeze."""
    lines = []
    for section, numbers in all_numbers(run, verdicts, frozen).items():
        lines += [f"% {section}", *(rf"\setval{{{key}}}{{{value}}}" for key, value in numbers.items())]
    write_bytes(("\n".join(lines) + "\n").encode(), path)
