"""Is there a LaTeX that can build the paper, and building it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
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
        found = subprocess.run(["kpsewhich", *FILES], capture_output=True, text=True).stdout
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


def build(sources: Path, results: Path, output: Path, log: Path) -> None:
    """Build paper.tex from LaTeX sources and a run's folder with numbers.tex, tables/ and figures/.

    Works in a temporary folder, so that sources and results stay clean. Raises LatexError when latexmk fails or the
    document has defects; the whole log is kept at `log`.
    """
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        shutil.copytree(sources, work, dirs_exist_ok=True)
        environment = {
            **os.environ,
            # The closing ':' keeps TeX's own search paths.
            "TEXINPUTS": f".:{results.resolve()}:",
            # Equal inputs give equal bytes.
            "SOURCE_DATE_EPOCH": "0",
            "FORCE_SOURCE_DATE": "1",
        }
        command = ["latexmk", "-pdf", "-interaction=nonstopmode", "-halt-on-error", "-file-line-error", "paper.tex"]
        done = subprocess.run(command, cwd=work, env=environment, capture_output=True, text=True, errors="replace")
        tex_log = work / "paper.log"
        text = tex_log.read_text(errors="replace") if tex_log.exists() else ""
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text(done.stdout + done.stderr + "\n" + text)
        if done.returncode:
            errors = [
                line for line in text.splitlines() if re.match(r"(\./)?\S+:\d+: ", line)
            ] or done.stdout.splitlines()[-20:]
            raise LatexError(f"latexmk failed (whole log: {log}):\n" + "\n".join(errors[:20]))
        wrong = defects(text)
        if wrong:
            raise LatexError(f"the paper has defects (whole log: {log}):\n" + "\n".join(wrong))
        output.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(work / "paper.pdf", output)


def main(arguments: Sequence[str]) -> int:
    """Say what is missing, after an attempt to install it if `--install` is asked for. Needs the standard library alone."""
    complaint = install_latex() if "--install" in arguments else missing_latex()
    print(complaint, file=sys.stderr, end="\n" if complaint else "")
    return 1 if complaint else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
