"""The house: its budgets and rooms, which way imports run, how its lines look, and what others read of it."""

from __future__ import annotations

import re
import subprocess

import pytest
import yaml
from benchmarks.budgets import circles, room, sources, state
from conftest import ROOT
from test_workflow import BIN, snakemake

# What of `python -m benchmarks.budgets` is held. To come: machine, paper.
HELD = ("rooms", "circles", "engine", "practice")


@pytest.mark.parametrize("what", HELD)
def test_the_house_keeps_to_its_budgets(what):
    holds, text = state()[what]
    assert holds, text


def test_circles_are_found():
    assert circles({("a", "b"), ("b", "c")}) == "none"
    assert circles({("a", "b"), ("b", "c"), ("c", "d"), ("d", "b"), ("x", "y"), ("y", "x")}) == "b, c, d; x, y"


def test_the_page_of_the_house_names_every_room():
    text = (ROOT / "docs" / "house.md").read_text(encoding="utf-8")
    named = set(re.findall(r"^\| `(\w+)/?` \|", text, re.M))
    assert named == {room(module) for module in sources()}
    way = "".join(re.findall(r"^\d\. .*$", text, re.M))
    for module, name in re.findall(r"`([\w/]+)\.(\w+)`", way):
        assert module in sources() and re.search(rf"^(def|class) {name}\b", sources()[module], re.M), (module, name)


def test_lint_and_format():
    output = snakemake(ROOT, "--lint")
    assert "Congratulations" in output, output
    subprocess.run([BIN / "snakefmt", "--check", "Snakefile", "workflow"], cwd=ROOT, check=True)
    subprocess.run([BIN / "ruff", "check", "src", "tests", "workflow", "benchmarks"], cwd=ROOT, check=True)
    subprocess.run([BIN / "ruff", "format", "--check", "src", "tests", "workflow", "benchmarks"], cwd=ROOT, check=True)


@pytest.mark.slow
def test_types():
    subprocess.run([BIN / "mypy"], cwd=ROOT, check=True)


def test_the_catalogue_finds_what_it_asks_for():
    """snakemake.github.io/snakemake-workflow-catalog: how the workflow is used, and a page about its configuration."""
    usage = yaml.safe_load((ROOT / ".snakemake-workflow-catalog.yml").read_text(encoding="utf-8"))["usage"]
    assert set(usage) == {"mandatory-flags", "software-stack-deployment"}
    assert set(usage["mandatory-flags"]) == {"desc", "flags"}
    deployment = usage["software-stack-deployment"]
    assert set(deployment) == {"conda", "apptainer", "apptainer+conda", "report"} and deployment["conda"]
    page = (ROOT / "config" / "README.md").read_text(encoding="utf-8")
    named = set(re.findall(r"^\| `([\w.]+)` \|", page, re.M))
    assert named == {path.name for path in (ROOT / "config").iterdir()} - {"README.md"}


def test_environment_yml_has_the_pins_of_the_lock():
    dependencies = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    pip = next(item["pip"] for item in dependencies if isinstance(item, dict))
    pins = (ROOT / "requirements.lock").read_text().splitlines()
    assert pip == pins
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9._+]+", line) for line in pins)
    locked = {line.partition("==")[0].lower() for line in pins}
    assert {"torch", "numpy", "pandas", "snakemake", "seaborn", "pytest", "pyyaml"} <= locked
