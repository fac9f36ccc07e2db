"""Building the paper: what is kept of a build saves passes, never changes the PDF, and no failure takes the last PDF away."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

import pytest

from orthogrid.latex import KEPT, LatexError, build, failed_build

PAPER = r"""\pdfsuppressptexinfo=-1
\documentclass{article}
\usepackage{graphicx,hyperref}
\input{numbers}
\begin{document}
\tableofcontents
\section{One}\label{one} See \ref{two} on page \pageref{two}: \measured.
\input{sections/two}
\input{tables/small}
\includegraphics{figures/line}
\end{document}
"""
# A figure whose bytes a test can write by hand.
FIGURE = (
    b"%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj\n"
    b"3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 90 40]/Contents 4 0 R>>endobj\n"
    b"4 0 obj<</Length 16>>stream\n0 0 m 90 40 l S \nendstream endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n"
)


class Project:
    """A paper in two files and the folder of a run."""

    def __init__(self, root: Path):
        self.sources, self.results = root / "paper", root / "results"
        for path, text in {
            self.sources / "paper.tex": PAPER,
            self.sources / "sections" / "two.tex": "\\newpage\\section{Two}\\label{two} On the next page.\n",
            self.results / "own_figures.tex": "",
            self.results / "numbers.tex": "\\newcommand{\\measured}{12.5}\n",
            self.results / "tables" / "small.tex": "\\begin{tabular}{l}1 \\\\\\end{tabular}\n",
        }.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        (self.results / "figures").mkdir()
        (self.results / "figures" / "line.pdf").write_bytes(FIGURE)

    def build(self) -> int:
        return build(self.sources, self.results, self.paper, self.results / "paper.log")

    @property
    def paper(self) -> Path:
        return self.results / "paper.pdf"

    @property
    def kept(self) -> Path:
        return self.results / "cache" / KEPT

    def edit(self, name: str, old: str, new: str) -> None:
        path = self.results / name if (self.results / name).exists() else self.sources / name
        text = path.read_text(encoding="utf-8")
        assert old in text
        path.write_text(text.replace(old, new), encoding="utf-8")

    def from_nothing(self) -> bytes:
        """The PDF as a build without anything kept makes it."""
        shutil.rmtree(self.results / "cache")
        self.build()
        return self.paper.read_bytes()


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("paper")
    assert Project(root).build() > 1
    return root


@pytest.fixture
def project(finished, tmp_path) -> Project:
    """A finished build of its own, in a folder of its own."""
    made = Project(tmp_path / "project")
    shutil.rmtree(made.results)
    shutil.copytree(finished / "results", made.results)
    return made


def test_unchanged_inputs_need_no_pass_and_give_the_same_bytes(project):
    before = project.paper.read_bytes()
    assert project.build() == 0 and project.paper.read_bytes() == before
    assert project.from_nothing() == before  # in another folder than the fixture's, too


@pytest.mark.parametrize(
    ("name", "old", "new", "most"),
    [
        ("numbers.tex", "12.5", "12.7", 1),  # of one length: neither time nor size gives it away
        ("tables/small.tex", "1 ", "1234567 ", 1),
        ("sections/two.tex", "\\newpage", "\\newpage\\newpage\\null\\newpage", 3),
        ("paper.tex", "{One}", "{First}", 3),
    ],
)
def test_a_continued_build_gives_the_bytes_of_one_from_nothing(project, name, old, new, most):
    before = project.paper.read_bytes()
    project.edit(name, old, new)
    assert 1 <= project.build() <= most
    continued = project.paper.read_bytes()
    assert continued != before and continued == project.from_nothing()


def test_a_changed_figure_is_seen(project):
    before = project.paper.read_bytes()
    (project.results / "figures" / "line.pdf").write_bytes(FIGURE.replace(b"0 0 m", b"9 9 m"))
    assert project.build() >= 1
    continued = project.paper.read_bytes()
    assert continued != before and continued == project.from_nothing()


def torn(data: bytes) -> bytes:
    return data[: len(data) // 2]


def flipped(data: bytes) -> bytes:
    return data[:200] + bytes([data[200] ^ 255]) + data[201:]


@pytest.mark.parametrize("damage", [torn, flipped, lambda data: b"", lambda data: b"no archive"])
def test_what_was_kept_may_be_damaged(project, damage):
    before = project.paper.read_bytes()
    project.kept.write_bytes(damage(project.kept.read_bytes()))
    project.build()
    assert project.paper.read_bytes() == before
    assert project.build() == 0  # and is whole again


def test_what_was_kept_may_be_wrong_for_the_document(project):
    before = project.paper.read_bytes()
    with zipfile.ZipFile(project.kept) as archive:
        made = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(project.kept, "w") as archive:
        for name, data in made.items():
            archive.writestr(name, data[: len(data) // 2 + 3] if name.endswith((".aux", ".toc")) else data)
    assert project.build() > 1
    assert project.paper.read_bytes() == before


def test_a_failed_build_leaves_the_last_pdf_and_shows_the_first_error_alone(project):
    before, kept = project.paper.read_bytes(), project.kept.read_bytes()
    project.edit("sections/two.tex", "On the", "\\first \\second On the")
    with pytest.raises(LatexError) as failure:
        project.build()
    words = str(failure.value)
    assert "two.tex:1: Undefined control sequence" in words and "\\first" in words and "\\second" not in words
    assert words.splitlines()[-1] == f"{project.paper} is the one before."
    assert project.paper.read_bytes() == before and project.kept.read_bytes() == kept
    project.edit("sections/two.tex", "\\first \\second ", "")
    assert project.build() == 0 and project.paper.read_bytes() == before


def test_a_first_build_that_fails_leaves_nothing(tmp_path):
    project = Project(tmp_path)
    project.edit("numbers.tex", "measured", "other")
    with pytest.raises(LatexError, match=r"paper\.tex:7: Undefined control sequence") as failure:
        project.build()
    assert "one before" not in str(failure.value) and not project.paper.exists() and not project.kept.exists()


def test_a_defect_is_a_failure(project):
    before = project.paper.read_bytes()
    project.edit("sections/two.tex", "On the", "\\ref{nowhere} On the")
    with pytest.raises(LatexError, match="nowhere"):
        project.build()
    assert project.paper.read_bytes() == before


def test_every_failure_is_told_from_the_one_before(project):
    seen = [failed_build(project.results)]
    project.edit("sections/two.tex", "On the", "\\wrong")
    for _ in range(2):
        with pytest.raises(LatexError):
            project.build()
        seen.append(failed_build(project.results))
    assert seen[0] == "" and len(set(seen)) == 3
    project.edit("sections/two.tex", "\\wrong", "On the")
    project.build()
    assert failed_build(project.results) == seen[-1]  # a success changes nothing
