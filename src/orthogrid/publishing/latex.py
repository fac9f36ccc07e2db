"""Is there a LaTeX that can build the paper and its supplement, and building them."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import uuid
import zipfile
import zlib
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

PROGRAMS = ("lualatex", "bibtex", "kpsewhich")
# One file from each package group the paper draws on, and its fonts.
FILES = (
    "luaotfload.sty", "unicode-math.sty", "mathtools.sty", "cleveref.sty", "natbib.sty", "csquotes.sty", "microtype.sty",
    "texgyretermes-regular.otf", "texgyretermes-math.otf", "lmmono10-regular.otf",
)  # fmt: skip
DEBIAN = (
    "texlive-luatex texlive-latex-recommended texlive-latex-extra "
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
    administrator = [] if os.geteuid() == 0 else ["sudo", "--non-interactive"]
    may = not administrator or (
        shutil.which("sudo") and subprocess.run([*administrator, "true"], capture_output=True).returncode == 0
    )
    if missing_latex() and shutil.which("apt-get") and may:
        print("Installing LaTeX through apt-get (about 700 MB on disk, a few minutes) ...", flush=True)
        apt = [*administrator, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "--quiet=2"]
        subprocess.run([*apt, "update"], stdout=subprocess.DEVNULL)
        subprocess.run(
            [*apt, "install", "--yes", "--no-install-recommends", *DEBIAN.split()], stdout=subprocess.DEVNULL
        )
    return missing_latex()


def _remedy() -> str:
    if shutil.which("apt-get"):
        return f"sudo apt-get install --no-install-recommends {DEBIAN}"
    if shutil.which("dnf"):
        return "sudo dnf install texlive-scheme-medium texlive-collection-latexextra"
    if shutil.which("brew"):
        return "brew install --cask mactex-no-gui"
    return "conda install -c conda-forge texlive-core, or TeX Live from https://tug.org/texlive"


class LatexError(RuntimeError):
    """LaTeX or BibTeX failed, or a document has a defect; the text quotes the log."""


# A box that sticks out by more than this is a defect.
OVERFULL_LIMIT_PT = 5.0


def defects(log: str) -> list[str]:
    """What a LaTeX log says a reader would see: undefined references and citations, dead links, boxes that stick out."""
    found = re.findall(r"LaTeX Warning: (?:Reference|Citation)[^\n]*undefined[^\n]*", log)
    found += re.findall(r"Package natbib Warning: Citation[^\n]*undefined[^\n]*", log)
    found += re.findall(r"warning  \(pdf backend\): unreferenced destination[^\n]*", log)
    for match in re.finditer(r"Overfull \\[hv]box \((\d+\.?\d*)pt too [^\n]*", log):
        if float(match[1]) > OVERFULL_LIMIT_PT:
            found.append(match[0])
    return found


DOCUMENTS = ("paper", "supplement")
LABELS = "supplement.aux"  # which the paper reads: all that one document has of the other
KEPT = "latex.zip"  # what a good build made, for the next one to continue from
ROUNDS = 6  # passes at most; nothing has changed since before the last one
FAILED = "latex.failed"  # the mark of the last build that came to no good end


def build(sources: Path, results: Path, log: Path, cache: Path) -> int:
    """Make paper.pdf and supplement.pdf in a run's folder, of LaTeX sources and the run's values.tex, blocks.tex, tables/ and figures/; how many passes LaTeX took.

    It continues from the auxiliary files of the last good build, which it keeps in `cache`: LaTeX settles in one pass
    or two rather than four, on the same bytes. They hold programs, so they must not have come with a run's folder. Works in a temporary folder, so that sources, results and what is
    kept stay clean. Raises LatexError when LaTeX fails or a document has defects, and leaves earlier PDFs as they are.
    """
    kept, failed = cache / KEPT, cache / FAILED
    failed_before = failed_build(cache)
    _write(uuid.uuid4().hex.encode(), failed)  # at once: a build that is killed has failed too
    old = _read_made(kept)
    try:
        try:
            made, passes = _typeset(sources, results, log, old)
        except LatexError:
            if not old:
                raise
            # The sources may be right and what was kept wrong for them: only a build from nothing tells. Where that fails
            # too, the sources are at fault, and what was kept stays.
            made, passes = _typeset(sources, results, log, {})
    except LatexError as error:
        stand = [str(path) for path in (results / f"{name}.pdf" for name in DOCUMENTS) if path.exists()]
        before = f"\nFrom before: {', '.join(stand)}." if stand else ""
        raise LatexError(f"{error}\nThe whole log: {log}{before}") from None
    if made != old:
        _write_made(made, kept)
    for name in DOCUMENTS:
        _write(made[f"{name}/{name}.pdf"], results / f"{name}.pdf")
    if failed_before:
        _write(failed_before.encode(), failed)
    else:
        failed.unlink()
    return passes


def failed_build(cache: Path) -> str:
    """Another text after each build that came to no good end.

    Snakemake puts the PDF before it back, and notes it as made from today's inputs: by this text it learns that it is not.
    """
    try:
        return (cache / FAILED).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def page_count(pdf: Path) -> int:
    """The pages of a PDF that `build` made."""
    data, pages = pdf.read_bytes(), 0
    for match in re.finditer(rb"/Type\s*/ObjStm.*?stream\r?\n", data, re.S):
        pages += len(re.findall(rb"/Type\s*/Page\b", zlib.decompressobj().decompress(data[match.end() :])))
    return pages


def _typeset(sources: Path, results: Path, log: Path, old: dict[str, bytes]) -> tuple[dict[str, bytes], int]:
    """What a build makes, by document and name, that continues from what another made; and how many passes it took."""
    with tempfile.TemporaryDirectory() as folder:
        documents = [_Document(name, Path(folder) / name, sources, results, old) for name in DOCUMENTS]
        paper, supplement = documents
        try:
            # Side by side: the paper's first pass does without the supplement's labels, its second has them.
            with ThreadPoolExecutor(len(documents)) as pool:
                for _ in range(ROUNDS):
                    if not any(list(pool.map(_Document.settle, documents))):
                        break
                    shutil.copyfile(supplement.work / LABELS, paper.work / LABELS)
        finally:
            _write("\n".join(document.log() for document in documents).encode(), log)
        for document in documents:
            if wrong := defects(document.log()):
                raise LatexError(f"{document.name}.tex has defects:\n" + "\n".join(wrong))
        made = {f"{document.name}/{name}": data for document in documents for name, data in document.made().items()}
        return made, sum(document.passes for document in documents)


class _Document:
    """One of the two, in a folder of its own."""

    STATE = "state.json"  # what the last pass and the last call of BibTeX began with
    FONTS = "fonts"  # luaotfload's cache, which it would keep in the user's home

    def __init__(self, name: str, work: Path, sources: Path, results: Path, old: dict[str, bytes]):
        self.name, self.work, self.passes = name, work, 0
        shutil.copytree(sources, work)
        for part in ("values.tex", "blocks.tex"):
            shutil.copyfile(results / part, work / part)
        for part in ("tables", "figures"):
            shutil.copytree(results / part, work / part, copy_function=shutil.copyfile)
        self.given = {str(path.relative_to(work)) for path in work.rglob("*") if path.is_file()}
        for path, data in old.items():
            document, _, part = path.partition("/")
            if document == name:
                _write(data, work / part)
        (work / self.FONTS).mkdir(exist_ok=True)
        state = work / self.STATE
        self.state = json.loads(state.read_bytes()) if state.exists() else {"read": sorted(self.given)}

    def settle(self) -> bool:
        """One pass of LaTeX, and BibTeX where it is asked for new entries; False if nothing changed since the last pass."""
        before = self._digest({*self.state["read"], LABELS, *self._auxiliary()})
        if before == self.state.get("pass"):
            return False
        options = ("-interaction=nonstopmode", "-halt-on-error", "-file-line-error", "-recorder", "-no-shell-escape")
        done = self._call("lualatex", *options, f"{self.name}.tex")
        if done.returncode:
            raise LatexError(f"{self.name}.tex failed:\n{first_error(self.log(), done.stdout + done.stderr)}")
        self.passes += 1
        # Lua reads values and blocks, too, and leaves no record of it.
        recorded = re.findall(r"^INPUT (?:\./)?(.+)$", self._read(".fls"), re.M)
        self.state |= {"pass": before, "read": sorted({"values.tex", "blocks.tex", *recorded} & self.given)}
        if entries := re.findall(r"^\\(?:citation|bib)\S*", self._read(".aux"), re.M):
            asked = [
                *sorted(set(entries)),
                self._digest(part for part in self.given if part.endswith((".bib", ".bst"))),
            ]
            if asked != self.state.get("bibtex"):
                done = self._call("bibtex", self.name)
                if done.returncode:
                    raise LatexError(f"bibtex failed on {self.name}:\n{done.stdout}{done.stderr}")
                self.state["bibtex"] = asked
        (self.work / self.STATE).write_text(json.dumps(self.state), encoding="utf-8")
        return True

    def made(self) -> dict[str, bytes]:
        """Contents by name of all that lies beside what was given."""
        paths = {str(path.relative_to(self.work)): path for path in sorted(self.work.rglob("*")) if path.is_file()}
        return {name: path.read_bytes() for name, path in paths.items() if name not in self.given}

    def log(self) -> str:
        return self._read(".log")

    def _read(self, suffix: str) -> str:
        """A file that the last pass made; empty if it made none."""
        path = self.work / f"{self.name}{suffix}"
        return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""

    def _call(self, *command: str) -> subprocess.CompletedProcess[str]:
        # Equal inputs give equal bytes; lines of a log are not broken; fonts are cached with the rest.
        fixed = {"SOURCE_DATE_EPOCH": "0", "FORCE_SOURCE_DATE": "1", "max_print_line": "1000"}
        environment = {**os.environ, **fixed, "TEXMFCACHE": str(self.work / self.FONTS)}
        return subprocess.run(
            command, cwd=self.work, env=environment, capture_output=True, encoding="utf-8", errors="replace"
        )

    def _auxiliary(self) -> set[str]:
        """What a pass leaves for the next one to read."""
        return {f"{self.name}.{ending}" for ending in ("aux", "out", "toc", "bbl")}

    def _digest(self, names: Iterable[str]) -> str:
        digest = hashlib.sha256()
        for name in sorted(names):
            path = self.work / name
            content = path.read_bytes() if path.exists() else b""
            digest.update(f"{name}\0{len(content)}\0".encode() + content)
        return digest.hexdigest()


def first_error(log: str, output: str) -> str:
    """The first error of a LaTeX log with the line it quotes, or the end of what it printed: later ones follow from it."""
    lines = log.splitlines()
    for i, line in enumerate(lines):
        if re.match(r"(\./)?\S+:\d+: |! ", line):
            quoted = next((j for j in range(i, min(i + 12, len(lines))) if re.match(r"l\.\d+ ", lines[j])), i)
            return "\n".join((line, lines[quoted])) if quoted > i else line
    return "\n".join(output.splitlines()[-20:])


def _read_made(kept: Path) -> dict[str, bytes]:
    """What the last good build made; nothing where that is missing or damaged, of which the archive's checksums tell."""
    try:
        with zipfile.ZipFile(kept) as archive:
            names = [name for name in archive.namelist() if ".." not in Path(name).parts]
            return {name: archive.read(name) for name in names}
    except (OSError, zipfile.BadZipFile, zlib.error, EOFError):
        return {}


def _write_made(made: dict[str, bytes], kept: Path) -> None:
    """One file, written whole: a build that is killed leaves what was kept before."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, content in made.items():
            archive.writestr(name, content)
    _write(data.getvalue(), kept)


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
