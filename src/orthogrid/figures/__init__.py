"""The figures of the paper: one function a figure, from a `Run` to a matplotlib Figure.

To add one, write a function `draw_<name>(run)` with the decorator `@figure("blocks that it reads")` in the module of its
theme and add its name to FIGURES in workflow/rules/figures.smk. Reading a block that it does not declare raises. Dimensions, weights, samples and penalties come from
the rows and are named nowhere here. Lines and markers are medians over seeds, bands and bars the full range, where a
figure does not say that it shows every run or a share with its Wilson interval. Filled markers of runs ended on the
wrong side, hollow ones on the right one. What has no rows yet is shown as such: a panel names its block, a cell is marked.

>>> from orthogrid.figures import FIGURES
>>> FIGURES["map"](run)
"""

from . import ends, floors, maps, moves, remedies, trapping  # noqa: F401 - each registers its figures
from .draw import FigureError, draw_figures
from .style import FIGURES, canvas, figure

__all__ = ["FIGURES", "FigureError", "canvas", "draw_figures", "figure"]
