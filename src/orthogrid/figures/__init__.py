"""The figures of the paper: one function a figure, from a `Run` to a matplotlib Figure.

To add one, write a function `draw_<name>(run)` with the decorator `@figure` in the module of its theme and
add its name to FIGURES in workflow/rules/figures.smk. Dimensions, weights, samples and penalties come from
the rows and are named nowhere here. Lines and markers are medians over seeds, bands and bars the full range, where a
figure does not say that it shows every run or a share with its Wilson interval. Filled markers of runs ended on the
wrong side, hollow ones on the right one. What has no rows yet is shown as such: a panel names its block, a cell is marked.

>>> from orthogrid.figures import FIGURES
>>> FIGURES["map"](run)
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable
from pathlib import Path

import matplotlib as mpl

from ..run import Run
from ..store import write_bytes
from . import compute, ends, floors, maps, moves, remedies, trapping  # noqa: F401 - each registers its figures
from .style import FIGURES, STYLE


def draw_figures(
    run: Run,
    names: Iterable[str],
    folder: str | Path,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> None:
    """Write figures as PDF files, the same bytes for the same rows."""
    names = list(names)
    for done, name in enumerate(names, start=1):
        buffer = io.BytesIO()
        with mpl.rc_context(STYLE):  # some settings act only when a figure is written
            FIGURES[name](run).savefig(buffer, format="pdf", metadata={"CreationDate": None})
        write_bytes(buffer.getvalue(), Path(folder) / f"{name}.pdf")
        progress(done, len(names))
