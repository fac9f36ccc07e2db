"""Building the paper and its supplement.

What is kept of a build saves passes and never changes a PDF. No failure takes the last PDFs away. The macros say of a run what it
bears out.
"""

from __future__ import annotations

import re
import shutil
import zlib
from pathlib import Path

import pytest
from made_up_run import figure, make_up
from pypdf import PdfReader

from orthogrid.publishing import latex
from orthogrid.publishing.latex import DOCUMENTS, KEPT, SUMS, LatexError, build, defects, failed_build, page_count
from orthogrid.publishing.sources import asked

SOURCES = Path(__file__).parents[1] / "paper"
HEAD = r"""\directlua{pdf.setsuppressoptionalinfo(767)}
\documentclass{article}
\usepackage{graphicx,hyperref}
\input{values}
\begin{document}
"""
PAPER = rf"""{HEAD}\tableofcontents
\section{{One}}\label{{one}} See \ref{{two}} on page \pageref{{two}}: \measured.
\input{{sections/two}}
\input{{tables/small}}
\includegraphics[width=5cm]{{figures/line}}
\end{{document}}
"""
SUPPLEMENT = rf"{HEAD}\input{{blocks}}\section{{Proofs}}\label{{proofs}} As in \ref{{proofs}}. \end{{document}}"


class Project:
    """Two short documents, the paper in two files, and the folder of a run."""

    def __init__(self, root: Path):
        self.sources, self.results, self.cache = (root / name for name in ("paper", "results", "cache"))
        for path, text in {
            self.sources / "paper.tex": PAPER,
            self.sources / "supplement.tex": SUPPLEMENT,
            self.sources / "sections" / "two.tex": "\\newpage\\section{Two}\\label{two} On the next page.\n",
            self.results / "blocks.tex": "",
            self.results / "values.tex": "\\newcommand{\\measured}{12.5}\n",
            self.results / "tables" / "small.tex": "\\begin{tabular}{l}1 \\\\\\end{tabular}\n",
        }.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        (self.results / "figures").mkdir()
        (self.results / "figures" / "line.pdf").write_bytes(figure())

    def build(self, draft: bool = True) -> int:
        return build(self.sources, self.results, self.results / "paper.log", self.cache, draft)

    @property
    def pdfs(self) -> list[bytes]:
        return [(self.results / f"{name}.pdf").read_bytes() for name in ("paper", "supplement")]

    @property
    def kept(self) -> Path:
        return self.cache / KEPT

    def made(self, name: str) -> str:
        """A file of the last good build, such as paper.aux."""
        return (self.kept / name).read_text(encoding="utf-8", errors="replace")

    def sign(self) -> None:
        """Pass off what lies there as whole."""
        (self.cache / SUMS).write_text(latex._sums(self.kept), encoding="utf-8")

    def edit(self, name: str, old: str, new: str) -> None:
        path = self.results / name if (self.results / name).exists() else self.sources / name
        text = path.read_text(encoding="utf-8")
        assert old in text
        path.write_text(text.replace(old, new), encoding="utf-8")

    def from_nothing(self) -> list[bytes]:
        """The PDFs as a build without anything kept makes them."""
        shutil.rmtree(self.cache)
        self.build()
        return self.pdfs


@pytest.fixture(scope="module")
def fonts(tmp_path_factory) -> str:
    return str(tmp_path_factory.mktemp("fonts"))


@pytest.fixture(autouse=True)
def warm(fonts, monkeypatch) -> None:
    """The tests share a cache of fonts, which takes seconds to fill; `finished` begins without one."""
    monkeypatch.setitem(latex.FIXED, "TEXMFCACHE", fonts)


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("paper")
    assert Project(root).build() > 2
    return root


@pytest.fixture
def project(finished, tmp_path) -> Project:
    """A finished build of its own, in a folder of its own."""
    made = Project(tmp_path / "a project in a folder with another name")
    shutil.rmtree(made.results)
    shutil.copytree(finished / "results", made.results)
    shutil.copytree(finished / "cache", made.cache)
    return made


def test_unchanged_inputs_need_no_pass_and_give_the_same_bytes(project):
    before = project.pdfs
    assert project.build() == 0 and project.pdfs == before
    assert project.from_nothing() == before  # in another folder than the fixture's, too
    assert [page_count(project.results / f"{name}.pdf") for name in ("paper", "supplement")] == [2, 1]


def test_continued_builds_give_the_bytes_of_one_from_nothing(project):
    for name, old, new, most in (
        ("values.tex", "12.5", "12.7", 2),  # of one length; each document reads the values
        ("tables/small.tex", "1 ", "1234567 ", 1),
        ("blocks.tex", "", "A block of one's own. ", 2),
        ("sections/two.tex", "\\newpage", "\\newpage\\newpage\\null\\newpage", 3),
    ):
        before = project.pdfs
        project.edit(name, old, new)
        assert 1 <= project.build() <= most and project.pdfs != before, name
    continued = project.pdfs
    assert continued == project.from_nothing()


def test_a_changed_figure_is_seen(project):
    before = project.pdfs
    (project.results / "figures" / "line.pdf").write_bytes(figure("9 9 400 130 re f"))
    assert project.build() == 1  # of the paper: the supplement does not show it
    assert project.pdfs[0] != before[0] and project.pdfs[1] == before[1]


def test_a_source_that_is_gone_is_gone(project):
    (project.sources / "sections" / "two.tex").unlink()
    with pytest.raises(LatexError, match=r"sections/two\.tex' not found"):
        project.build()
    project.edit("paper.tex", "\\input{sections/two}", "")
    project.edit("paper.tex", "See \\ref{two} on page \\pageref{two}", "")
    assert project.build() > 0 and project.pdfs == project.from_nothing()


def test_neither_settings_of_latexmk_nor_what_a_build_by_hand_left_is_read(project):
    before = project.pdfs
    for name in ("latexmkrc", "paper.aux", "paper.pdf", "supplement.fdb_latexmk"):
        (project.sources / name).write_text("exit 1;", encoding="utf-8")
    project.build()
    assert project.pdfs == before


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        (f"{KEPT}/paper.pdf", lambda data: data[:200] + bytes([data[200] ^ 255]) + data[201:]),
        (SUMS, lambda data: data[:-30]),
    ],
)
def test_what_was_kept_may_be_damaged(project, name, damage):
    before = project.pdfs
    path = project.cache / name
    path.write_bytes(damage(path.read_bytes()))
    assert project.build() > 2 and project.pdfs == before
    assert project.build() == 0  # and is whole again


@pytest.mark.parametrize("endings", [(".aux", ".toc", ".luc"), (".fdb_latexmk",)])
def test_what_was_kept_may_be_wrong_for_the_document(project, monkeypatch, endings):
    monkeypatch.setitem(latex.FIXED, "TEXMFCACHE", "fonts")  # of what was kept
    before = project.pdfs
    for path in project.kept.rglob("*"):
        if path.suffix in endings:
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2 + 3])
    project.sign()
    assert project.build() > 1 and project.pdfs == before


def test_what_a_runs_folder_brings_along_is_not_taken_for_what_was_kept(project):
    """A stranger's folder with another PDF, in the place where it was once kept and in today's name."""
    before = project.pdfs
    (project.kept / "paper.pdf").write_bytes(b"forged")
    project.sign()
    shutil.copytree(project.cache, project.results, dirs_exist_ok=True)
    shutil.move(project.cache, project.results / "cache")
    project.build()
    assert project.pdfs == before


def test_a_failed_build_leaves_the_last_pdfs_and_shows_the_first_error_alone(project):
    before, kept = project.pdfs, latex._sums(project.kept)
    project.edit("sections/two.tex", "On the", "\\first \\second On the")
    with pytest.raises(LatexError) as failure:
        project.build()
    words = str(failure.value)
    assert "two.tex:1: Undefined control sequence" in words and "\\first" in words and "\\second" not in words
    assert all(f"{name}.pdf" in words.splitlines()[-1] for name in DOCUMENTS)
    assert project.pdfs == before and latex._sums(project.kept) == kept
    project.edit("sections/two.tex", "\\first \\second ", "")
    assert project.build() == 0 and project.pdfs == before


def test_a_failed_supplement_leaves_both_pdfs(project):
    before = project.pdfs
    project.edit("values.tex", "12.5", "12.6")
    project.edit("supplement.tex", "As in", "\\nowhere")
    with pytest.raises(LatexError, match=r"supplement\.tex failed:\n.*supplement\.tex:\d+: Undefined control sequence"):
        project.build()
    assert project.pdfs == before


def test_a_first_build_that_fails_leaves_nothing(tmp_path):
    project = Project(tmp_path)
    project.edit("values.tex", "measured", "other")
    with pytest.raises(LatexError, match=r"paper\.tex:7: Undefined control sequence") as failure:
        project.build()
    assert "From before" not in str(failure.value) and not project.kept.exists()
    assert not list(project.results.glob("*.pdf"))


def test_a_defect_is_a_failure(project):
    before = project.pdfs
    project.edit("sections/two.tex", "On the", "\\ref{nowhere} \\hyperlink{no-place}{On} the")
    with pytest.raises(LatexError, match="nowhere") as failure:
        project.build()
    assert "no-place" in str(failure.value)
    assert project.pdfs == before


def test_every_failure_is_told_from_the_one_before(project):
    seen = [failed_build(project.cache)]
    project.edit("supplement.tex", "\\documentclass", "\\wrong\\documentclass")
    for _ in range(2):
        with pytest.raises(LatexError):
            project.build()
        seen.append(failed_build(project.cache))
    assert seen[0] == "" and len(set(seen)) == 3
    project.edit("supplement.tex", "\\wrong", "")
    project.build()
    assert failed_build(project.cache) == seen[-1]  # a success changes nothing


# ---- The macros of orthogrid.sty, on two short documents that use all of them.
USING = r"""\documentclass[11pt,a4paper]{article}
\usepackage{orthogrid}
\hypersetup{pdftitle={A title}}
\begin{document}
\head{A title}{Below it}{\val{run-date}}{Run \val{run-name}: \val{run-title}.}
\begin{abstract}\says{borne}{It rests on a run~\cite{thread}.} \says{half}{Half of it does.}\end{abstract}
\unsupported
\section{One}\label{sec:one}
Of \val{cells}, \says{borne, open}{with $x^2$ and \val{measured-borne} as in \cref{S-thm:one}.} \says[refuted]{wrong}{As foretold by \plone}, \says{wrong}{but not this}.
\begin{itemize}\item \says{borne}{In a list.}\end{itemize}
\begin{tabular}{l}\says{open}{In a cell.}\end{tabular}
\ifblocks{here, there}{\typeout{A block is here.}\section{Two}\label{sec:two}}
\blockfigure{line}{A line. \says{half}{It is half a line.}}{A grey box.}
\blocktable[\footnotesize]{small}{Small.}
\newcommand{\told}[2]{\sbox0{#2}\typeout{#1 \ifdim\wd0=0pt nothing\else something\fi.}}
\told{Seefigure}{\seefigure{line}} \told{Seetable}{\seetable{small}} \told{Insee}{\insee{line, small, S-other}}
\told{Insection}{\insection{two, S-proofs}} \told{Seesection}{\seesection{three}}
Words\insee{line, small, S-other}.
\input{blocks}
\references
\end{document}
"""
USED = r"""\documentclass[11pt,a4paper]{article}
\usepackage[supplement]{orthogrid}
\begin{document}
\section{Proofs}\label{sec:proofs}
\begin{theorem}\label{thm:one} One. \val{measured-borne} \val{cells} \end{theorem}
\blockfigure{other}{Another line.}{A grey box.}
\blocklongtable{claims}{Claims.}
\blocklongtable{values}{Values.}
\end{document}
"""
VERDICTS = {"half": "partly", "open": "untested", "wrong": "refuted"}


class Macros(Project):
    def __init__(self, root: Path, **change):
        self.sources, self.results, self.cache = (root / name for name in ("paper", "results", "cache"))
        shutil.copytree(SOURCES, self.sources, ignore=shutil.ignore_patterns("sections", "supplement"))
        (self.sources / "paper.tex").write_text(USING, encoding="utf-8")
        (self.sources / "supplement.tex").write_text(USED, encoding="utf-8")
        make_up(self.sources, self.results, **{"verdicts": VERDICTS, **change})

    def noted(self) -> set[tuple[str, str]]:
        return set(re.findall(r"\\ognoted ?\{\d+\} ?\{(\S+?)\} ?\{(\w+)\}", self.made("paper.aux")))


@pytest.fixture(scope="module")
def macros(tmp_path_factory, fonts) -> Macros:
    made = Macros(tmp_path_factory.mktemp("macros"))
    with pytest.MonkeyPatch.context() as patched:
        patched.setitem(latex.FIXED, "TEXMFCACHE", fonts)
        made.build()
    return made


def objects(pdf: bytes) -> bytes:
    """The parts of a PDF that say what links lead where."""
    found = []
    for match in re.finditer(rb"/Type\s*/ObjStm.*?stream\r?\n", pdf, re.S):
        found.append(zlib.decompressobj().decompress(pdf[match.end() :]))
    return b"\n".join([pdf, *found])


def test_sentences_that_a_run_does_not_bear_out_are_listed(macros):
    assert macros.noted() == {("half", "partly"), ("open", "untested"), ("wrong", "refuted")}
    assert macros.made("paper.aux").count("ognoted") == 5  # the caption's sentence once
    assert not macros.made("supplement.aux").count("ognoted")


def test_links_lead_from_the_paper_to_rows_of_the_supplement(macros):
    paper, supplement = (objects(pdf) for pdf in macros.pdfs)
    for place in (b"claim.borne", b"claim.half", b"value.cells", b"theorem.1"):
        assert re.search(rb"/F\(supplement\.pdf\)/S/GoToR/D\(" + re.escape(place) + rb"\)", paper), place
        assert b"(" + place + b")" in supplement
    assert b"/Lang" in paper and str(macros.results.parent).encode() not in paper + supplement


@pytest.mark.slow
def test_paragraphs_headings_and_figures_are_tagged_but_in_a_draft(tmp_path, fonts, monkeypatch):
    monkeypatch.setitem(latex.FIXED, "TEXMFCACHE", fonts)
    for draft in (True, False):
        project = Macros(tmp_path / str(draft))
        project.edit("paper.tex", r"\documentclass", "\\input{tagged}\n\\documentclass")
        # A page may end beside lines of code, whose letters TeX reads in another way.
        lines = "\n".join(r"\listing{code/one_row.py}" for _ in range(9))
        project.edit("paper.tex", r"\input{blocks}", lines)
        build(project.sources, project.results, project.results / "paper.log", project.cache, draft=draft)
        if "tagpdf.sty" not in project.made("paper.log") and not draft:
            pytest.skip("this LaTeX has no tags that tagged.tex knows")
        before = project.pdfs
        build(project.sources, project.results, project.results / "paper.log", project.results / "new", draft=draft)
        assert project.pdfs == before  # equal inputs give equal bytes
        assert page_count(project.results / "paper.pdf") == len(PdfReader(project.results / "paper.pdf").pages) > 2
        paper = objects(project.pdfs[0])
        tags = {tag: len(re.findall(rb"/S ?/" + tag.encode() + rb"\b", paper)) for tag in ("H1", "Figure", "Link")}
        assert (tags["H1"] >= 1 and tags["Figure"] == 1 and b"/Alt" in paper and b"/MarkInfo" in paper) is not draft, (
            tags
        )


@pytest.mark.slow
def test_what_fails_with_tags_is_built_without(tmp_path, fonts, monkeypatch):
    monkeypatch.setitem(latex.FIXED, "TEXMFCACHE", fonts)
    project = Project(tmp_path)
    project.edit("paper.tex", r"\documentclass", "\\input{tagged}\n\\documentclass")
    (project.sources / "tagged.tex").write_text(r"\undefined", encoding="utf-8")
    assert project.build(draft=False) > 1 and page_count(project.results / "paper.pdf") == 2
    project.edit("paper.tex", r"\measured", r"\nothing")
    with pytest.raises(LatexError, match="nothing"):
        project.build(draft=False)


def test_what_a_run_has_is_shown_and_referred_to(macros):
    log = macros.made("paper.log")
    told = dict(re.findall(r"^(\w+) (something|nothing)\.", log, re.M))
    assert told == dict.fromkeys(("Seefigure", "Seetable", "Insee", "Insection"), "something") | {
        "Seesection": "nothing"
    }
    assert "A block is here." in log
    assert r"\newlabel{fig:other}{{S1}" in macros.made("supplement.aux")


@pytest.mark.slow
def test_what_a_run_lacks_is_left_out_and_no_title_stops_the_build(tmp_path, macros):
    title = "Ελληνικά, 中文, 😀, e\u0301, a\u00a0b, \u202eא " + "long" * 60
    project = Macros(tmp_path, without="block figure table", verdicts={"wrong": "refuted"}, title=title)
    shutil.copytree(macros.cache, project.cache)
    project.edit("supplement.tex", r"\val{measured-borne} \val{cells}", "")  # without tables nothing to lead to
    project.build()
    log = project.made("paper.log")
    told = dict(re.findall(r"^(\w+) (something|nothing)\.", log, re.M))
    assert told == dict.fromkeys(("Seefigure", "Seetable", "Insee", "Seesection"), "nothing") | {
        "Insection": "something"
    }
    assert "A block is here." not in log and "fig:line" not in project.made("paper.aux")
    assert project.noted() == {("wrong", "refuted")}


def test_an_unknown_name_is_an_error_that_names_it(tmp_path, monkeypatch):
    """All in one build, which goes on after the first."""
    monkeypatch.setattr(latex, "LATEXMK", [word.replace("-halt-on-error ", "") for word in latex.LATEXMK])
    project = Macros(tmp_path)
    project.edit("values.tex", r"\setval{cells}", r"\setval{others}")
    project.edit("values.tex", r"\setverdict{half}", r"\setverdict{others}")
    project.edit("values.tex", r"\setval{run-name}", r"\setval{others}{2}\setval{run-name}")
    short = r"\documentclass{article}\begin{document}One.\end{document}"
    (project.sources / "supplement.tex").write_text(short, encoding="utf-8")
    with pytest.raises(LatexError, match="The value `others' is set twice"):
        project.build()
    log = (project.results / "paper.log").read_text(encoding="utf-8")
    assert "Unknown value `cells'" in log and "Unknown claim `half'" in log


@pytest.mark.slow
def test_equal_inputs_give_equal_bytes_in_any_folder(tmp_path, macros):
    project = Macros(tmp_path / "a project in a folder with another name")
    project.build()
    assert project.pdfs == macros.pdfs


# ---- The sources of the paper.
def names(macro: str, text: str) -> set[str]:
    return {name.strip() for found in re.findall(macro, text) for name in found.split(",")}


def test_the_sources_refer_to_what_they_show():
    text = {path: path.read_text(encoding="utf-8") for path in SOURCES.glob("**/*.tex")}
    every = "\n".join(text.values())
    shown = {*asked(SOURCES).figures, *asked(SOURCES).tables}
    named = names(r"\\(?:insee|seefigure|seetable)\{([^}]*)\}", every)
    assert {name.removeprefix("S-") for name in named} <= shown
    labels = set(re.findall(r"\\label\{([^}]*)\}", every))
    referred = {name for name in names(r"\\[cC]ref\{([^}]*)\}", every) if name.startswith("S-")}
    assert {name.removeprefix("S-") for name in referred} <= labels | {f"fig:{name}" for name in shown}


@pytest.mark.slow
def test_the_paper_builds_for_a_full_and_for_an_empty_run(tmp_path):
    for folder, without in (("full", ""), ("empty", "block figure table")):
        results = tmp_path / folder
        make_up(SOURCES, results, without=without)
        if without:
            for name in ("claims", "values"):  # which no run lacks
                shutil.copyfile(tmp_path / "full" / "tables" / f"{name}.tex", results / "tables" / f"{name}.tex")
                with (results / "values.tex").open("a", encoding="utf-8") as values:
                    values.write(rf"\settable{{{name}}}")
        build(SOURCES, results, results / "log", results / "cache")
        assert not defects((results / "log").read_text(encoding="utf-8"))
