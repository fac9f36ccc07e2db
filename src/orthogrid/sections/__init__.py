"""The paper: one module a section, named like its LaTeX source, with the section's claims, values, tables and figures.

Each is a function of a `Run`, entered by a decorator that states the blocks that it reads; reading another raises.

A claim (`@claim`) goes from a run and the finished cells of its blocks to a `Measurement`; its `predicate` says what is measured. The
judge (`presenting.ledger`) compares measured with expected by relation and tolerance. A sampled quantity comes with a 90 % interval
(`analysis.intervals`): the claim is supported if the interval lies wholly where the relation holds, refuted if wholly outside, and
otherwise untested at this scale. Where a claim can hold in part, its function says when. `tests/test_claims.py` asks for rows that
support it and rows that refute it.

A figure (`@figure`) is drawn by `draw_<name>`. Dimensions, weights, samples and penalties come from the rows and are named nowhere
here. Lines and markers are medians over seeds, bands and bars the full range, where a figure does not say that it shows every run. A
panel without cells is not drawn. A note counts the cells without a result.

>>> from orthogrid.sections import FIGURES, draw_block
>>> FIGURES["map"](run)
>>> draw_block(run, "my_block")  # any block, drawn by its own axes
"""

from ..presenting.generic import draw_block
from ..presenting.ledger import CLAIMS, claim, judge, measured
from ..presenting.panels import canvas
from ..presenting.style import FIGURES, figure

# The order of the claims of one section of claims.csv is that of these modules.
from . import thread, convergence, identifiability, trap, capture, remedy, real, networks, penalties, methods, precision  # noqa: F401 isort: skip
from . import introduction, ledger, maps, reproduction  # noqa: F401 isort: skip

__all__ = ["CLAIMS", "FIGURES", "canvas", "claim", "draw_block", "figure", "judge", "measured"]
