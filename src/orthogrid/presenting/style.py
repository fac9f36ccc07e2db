"""What all figures share: size, type, colours, axes, and the register of figures."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Collection
from functools import wraps
from pathlib import Path
from typing import cast

import matplotlib as mpl
import matplotlib._mathtext as mathtext
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ..cells import components
from ..cells.shape import spec_name
from ..run.run import Declared, Run, reads

TEXT_WIDTH = 156 / 25.4  # inches: figures are drawn at the size they are printed
HEAD = 0.15  # inches above a figure for a note on what is missing
GREY = "0.4"
LAW = dict(color="0.1", linestyle=(0, (5, 2)), linewidth=1.0, zorder=3)  # every closed form looks like this
MARKERS = "osD^vP*X<>hpd"
SCHEDULES = {"constant": "-", "cosine": (0, (3, 1.5))}
S_FRO = r"$\|S\|_F$"
ROUGHNESS = r"$\|S\|_F/\sqrt{n}$"
DISTANCE = r"$\|W-\rho^{\!\mathrm{T}}\|_F$"
DATA_LOSS = "data loss"
REG = r"weight $\gamma$"
UNIT = r"$\gamma/2\lambda$"

# Colours have one meaning in all figures. Those of outcomes are apart for every colour vision, and so are their markers.
COLOURS = {
    "recovered": "#0072b2",
    "trapped": "#d55e00",
    "unfinished": "#a6a6a6",
    "decided wrong": "#f3c19d",
    "unidentified": "#009e73",
    "diverged": "#000000",
}
PENALTIES = {"l1": "#aa3377", "fro2": "#332288", "fro": "#c08a00"}
OTHERS = [
    "#44aa99", "#88ccee", "#882255", "#117733", "#999933", "#cc6677", "#661100", "#6699cc", "#aa4499", "#ee8866",
    "#4477aa", "#777777", "#bbcc33", "#994455",
]  # fmt: skip
PLAIN = "0.45"  # without a penalty's gradient
INPUTS = {"uniform": ("#7a3b0c", "o"), "whitened": ("#3f8fc4", "D")}
# What penalties are called where there is room for words.
WORDS = {"l1": "absolute values", "fro2": "squares", "fro": "norm", "whitened": "white"}

mathtext.SHRINK_FACTOR, mathtext.GROW_FACTOR = 0.88, 1 / 0.88  # of 8 points: no exponent or index under 7
TICKS = {"labelsize": 8, "major.width": 0.5, "major.size": 2.5, "major.pad": 2, "minor.size": 1.5}
STYLE = {
    # The document's Termes is a Times, too; this font ships with matplotlib.
    "font.family": "STIXGeneral", "mathtext.fontset": "stix", "font.size": 8, "pdf.fonttype": 42,
    "axes.labelsize": 8, "axes.labelpad": 2.5, "axes.titlesize": 8, "axes.titlepad": 4, "axes.titlelocation": "left",
    "axes.axisbelow": True, "axes.linewidth": 0.5, "axes.spines.top": False, "axes.spines.right": False,
    **{f"{axis}tick.{name}": value for axis in "xy" for name, value in TICKS.items()},
    "lines.linewidth": 1.1, "lines.markersize": 3.5, "errorbar.capsize": 0,
    "legend.fontsize": 8, "legend.frameon": False, "legend.handlelength": 1.8, "legend.columnspacing": 1.4,
}  # fmt: skip


FIGURES: dict[str, Declared] = {}


def figure(blocks: str = "", tables: str = "") -> Callable[[Callable[[Run], Figure]], Declared]:
    """Register `draw_<name>` as the figure <name>, drawn in the paper's style from these blocks and tables alone.

    Outside the package a figure entered again takes the place of the first.
    """

    def enter(function: Callable[[Run], Figure]) -> Declared:
        drawn, name = styled(function, blocks, tables), function.__name__.removeprefix("draw_")
        if name in FIGURES and _of_package(FIGURES[name]) and not _of_package(drawn):
            raise components.ConfigError(f"figure '{name}' of {drawn.source}: the name is taken; give it another")
        FIGURES[name] = drawn
        return drawn

    return enter


def styled(function: Callable[[Run], Figure], blocks: str, tables: str = "") -> Declared:
    """A drawing in the paper's style, from these blocks and tables alone; a note above it counts the cells without a result."""
    narrowed = reads(function, blocks, tables)

    @wraps(narrowed)  # with what it reads
    def draw(run: Run) -> Figure:
        with mpl.rc_context(STYLE):
            try:
                fig = narrowed(run)
            except Nothing:
                fig = absent(f"block{'s' * (len(narrowed.blocks) > 1)} {', '.join(narrowed.blocks)}: not in this run")
            if not isinstance(fig, Figure):
                raise TypeError(f"it returned {fig!r}; end it with: return fig")
            if note := _without_result(run.planned(*narrowed.blocks)):
                width, height = fig.get_size_inches()
                fig.set_size_inches(width, height + HEAD)
                if fig.get_layout_engine():
                    fig.get_layout_engine().set(rect=(0, 0, 1, height / (height + HEAD)))
                fig.text(0.995, 1 - 0.02 / (height + HEAD), note, ha="right", va="top", color=GREY, size=7)
            return fig

    return cast(Declared, draw)


class Nothing(LookupError):
    """There is nothing that a figure could show."""


def nonempty(cells: pd.DataFrame) -> pd.DataFrame:
    """These cells. Without any, a figure says that its blocks are not in the run."""
    if cells.empty:
        raise Nothing
    return cells


def absent(text: str) -> Figure:
    """What stands in the place of a figure: a line of text, or several."""
    fig = Figure(figsize=(TEXT_WIDTH, 0.6))
    fig.text(0.5, 0.5, text, ha="center", va="center", color=GREY, wrap=True, parse_math=False)
    return fig


def _without_result(cells: pd.DataFrame) -> str:
    counts = {name: int((cells["status"] == name).sum()) for name in ("missing", "diverged")}
    parts = [f"{count} {name}" for name, count in counts.items() if count]
    return f"no result: {', '.join(parts)} of {len(cells)} runs" if parts else ""


def _of_package(drawing: Declared) -> bool:
    return Path(drawing.source).is_relative_to(Path(__file__).parents[1])


def as_pdf(fig: Figure) -> bytes:
    """A figure as PDF, the same bytes for the same figure."""
    buffer = io.BytesIO()
    with mpl.rc_context(STYLE):  # some settings act only when a figure is written
        fig.savefig(buffer, format="pdf", metadata={"CreationDate": None})
    return buffer.getvalue()


# Names, numbers and colours.


def colour(arm: str) -> str:
    """Of a penalty or method, the same in all figures; those without a place of their own take one by the order of definition."""
    name = spec_name(arm)
    if name in components.having("penalty", attached=False):
        return PLAIN
    known = [each for each in (*components.penalties(), *components.methods()) if each not in PENALTIES]
    return PENALTIES.get(name) or OTHERS[known.index(name) % len(OTHERS)]


def shades(values: Collection) -> dict:
    """A colour for each value of an ordered axis, from light to dark."""
    palette = mpl.colormaps["viridis_r"](np.linspace(0.4, 1, len(values)))
    return dict(zip(values, map(tuple, palette), strict=True))


def in_order(arms: pd.Series) -> list[str]:
    """Arms, each once, in the order of their definition; those with options follow in the order given."""
    known, present = [*components.penalties(), *components.methods()], list(arms.unique())
    return [arm for arm in known if arm in present] + [arm for arm in present if arm not in known]


def tick_label(value: float) -> str:
    """0.001 → 10⁻³, 30 → 30: as short as a tick label should be."""
    if value > 0 and not 0.001 <= value < 10000 and math.isclose(math.log10(value) % 1, 0, abs_tol=1e-9):
        return rf"$10^{{{round(math.log10(value))}}}$"
    return f"{value:g}"


def word(name: str) -> str:
    """What a name of the config is called in a figure."""
    return WORDS.get(name, name)
