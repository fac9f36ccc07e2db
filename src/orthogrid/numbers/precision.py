"""Number formats, and how error and cost grow with the dimension."""

from __future__ import annotations

from ..claims import only
from ..run import Run
from .format import listed, median, number, seeds, setting


def precision_numbers(run: Run) -> dict[str, str]:
    cells, scaling = run.block("precision"), run.block("scaling")
    largest = only(scaling, dimension=scaling["dimension"].max()) if len(scaling) else scaling
    return {
        "prec-seeds": seeds(cells),
        "prec-samples": listed(cells, "samples"),
        "prec-reg": listed(cells, "reg"),
        "scal-seeds": seeds(scaling),
        "scal-largest": setting(largest["dimension"].max() if len(largest) else None),
        "scal-largest-ms": number(1e3 * median(largest["seconds_per_step"]), 2),
        "scal-largest-orthogonality": number(median(largest["orthogonality_fro"]), 2),
    }
