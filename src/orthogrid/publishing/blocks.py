"""Sections for what the paper does not know: blocks that no figure, table, value or claim of the package reads, and a user's figures.

Each such block gets its question, its axes, a plot chosen from them, a table of medians, and where its runs ended.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import pandas as pd

from ..cells.cell import AXES
from ..cells.config import Block
from ..cells.declarations import BLOCK_FIGURE, WHOLE, Reader, own_readers, unknown_blocks
from ..cells.sources import PACKAGE
from ..presenting.formats import MISSING, breakable, code, digits2, enumeration, integer, median, percent, setting, text
from ..presenting.tables import longtable, ragged, tabular
from ..run.run import Run, finished
from ..theory.outcomes import OUTCOMES

MOST_ROWS = 40  # of a table of medians: the axes that would exceed it are pooled
# In mm: the page, a letter of code and of text, what is between two columns, a column of names.
TEXT_WIDTH, CODE_LETTER, NAME_LETTER, GAP, NAME_WIDTH = 156, 1.7, 1.6, 2.2, 24
MOST_LINES, LINE = 48, 13  # of a table on one page; letters on a line of a column of names
MOST_VALUES = 6  # of an axis with more only the ends are named


def block_sections(run: Run) -> str:
    """LaTeX: a section a block, and one for the figures of the run's own code that read no such block."""
    own = [reader for reader in own_readers(run.config.code) if reader.kind == "figure"]
    blocks = [block for block in unknown_blocks(run.config) if len(run.block(block.name))]
    lines = [line for block in blocks for line in _section(run, block, _reading(own, block.name))]
    shown = {reader.name for block in blocks for reader in _reading(own, block.name)}
    rest = [reader for reader in own if reader.name not in shown]
    if rest:
        lines += [r"\section{Figures of this run's own code}\label{sec:own}", *_figures(run, rest)]
    return "\n".join([*lines, ""]) if lines else "% The paper knows every block of this run.\n"


def _reading(own: Iterable[Reader], block: str) -> list[Reader]:
    return [reader for reader in own if block in reader.blocks and WHOLE not in reader.blocks]


def _section(run: Run, block: Block, own: list[Reader]) -> Iterator[str]:
    planned = run.planned(block.name)
    cells = finished(planned)
    yield rf"\section{{Block {code(block.name)}}}\label{{sec:block-{block.name}}}"
    yield rf"\emph{{{text(block.question)}}} {axes_sentence(block)} {ends_sentence(planned)}"
    drawn = Reader("figure", f"{BLOCK_FIGURE}{block.name}", (block.name,), PACKAGE / "presenting" / "generic.py")
    caption = f"Block {code(block.name)}: {text(block.question)} Lines are medians over seeds, bars the full range."
    yield from _figure(run, drawn, caption, axes_sentence(block))
    yield from _figures(run, own)
    pooled = [axis for axis in varied_axes(block) if axis not in table_axes(block, cells)] if len(cells) else []
    if pooled:
        yield f"The medians below are also over {enumeration(map(code, pooled))}, for which the table has no room."
    yield r"\begingroup\footnotesize\tight"
    yield medians_table(block, cells)
    yield r"\endgroup"


def _figures(run: Run, own: Iterable[Reader]) -> Iterator[str]:
    for figure in own:
        words = " ".join(figure.text.split())
        yield from _figure(run, figure, f"{code(figure.name)}. {text(words)}", text(words))


def _figure(run: Run, figure: Reader, caption: str, alternative: str) -> Iterator[str]:
    yield rf"\setfigure{{{figure.name}}}"
    yield rf"\blockfigure{{{figure.name}}}{{{caption}}}{{{alternative}}}"


def varied_axes(block: Block) -> dict[str, list]:
    """The axes on which a block's cells differ, but for the seed, each with its values in the order of the config."""
    seen = {axis: list(dict.fromkeys(getattr(cell, axis) for cell in block.cells)) for axis in AXES}
    return {axis: found for axis, found in seen.items() if len(found) > 1 and axis != "seed"}


def axes_sentence(block: Block) -> str:
    """What the block crosses, and what it holds that is not the default."""
    varied, seeds = varied_axes(block), len({cell.seed for cell in block.cells})
    same = {axis: value for axis, value in block.cells[0].settings.items() if axis not in (*varied, "seed")}
    fixed = {axis: value for axis, value in same.items() if value != AXES[axis].default}
    crossed = enumeration(f"{code(axis)} ({_values(found)})" for axis, found in varied.items())
    held = enumeration(f"{code(axis)} {_values([value])}" for axis, value in fixed.items())
    sentences = [f"It varies {crossed}." if varied else "No axis varies but the seed."]
    sentences += [f"It holds {held}."] if fixed else []
    return " ".join([*sentences, f"There {'is 1 seed' if seeds == 1 else f'are {seeds} seeds'}."])


def _values(found: list) -> str:
    if isinstance(found[0], bool):
        return ", ".join("yes" if value else "no" for value in found)
    if isinstance(found[0], int | float):
        if len(found) > MOST_VALUES:
            return f"{setting(min(found))} to {setting(max(found))}, {len(found)} values"
        return ", ".join(map(setting, found))
    return ", ".join(map(code, found))


def ends_sentence(planned: pd.DataFrame) -> str:
    """How many runs ended where, and how many are missing."""
    counts = planned["outcome"].value_counts()
    ends = enumeration(f"{integer(counts[name])} {name}" for name in OUTCOMES if counts.get(name, 0))
    missing = int((planned["status"] == "missing").sum())
    sentence = f"Its runs ended as follows: {ends}." if ends != MISSING else "No run of it has a result."
    return sentence + (f" Of its cells {integer(missing)} are missing." if missing else "")


def table_axes(block: Block, cells: pd.DataFrame) -> list[str]:
    """The axes that vary, less those that would make the table of medians too long or too wide."""
    axes: list[str] = []
    room = TEXT_WIDTH - sum(width + GAP for width in (8, 14, 10, 18, *(NAME_LETTER * len(end) for end in _ends(cells))))
    for axis in varied_axes(block):
        width = GAP + (NAME_WIDTH if isinstance(cells[axis].iloc[0], str) else CODE_LETTER * len(axis))
        if width <= room and len(cells.groupby([*axes, axis])) <= MOST_ROWS:
            axes.append(axis)
            room -= width
    return axes


def _ends(cells: pd.DataFrame) -> list[str]:
    return [name for name in OUTCOMES if (cells["outcome"] == name).any()]


def medians_table(block: Block, cells: pd.DataFrame) -> str:
    """Medians over seeds by the axes that it has room for, over the others as well; and the share of each outcome."""
    axes, ends = table_axes(block, cells), _ends(cells)
    groups = list(cells.groupby(axes, sort=False)) if axes else [((), cells)]
    rows, lines = [], 0
    for key, same in groups:
        names = [breakable(value) if isinstance(value, str) else _values([value]) for value in key]
        medians = [digits2(median(same[column])) for column in ("fit", "orthogonality_fro", "distance")]
        shares = [percent((same["outcome"] == name).mean(), 0) for name in ends]
        rows.append([*names, integer(len(same)), *medians, *shares])
        lines += max((len(value) // LINE + 1 for value in key if isinstance(value, str)), default=1)
    head = [*map(code, axes), "Cells", "Data loss", r"$\fnorm S$", r"$\fnorm{W-\rho\T}$", *ends]
    columns = "".join(ragged(NAME_WIDTH) if isinstance(cells[axis].iloc[0], str) else "r" for axis in axes)
    columns += "r" * (4 + len(ends))
    # A table that a page holds is kept whole: one that may break can upset the figures that wait for their place.
    if lines > MOST_LINES:
        return longtable(columns, head, rows)
    return "\n".join([r"\par\medskip\noindent", tabular(columns, head, rows), r"\par\medskip", ""])
