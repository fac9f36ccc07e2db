"""Number formats, and how error and cost grow with the dimension."""

from __future__ import annotations

import pandas as pd

from ..claims.precision import COARSER, coarsening
from ..claims.select import only
from ..run import Run
from ..views import reads
from .format import MISSING, code, enumeration, integer, listed, median, number, seeds, setting


def _as_orthogonal(cells: pd.DataFrame) -> str:
    """By penalty, the formats that end as orthogonal as the next finer one."""
    equal: dict[str, list[str]] = {}
    for (name, fine, coarse), ratio in coarsening(cells).items():
        if not ratio.value >= COARSER:
            equal.setdefault(name, []).append(f"{code(coarse)} equals {code(fine)}")
    parts = [f"for {code(name)} {enumeration(pairs)}" for name, pairs in equal.items()]
    return "; ".join(parts) if parts else MISSING if cells.empty else "none does"


@reads("precision scaling")
def precision_numbers(run: Run) -> dict[str, str]:
    cells, scaling = run.block("precision"), run.block("scaling")
    mismatch = only(cells, determinant="mismatch", penalty="fro2", dtype="float32")
    mismatch = mismatch[mismatch["lambda_min"] > 0]
    largest = only(scaling, dimension=scaling["dimension"].max()) if len(scaling) else scaling
    return {
        "prec-seeds": seeds(cells),
        "prec-samples": listed(cells, "samples"),
        "prec-reg": listed(cells, "reg"),
        # Formats with less than COARSER times the floor of the next finer one, matching starts.
        "prec-coarser": setting(COARSER),
        "prec-alike": _as_orthogonal(only(cells, determinant="match")),
        # Mismatched fro2 starts with lambda > 0 for each format.
        "prec-crossing-runs": integer(len(mismatch)) if len(cells) else MISSING,
        "scal-seeds": seeds(scaling),
        "scal-smallest": setting(scaling["dimension"].min() if len(scaling) else None),
        "scal-largest": setting(largest["dimension"].max() if len(largest) else None),
        "scal-largest-ms": number(1e3 * median(largest["seconds_per_step"]), 2),
        "scal-largest-orthogonality": number(median(largest["orthogonality_fro"]), 2),
    }
