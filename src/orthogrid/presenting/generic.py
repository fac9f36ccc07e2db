"""A figure of any block, chosen from its own axes: for blocks that no figure of the paper shows."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..cells import components
from ..cells.cell import AXES
from ..cells.declarations import BLOCK_FIGURE
from ..cells.shape import spec_name
from ..run.run import Declared, Run
from .panels import bars, canvas, decades, legend, limits, mosaic, outcome_patches, ticks
from .style import DATA_LOSS, DISTANCE, FIGURES, GREY, MARKERS, OTHERS, REG, S_FRO, colour, nonempty, shades, styled

MEASURES = {"orthogonality_fro": S_FRO, "distance": DISTANCE, "fit": DATA_LOSS}
NAMES = {"reg": REG, "lr": r"learning rate $\eta$", "samples": "samples $k$", "dimension": "dimension $n$"}
MOST_ROWS = 4


def drawing_of(name: str) -> Declared:
    """A figure by its name; `block_<name>` is that of any block, which declares this block alone. KeyError for an unknown one."""
    if name in FIGURES or not name.startswith(BLOCK_FIGURE):
        return FIGURES[name]
    block = name.removeprefix(BLOCK_FIGURE)
    return styled(lambda run: draw_block(run, block), block)


def draw_block(run: Run, name: str) -> Figure:
    """A block of a run, by its own axes.

    The numeric axis with most values is horizontal. Of the other axes the one with most values gives the lines, and the next, if
    it has few, the rows of panels. Medians are over all that is left, bars the full range. ‖S‖_F, distance, data loss and
    outcomes have a column each, where they vary.
    """
    cells = nonempty(run.block(name))
    counts = {axis: cells[axis].nunique() for axis in AXES if axis != "seed" and cells[axis].nunique() > 1}
    numeric = {axis for axis in counts if pd.api.types.is_numeric_dtype(cells[axis]) and cells[axis].dtype != bool}
    x = max([axis for axis in counts if axis in numeric] or counts or ["seed"], key=lambda axis: counts.get(axis, 0))
    line, row, *pooled = [*sorted(counts.keys() - {x}, key=lambda axis: (-counts[axis], axis)), "", ""]
    if row and counts[row] > MOST_ROWS:
        row, pooled = "", [row, *pooled]
    cells = cells.assign(**{"": ""})  # an axis that is not there has one value
    cells = cells.assign(place=cells[x] if x in numeric else cells[x].map(list(dict.fromkeys(cells[x])).index))
    lines, rows = _values(cells, line), _values(cells, row)
    colours = shades(lines) if line in numeric else dict(zip(lines, _palette(lines), strict=True))
    measures = [column for column in MEASURES if cells[column].nunique() > 1] or ["fit"]
    ended = cells["outcome"].nunique() > 1
    fig, axes = canvas(0.6 + 1.5 * len(rows), len(rows), len(measures) + ended, sharex="col")
    for panels, value in zip(axes, rows, strict=True):
        here = cells[cells[row] == value]
        for ax, column in zip(panels, measures, strict=False):
            for j, one in enumerate(lines):
                style = dict(color=colours[one], marker=MARKERS[j % len(MARKERS)], linewidth=0.8 if x in numeric else 0)
                bars(ax, here[here[line] == one], "place", column, **style)
            if (cells[column] > 0).all() and cells[column].max() > 30 * cells[column].min():
                ax.set(yscale="log", ylim=limits(cells[column]))
                decades(ax)
            _horizontal(ax, cells, x, x in numeric)
            ax.set_title(MEASURES[column] if value == rows[0] else "")
        if ended:
            mosaic(panels[-1], here, x, line, _values(cells, x), lines[::-1])
            panels[-1].tick_params(axis="x", rotation=90 if counts.get(x, 0) > 4 else 0)
            for text, one in zip(panels[-1].get_yticklabels(), lines[::-1], strict=True):
                text.set_color(colours[one])
            panels[-1].set_title("outcomes" if value == rows[0] else "")
        if row:
            panels[0].set_ylabel(f"{NAMES.get(row, row)}: {value}")
    for ax in axes[-1]:
        ax.set_xlabel(NAMES.get(x, x))
    if ended:  # where the colours of lines are those of their names
        legend(fig, outcome_patches(cells["outcome"]))
    elif line:
        marks = [dict(color=colours[one], marker=MARKERS[j % len(MARKERS)]) for j, one in enumerate(lines)]
        legend(fig, dict(zip([f"{line} {lines[0]}", *map(str, lines[1:])], marks, strict=True)))
    if pooled := [axis for axis in pooled if axis]:
        fig.suptitle(f"medians over {', '.join(pooled)}", fontsize=7.5, color=GREY, x=0.005, ha="left")
    return fig


def _values(cells: pd.DataFrame, axis: str) -> list:
    """Of an axis, in the config's order; numbers ascend."""
    values = list(dict.fromkeys(cells[axis]))
    return values if isinstance(values[0], str) else sorted(values)


def _palette(values: list) -> list:
    known = {*components.penalties(), *components.methods()}
    others = (OTHERS[i % len(OTHERS)] for i in range(len(values)))
    return [colour(one) if spec_name(str(one)) in known else other for one, other in zip(values, others, strict=True)]


def _horizontal(ax: Axes, cells: pd.DataFrame, x: str, numeric: bool) -> None:
    places = _values(cells, x)
    if not numeric:
        names = list(map(str, dict.fromkeys(cells[x])))
        turned = dict(rotation=35, ha="right", rotation_mode="anchor") if max(map(len, names)) > 5 else {}
        ax.set_xticks(range(len(names)), names, **turned)
    elif places[0] > 0 and places[-1] >= 10 * places[0]:
        ax.set_xscale("log")
        decades(ax, "x") if len(places) > 4 else ticks(ax, places)
