"""Every figure is drawn from a whole run, a run with gaps and a run without its blocks, at the size it is printed."""

from __future__ import annotations

import io
import re
import warnings
from dataclasses import replace
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from pypdf import PdfReader

from orthogrid.cell import AXES
from orthogrid.figures import FIGURES, draw_figures
from orthogrid.figures.style import STYLE, TEXT_WIDTH
from orthogrid.run import Run

ROOT = Path(__file__).parents[1]


def text_of(run: Run, name: str) -> str:
    """The words in a figure, drawn without complaint and as wide as the text."""
    file = io.BytesIO()
    with warnings.catch_warnings(), mpl.rc_context(STYLE):
        warnings.simplefilter("error", UserWarning)  # a layout that collapses, a glyph that is missing
        FIGURES[name](run).savefig(file, format="pdf")
    page = PdfReader(file).pages[0]
    assert float(page.mediabox.width) == pytest.approx(72 * TEXT_WIDTH, abs=0.5)
    return page.extract_text()


def with_gaps(run: Run) -> Run:
    """As a partial run reads: every third cell without a result, one in ten diverged."""
    cells = run.cells.copy()
    number = np.arange(len(cells))
    measured = [c for c in cells if c not in AXES and c not in ("key", "status") and not c.startswith("predicted_")]
    gap = number % 3 == 0
    for column in measured:
        cells[column] = cells[column].where(~gap)
    cells.loc[gap, "status"] = np.where(number[gap] % 10 == 0, "diverged", "missing")
    return replace(run, cells=cells, traces=run.traces[~run.traces["key"].isin(cells.loc[gap, "key"])])


def without(run: Run, *blocks: str) -> Run:
    """The run without some blocks; without any if none is named."""
    keep = ~run.membership["block"].isin(blocks) & bool(blocks)
    members = run.membership[keep]
    cells, traces = (table[table["key"].isin(members["key"])] for table in (run.cells, run.traces))
    return replace(run, membership=members, cells=cells, traces=traces, thread=run.thread.iloc[:0])


def test_the_workflow_draws_every_figure():
    listed = re.search(r"FIGURES = \[(.*?)\]", (ROOT / "workflow/rules/figures.smk").read_text(), re.DOTALL)
    assert sorted(re.findall(r'"(\w+)"', listed[1])) == sorted(FIGURES)


@pytest.mark.parametrize("name", list(FIGURES))
def test_every_figure_is_drawn(small_run, name):
    text = text_of(small_run, name)
    assert "not in this run" not in text and "no result" not in text


@pytest.mark.parametrize("name", list(FIGURES))
def test_a_run_with_gaps_is_drawn(small_run, name):
    text = text_of(with_gaps(small_run), name)
    if name in ("law", "capture", "rates", "precision", "identifiability"):
        assert "no result" in text  # the others hatch their cells, or draw every run


@pytest.mark.parametrize("name", sorted(set(FIGURES) - {"circle", "cost"}))
def test_a_run_without_blocks_says_so(small_run, name):
    text = text_of(without(small_run), name)
    assert "not in this run" in text if name != "thread" else "printed" in text


@pytest.mark.parametrize(
    ("name", "block"),
    [("methods", "methods"), ("methods", "step_cost"), ("precision", "scaling"), ("precision", "precision"),
     ("identifiability", "fresh"), ("identifiability", "transition"), ("identifiability", "identifiability")],
)  # fmt: skip
def test_a_figure_of_several_blocks_does_without_one(small_run, name, block):
    text_of(without(small_run, block), name)


def test_the_same_rows_give_the_same_bytes(small_run, tmp_path):
    files = []
    for folder in ("a", "b"):
        draw_figures(small_run, ["law", "methods"], tmp_path / folder)
        files.append([(tmp_path / folder / f"{name}.pdf").read_bytes() for name in ("law", "methods")])
    assert files[0] == files[1]
