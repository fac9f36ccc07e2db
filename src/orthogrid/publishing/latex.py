"""Is there a LaTeX that can build the paper and its supplement, and building them."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import uuid
import zlib
from collections.abc import Sequence
from pathlib import Path

PROGRAMS = ("lualatex", "bibtex", "latexmk", "kpsewhich")
# One file from each package group the paper draws on, and its fonts.
FILES = (
    "luaotfload.sty", "unicode-math.sty", "mathtools.sty", "cleveref.sty", "natbib.sty", "csquotes.sty", "microtype.sty",
    "texgyretermes-regular.otf", "texgyretermes-math.otf", "lmmono10-regular.otf",
)  # fmt: skip
DEBIAN = (
    "latexmk texlive-luatex texlive-latex-recommended texlive-latex-extra "
    "fonts-texgyre fonts-texgyre-math fonts-lmodern fonts-dejavu-core"
)


def missing_latex() -> str:
    """What is missing and the command that installs it; empty where all is there."""
    missing = [program for program in PROGRAMS if shutil.which(program) is None]
    if "kpsewhich" not in missing:
        found = subprocess.run(["kpsewhich", *FILES], capture_output=True, encoding="utf-8").stdout
        missing += [file for file in FILES if f"/{file}" not in found]
    if not missing:
        return ""
    return f"LaTeX is incomplete, and nothing was trained; missing: {', '.join(missing)}. To install it:\n  {_remedy()}"


def install_latex() -> str:
    """Install what is missing where that can be done without asking; what is then still missing, as `missing_latex`."""
    administrator = ["sudo", "--non-interactive"] if os.geteuid() else []
    apt = [*administrator, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "--quiet=2"]
    may = shutil.which(apt[0]) and not subprocess.run([*apt, "--version"], capture_output=True).returncode
    if missing_latex() and may:
        print("Installing LaTeX through apt-get (about 700 MB on disk, a few minutes) ...", flush=True)
        for step in (["update"], ["install", "--yes", "--no-install-recommends", *DEBIAN.split()]):
            subprocess.run([*apt, *step], stdout=subprocess.DEVNULL)
    return missing_latex()


def _remedy() -> str:
    if shutil.which("apt-get"):
        return f"sudo apt-get install --no-install-recommends {DEBIAN}"
    if shutil.which("dnf"):
        return "sudo dnf install texlive-scheme-medium texlive-collection-latexextra texlive-latexmk"
    if shutil.which("brew"):
        return "brew install --cask mactex-no-gui"
    return "conda install -c conda-forge texlive-core, or TeX Live from https://tug.org/texlive"


class LatexError(RuntimeError):
    """LaTeX or BibTeX failed, or a document has a defect; the text quotes the log."""


OVERFULL_LIMIT_PT = 5.0  # a box that sticks out by more is a defect


def defects(log: str) -> list[str]:
    """What a LaTeX log says a reader would see: undefined references and citations, dead links, boxes that stick out."""
    found = re.findall(r"LaTeX Warning: (?:Reference|Citation)[^\n]*undefined[^\n]*", log)
    found += re.findall(r"Package natbib Warning: Citation[^\n]*undefined[^\n]*", log)
    found += re.findall(r"warning  \(pdf backend\): unreferenced destination[^\n]*", log)
    boxes = re.finditer(r"Overfull \\[hv]box \((\d+\.?\d*)pt too [^\n]*", log)
    return found + [box[0] for box in boxes if float(box[1]) > OVERFULL_LIMIT_PT]


DOCUMENTS = ("supplement", "paper")  # in this order: the paper reads the supplement's labels
TAGS = "tagged.tex"  # what makes LaTeX write tags, which more than doubles its time
KEPT, SUMS = "latex", "latex.sha256"  # the folder of what a good build made, and what tells whether it is whole
FAILED = "latex.failed"  # the mark of the last build that came to no good end
LUALATEX = "lualatex -interaction=nonstopmode -halt-on-error -file-line-error -recorder -no-shell-escape %O %S"
LATEXMK = ("latexmk", "-norc", "-pdflua", f"-lualatex={LUALATEX}", "-bibtex")
# Equal inputs give equal bytes. Lines of a log are not broken. Fonts are cached with the rest, not in the user's home.
FIXED = {"SOURCE_DATE_EPOCH": "0", "FORCE_SOURCE_DATE": "1", "max_print_line": "1000", "TEXMFCACHE": "fonts"}


def build(sources: Path, results: Path, log: Path, cache: Path, draft: bool = False) -> int:
    """Make paper.pdf and supplement.pdf in a run's folder, of LaTeX sources and the run's values.tex, blocks.tex, tables/
    and figures/; how many passes LaTeX took. A draft has no tags.

    It continues from the auxiliary files of the last good build, which it keeps in `cache`: LaTeX settles in one pass
    or two rather than three, on the same bytes. They hold programs, so they must not have come with a run's folder.
    Works in a temporary folder, so that sources, results and what is kept stay clean. Raises LatexError when LaTeX fails
    or a document has defects, and leaves earlier PDFs as they are.
    """
    kept, failed_before = cache / KEPT, failed_build(cache)
    _write(uuid.uuid4().hex.encode(), cache / FAILED)  # at once: a build that is killed has failed too
    with tempfile.TemporaryDirectory() as folder:
        attempts = [(Path(folder, "anew"), draft)]
        if kept.is_dir() and _text(cache / SUMS) == _sums(kept):
            attempts.insert(0, (shutil.copytree(kept, Path(folder, "continued")), draft))
        # Tags are young: a document that fails with them may be whole without.
        if not draft and (sources / TAGS).exists():
            attempts.append((Path(folder, "untagged"), True))
        for work, untagged in attempts:
            try:
                passes = _typeset(sources, results, log, work, untagged)
                break
            except LatexError as error:
                # What was kept may be wrong for the sources, which only a build from nothing tells.
                if work == attempts[-1][0]:
                    stand = [str(path) for path in (results / f"{name}.pdf" for name in DOCUMENTS) if path.exists()]
                    before = f"\nFrom before: {', '.join(stand)}." if stand else ""
                    raise LatexError(f"{error}\nThe whole log: {log}{before}") from None
        if passes:
            shutil.rmtree(kept, ignore_errors=True)
            shutil.copytree(work, kept)
            _write(_sums(kept).encode(), cache / SUMS)
        for name in DOCUMENTS:
            _write((work / f"{name}.pdf").read_bytes(), results / f"{name}.pdf")
    _write(failed_before.encode(), cache / FAILED)
    return passes


def failed_build(cache: Path) -> str:
    """Another text after each build that came to no good end.

    Snakemake puts the PDF before it back, and notes it as made from today's inputs: by this text it learns that it is not.
    """
    return _text(cache / FAILED)


def page_count(pdf: Path) -> int:
    """The pages of a PDF that `build` made."""
    data = pdf.read_bytes()
    streams = [match.end() for match in re.finditer(rb"/Type\s*/ObjStm.*?stream\r?\n", data, re.S)]
    parts = [data, *(zlib.decompressobj().decompress(data[start:]) for start in streams)]
    return sum(len(re.findall(rb"/Type\s*/Page\b", part)) for part in parts)


def _typeset(sources: Path, results: Path, log: Path, work: Path, draft: bool) -> int:
    """Make both documents in a folder, which then holds all but what they are made of; how many passes that took."""
    given = {work / path.relative_to(sources): path for path in sources.rglob("*")}
    for part in ("values.tex", "blocks.tex", "tables", "figures"):
        given |= {work / path.relative_to(results): path for path in (results / part, *(results / part).rglob("*"))}
    by_hand = {work / path.name for name in DOCUMENTS for path in sources.glob(f"{name}.*") if path.suffix != ".tex"}
    given = {copy: path for copy, path in given.items() if path.is_file() and copy not in by_hand}
    for copy, path in given.items():
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(data := b"" if draft and path.name == TAGS else path.read_bytes())
        os.utime(copy, (0, zlib.crc32(data)))  # latexmk takes a file of one size and second for unchanged
    names = "\n".join(sorted(str(copy.relative_to(work)) for copy in given))
    again = ["-g"] * (names != _text(work / "given"))  # by itself latexmk does not mind that a source is gone
    logs: list[str] = []
    passes = 0
    for name in DOCUMENTS:
        done = subprocess.run(
            [*LATEXMK, *again, f"{name}.tex"], cwd=work, env={**os.environ, **FIXED}, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, encoding="utf-8", errors="replace",
        )  # fmt: skip
        logs.append(_text(work / f"{name}.log"))
        _write("\n".join(logs).encode(), log)
        if done.returncode:
            raise LatexError(f"{name}.tex failed:\n{first_error(logs[-1], done.stdout)}")
        if wrong := defects(logs[-1]):
            raise LatexError(f"{name}.tex has defects:\n" + "\n".join(wrong))
        passes += len(re.findall(r"^Run number \d+ of rule 'lualatex'$", done.stdout, re.M))
    for copy in given:  # a source that is gone tomorrow is then gone here, too
        copy.unlink()
    _write(names.encode(), work / "given")
    return passes


def first_error(log: str, output: str) -> str:
    """The first error of a LaTeX log with the line it quotes, or the end of what it printed: later ones follow from it."""
    lines = log.splitlines()
    for i, line in enumerate(lines):
        if re.match(r"(\./)?\S+:\d+: |! ", line):
            quoted = next((j for j in range(i, min(i + 12, len(lines))) if re.match(r"l\.\d+ ", lines[j])), i)
            return "\n".join((line, lines[quoted])) if quoted > i else line
    return "\n".join(output.splitlines()[-20:])


def _text(path: Path) -> str:
    """What a file holds; nothing where there is none."""
    return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""


def _sums(folder: Path) -> str:
    """A line for each file of a folder, as sha256sum writes it: another one where any byte is another."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return "".join(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(folder)}\n" for path in paths)


def _write(data: bytes, path: Path) -> None:
    """Whole or not at all, by the standard library alone."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f".{path.name}.new")
    new.write_bytes(data)
    os.replace(new, path)


def main(arguments: Sequence[str]) -> int:
    """Say what is missing, after an attempt to install it if `--install` is asked for. Needs the standard library alone."""
    complaint = install_latex() if "--install" in arguments else missing_latex()
    print(complaint, file=sys.stderr, end="\n" if complaint else "")
    return 1 if complaint else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
