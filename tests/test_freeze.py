"""The freeze: any change of a claim or of the published config is noticed, counted and told."""

import os
import shutil
import subprocess
import sys
from dataclasses import replace

import pandas as pd
import pytest
from conftest import ROOT
from synthetic import ideal

from orthogrid.cells.components import ConfigError
from orthogrid.cells.config import check_config, load_config
from orthogrid.jobs.files import read_table, write_table
from orthogrid.jobs.plan import Plan
from orthogrid.presenting.tables import TABLES
from orthogrid.run.collect import collect
from orthogrid.run.run import Run
from orthogrid.sections import CLAIMS, judge
from orthogrid.sections.ledger import differences, with_explored
from orthogrid.sections.reproduction import frozen_sentence
from orthogrid.theory.predictions import predict_cells
from orthogrid.tools.freeze import add_freeze, frozen, ledger_digest, read_freezes


def config(**axes):
    return check_config({"run": "x", "blocks": [{"name": "a", "axes": {"dimension": 4, "samples": 3} | axes}]})


@pytest.fixture
def git(monkeypatch):
    """What git says: a clean tree at a commit."""
    said = {"status": "", "rev-parse": "abc1234"}
    monkeypatch.setattr("orthogrid.tools.freeze.git", lambda what, *_: said[what])
    return said


def test_freezes_are_counted_and_what_changed_since_is_told(tmp_path, monkeypatch, git):
    path = tmp_path / "frozen.csv"
    assert frozen(path, config()) == {"freezes": 0}
    add_freeze(path, config(), 'first, with "quotes"')
    told = frozen(path, config())
    assert told["freezes"] == 1 and told["ledger_holds"] and told["config_holds"] and told["commit"] == "abc1234"
    assert not frozen(path, config(reg=3))["config_holds"]
    claim = CLAIMS["existence"]
    monkeypatch.setitem(CLAIMS, "existence", replace(claim, tolerance=claim.tolerance * 2))
    assert not frozen(path, config())["ledger_holds"]
    add_freeze(path, config(reg=3), "the tolerance of existence, doubled")
    assert frozen(path, config(reg=3))["ledger_holds"] and frozen(path, config(reg=3))["config_holds"]
    assert [(each["number"], each["why"]) for each in read_freezes(path)] == [
        ("1", "first, with 'quotes'"), ("2", "the tolerance of existence, doubled"),
    ]  # fmt: skip


@pytest.mark.parametrize("dirt", [{"status": " M a.py"}, {"rev-parse": ""}])
def test_what_no_commit_holds_is_not_frozen(tmp_path, git, dirt):
    git |= dirt
    with pytest.raises(ConfigError, match="commit them first"):
        add_freeze(tmp_path / "frozen.csv", config(), "why")


@pytest.mark.parametrize("change", ["statement", "blocks", "foretold", "what", "relation"])
def test_every_part_of_a_claim_counts(monkeypatch, change):
    before, claim = ledger_digest(), CLAIMS["existence"]
    other = {"statement": "x", "blocks": ("map_twin",), "foretold": "refuted", "what": "x", "relation": "<"}[change]
    monkeypatch.setitem(CLAIMS, "existence", replace(claim, **{change: other}))
    assert ledger_digest() != before


def test_a_claim_of_ones_own_does_not_count(monkeypatch):
    before = ledger_digest()
    monkeypatch.setitem(CLAIMS, "mine", replace(CLAIMS["existence"], id="mine", section="own"))
    assert ledger_digest() == before


def test_ledger_and_published_config_are_as_they_were_frozen():
    """After a deliberate change: python -m orthogrid freeze --why "..."; the paper then counts one more."""
    told = frozen(ROOT / "config" / "frozen.csv", load_config(ROOT / "config" / "full.yaml"))
    assert told["ledger_holds"] and told["config_holds"]


# In the tree of the frozen commit, by the names that its modules had then.
JUDGE = """
import sys
from pathlib import Path
from orthogrid.cells.config import load_config
from orthogrid.run.run import Run
from orthogrid.sections import judge
judge(Run.read(load_config("config/full.yaml"), sys.argv[1], Path("data/thread"))).to_csv(sys.argv[2], index=False)
"""


@pytest.mark.slow
def test_the_frozen_commits_ledger_gives_its_verdicts_on_todays_rows(tmp_path):
    """Its claims measure what today's do, by its own code: so the code could be rebuilt since, and the ledger was not changed."""
    commit = read_freezes(ROOT / "config" / "frozen.csv")[-1]["commit"]
    git = ["git", "-C", str(ROOT)]
    if subprocess.run([*git, "cat-file", "-e", commit], capture_output=True).returncode:
        pytest.skip("this copy has no history")
    full = load_config(ROOT / "config" / "full.yaml", results=str(tmp_path))
    shutil.copytree(ROOT / "results" / "full", full.root)
    data = ROOT / "data" / "thread"
    predictions = predict_cells(full)
    write_table(predictions, full.root / "predictions.csv")
    logs = tuple(read_table(data / f"log_{name}.csv") for name in "ab")
    collect(full, Plan(full).files, predictions, logs)
    subprocess.run([*git, "worktree", "add", "--detach", str(tmp_path / "tree"), commit], check=True)
    try:
        environment = os.environ | {"PYTHONPATH": str(tmp_path / "tree" / "src")}
        call = [sys.executable, "-c", JUDGE, str(full.root), str(tmp_path / "claims.csv")]
        subprocess.run(call, check=True, cwd=tmp_path / "tree", env=environment)
    finally:
        subprocess.run([*git, "worktree", "remove", "--force", str(tmp_path / "tree")], check=True)
    then, now = read_table(tmp_path / "claims.csv"), judge(Run.read(full, full.root, data))
    said = [
        "id",
        "statement",
        "predicate",
        "tolerance",
        "blocks",
        "foretold",
        "verdict",
        "measured",
        "interval_low",
        "interval_high",
    ]
    pd.testing.assert_frame_equal(then[said], now[said], check_dtype=False)


TOLD = {"freezes": 1, "date": "2026-01-02", "why": "", "commit": "abc1234", "ledger_holds": True, "config_holds": True}


@pytest.mark.parametrize("changes, says, not_says", [
    ({}, ["once", "2026-01-02", "abc1234", "unchanged since"], ["explores"]),
    ({"freezes": 3}, ["3 times"], ["explores"]),
    ({"ledger_holds": False}, [r"\textbf{the ledger was changed since}"], ["unchanged"]),
    ({"config_holds": False}, ["it explores"], ["unchanged since"]),
    ({"commit": ""}, ["unchanged since"], ["commit"]),
    ({"freezes": 0}, ["it explores"], ["2026"]),
])  # fmt: skip
def test_the_paper_says_whether_it_confirms(changes, says, not_says):
    sentence = frozen_sentence(TOLD | changes)
    assert all(words in sentence for words in says) and not any(words in sentence for words in not_says), sentence


def test_what_was_explored_is_kept_and_held_beside_what_is_published(tmp_path, git):
    path, claims = tmp_path / "frozen.csv", tmp_path / "claims.csv"
    verdicts = judge(ideal())
    write_table(verdicts, claims)
    add_freeze(path, config(), "first", claims)
    kept = frozen(path, config())["explored"]
    assert {id: found["verdict"] for id, found in kept.items()} == dict(
        zip(verdicts["id"], verdicts["verdict"], strict=True)
    )
    published = verdicts.assign(verdict=verdicts["verdict"].mask(verdicts["id"] == "heavy", "refuted"))
    told = {"frozen": frozen(path, config())}
    published = with_explored(published, told)
    assert differences(published) == r"\texttt{heavy} (supported, here refuted)"
    row = published.set_index("id").loc["heavy"]
    assert (row["explored_measured"], row["explored_low"]) == (kept["heavy"]["measured"], kept["heavy"]["low"])
    assert "explored: supported" in TABLES["claims"](ideal(), published)
    assert "explored" not in TABLES["claims"](ideal(), verdicts)
    # A run that is not the frozen one explores itself.
    assert set(with_explored(verdicts, {"frozen": frozen(path, config(reg=3))})["explored"]) == {""}
    assert "exploratory itself" in differences(verdicts)
    assert differences(verdicts.assign(explored=verdicts["verdict"])) == "none"


def test_an_exploratory_run_without_a_claim_is_refused(tmp_path, git):
    write_table(judge(ideal()).iloc[1:], tmp_path / "claims.csv")
    with pytest.raises(ConfigError, match=r"claims\.csv has no verdict on log-b"):
        add_freeze(tmp_path / "frozen.csv", config(), "why", tmp_path / "claims.csv")
    assert not (tmp_path / "frozen.csv").exists()
