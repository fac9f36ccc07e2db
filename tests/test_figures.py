"""Every figure is drawn from a whole run, a run with gaps and a run without its blocks, at the size it is printed."""

from __future__ import annotations

import io
import os
import shutil
import warnings
from dataclasses import replace
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from conftest import tiny_config
from pypdf import PdfReader

from orthogrid.cells.cell import AXES
from orthogrid.presenting import style as figure_style
from orthogrid.presenting.generic import drawing_of
from orthogrid.presenting.style import STYLE, TEXT_WIDTH
from orthogrid.publishing import drawing as draw
from orthogrid.publishing.drawing import FigureError, digests, draw_figures
from orthogrid.run.run import Run
from orthogrid.sections import FIGURES, draw_block

ROOT = Path(__file__).parents[1]


def text_of(run: Run, name: str) -> str:
    """The words in a figure, drawn without complaint and as wide as the text."""
    file = io.BytesIO()
    with warnings.catch_warnings(), mpl.rc_context(STYLE):
        warnings.simplefilter("error", UserWarning)  # a layout that collapses, a glyph that is missing
        drawing_of(name)(run).savefig(file, format="pdf")
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


@pytest.mark.parametrize("name", list(FIGURES))
def test_every_figure_is_drawn(small_run, name):
    text = text_of(small_run, name)
    assert "not in this run" not in text and "no result" not in text


@pytest.mark.parametrize("name", sorted(set(FIGURES) - {"circle"}))
def test_a_run_without_blocks_says_so(small_run, name):
    text = text_of(without(small_run), name)
    assert "printed" in text if name == "thread" else "not in this run" in text


def losses() -> list:
    """Each figure with each of its blocks; those between the first and the last take minutes in all."""
    return [
        pytest.param(name, block, marks=[pytest.mark.slow] * (block in figure.blocks[1:-1]))
        for name, figure in FIGURES.items()
        for block in figure.blocks
    ]


@pytest.mark.parametrize(("name", "block"), losses())
def test_a_run_with_gaps_and_without_one_of_several_blocks_is_drawn(small_run, name, block):
    alone = len(FIGURES[name].blocks) == 1
    text = text_of(with_gaps(small_run if alone else without(small_run, block)), name)
    assert "no result" in text  # counted above the figure
    assert "not in this run" not in text or name == "crossing"  # which needs a seed that ends both ways


def letters(run: Run, name: str) -> list[str]:
    return [ax.get_title(loc="left") for ax in FIGURES[name](run).axes]


def test_a_panel_without_cells_is_left_out(small_run):
    assert len(letters(small_run, "samples")) == 3
    assert len(letters(without(small_run, "fresh"), "samples")) == 2
    alone = letters(without(small_run, "fresh", "transition"), "samples")
    assert len(alone) == 1 and "mathbf" not in alone[0]  # nothing to tell it from


# Any block.


def test_a_block_is_drawn_by_its_own_axes(small_run):
    with pytest.raises(KeyError):
        drawing_of("no_such_figure")
    assert "block_law" not in FIGURES and drawing_of("block_law").blocks == ("law",)
    for block in ("law", "beta1"):
        assert "no result" in text_of(with_gaps(small_run), f"block_{block}")
    assert "not in this run" in text_of(small_run, "block_of_nobody")
    fig = draw_block(small_run, "capture")
    assert {ax.get_xlabel() for ax in fig.axes} == {figure_style.REG}


@pytest.mark.parametrize(
    "block",
    [
        block if block in ("coin", "methods", "thread_b") else pytest.param(block, marks=pytest.mark.slow)
        for block in (block["name"] for block in tiny_config()["blocks"])
    ],
)
def test_every_block_is_drawn(small_run, block):
    assert "not in this run" not in text_of(small_run, f"block_{block}")


def test_blocks_are_drawn_among_the_figures(small_run, tmp_path):
    names = ["circle", "block_law", "block_coin"]
    assert sorted(draw_figures(small_run, names, tmp_path / "figures", workers=2)) == sorted(names)
    assert draw_figures(small_run, names, tmp_path / "figures") == []
    assert draw_figures(changed(small_run, "law", "fit"), names, tmp_path / "figures", workers=1) == ["block_law"]


# What a figure shows.


def test_outcomes_have_colours_of_their_own():
    colours = [*figure_style.COLOURS.values(), *figure_style.PENALTIES.values(), *figure_style.OTHERS]
    assert len(set(colours)) == len(colours)


def bytes_in(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.glob("*.pdf"))}


def test_the_same_rows_give_the_same_bytes(small_run, drawn_once, tmp_path):
    assert sorted(draw_figures(small_run, SOME, tmp_path, workers=2)) == sorted(SOME)
    assert bytes_in(tmp_path) == bytes_in(drawn_once / "figures") and len(bytes_in(tmp_path)) == len(SOME)


# Drawing only what changed.

SOME = ["circle", "law", "grid", "precision"]  # of no block, of one, of another, of two


def changed(run: Run, block: str, column: str, factor: float = 1.01) -> Run:
    """The run with one column of one block's cells changed."""
    cells = run.cells.copy()
    here = cells["key"].isin(run.membership.loc[run.membership["block"] == block, "key"])
    assert here.any()
    cells[column] = cells[column].astype(float).where(~here, cells[column] * factor)
    return replace(run, cells=cells)


@pytest.fixture(scope="module")
def drawn_once(small_run, tmp_path_factory) -> Path:
    """A folder with some figures and their cache."""
    folder = tmp_path_factory.mktemp("drawn")
    made = draw_figures(small_run, SOME, folder / "figures", cache=folder / "cache", workers=1)
    assert sorted(made) == sorted(SOME)
    return folder


@pytest.fixture
def drawn(small_run, drawn_once, tmp_path):
    """Draw some figures of a run into one folder that has them, with one cache; returns which had to be drawn."""
    shutil.copytree(drawn_once, tmp_path, dirs_exist_ok=True)

    def draw(run: Run = small_run, names=SOME, **options) -> list[str]:
        return draw_figures(run, names, tmp_path / "figures", cache=tmp_path / "cache", workers=1, **options)

    draw.folder, draw.cache = tmp_path / "figures", tmp_path / "cache"
    return draw


def test_unchanged_figures_are_copied(drawn):
    before, calls = bytes_in(drawn.folder), []
    for path in drawn.folder.glob("*.pdf"):
        path.unlink()
    assert drawn(progress=lambda done, total: calls.append((done, total))) == []
    assert bytes_in(drawn.folder) == before and len(before) == len(SOME)
    assert calls == [(done, len(SOME)) for done in range(1, len(SOME) + 1)]


def test_a_changed_block_redraws_its_figures_only(drawn, small_run):
    before = bytes_in(drawn.folder)
    assert drawn(changed(small_run, "law", "fit")) == ["law"]
    after = bytes_in(drawn.folder)
    assert [name for name in before if before[name] != after[name]] == ["law.pdf"]
    assert sorted(path.name.partition("-")[0] for path in drawn.cache.glob("*.pdf")) == sorted(SOME)  # no old drawing


def stale(before: Run, after: Run, names=SOME) -> list[str]:
    """The figures of a run that a change of it would draw again."""
    now, then = digests(before, names), digests(after, names)
    return [name for name in names if now[name] != then[name]]


@pytest.mark.parametrize("column", ["fit", "predicted_trap_threshold"])
def test_rows_and_predictions_count(small_run, column):
    assert stale(small_run, changed(small_run, "law", column, 2.0)) == ["law"]


def test_a_cell_that_joins_a_block_counts(small_run):
    joins = small_run.membership.query("block == 'grid'").head(1).assign(block="law")
    assert stale(small_run, replace(small_run, membership=pd.concat([small_run.membership, joins]))) == ["law"]


def test_traces_and_tables_count(small_run):
    names, traces = ["convergence", "law", "thread"], small_run.traces.copy()
    traces.loc[traces["key"].isin(small_run.block("convergence")["key"]), "fit"] *= 2
    assert stale(small_run, replace(small_run, traces=traces), names) == ["convergence"]
    assert stale(small_run, replace(small_run, log_a=small_run.log_a * 2), names) == ["thread"]


def test_edited_code_and_other_libraries_redraw_the_figures_that_they_touch(small_run, monkeypatch):
    edited = ""

    def digest(files) -> str:
        return " ".join(f"{path.name} edited" if path.name == edited else path.name for path in files)

    monkeypatch.setattr(draw, "files_digest", digest)
    before = digests(small_run, SOME)

    def redrawn() -> list[str]:
        after = digests(small_run, SOME)
        return [name for name in SOME if after[name] != before[name]]

    for edited, names in (  # noqa: B007 - which `digest` reads
        ("maps.py", ["grid"]),
        ("trap.py", ["law"]),
        ("style.py", SOME),
        ("none.py", []),
    ):
        assert redrawn() == names
    monkeypatch.setattr(draw.metadata, "version", lambda library: "0")
    assert redrawn() == SOME


def test_a_drawing_cut_short_is_drawn_again(drawn):
    path = next(drawn.cache.glob("law-*.pdf"))
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    assert drawn() == ["law"]
    assert path.read_bytes() == (drawn.folder / "law.pdf").read_bytes() == whole


@pytest.mark.parametrize("workers", [1, 2])
def test_a_failing_figure_is_named_and_the_others_are_kept(small_run, tmp_path, monkeypatch, workers):
    def broken(run):
        raise KeyError("no such column")

    broken.blocks, broken.tables, broken.source = ("law",), (), FIGURES["law"].source
    monkeypatch.setitem(FIGURES, "law", broken)
    with pytest.raises(
        FigureError, match=r"figure 'law' failed in .*test_figures\.py, line \d+, in broken: KeyError: 'no such column'"
    ) as caught:
        draw_figures(small_run, ["circle", "law"], tmp_path / "figures", workers=workers)
    assert "in broken" in "".join(caught.value.__cause__.__notes__)  # from another process as well
    words = PdfReader(tmp_path / "figures" / "law.pdf").pages[0].extract_text()
    assert "failed in" in words and "in broken" in words  # where it would stand; the other one is drawn
    assert len(PdfReader(tmp_path / "figures" / "circle.pdf").pages) == 1
    monkeypatch.undo()
    assert draw_figures(small_run, ["circle", "law"], tmp_path / "figures", workers=workers) == ["law"]


def die(name):
    os._exit(1)


def test_a_worker_that_dies_is_an_error(small_run, tmp_path, monkeypatch):
    monkeypatch.setattr(draw, "_drawn", die)
    with pytest.raises(FigureError, match="died"):
        draw_figures(small_run, SOME, tmp_path / "figures", workers=2)
