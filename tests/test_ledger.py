"""What the ledger asks of every claim: its blocks, its cells, its words, its verdicts' bounds."""

from __future__ import annotations

import math
import runpy
from dataclasses import replace
from types import SimpleNamespace

import pandas as pd
import pytest
from conftest import ROOT
from synthetic import CELLS, FIT, IDEAL, MEMBERS, block, ideal, on, setter, times, verdict, where

from orthogrid.analysis.intervals import Estimate
from orthogrid.analysis.select import paired
from orthogrid.jobs.files import write_table
from orthogrid.presenting.formats import text
from orthogrid.presenting.ledger import ABSENT, SECTIONS, UNTESTED, VERDICTS, Claim, measured, summary, unexpected
from orthogrid.publishing.page import write_claims_page
from orthogrid.publishing.sources import asked
from orthogrid.sections import CLAIMS, judge
from orthogrid.sections.ledger import ledger_values


@pytest.fixture(scope="module")
def table():
    """The ledger of the ideal run."""
    return judge(ideal())


def test_claims_without_cells_are_untested():
    empty = ideal()
    for name in ("cells", "membership", "traces", "thread"):
        setattr(empty, name, getattr(empty, name).iloc[:0])
    table = judge(empty)
    assert (table["verdict"] == "untested").all()
    assert (table["cells"] == 0).all() and (table["seconds"] == 0).all() and (table["command"] == "").all()


@pytest.mark.parametrize("claim", CLAIMS)
def test_a_claim_reads_its_blocks_and_no_others(claim):
    run, blocks = ideal(), CLAIMS[claim].blocks
    run.membership = MEMBERS[MEMBERS["block"].isin(blocks)]
    assert verdict(run, claim) == IDEAL.get(claim, "supported")
    # Cells that other blocks view as well are gone, too.
    run = replace(run, cells=CELLS[~CELLS["key"].isin(run.membership["key"])])
    assert verdict(run, claim) == "untested"


@pytest.mark.parametrize("claim", CLAIMS)
def test_a_missing_cell_leaves_the_claims_on_its_blocks_untested(claim):
    """In a partial run, whatever the other cells say; a claim on one seed does without the others."""
    entry, run = CLAIMS[claim], ideal()
    cells = run.planned(*entry.blocks)
    needed = cells if entry.seed is None else cells[cells["seed"] == entry.seed]

    def without(key):
        status = run.cells["status"].mask(run.cells["key"] == key, "missing")
        partial = replace(run, cells=run.cells.assign(status=status))
        return entry.verdict(entry.evidence(partial), entry.missing(partial))

    outcome, reason = without(needed["key"].iloc[-1])
    assert outcome == "untested" and reason.startswith(f"1 of the {len(needed)} cells")
    if entry.seed is not None:
        spare = cells.loc[cells["seed"] != entry.seed, "key"].iloc[-1]
        assert without(spare)[0] == "supported"


@pytest.mark.parametrize("claim", [id for id, entry in CLAIMS.items() if entry.relation in ("≈", "±")])
def test_one_seed_shows_no_equality(claim):
    """Except for comparisons that are no samples."""
    exact = {"flip": "refuted", "side-floor": "supported"}
    run = ideal()
    run.cells = CELLS[CELLS["seed"].isin([2021]) | ((CELLS["seed"] == 1) & ~CELLS["key"].isin(block("thread_b")))]
    assert verdict(run, claim) == exact.get(claim, "untested")


def test_partners_agree_on_every_other_axis():
    cells = CELLS[CELLS["key"].isin(block("rates"))]
    pairs = paired(cells, "fit", "schedule", "constant", "cosine")
    assert len(pairs) == len(cells) / 2
    other = cells.assign(lr=cells["lr"].where(cells["schedule"] == "constant", 7.0))  # each side has an axis to itself
    assert paired(other, "fit", "schedule", "constant", "cosine").empty
    alone = cells.assign(bias=cells["schedule"] == "constant")  # on each side of it the axis is constant
    assert paired(alone, "fit", "schedule", "constant", "cosine").empty
    assert len(paired(alone, "fit", "schedule", "constant", "cosine", apart=["bias"])) == len(pairs)


def test_what_is_kept_of_a_run_is_what_it_was():
    run, other = ideal(), ideal(setter("floor", "fit", times(9.0)))
    assert run.planned("floor", "law") is run.planned("floor", "law")
    assert set(run.planned("law", "floor")["key"]) == block("floor") | block("law")
    assert set(run.planned("floor")["key"]) == block("floor")
    assert (other.planned("floor")["fit"] == 9 * run.planned("floor")["fit"]).all()  # each run keeps its own


def test_ledger(table):
    assert list(table.columns[:9]) == [
        "id", "statement", "section", "predicate", "measured", "expected", "tolerance", "verdict", "cells",
    ]  # fmt: skip
    assert table["id"].is_unique and len(table) >= 30
    assert table["predicate"].str.contains("Holds if", regex=False).all()
    assert all(text(statement).isascii() for statement in table["statement"])
    assert tuple(table["section"].drop_duplicates()) == SECTIONS
    # A setting stands there with its value: no name in capitals is left but those of the theory (W, S, D, C, QR).
    assert not table["predicate"].str.contains(r"\b[A-Z]{3,}\b").any()
    assert "data loss below 0.1" in table.set_index("id").at["coset", "predicate"]
    assert not table["predicate"].str.contains("[{}]").any()
    own = replace(CLAIMS["coset"], what="{FITED} and {x}")  # braces of somebody's own words
    assert "{FITED} and {x}" in own.predicate
    for row in table.itertuples():
        words = f"python -m orthogrid train --config config/synthetic.yaml --blocks {row.blocks} --only "
        assert row.command.startswith(words) and row.command != words


def test_a_claim_of_the_thread_has_its_words(table):
    thread = table["author"].str.startswith("thread: ")
    assert thread.sum() >= 12 and (table["quote"] != "").equals(thread)
    assert (table.loc[~thread, "foretold"] == "supported").all()


PAYS_MORE = setter("floor existence map_twin", FIT, times(1.1), where(outcome=on("trapped")))
COMPARED = "trap-loss (measured 1.1 [1.1, 1.1], expected ≈ 1 (tolerance 0.02))"


def test_what_is_unexpected(table):
    assert unexpected(table).empty
    words = summary(table)
    assert "refuted: optimal-rho (measured 1, expected ≤ 0 (tolerance 0.1)), as the theory foretells" in words
    table = judge(ideal(PAYS_MORE))
    assert list(unexpected(table)["id"]) == ["trap-loss"]
    assert f"refuted: {COMPARED}\n" in summary(table) + "\n"


@pytest.mark.parametrize("code", [0, 1])
def test_snakemake_claims_fails_where_one_is_refuted(tmp_path, capsys, table, code):
    write_table(judge(ideal(PAYS_MORE)) if code else table, tmp_path / "claims.csv")
    rule = SimpleNamespace(input=SimpleNamespace(claims=tmp_path / "claims.csv"), log=[tmp_path / "log"])
    script = ROOT / "workflow" / "scripts" / "check_claims.py"
    with pytest.raises(SystemExit) as stopped:
        runpy.run_path(str(script), {"snakemake": rule}, "__main__")
    assert stopped.value.code == code
    words = capsys.readouterr().out
    assert words == (tmp_path / "log").read_text()
    assert (f"refuted: {COMPARED}" in words) == bool(code)


def test_claims_without_a_block_in_the_run_are_counted_not_listed(table, tmp_path):
    run = ideal()
    few = judge(replace(run, config=replace(run.config, blocks=run.config.blocks[:1])))
    here = set(few.loc[few["reason"] != ABSENT, "id"])
    assert 0 < len(here) < 10 and ABSENT not in set(table["reason"])
    lines = summary(few).splitlines()
    assert f"{len(few) - len(here)} more claims: {ABSENT}" in lines
    assert {line.split()[1] for line in lines[: len(here)]} == here
    write_claims_page(few, "x", tmp_path / "claims.html")
    page = (tmp_path / "claims.html").read_text(encoding="utf-8")
    assert page.count("<b>") == len(here) and f"{len(few) - len(here)} more, not listed here" in page


# Of an interval with these ends, where 1 is expected within 0.1.
RELATIONS = [
    ("≈", "supported", [(0.91, 1.09)]),
    ("≈", "untested", [(1.05, 1.2), (0.5, 1.5)]),
    ("≈", "refuted", [(1.2, 1.3)]),
    ("±", "refuted", [(-0.1, 0.1)]),
    ("<", "supported", [(0.5, 0.99), (-math.inf, 0.5)]),
    ("<", "refuted", [(1.0, 1.0), (math.inf, math.inf)]),
    ("<", "untested", [(0.5, 1.5)]),
    (">", "supported", [(1.01, 2.0), (math.inf, math.inf)]),
    (">", "refuted", [(0.0, 0.0), (1.0, 1.0)]),
    ("≤", "supported", [(1.1, 1.1)]),
    ("≤", "refuted", [(1.11, 1.2)]),
    ("≤", "untested", [(1.0, 1.2)]),
    ("≥", "supported", [(0.9, 0.9)]),
    ("≥", "refuted", [(0.8, 0.89)]),
    ("≥", "untested", [(math.nan, math.nan)]),
]


@pytest.mark.parametrize(("relation", "expected", "ends"), RELATIONS)
def test_relations(relation, expected, ends):
    entry = Claim("id", "", "", relation, 0.1, (), lambda run, cells: UNTESTED)
    cell = pd.DataFrame({"key": ["a"]})
    for low, high in ends:
        value = Estimate((low + high) / 2 if low == low else 1.0, low, high)
        assert entry.verdict(measured(value, 1.0, cell))[0] == expected, (low, high)
        assert entry.verdict(measured(value, 1.0, cell.iloc[:0]))[0] == "untested"
        assert entry.verdict(measured(value, 1.0, cell, partly="half")) == ("partly", "half")


def test_checks_are_counted_apart(table):
    assert list(table.columns[-7:-4]) == ["check", "seeds", "explored"] and table.columns[-1] == "power"
    checks = {"flip", "detached", "components", "side-floor"}
    assert set(table.loc[table["check"], "id"]) == checks
    assert ledger_values(table)["claims-checks"] == str(len(checks))


def test_the_longest_runs_of_each_block_count_as_cures():
    """Blocks differ in their largest number of steps; a problem with several weights is one cluster."""
    entry, run = CLAIMS["lifted"], ideal()
    keys = set(entry.evidence(run).keys)
    assert block("large_cure") <= keys and len(keys & block("cures")) == 10
    apart = ideal(setter("cures_uniform", "outcome", "unfinished", where(method="lifted", seed=1)))
    shared = entry.evidence(apart)
    assert shared.measured == pytest.approx(1 - 1 / (10 + 11 + 6))  # one of so many problems


# Beside the sentences.


def test_every_claim_stands_behind_a_sentence():
    assert set(asked(ROOT / "paper").claims) == set(CLAIMS)


def test_real_run_is_judged(small_run):
    table = judge(small_run)
    assert set(table["verdict"]) <= set(VERDICTS)
    decided = table["verdict"] != "untested"
    assert table.loc[decided, ["measured", "interval_low", "interval_high"]].notna().any(axis=1).all()
