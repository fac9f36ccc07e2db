"""Each claim can be supported, refuted and, where designed, partly supported; without its cells it is untested."""

from __future__ import annotations

import math
from collections.abc import Callable

import pandas as pd
import pytest
from conftest import ROOT, tiny_config

from orthogrid import theory
from orthogrid.aggregate import LOG_B_CLOSING
from orthogrid.claims import CLAIMS, LOG_A, UNTESTED, Claim, Measurement, judge, settled, wrong_side
from orthogrid.config import Config, check_config
from orthogrid.grid import Cell
from orthogrid.numbers import text
from orthogrid.run import Run
from orthogrid.store import read_table

LAMBDA = 1.0  # of every cell with k > n: the smoke config's map has weights on both sides of 2 lambda
LOGS = [read_table(ROOT / "data" / "thread" / f"log_{name}.csv") for name in "ab"]


def ideal_cell(cell: Cell) -> dict:
    """A row as theory and thread would have it."""
    n, k = cell.dimension, cell.samples
    lam = LAMBDA if k > n else 0.0
    rank = theory.effective_rank(n, k, cell.inputs)
    law = float(theory.coset_distance(n, rank))
    detached = cell.penalty == "none" or cell.penalty.endswith("_detached")
    caught = cell.determinant == "mismatch" and lam > 0 and cell.reg > 2 * lam and not detached
    loose = cell.reg <= LOG_A.reg and not detached
    fro = 3.0 if detached or loose else 0.1 if cell.penalty == "l1" else 0.01
    return {
        "key": cell.key, **cell.settings, "status": "ok", "seconds": 1.0, "device": "cpu (synthetic)", "torch": "2", "code": "0",
        "fit": 4 * lam if caught else 1e-6, "orthogonality_fro": fro,
        "orthogonality_l1": float(theory.detached_plateau(n, rank)) if detached else 10 * fro,
        "distance": 2.0 if caught else 0.0 if lam else law, "distance_twin": 0.0, "distance_start": 1.0, "distance_nearest": 1.0,
        "distance_l1": float(theory.entrywise_l1(n, 2 * (n - rank))), "distance_rho_l1": float(theory.entrywise_l1(n, 2 * n)),
        "mean_direction": 0.01, "det_sign": -1 if caught else 1, "det_sign_start": -1 if cell.determinant == "mismatch" else 1,
        "det_sign_target": 1, "lambda_min": lam, "rank": min(n, k - 1), "predicted_rank_effective": rank, "predicted_distance": law,
        "predicted_trap_loss": float(theory.trap_loss(cell.reg, lam)) if lam and cell.reg else math.nan,
    }  # fmt: skip


def ideal_thread() -> pd.DataFrame:
    """A comparison with the logs in which ours is what the thread printed."""
    rows = [
        (log, row["step"], name, row[name])
        for log, table in zip("ab", LOGS, strict=True)
        for _, row in table.iterrows()
        for name in table.columns.drop("step")
    ]
    rows += [("b", Cell().steps, name, value) for name, value in LOG_B_CLOSING.items()]
    table = pd.DataFrame(rows, columns=["log", "step", "quantity", "thread"])
    return table.assign(ours=table["thread"], relative_difference=0.0)


def make(config: Config, cells: pd.DataFrame, thread: pd.DataFrame) -> Run:
    """A run whose data losses no longer fall."""
    traces = [cells.assign(step=(part * cells["steps"]).astype(int)) for part in (0.6, 0.9, 1.0)]
    members = pd.DataFrame(config.membership, columns=["block", "key"])
    columns = ["key", "step", "fit", "orthogonality_fro", "orthogonality_l1"]
    return Run(config, cells, members, pd.concat(traces)[columns], thread, pd.DataFrame(), *LOGS)


def ideal_config() -> Config:
    """The tiny config with log A at the thread's size, so that its closed form and the printed plateau are comparable."""
    raw = tiny_config()
    for block in raw["blocks"]:
        if block["name"] == "thread_a":
            block["axes"] |= {"dimension": LOG_A.dimension, "samples": LOG_A.samples}
        if block["name"] == "regimes":
            block["axes"]["samples"] = [6]  # the floor's claims rest on block floor alone here
    return check_config(raw)


CONFIG = ideal_config()
MEMBERS = pd.DataFrame(CONFIG.membership, columns=["block", "key"])


def ideal(change: Callable[[pd.DataFrame, pd.DataFrame], None] = lambda cells, thread: None) -> Run:
    """The ideal run, its tables changed in place by `change(cells, thread)`."""
    cells, thread = pd.DataFrame(map(ideal_cell, CONFIG.cells)), ideal_thread()
    # Between the printed plateau and the closed form, 1.5 % apart, so that both claims on log A hold.
    cells.loc[cells["key"].isin(block("thread_a")), "orthogonality_l1"] = 3030.0
    change(cells, thread)
    return make(CONFIG, cells, thread)


def block(name: str) -> set[str]:
    return set(MEMBERS.loc[MEMBERS["block"] == name, "key"])


def setter(name: str, column: str, value, where: Callable[[pd.DataFrame], pd.Series] | None = None):
    """A change of one column in one block: `value` is set, or applied if it is a function."""

    def change(cells: pd.DataFrame, thread: pd.DataFrame) -> None:
        chosen = cells["key"].isin(block(name))
        if where is not None:
            chosen &= where(cells)
        cells[column] = cells[column].astype(float)
        cells.loc[chosen, column] = value(cells.loc[chosen, column]) if callable(value) else value

    return change


def printed(quantity: str, factor: float, step: int | None = None):
    def change(cells: pd.DataFrame, thread: pd.DataFrame) -> None:
        chosen = (thread["log"] == "b") & (thread["quantity"] == quantity)
        if step is not None:
            chosen &= thread["step"] == step
        assert chosen.any()
        thread.loc[chosen, "ours"] *= factor

    return change


def penalty(name: str, reg: float | None = None):
    return lambda cells: (cells["penalty"] == name) & (True if reg is None else cells["reg"] == reg)


def each(*changes):
    def change(cells: pd.DataFrame, thread: pd.DataFrame) -> None:
        for one in changes:
            one(cells, thread)

    return change


FLOOR_CELLS = len(block("floor"))

# claim: changes of the ideal run, with the verdict each must bring about
CHANGES = {
    "log-b": [
        (printed("fit", 1.001, step=200), "refuted"),
        (printed("loss", 1.001, step=1), "refuted"),
        (printed("orthogonality_fro2", 1.02, step=100), "refuted"),
        (printed("orthogonality_fro2", 3.0, step=0), "supported"),  # rounding alone
        (printed("fit", 3.0, step=500), "supported"),  # after the early steps
        (printed("distance_l1", 1.001), "refuted"),
        (printed("fit", math.nan, step=1), "untested"),
    ],
    "log-a": [(setter("thread_a", "orthogonality_l1", 2990.0), "refuted")],
    "closing-line": [
        (setter("thread_b", "distance_l1", lambda d: 1.02 * d), "refuted"),
        (setter("thread_b", "distance_rho_l1", lambda d: 0.98 * d), "refuted"),
    ],
    "detached": [
        (setter("thread_a", "orthogonality_l1", 3300.0), "refuted"),
        (setter("ablation", "orthogonality_fro", 2.0, penalty("l1_detached", Cell().reg)), "partly"),
    ],
    "squares": [
        (setter("convergence", "orthogonality_fro", 0.3, penalty("fro2")), "refuted"),
        (setter("convergence", "orthogonality_fro", 0.15, penalty("fro2")), "partly"),
        (setter("convergence", "orthogonality_fro", 0.08, penalty("fro2")), "partly"),
        (setter("convergence", "fit", 1.0, penalty("fro2")), "refuted"),
        (setter("convergence", "fit", 1.0, penalty("l1")), "supported"),
        (setter("convergence", "fit", 1.0), "untested"),
    ],
    "reg": [
        (setter("ablation", "orthogonality_fro", 4.0, penalty("fro2", Cell().reg)), "refuted"),
        (setter("ablation", "fit", 5.0, penalty("fro2", Cell().reg)), "partly"),
    ],
    "information": [
        (each(*(setter(b, "distance", lambda d: 1.01 * d) for b in ("identifiability", "thread_b"))), "refuted"),
    ],
    "determinant": [
        (each(setter("floor", "det_sign", 1.0), setter("floor", "distance", 0.0)), "refuted"),
        (setter("floor", "fit", 2.0), "supported"),  # that is the floor's claim
        (setter("floor", "det_sign", 1.0, lambda c: c["key"].isin(sorted(block("floor"))[:2])), "partly"),
    ],
    "coset": [
        (setter("transition", "distance", 5.0), "refuted"),
        (each(setter("transition", "distance", 5.0), setter("transition", "fit", 1.0)), "supported"),  # not fitted
    ],
    "floor": [(setter("floor", "fit", 4.4), "refuted")],
    "twin-distance": [(setter("floor", "distance", 2.2), "refuted")],
    "existence": [
        (setter("map_twin", "det_sign", -1.0), "refuted"),
        (setter("map_twin", "det_sign", 1.0), "refuted"),
    ],
}  # fmt: skip


def verdict(run: Run, claim: str) -> str:
    return judge(run).set_index("id").at[claim, "verdict"]


def test_every_claim_has_a_change_that_refutes_it():
    assert set(CHANGES) == set(CLAIMS)
    assert all("refuted" in [verdict for _, verdict in changes] for changes in CHANGES.values())


def test_ideal_run_supports_every_claim():
    table = judge(ideal())
    assert dict(zip(table["id"], table["verdict"], strict=True)) == dict.fromkeys(CLAIMS, "supported")
    assert (table["cells"] > 0).all()


@pytest.mark.parametrize(
    ("claim", "number"), [(claim, i) for claim, changes in CHANGES.items() for i in range(len(changes))]
)
def test_changed_run(claim, number):
    change, expected = CHANGES[claim][number]
    assert verdict(ideal(change), claim) == expected


def test_claims_without_cells_are_untested():
    empty = ideal()
    for name in ("cells", "membership", "traces", "thread"):
        setattr(empty, name, getattr(empty, name).iloc[:0])
    table = judge(empty)
    assert (table["verdict"] == "untested").all()
    assert (table["cells"] == 0).all()


def test_missing_and_diverged_cells_are_no_evidence():
    def lose(cells, thread):
        cells.loc[cells["key"].isin(block("floor")), "status"] = "diverged"

    assert verdict(ideal(lose), "floor") == "untested"


def test_a_run_on_its_way_is_not_settled():
    run = ideal()
    wrong = wrong_side(run.block("floor"))
    assert len(settled(run, wrong)) == len(wrong) == FLOOR_CELLS
    run.traces.loc[run.traces["step"] < 40, "fit"] *= 1.2  # still falling over the last half
    assert settled(run, wrong).empty
    assert verdict(run, "floor") == verdict(run, "determinant") == "untested"


def test_settled_without_traces_holds_nothing():
    run = ideal()
    run.traces = run.traces.iloc[:0]
    assert settled(run, wrong_side(run.block("floor"))).empty


def test_existence_needs_both_sides():
    def above_only(cells, thread):
        cells["reg"] = cells["reg"].clip(lower=30.0)

    assert verdict(ideal(above_only), "existence") == "untested"


def test_ledger():
    table = judge(ideal())
    assert list(table.columns) == [
        "id", "statement", "section", "predicate", "measured", "expected", "tolerance", "verdict", "cells",
    ]  # fmt: skip
    assert table["id"].is_unique
    assert table["predicate"].str.contains("Holds if", regex=False).all()
    assert all(text(statement).isascii() for statement in table["statement"])


@pytest.mark.parametrize(
    ("relation", "measured", "expected", "holds"),
    [
        ("≈", 1.05, 1.0, True),
        ("≈", 1.2, 1.0, False),
        ("≈", -1.0, 1.0, False),
        ("<", 0.99, 1.0, True),
        ("<", 1.0, 1.0, False),
        ("≤", 1.1, 1.0, True),
        ("≤", 1.11, 1.0, False),
        ("≥", 0.9, 1.0, True),
        ("≥", 0.89, 1.0, False),
    ],
)
def test_relations(relation, measured, expected, holds):
    entry = Claim("id", "", "", relation, 0.1, lambda run: UNTESTED)
    assert entry.verdict(Measurement(measured, expected, 1)) == ("supported" if holds else "refuted")
    assert entry.verdict(Measurement(measured, expected, 0)) == "untested"
    assert entry.verdict(Measurement(measured, expected, 1, partly=True)) == "partly"


def test_real_run_is_judged(small_run):
    table = judge(small_run)
    assert set(table["verdict"]) <= {"supported", "partly", "refuted", "untested"}
    tested = table.set_index("id")["cells"] > 0
    # At this size there are no cells of the thread's, and few runs have settled or fit.
    assert tested.drop(["log-a", "log-b", "coset", "floor", "twin-distance", "determinant"]).all()
