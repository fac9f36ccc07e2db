"""The paper and its supplement as one accessible HTML page, by LaTeXML: MathML, and figures as SVG with their alternative texts.

LaTeXML does not know orthogrid.sty. Its macros are in paper/page.sty in plain LaTeX, but for those that ask what a run has: these are
replaced here. The supplement's labels get the S- by which the paper names them.
"""

from __future__ import annotations

import html
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

from ..jobs.files import write_bytes
from .sources import COMMENT

PROGRAMS = {"latexmlc": "latexml", "pdftocairo": "poppler-utils"}  # and the Debian package of each
WRONG = re.compile(r"^(?:Error|Fatal|Warning:expected).*$", re.M)


class PageError(RuntimeError):
    """A program is missing, or LaTeXML has met what it does not know."""


def build_page(sources: Path, results: Path, page: Path, log: Path) -> None:
    """Make `page`, with its style sheet and figures beside it, of LaTeX sources and what a run has. Raises PageError."""
    if missing := [package for program, package in PROGRAMS.items() if shutil.which(program) is None]:
        raise PageError(f"the page needs {' and '.join(missing)}, on Debian: sudo apt-get install {' '.join(missing)}")
    with tempfile.TemporaryDirectory() as folder:
        work, made = Path(folder), Path(folder, "made", page.name)
        text, alternatives = page_source(sources, results)
        (work / "page.tex").write_text(text, encoding="utf-8")
        (work / "tables").mkdir()
        for table in (results / "tables").glob("*.tex"):  # alone: LaTeXML would run Perl that lies beside one
            shutil.copyfile(table, work / "tables" / table.name)
        for path, name in {
            results / "values.tex": "values.tex", sources / "page.sty": "macros.tex", sources / "notation.sty": "notation.tex",
            sources / "page.css": "page.css", sources / "references.bib": "references.bib",
        }.items():  # fmt: skip
            shutil.copyfile(path, work / name)
        (work / "figures").mkdir()
        for name in alternatives:
            drawn = results.absolute() / "figures" / f"{name}.pdf"
            subprocess.run(["pdftocairo", "-svg", drawn, f"figures/{name}.svg"], cwd=work, check=True)
        done = subprocess.run(
            ["latexmlc", "--nodefaultresources", "--css=page.css", f"--dest={made}", "page.tex"],
            cwd=work, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8", errors="replace",
        )  # fmt: skip
        write_bytes(done.stdout.encode(), log)
        if done.returncode or WRONG.search(done.stdout):
            raise PageError("LaTeXML did not understand the sources:\n" + "\n".join(WRONG.findall(done.stdout)))
        text = made.read_text(encoding="utf-8")
        for name, words in alternatives.items():
            shown = rf'<object type="image/svg\+xml" data="(figures/{name}\.svg)"([^>]*)></object>'
            text = re.sub(shown, rf'<img src="\g<1>" alt="{html.escape(words)}"\g<2>>', text)
        made.write_text(text, encoding="utf-8")
        shutil.copytree(made.parent, page.parent, ignore=shutil.ignore_patterns("*.cache"), dirs_exist_ok=True)


def page_source(sources: Path, results: Path) -> tuple[str, dict[str, str]]:
    """The LaTeX of both documents in one, and the alternative text of each of its figures."""
    values = "".join((results / f"{name}.tex").read_text(encoding="utf-8") for name in ("values", "blocks"))
    has = {kind: set(re.findall(rf"\\set{kind}\{{([^}}]*)\}}", values)) for kind in ("block", "figure", "table")}
    alternatives: dict[str, str] = {}
    labels: set[str] = set()

    def document(name: str, prefix: str) -> str:
        """One document's text, without what the run lacks, and with its files, tables and figures in their places."""

        def read(path: str) -> str:
            folder = results if path == "blocks" else sources
            text = COMMENT.sub("", (folder / f"{path}.tex").read_text(encoding="utf-8"))
            return re.sub(r"\\input\{((?:sections|supplement)/\w+|blocks)\}", lambda match: read(match[1]), text)

        def float_(kind: str, name: str, caption: str, content: str) -> str:
            label = rf"\label{{{kind[:3]}:{name}}}"
            return (
                rf"\begin{{{kind}}}\centering {content}\caption{{{caption}}}{label}\end{{{kind}}}"
                if name in has[kind]
                else ""
            )

        def block_figure(name: str, caption: str, words: str) -> str:
            alternatives.update({name: words} if name in has["figure"] else {})
            return float_("figure", name, caption, rf"\includegraphics{{figures/{name}}}")

        def block_table(name: str, caption: str) -> str:
            return float_("table", name, caption, rf"\input{{tables/{name}}}")

        text = (
            read(name).partition(r"\begin{document}")[2].partition(r"\references")[0].replace(r"\tableofcontents", "")
        )
        shown: dict[str, tuple[int, Callable[..., str]]] = {
            "ifblocks": (2, lambda names, body: body if has["block"] & {*map(str.strip, names.split(","))} else ""),
            "blockfigure": (3, block_figure), "blocktable": (2, block_table), "blocklongtable": (2, block_table),
            "listing": (1, lambda path: "\\begin{verbatim}\n" + (sources / path).read_text(encoding="utf-8") + "\\end{verbatim}\n"),
        }  # fmt: skip
        for macro, (count, make) in shown.items():
            text = _replaced(text, macro, count, make)
        if prefix:
            text = re.sub(
                r"\\(label|[cC]ref|ref|eqref|insee|insection|see(?:figure|table|section))\{([^{}]*)\}",
                lambda m: rf"\{m[1]}{{{_each(m[2], prefix)}}}",
                text,
            )
        labels.update(re.findall(r"\\label\{([^{}]*)\}", text))
        return text

    def see(kinds: tuple[str, ...], form: str) -> Callable[[str], str]:
        def words(names: str) -> str:
            wanted = [re.sub(r"^(S-)?", rf"\g<0>{kind}:", name.strip()) for name in names.split(",") for kind in kinds]
            found = [label for label in wanted if label in labels]
            return form % rf"\cref{{{','.join(found)}}}" if found else ""

        return words

    text = document("paper", "") + "\n\\startsupplement\n" + document("supplement", "S-")
    for macro, kinds, form in (
        ("insee", ("fig", "tab"), " (%s)"), ("insection", ("sec",), " (%s)"),
        ("seefigure", ("fig",), "%s"), ("seetable", ("tab",), "%s"), ("seesection", ("sec",), "%s"),
    ):  # fmt: skip
        text = _replaced(text, macro, 1, see(kinds, form))
    head = "\\documentclass{article}\n\\input{macros}\n\\input{values}\n\\begin{document}\n"
    return head + text + "\n\\bibliography{references}\n\\end{document}\n", alternatives


def _each(names: str, prefix: str) -> str:
    return ",".join(prefix + name.strip() for name in names.split(","))


def _replaced(text: str, macro: str, count: int, make: Callable[..., str]) -> str:
    """The text with what `make` says of its arguments in place of each call of a macro, whose option is dropped."""
    call = re.compile(rf"\\{macro}(?:\[[^\]]*\])?(?=\{{)")
    while match := call.search(text):
        arguments, place = [], match.end()
        for _ in range(count):
            start, depth = text.index("{", place) + 1, 1
            place = start
            while depth:
                depth += {"{": 1, "}": -1}.get(text[place], 0) * (text[place - 1] != "\\")
                place += 1
            arguments.append(text[start : place - 1])
        text = text[: match.start()] + make(*arguments) + text[place:]
    return text
