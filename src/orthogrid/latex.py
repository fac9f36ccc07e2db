"""Is there a LaTeX that can build the paper, and building it."""

from __future__ import annotations

import io
import os
import re
import shutil
import subprocess
import sys
import tempfile
import uuid
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path

PROGRAMS = ("latexmk", "pdflatex", "biber", "kpsewhich")
# One file from each package group the paper draws on.
FILES = ("lmodern.sty", "mathtools.sty", "cleveref.sty", "biblatex.sty", "csquotes.sty", "microtype.sty")
DEBIAN = (
    "latexmk texlive-latex-recommended texlive-latex-extra texlive-fonts-recommended texlive-bibtex-extra lmodern biber"
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
        return "sudo dnf install latexmk biber texlive-scheme-medium texlive-collection-latexextra"
    if shutil.which("brew"):
        return "brew install --cask mactex-no-gui"
    return "conda install -c conda-forge texlive-core biber, or TeX Live from https://tug.org/texlive"


class LatexError(RuntimeError):
    """latexmk failed or the document has a defect; the text quotes the log."""


# A box that sticks out by more than this is a defect.
OVERFULL_LIMIT_PT = 5.0


def defects(log: str) -> list[str]:
    """What a LaTeX log says a reader would see: undefined references and citations, boxes that stick out."""
    found = re.findall(r"LaTeX Warning: (?:Reference|Citation)[^\n]*undefined[^\n]*", log)
    found += re.findall(r"Package biblatex Warning: [^\n]*undefined[^\n]*", log)
    for match in re.finditer(r"Overfull \\[hv]box \((\d+\.?\d*)pt too [^\n]*", log):
        if float(match[1]) > OVERFULL_LIMIT_PT:
            found.append(match[0])
    return found


# What latexmk and the programs it calls make of paper.tex, and where it is kept for the next build.
MADE = "paper.*"
KEPT = "latex.zip"
ROUNDS = 4  # calls of latexmk at most; the last of two or more has nothing to do
FAILED = "latex.failed"  # the mark of the last build that came to no good end


def build(sources: Path, results: Path, output: Path, log: Path) -> int:
    """Build paper.tex from LaTeX sources and a run's folder with numbers.tex, own_figures.tex, tables/ and figures/; how often LaTeX ran for it.

    It continues from the auxiliary files of the last good build, under cache/ in the run's folder: LaTeX settles in one pass
    or two rather than four, on the same bytes. Works in a temporary folder, so that sources, results and what is
    kept stay clean. Raises LatexError when latexmk fails or the document has defects, and leaves an earlier PDF as it is.
    """
    kept, failed = results / "cache" / KEPT, results / "cache" / FAILED
    failed_before = failed_build(results)
    _write(uuid.uuid4().hex.encode(), failed)  # at once: a build that is killed has failed too
    old = _read_made(kept)
    try:
        try:
            made, passes = _latexmk(sources, results, log, old)
        except LatexError:
            if not old:
                raise
            # The document may be right and what was kept wrong for it: only a build from nothing tells. Where that fails
            # too, the document is at fault, and what was kept stays.
            made, passes = _latexmk(sources, results, log, {})
    except LatexError as error:
        before = f"\n{output} is the one before." if output.exists() else ""
        raise LatexError(f"{error}{before}") from None
    if made != old:
        _write_made(made, kept)
    _write(made["paper.pdf"], output)
    if failed_before:
        _write(failed_before.encode(), failed)
    else:
        failed.unlink()
    return passes


def failed_build(results: Path) -> str:
    """Another text after each build that came to no good end.

    Snakemake puts the PDF before it back, and notes it as made from today's inputs: by this text it learns that it is not.
    """
    try:
        return (results / "cache" / FAILED).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _latexmk(sources: Path, results: Path, log: Path, made: dict[str, bytes]) -> tuple[dict[str, bytes], int]:
    """What a build makes, by name, that continues from what another made; and how often it ran LaTeX."""
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        shutil.copytree(sources, work, dirs_exist_ok=True)
        # Copied rather than searched for: latexmk notes where files lie, and a run's folder may be moved.
        for name in ("numbers.tex", "own_figures.tex"):
            shutil.copyfile(results / name, work / name)
        for name in ("tables", "figures"):
            shutil.copytree(results / name, work / name, copy_function=shutil.copyfile)
        for name, data in made.items():
            (work / name).write_bytes(data)
        # Equal inputs give equal bytes.
        environment = {**os.environ, "SOURCE_DATE_EPOCH": "0", "FORCE_SOURCE_DATE": "1"}
        command = ["latexmk", "-pdf", "-interaction=nonstopmode", "-halt-on-error", "-file-line-error", "paper.tex"]
        passes = 0
        for _ in range(ROUNDS):
            _date_by_content(work)
            done = subprocess.run(
                command, cwd=work, env=environment, capture_output=True, encoding="utf-8", errors="replace"
            )
            new = len(re.findall(r"^Run number \d+ of rule 'pdflatex'", done.stdout, re.M))
            passes += new
            if done.returncode or not new:
                break
        tex_log = work / "paper.log"
        text = tex_log.read_text(encoding="utf-8", errors="replace") if tex_log.exists() else ""
        _write((done.stdout + done.stderr + "\n" + text).encode(), log)
        if done.returncode:
            raise LatexError(f"latexmk failed (whole log: {log}):\n{first_error(text, done.stdout + done.stderr)}")
        if wrong := defects(text):
            raise LatexError(f"the paper has defects (whole log: {log}):\n" + "\n".join(wrong))
        made = {path.name: path.read_bytes() for path in sorted(work.glob(MADE)) if path.name != "paper.tex"}
        return made, passes


def _date_by_content(work: Path) -> None:
    """Give every file a time that its content makes up: latexmk takes one of equal size and second for unchanged.

    A pass of a short document takes less than a second. latexmk is therefore called until it has nothing to do.
    """
    for path in work.rglob("*"):
        if path.is_file():
            date = zlib.crc32(path.read_bytes()) % 10**9
            os.utime(path, (date, date))


def first_error(log: str, output: str) -> str:
    """The first error of a LaTeX log with the line it quotes, or the end of what latexmk printed: later ones follow from it."""
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
            return {name: archive.read(name) for name in archive.namelist()}
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
