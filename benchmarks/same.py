"""Did a rebuild change anything? Renders the published run and trains the smoke run, today's tree against a commit's.

    python -m benchmarks.same COMMIT        (make same COMMIT=…)

Compared are, of the published run, claims, values, tables, figures, and both PDFs page by page, as text and as pictures; of
the smoke run, rows, traces and predictions, bit for bit but for times and code. A caption's name of a source file may differ.
What the commit's tree gave is kept under .snakemake/same, so the next call makes today's alone.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd

ROOT = Path(__file__).parents[1]
KEPT = ROOT / ".snakemake" / "same"
RUNS = ("full", "smoke")
TIMES = ["seconds", "seconds_per_step", "code"]
SOURCE = re.compile(r"runs\s+\S*?(\w+(?:\\_\w+)*)\.\s*py")  # `runs figures/maps.py.`, as LaTeX or a PDF's text has it
DPI = "60"


def main(commit: str) -> int:
    full = git("rev-parse", "--short", commit)
    before, now = KEPT / full, KEPT / "now"
    if not before.exists():
        with tree_of(full) as tree:
            render(tree, before)
    with tree_of("HEAD") as tree:
        overlay(tree)
        shutil.rmtree(now, ignore_errors=True)
        render(tree, now)
    found = list(differences(before, now))
    print("\n".join(found) if found else f"same as {full}")
    return 1 if found else 0


def git(*words: str) -> str:
    return subprocess.run(["git", "-C", str(ROOT), *words], check=True, capture_output=True, text=True).stdout.strip()


@contextmanager
def tree_of(commit: str) -> Iterator[Path]:
    """A commit's files, in a folder that git knows: the paper says when rows were committed."""
    with tempfile.TemporaryDirectory() as folder:
        git("worktree", "add", "--quiet", "--detach", f"{folder}/tree", commit)
        try:
            yield Path(folder, "tree")
        finally:
            git("worktree", "remove", "--force", f"{folder}/tree")


def overlay(tree: Path) -> None:
    """Today's files on those of the last commit."""
    for name in filter(None, git("ls-files", "-z", "--cached", "--others", "--exclude-standard").split("\0")):
        if (ROOT / name).is_file():
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            if not (tree / name).exists() or (tree / name).read_bytes() != (ROOT / name).read_bytes():
                shutil.copy(ROOT / name, tree / name)
        else:
            (tree / name).unlink(missing_ok=True)


def render(tree: Path, kept: Path) -> None:
    """Make both runs in a tree and keep what is compared."""
    environment = {**os.environ, "PYTHONPATH": str(tree / "src")}
    environment.pop("ORTHOGRID_PYTHON", None)
    for run in RUNS:
        print(f"{run} of {kept.name} ...", file=sys.stderr, flush=True)
        call = [sys.executable, "-m", "snakemake", "--cores", "all", "--configfile", f"config/{run}.yaml"]
        done = subprocess.run(
            call, cwd=tree, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        if done.returncode:
            sys.exit(done.stdout[-5000:])
        for name in ("claims.csv", "values.csv", "values.tex", "blocks.tex", "cells.csv", "membership.csv", "traces.csv.gz",
                     "thread.csv", "predictions.csv", "paper.pdf", "supplement.pdf", "tables", "figures"):  # fmt: skip
            source, target = tree / "results" / run / name, kept / run / name
            target.parent.mkdir(parents=True, exist_ok=True)
            (shutil.copytree if source.is_dir() else shutil.copy)(source, target)


def differences(before: Path, now: Path) -> Iterator[str]:
    """A line for each thing that differs."""
    for run in RUNS:
        for name in ("cells.csv", "traces.csv.gz", "predictions.csv", "membership.csv", "thread.csv"):
            yield from tables_differ(before / run / name, now / run / name)
    a, b = before / "full", now / "full"
    names = [{path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()} for root in (a, b)]
    yield from (f"full/{name} is {'new' if name in names[1] else 'gone'}" for name in sorted(names[0] ^ names[1]))
    for name in sorted(names[0] & names[1]):
        if name.endswith((".tex", ".rst")) or name in ("claims.csv", "values.csv"):
            yield from text_differs(
                name, *(SOURCE.sub("runs", (root / name).read_text(encoding="utf-8")) for root in (a, b))
            )
        elif name.endswith(".pdf") and (a / name).read_bytes() != (b / name).read_bytes():
            yield from pages_differ(name, a / name, b / name)


def tables_differ(a: Path, b: Path) -> Iterator[str]:
    before, now = (pd.read_csv(path, dtype=str).drop(columns=TIMES, errors="ignore") for path in (a, b))
    if list(before.columns) != list(now.columns) or len(before) != len(now):
        yield f"{a.parent.name}/{a.name}: {before.shape} became {now.shape}, or columns changed"
        return
    changed = [column for column in before if not before[column].fillna("").equals(now[column].fillna(""))]
    if changed:
        yield f"{a.parent.name}/{a.name}: differs in {', '.join(changed)}"


def text_differs(name: str, before: str, now: str) -> Iterator[str]:
    if before != now:
        lines = [pair for pair in zip(before.splitlines(), now.splitlines(), strict=False) if pair[0] != pair[1]]
        first = lines[0] if lines else ("", "a line more or less")
        yield f"full/{name}: {len(lines)} lines differ, first\n    {first[0][:200]}\n    {first[1][:200]}"


def pages_differ(name: str, a: Path, b: Path) -> Iterator[str]:
    """Text first; a page of the same text must look the same, too."""
    texts = [run_tool("pdftotext", "-layout", path, "-").decode(errors="replace").split("\f") for path in (a, b)]
    if len(texts[0]) != len(texts[1]):
        yield f"full/{name}: {len(texts[0]) - 1} pages became {len(texts[1]) - 1}"
        return
    plain: Callable[[str], str] = lambda text: re.sub(r"\s+", "", SOURCE.sub("runs", text))  # noqa: E731
    for number, (before, now) in enumerate(zip(*texts, strict=True), start=1):
        if before == now == "":
            continue
        if plain(before) != plain(now):
            yield f"full/{name}: text of page {number} differs"
        elif before == now and picture(a, number) != picture(b, number):
            yield f"full/{name}: page {number} looks different"


def picture(path: Path, page: int) -> bytes:
    return run_tool("pdftoppm", "-r", DPI, "-f", str(page), "-l", str(page), path)


def run_tool(*words: str | Path) -> bytes:
    return subprocess.run([str(word) for word in words], check=True, capture_output=True).stdout


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    sys.exit(main(sys.argv[1]))
