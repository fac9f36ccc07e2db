"""The workflow as a user calls it: from a config through LaTeX, and what reruns and clones train."""

from __future__ import annotations

import gzip
import html
import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
import yaml
from conftest import ROOT, once
from pypdf import PdfReader
from test_reference import described

from orthogrid.cells.cell import AXES

BIN = Path(sys.executable).parent
PARTS = ("Snakefile", "config", "workflow", "profiles", "paper", "data", "src", "pyproject.toml", "environment.yml")


def copy_project(target: Path) -> Path:
    """The sources alone, as a clone would have them, and what Python compiled of them."""
    target.mkdir(parents=True, exist_ok=True)
    for name in PARTS:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, target / name, ignore=shutil.ignore_patterns("*.pyc.*", "*.egg-info"))
        elif source.exists():
            shutil.copy(source, target / name)
    return target


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "snakemake", *arguments]


def snakemake(project: Path, *arguments: str, check: bool = True, **environment: str) -> str:
    """Run Snakemake in a project; its whole output."""
    done = subprocess.run(
        command(*arguments),
        cwd=project,
        env={**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if check:
        assert done.returncode == 0, done.stdout
    else:
        assert done.returncode != 0, done.stdout
    return done.stdout


SMOKE = ("--cores", "all", "--configfile", "config/smoke.yaml")


# Read by every Python of the run when it starts. A connection to another machine leaves a mark and fails.
GUARD = """
import os, socket, traceback

def refuse(self, address, *rest):
    if self.family == socket.AF_UNIX:
        return connect(self, address, *rest)
    with open(os.environ["MARKS"], "a") as file:
        file.write(f"{address}\\n{''.join(traceback.format_stack())}")
    raise OSError(f"no network: {address}")

connect, socket.socket.connect = socket.socket.connect, refuse
socket.socket.connect_ex = refuse
with open(os.environ["MARKS"] + ".on", "a") as file:
    file.write(".")
"""


def run_smoke(folder: Path) -> None:
    """The smoke config from nothing to the PDF, behind a guard against the network."""
    project = copy_project(folder / "project")
    (folder / "guard").mkdir()
    (folder / "guard" / "sitecustomize.py").write_text(GUARD, encoding="utf-8")
    path = os.pathsep.join(filter(None, (str(folder / "guard"), os.environ.get("PYTHONPATH"))))
    output = snakemake(project, *SMOKE, PYTHONPATH=path, MARKS=str(folder / "marks"))
    assert "Using workflow specific profile profiles/default" in output


@pytest.fixture(scope="session")
def smoke(tmp_path_factory) -> Path:
    """A project in which the smoke config ran from nothing to the PDF."""
    return once(tmp_path_factory, "smoke", run_smoke) / "project"


def results(project: Path) -> Path:
    return project / "results" / "smoke"


def test_the_pdf_shows_the_runs_own_numbers(smoke):
    paper, supplement = (PdfReader(results(smoke) / f"{name}.pdf") for name in ("paper", "supplement"))
    text = " ".join(re.sub(r"\s+", " ", page.extract_text()) for page in [*paper.pages, *supplement.pages])
    assert 10 <= len(paper.pages) <= 13 and "??" not in text and "[?]" not in text
    first = re.sub(r"\s+", " ", paper.pages[0].extract_text())
    assert "This run does not bear out" in first and "The run is complete" in first  # it is too small to, and says so
    values = dict(re.findall(r"\\setval\{([^}]*)\}\{(.*)\}", (results(smoke) / "values.tex").read_text()))
    assert values["run-name"] in text and values["cells-total"] in text
    shown = {key: value for key, value in values.items() if re.fullmatch(r"\d+\.\d{2,}", value)}
    assert len(shown) >= 8
    missing = [key for key, value in shown.items() if value not in text]
    assert not missing
    cells = pd.read_csv(results(smoke) / "cells.csv")
    assert values["cells-total"] == str(len(cells))


def test_fonts_are_embedded_and_figures_are_vector(smoke):
    for path in (results(smoke) / "figures").glob("*.pdf"):
        page = PdfReader(path).pages[0]
        fonts = page["/Resources"].get("/Font", {})
        for font in fonts.values():
            font = font.get_object()
            inner = font["/DescendantFonts"][0].get_object() if "/DescendantFonts" in font else font
            descriptor = inner["/FontDescriptor"].get_object()
            assert any(key in descriptor for key in ("/FontFile", "/FontFile2", "/FontFile3")), path.name
        assert float(page.mediabox.width) == pytest.approx(156 / 25.4 * 72, abs=1.5), path.name


def test_every_table_is_there_and_every_column_of_it_is_described(smoke):
    """docs/columns.md is what others rely on."""
    root, tables = results(smoke), described("columns")
    assert {name for name in tables if name != "Columns"} == {
        path.name for path in root.iterdir() if path.name.endswith((".csv", ".csv.gz"))
    }
    key, *measured = tables["cells.csv"]
    tables["cells.csv"] = [key, *AXES, *measured]
    for name, columns in tables.items():
        assert name == "Columns" or columns == list(pd.read_csv(root / name)), name
    rows = pd.read_csv(next(iter(rows_files(smoke))))
    assert [*rows.drop(columns="checksum"), "outcome"] == tables["cells.csv"]
    cells, membership = pd.read_csv(root / "cells.csv"), pd.read_csv(root / "membership.csv")
    assert cells["key"].is_unique and set(membership["key"]) == set(cells["key"])
    assert set(cells["outcome"]) <= set(described("outcomes")["Outcomes"])
    blocks = {block["name"] for block in yaml.safe_load((smoke / "config" / "smoke.yaml").read_text())["blocks"]}
    assert set(membership["block"]) == blocks
    for kind in ("logs", "benchmarks"):
        assert len(list((root / kind).rglob("*.*"))) >= 6


@pytest.mark.slow
def test_a_failed_paper_leaves_the_last_one_and_is_not_taken_for_it(smoke):
    # In the first document that is typeset, and its first line: test_latex.py breaks others.
    source, paper = smoke / "paper" / "supplement.tex", results(smoke) / "paper.pdf"
    text, before = source.read_text(encoding="utf-8"), paper.read_bytes()
    source.write_text("\\first \\second\n" + text, encoding="utf-8")
    try:
        for _ in range(2):  # the second time Snakemake has put the PDF back, younger than what it is to show
            output = snakemake(smoke, *SMOKE, check=False)
            assert (
                "Undefined control sequence" in output
                and "\\first" in output
                and re.search(r"From before: .*results/smoke/paper\.pdf", output)
            )
            assert "\\second" not in output and "Traceback" not in output
            assert paper.read_bytes() == before
    finally:
        source.write_text(text, encoding="utf-8")
    snakemake(smoke, *SMOKE)
    assert paper.read_bytes() == before


def test_a_finished_run_has_nothing_to_do(smoke):
    assert "Nothing to be done" in snakemake(smoke, *SMOKE)


def test_a_run_opens_no_connection(smoke):
    marks = smoke.parent / "marks"
    assert len(Path(f"{marks}.on").read_text(encoding="utf-8")) > 6  # the guard was in all of its processes
    assert not marks.exists(), marks.read_text(encoding="utf-8")


def test_predictions_come_before_training_and_need_no_rows(smoke):
    predictions = (results(smoke) / "predictions.csv").stat().st_mtime
    assert all(predictions <= path.stat().st_mtime for path in (results(smoke) / "rows").glob("*.csv"))


def test_report_shows_figures_and_paper(smoke, tmp_path):
    snakemake(smoke, *SMOKE, "--report", str(tmp_path / "report.html"))
    page = (tmp_path / "report.html").read_text()
    assert "in which every training run is a dot" in html.unescape(page)  # the first page
    assert all(name in page for name in ("paper.pdf", "supplement.pdf", "map.pdf", "claims.html", "explorer.html"))
    for name in ("map", "outcomes"):  # under each figure a caption of its own
        shows = (results(smoke) / "figures" / f"{name}.rst").read_text(encoding="utf-8").splitlines()[0]
        assert html.escape(shows[:40]) in html.escape(html.unescape(page)) and len(shows) > 40
    claims = (results(smoke) / "claims.html").read_text(encoding="utf-8")
    table = pd.read_csv(results(smoke) / "claims.csv")
    assert all(f"<b>{name}</b>" in claims for name in table["id"])
    assert claims.count('class="supported"') == (table["verdict"] == "supported").sum()


def test_few_jobs(smoke):
    output = snakemake(smoke, *SMOKE, "--dry-run", "--forceall")
    assert int(re.search(r"^total\s+(\d+)", output, re.M)[1]) < 25


def planned(output: str) -> list[str]:
    """The rules of which Snakemake says that it has jobs to run."""
    return re.findall(r"^(\w+) +\d+$", output, re.M)


@pytest.fixture
def clone(smoke, tmp_path) -> Path:
    """A clone that ships rows and traces, with no metadata of Snakemake and no journal; every file freshly touched."""
    project = copy_project(tmp_path / "clone")
    for name in ("rows", "traces"):
        shutil.copytree(results(smoke) / name, results(project) / name)
    shutil.rmtree(results(project) / "cache", ignore_errors=True)
    later = time.time() + 10
    for path in project.rglob("*"):
        os.utime(path, (later, later) if path.suffix in (".py", ".smk", ".yaml") else None)
    return project


def rows_files(project: Path, run: str = "smoke") -> set[Path]:
    return set((project / "results" / run / "rows").glob("*.csv.gz"))


def keys(files) -> list[str]:
    """Keys of the cells in some rows files."""
    return [key for path in files for key in pd.read_csv(path)["key"]]


def without(path: Path, lost) -> None:
    """Rows taken out of a rows file."""
    lines = gzip.decompress(path.read_bytes()).decode().splitlines(keepends=True)
    path.write_bytes(gzip.compress("".join(line for line in lines if line.split(",")[0] not in set(lost)).encode()))


def test_a_clone_that_ships_rows_has_nothing_to_train(clone):
    jobs = planned(snakemake(clone, *SMOKE, "--dry-run"))
    assert "draw_figures" in jobs and "train_shard" not in jobs


@pytest.mark.slow
def test_a_partial_run_shows_what_is_there_and_trains_nothing(clone):
    for path in clone.rglob("*"):
        os.utime(path)  # no longer in the future: what is made from the config must come out younger
    (rows,) = rows_files(clone)
    table = pd.read_csv(rows)
    lost = table["key"][table["penalty"] == "l1_detached"].iloc[0]
    without(rows, [*table["key"][table["penalty"] == "offdiag"], lost])
    output = snakemake(clone, "results/smoke/values.tex", *SMOKE, "--config", "partial=true")
    assert "train_shard" not in output and rows_files(clone) == {rows}
    cells = pd.read_csv(results(clone) / "cells.csv")
    missing = cells[cells["status"] == "missing"]
    assert set(missing["penalty"]) >= {"offdiag", "l1_detached"} and lost in set(missing["key"])
    claims = pd.read_csv(results(clone) / "claims.csv").set_index("id")
    assert claims.loc["offdiag", "verdict"] == "untested"
    assert "missing" in claims.loc["offdiag", "reason"] and (claims["verdict"] == "supported").any()
    says = rf"{{\textbf{{The run is partial}}: {len(cells) - len(missing)} of its {len(cells)} cells are trained."
    assert rf"\setval{{run-completeness}}{says}" in (results(clone) / "values.tex").read_text(encoding="utf-8")
    summary = json.loads((results(clone) / "run.json").read_text())
    assert summary["partial"] and summary["finished"] == len(cells) - len(missing)


def edit_config(project: Path, edit) -> None:
    path = project / "config" / "smoke.yaml"
    raw = yaml.safe_load(path.read_text())
    edit({block["name"]: block["axes"] for block in raw["blocks"]})
    path.write_text(yaml.safe_dump(raw, sort_keys=False))


@pytest.mark.slow
def test_a_penalty_by_the_readmes_recipe_reaches_the_paper_and_trains_alone(clone):
    page = (ROOT / "docs" / "adding.md").read_text(encoding="utf-8")
    recipe = re.search(r"`(src/\S+cubic\.py)`[^\0]*?\n\n((?:    .*\n|\n)+)", page)
    (clone / recipe[1]).write_text(re.sub(r"^    ", "", recipe[2], flags=re.M), encoding="utf-8")
    shipped = rows_files(clone)
    for block in ("convergence", "grid"):
        edit_config(clone, lambda blocks, block=block: blocks[block]["penalty"].append("cubic"))
    snakemake(clone, *SMOKE)
    cells = pd.read_csv(results(clone) / "cells.csv").set_index("key")
    assert (
        set(cells.loc[keys(rows_files(clone) - shipped), "penalty"]) == {"cubic"}
        and (cells["penalty"] == "cubic").sum() > 10
    )
    for figure in ("convergence", "grid"):
        text = PdfReader(results(clone) / "figures" / f"{figure}.pdf").pages[0].extract_text()
        assert "cubic" in text, figure


def test_a_wrong_config_stops_before_training(tmp_path):
    project = copy_project(tmp_path)
    edit_config(project, lambda blocks: blocks["grid"].update(penalty=["fro3"]))
    output = snakemake(project, *SMOKE, check=False)
    assert "did you mean" in output and "nothing was trained" in output and "Traceback" not in output
    assert not (project / "results" / "smoke").exists()


def test_missing_latex_stops_before_training_and_names_the_remedy(tmp_path):
    project = copy_project(tmp_path / "project")
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("bash", "sh", "env", "ls", "uname", "git", "which"):
        if found := shutil.which(name):
            (tools / name).symlink_to(found)
    done = subprocess.run(
        command(*SMOKE),
        cwd=project,
        env={**os.environ, "PATH": str(tools)},
        capture_output=True,
        text=True,
    )
    output = done.stdout + done.stderr
    assert done.returncode != 0 and "lualatex" in output and "nothing was trained" in output and "install" in output
    assert not (project / "results" / "smoke").exists()


@pytest.mark.slow
def test_a_run_that_is_published_is_rendered_by_a_colleagues_clone_without_training(smoke, tmp_path):
    project, clone = tmp_path / "mine", tmp_path / "theirs"
    shutil.copytree(smoke, project, ignore=shutil.ignore_patterns(".snakemake"))
    for name in ("Makefile", ".gitignore"):
        shutil.copy(ROOT / name, project / name)

    def run(folder: Path, *words: str) -> str:
        done = subprocess.run(words, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        assert done.returncode == 0, done.stdout
        return done.stdout

    def make(folder: Path, *goals: str) -> str:
        return run(
            folder, "make", *goals, f"VENV={BIN.parent}", *(w for goal in ("ready", "env") for w in ("-o", goal))
        )

    def git(folder: Path, *words: str) -> str:
        return run(folder, "git", "-c", "user.name=a", "-c", "user.email=a@b", *words)

    git(tmp_path, "init", "-q", str(project))
    git(project, "add", ".")
    git(project, "commit", "-qm", "before")
    assert not git(project, "ls-files", "results/smoke")
    make(project, "publish", "RUN=smoke")
    git(project, "commit", "-qm", "A run of mine")
    kept = {
        Path(name).relative_to("results/smoke").parts[0] for name in git(project, "ls-files", "results/smoke").split()
    }
    assert kept == {"rows", "traces", "code", "run.json", "ro-crate-metadata.json", "paper.pdf", "supplement.pdf"}
    run(tmp_path, "git", "clone", "-q", str(project), str(clone))
    (results(clone) / "paper.pdf").unlink()
    assert "train_shard" not in make(clone, "published", "RUN=smoke")
    assert [len(PdfReader(results(folder) / "paper.pdf").pages) for folder in (project, clone)] == 2 * [
        len(PdfReader(results(smoke) / "paper.pdf").pages)
    ]
