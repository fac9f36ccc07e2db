"""Blocks that the paper does not know: each gets its question, axes, a plot, medians and where its runs ended."""

from __future__ import annotations

import os
import re
import subprocess
from dataclasses import replace

import pandas as pd
import pytest
from conftest import ROOT, make_run

from orthogrid.cells.components import ConfigError
from orthogrid.cells.config import check_config
from orthogrid.cells.declarations import block_figure_names, figure_names, unknown_blocks
from orthogrid.presenting.formats import breakable, digits2
from orthogrid.publishing.blocks import (
    MOST_ROWS,
    axes_sentence,
    block_sections,
    ends_sentence,
    medians_table,
    table_axes,
    varied_axes,
)
from orthogrid.publishing.latex import missing_latex
from orthogrid.publishing.writing import own_words
from orthogrid.run.run import Run
from orthogrid.theory.outcomes import OUTCOMES

AXES = {
    "dimension": 6, "samples": 12, "determinant": "mismatch", "reg": [1, 100], "lr": [0.001, 0.01], "steps": 30, "seed": [1, 2, 3],
}  # fmt: skip
OWN = {
    "run": "own",
    "title": "blocks of one's own",
    "blocks": [
        {"name": "tenfold_rate", "question": "Does 10_x help & why?", "axes": AXES},
        {"name": "cures", "axes": AXES | {"method": "lifted", "seed": 1}},
    ],
}


@pytest.fixture(scope="module")
def own(tmp_path_factory) -> Run:
    return make_run(check_config(OWN), tmp_path_factory.mktemp("own"))


def made_up(axes: dict, outcomes: list[str]):
    """A block of these axes and cells of it, which ended so in turn."""
    (block,) = check_config(OWN | {"blocks": [{"name": "made_up", "axes": axes}]}).blocks
    cells = pd.DataFrame([{"key": c.key, **c.settings} for c in block.cells])
    cells = cells.assign(fit=1.234e-5, orthogonality_fro=1.2e-5, distance=1.2e-5)
    return block, cells.assign(outcome=[outcomes[i % len(outcomes)] for i in range(len(cells))])


def test_unknown_is_what_nothing_reads_by_name(own):
    assert [block.name for block in unknown_blocks(own.config)] == ["tenfold_rate"]
    assert block_figure_names(own.config) == ["block_tenfold_rate"]


def test_figures_without_a_block_in_the_run_are_not_drawn(own):
    names = figure_names(own.config, ["circle", "law", "remedies"])
    assert names == ["circle", "remedies", "block_tenfold_rate"]  # of no block, of one


def test_title_authors_and_abstract_of_ones_own(own):
    words = {"heading": "50 % of λ", "authors": "A_B, C", "abstract": "two\n lines "}
    config = check_config(OWN | words)
    assert config.digest != own.config.digest and list(own_words(own.config)) == []
    said = "\n".join(own_words(config))
    for line in (
        r"{heading}{50 \% of \ensuremath{\lambda}}",
        r"pdftitle={50 \% of λ}",
        r"{authors}{A\_B, C}",
        "{abstract}{two lines}",
    ):
        assert line in said
    sources = (ROOT / "paper" / "orthogrid.sty").read_text(encoding="utf-8")
    assert all(rf"\og@own{{{key}}}" in sources for key in words)
    with pytest.raises(ConfigError, match=r"abstract: .* at most 3000 characters"):
        check_config(OWN | {"abstract": 5})


def test_its_section_shows_question_axes_plot_and_ends(own):
    section = block_sections(own)
    assert section.count(r"\section{") == 1 and r"\section{Block \texttt{tenfold\_rate}}" in section
    assert r"Does 10\_x help \& why?" in section and r"\blockfigure{block_tenfold_rate}{" in section
    assert r"It varies \texttt{reg} (1, 100) and \texttt{lr} (0.001, 0.01)." in section
    assert r"\texttt{determinant} \texttt{mismatch}" in section and "There are 3 seeds." in section
    cells = own.block("tenfold_rate")
    told = dict(re.findall(r"(\d+) (recovered|trapped|unidentified|decided wrong|unfinished|diverged)", section)[::-1])
    assert sum(map(int, told)) == len(cells)


def test_its_medians_are_those_of_its_rows(own):
    (block,) = unknown_blocks(own.config)
    cells = own.block("tenfold_rate")
    table = medians_table(block, cells)
    rows = [line for line in table.splitlines() if line.startswith(("1 &", "100 &"))]
    assert len(rows) == 4
    for reg, lr in ((1.0, 0.001), (100.0, 0.01)):
        same = cells[(cells["reg"] == reg) & (cells["lr"] == lr)]
        (row,) = [line for line in rows if line.startswith(f"{reg:g} & {lr:g} & 3 &")]
        assert row.split(" & ")[3] == digits2(same["fit"].median())


def test_an_axis_that_would_make_the_table_too_long_is_pooled():
    block, cells = made_up(AXES | {"reg": [float(i + 1) for i in range(MOST_ROWS + 1)]}, ["recovered"])
    table = medians_table(block, cells)
    assert r"\texttt{lr}" in table and r"\texttt{reg}" not in table
    assert f"1 to {MOST_ROWS + 1}, {MOST_ROWS + 1} values" in axes_sentence(block)
    assert list(varied_axes(block)) == ["reg", "lr"]


def test_missing_cells_are_told(own):
    cells = own.cells.assign(status="missing", outcome="")
    lost = replace(own, cells=cells)
    assert ends_sentence(lost.planned("tenfold_rate")).endswith("Of its cells 12 are missing.")
    assert block_sections(lost).startswith("%")  # nothing to show


NAMES = {
    "dimension": 6, "samples": 12, "penalty": ["fro2", "huber(delta=0.01)"], "method": ["adam", "sgd(momentum=0.9)"],
    "schedule": ["constant", "cosine"], "determinant": ["match", "mismatch"], "reg": [1, 100], "steps": 5, "seed": 1,
}  # fmt: skip


@pytest.mark.parametrize("outcomes", [["recovered"], list(OUTCOMES)])
def test_axes_for_which_a_page_is_too_narrow_are_pooled(outcomes):
    block, cells = made_up(NAMES, outcomes)
    kept = table_axes(block, cells)
    assert len(kept) < len(varied_axes(block)) and len(kept) >= (3 if len(outcomes) == 1 else 0)


def test_a_name_breaks_where_it_may_and_keeps_its_characters():
    for name in ("fro2", "landing(strength=0.1)", "a_penalty_of_my_own", "averyveryverylongname"):
        pieces = breakable(name).split(r"\allowbreak ")
        plain = [piece.removeprefix(r"\texttt{").removesuffix("}").replace(r"\_", "_") for piece in pieces]
        assert "".join(plain) == name and max(map(len, plain)) <= 13


@pytest.mark.slow
@pytest.mark.skipif(bool(missing_latex()), reason="LaTeX or some of its packages are not installed")
def test_names_with_options_and_every_outcome_fit_the_page(tmp_path):
    """A defect would stop the paper after all was trained: `huber(delta=0.01)` once was wider than its column."""
    (tmp_path / "values.tex").touch()  # which the style reads
    (tmp_path / "blocks.tex").touch()
    for number, outcomes in enumerate([["unfinished"], list(OUTCOMES)]):
        begin = r"\documentclass[11pt,a4paper]{article}\usepackage{orthogrid}\begin{document}\footnotesize\tight"
        source = "\n".join([begin, medians_table(*made_up(NAMES, outcomes)), r"\end{document}"])
        (tmp_path / f"{number}.tex").write_text(source, encoding="utf-8")
        call, paths = ["lualatex", "-interaction=nonstopmode", f"{number}.tex"], {"TEXINPUTS": f"{ROOT / 'paper'}:"}
        subprocess.run(call, cwd=tmp_path, env=os.environ | paths, capture_output=True, check=False)
        log = (tmp_path / f"{number}.log").read_text(encoding="utf-8", errors="replace")
        assert (tmp_path / f"{number}.pdf").exists() and "Overfull" not in log, log[-1500:]
