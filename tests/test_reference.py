"""The documentation says what the code says: generated pages are today's, tables have the columns told, links and commands exist."""

from __future__ import annotations

import re
import subprocess

import pandas as pd
import pytest
from benchmarks.records import WHOLE
from conftest import ROOT

from orthogrid.__main__ import COMMANDS
from orthogrid.theory.outcomes import OUTCOMES
from orthogrid.tools.reference import config_page

# What a reader of docs/adding.md makes.
MADE = ("config/mine.yaml", "src/orthogrid/penalties/cubic.py", "src/orthogrid/methods/halfway.py")
WRITTEN = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def test_the_page_of_the_config_is_todays():
    assert (ROOT / "docs" / "config.md").read_text(encoding="utf-8") == config_page(), "run: make schema"


def described(page: str) -> dict[str, list[str]]:
    """By heading, the names in the first column of a page's tables."""
    found: dict[str, list[str]] = {}
    for line in (ROOT / "docs" / f"{page}.md").read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            found[heading := line.strip("# `")] = []
        elif name := re.match(r"\| `([\w ]+)` \|", line):
            found[heading].append(name[1])
    return found


def test_every_outcome_is_described():
    assert described("outcomes")["Outcomes"] == list(OUTCOMES)


@pytest.mark.parametrize("path", WRITTEN, ids=lambda path: path.name)
def test_links_targets_and_commands_exist(path):
    text = path.read_text(encoding="utf-8")
    for link in re.findall(r"\]\(([^)#\s]+)\)", text):
        assert link.startswith("https://") or (path.parent / link).exists(), link
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M)
    for target in re.findall(r"(?:`|^    )make ([a-z-]+)", text, re.M):
        assert target in targets
    for command in re.findall(r"python -m orthogrid (\w+)", text):
        assert command in COMMANDS
    for folder in re.findall(r"`((?:config|profiles|workflow|src|docs)/[\w./-]+)`", text):
        assert (ROOT / folder).exists() or folder in MADE, folder


def test_every_page_is_found_from_the_readme():
    readme = WRITTEN[0].read_text(encoding="utf-8")
    assert all(f"(docs/{path.name})" in readme for path in WRITTEN[1:])


def test_the_picture_of_the_rules_names_every_rule():
    picture = (ROOT / "docs" / "rules.svg").read_text(encoding="utf-8")
    files = [ROOT / "Snakefile", *(ROOT / "workflow" / "rules").glob("*.smk")]
    rules = {name for file in files for name in re.findall(r"^rule (\w+):", file.read_text(encoding="utf-8"), re.M)}
    shown = set(re.findall(r"<text[^>]*>(\w+)</text>", picture))
    by_name = {"explorer", "train_all", "claims", "clear_old_rows", "build_page", "html"}  # they are asked for
    assert rules - shown <= by_name
    assert shown <= rules


def test_the_makefiles_help_lists_its_targets():
    shown = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for target in ("paper", "test", "smoke", "published", "verify", "publish", "types", "docs"):
        assert re.search(rf"^{target}\s", shown, re.M)


def numbers(line: str) -> list[float]:
    return [float(number) for number in re.findall(r"\d+(?:\.\d+)?", line)]


def test_the_cluster_page_says_what_was_measured():
    text = (ROOT / "docs" / "cluster.md").read_text(encoding="utf-8")
    measured = pd.read_csv(ROOT / "results" / "bench" / "scale.csv").set_index("stage")
    rows = {
        "the plan of nothing, of everything": ["plan, nothing finished", "plan, all finished"],
        "predictions of every cell": ["predictions"],
        "the tables, from the rows of 64 jobs": ["tables"],
        "the tables read by figures and claims": ["tables read by figures and claims"],
    }
    for label, stages in rows.items():
        minutes, memory = re.search(rf"\| {label} \| (.*) \| (.*) GB \|", text).groups()
        assert numbers(minutes) == [round(measured["seconds"][stage] / 60, 1) for stage in stages]
        assert numbers(memory) == [round(measured["gigabytes"][stage], 1) for stage in stages]
    assert f"{measured['gigabytes']['files']:.1f} GB of disk" in text


def test_the_gpus_gain_is_what_was_measured():
    text = (ROOT / "docs" / "gpu.md").read_text(encoding="utf-8")
    bench = ROOT / "results" / "bench"
    by = ["dimension", "samples", "penalty", "steps"]
    times = [pd.read_csv(bench / f"{name}.csv") for name in ("cpu-amd-epyc", "cuda-nvidia-h100-80gb-hbm3")]
    cpu, gpu = (table[table["what"] == WHOLE].set_index(by)["milliseconds"] for table in times)
    rows = re.findall(r"^\| (\d+) \| (\d+) \| `(\w+)` \| (\d+) \| ([\d.]+) \| ([\d.]+) \|$", text, re.M)
    assert len(rows) == 5
    for dimension, samples, penalty, steps, *told in rows:
        case = (int(dimension), int(samples), penalty, int(steps))
        assert told == [f"{table[case]:.3g}" for table in (cpu, gpu)]
    assert set(times[1]["torch"]) == {"2.11.0+cu130"} and "torch 2.11.0" in text


def test_whether_a_gpus_rows_agree_is_what_was_measured():
    text = " ".join((ROOT / "docs" / "gpu.md").read_text(encoding="utf-8").split())
    table = pd.read_csv(ROOT / "results" / "bench" / "cpu-gpu.csv")
    cells, claims = table[table["what"] == "cells"], table[table["what"] != "cells"].iloc[0]
    counts = cells[["cells", "same_rows", "same_outcomes"]].sum().astype(int)
    assert f"{counts['cells']} were trained on the H100" in text
    assert f"{counts['same_rows']} rows end as the CPU's do" in text
    assert f"{counts['same_outcomes']} have the same outcome" in text
    kinked = {"fro", "l1", "row_sum"}
    moved = cells[cells["same_outcomes"] < cells["cells"]]
    assert set(moved["penalty"]) <= kinked and (moved["cells"] - moved["same_outcomes"]).sum() == 7 and "seven" in text
    assert f"{claims['same_outcomes']:.0f} of {claims['cells']:.0f} claims keep their verdict" in text
    polar = cells[cells["method"] == "polar"].iloc[0]
    assert f"‖S‖_F is {polar['ratio']:.0f} times the CPU's" in text and polar["cells"] == polar["same_outcomes"]
    rest = cells[cells["method"] != "polar"]
    assert (rest["ratio"] < 2).all()
