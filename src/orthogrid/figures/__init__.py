r"""The figures of the paper: one function a figure, from a `Run` to a matplotlib Figure.

To add one, write a function `draw_<name>(run)` in the module of its theme. Give it the decorator `@figure("blocks that it
reads")`: reading any other block raises. Show it in the LaTeX sources by `\blockfigure`.

Dimensions, weights, samples and penalties come from the rows and are named nowhere here. Lines and markers are medians over
seeds, bands and bars the full range, where a figure does not say that it shows every run. A panel without cells is not drawn. A
note counts the cells without a result.

>>> from orthogrid.figures import FIGURES, draw_block
>>> FIGURES["map"](run)
>>> draw_block(run, "my_block")  # any block, drawn by its own axes; the same is FIGURES["block_my_block"](run)
"""

from ..presenting.panels import canvas
from ..presenting.style import FIGURES, figure
from ..publishing.captions import write_captions
from ..publishing.drawing import FigureError, draw_figures
from ..publishing.generic import draw_block
from . import circle, crossing, descents, formats, fronts, maps, remedies, samples, starts, teaser, wells  # noqa: F401 - each registers its own

__all__ = ["FIGURES", "FigureError", "canvas", "draw_block", "draw_figures", "figure", "write_captions"]
