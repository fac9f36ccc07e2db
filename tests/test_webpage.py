"""The HTML page: one LaTeX source of both documents that LaTeXML can read, of what a run has."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from made_up_run import make_up

from orthogrid.publishing.webpage import PROGRAMS, PageError, build_page, page_source

SOURCES = Path(__file__).parents[1] / "paper"


@pytest.mark.parametrize("without", ["", "block figure table"])
def test_what_a_run_lacks_is_left_out_and_every_reference_has_its_place(tmp_path, without):
    make_up(SOURCES, tmp_path, without=without)
    text, alternatives = page_source(SOURCES, tmp_path)
    assert not re.findall(r"\\(?:ifblocks|block\w+|listing|insee|insection|see\w+)\b", text)
    labels = re.findall(r"\\label\{([^{}]*)\}", text)
    wanted = {name for names in re.findall(r"\\(?:[cC]ref|ref|eqref)\{([^{}]*)\}", text) for name in names.split(",")}
    assert len(labels) == len(set(labels)) and {"sec:setting", "S-thm:boundary"} <= set(labels)
    assert (wanted <= set(labels)) or without, wanted - set(labels)
    figures = set(re.findall(r"\\includegraphics\{figures/(\w+)\}", text))
    assert (
        figures == set(alternatives) and bool(figures) == (not without) and all(map(str.strip, alternatives.values()))
    )
    assert ("S-fig:map" in labels) == (not without) == ("def learn_rotation" in text)


@pytest.mark.slow
@pytest.mark.skipif(any(map(lambda name: shutil.which(name) is None, PROGRAMS)), reason="needs LaTeXML and poppler")
def test_the_page_has_mathematics_figures_and_links(tmp_path):
    make_up(SOURCES, tmp_path / "run")
    (tmp_path / "run" / "tables" / "changes.tex.ltxml").write_text("die 'a stranger';", encoding="utf-8")
    (tmp_path / "html").mkdir()
    (tmp_path / "html" / "mine.txt").touch()
    build_page(SOURCES, tmp_path / "run", tmp_path / "html" / "index.html", tmp_path / "log")
    page = (tmp_path / "html" / "index.html").read_text()
    assert (
        page.count("<math") > 1000
        and "ltx_ERROR" not in page
        and '<img src="figures/teaser.svg" alt="Three panels' in page
    )
    places, links = set(re.findall(r' id="([^"]*)"', page)), set(re.findall(r'href="#([^"]*)"', page))
    assert (tmp_path / "html" / "mine.txt").exists()
    assert "claim.lifted" in links and links <= places, links - places
    assert (tmp_path / "html" / "figures" / "teaser.svg").is_file() and (tmp_path / "html" / "page.css").is_file()


def test_a_program_that_is_missing_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(PageError, match="latexml and poppler-utils, on Debian: sudo apt-get install"):
        build_page(SOURCES, tmp_path, tmp_path / "index.html", tmp_path / "log")
