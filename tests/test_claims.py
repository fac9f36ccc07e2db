"""Each claim can be supported and refuted, partly where designed, and is untested without its cells."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from synthetic import (
    CONFIG,
    FIT,
    FRO,
    IDEAL,
    L1,
    LAMBDA,
    RIGHT,
    SIGN,
    WRONG,
    above,
    cross,
    cure,
    each,
    ideal,
    on,
    printed,
    scatter,
    setter,
    times,
    under,
    verdict,
    where,
)

from orthogrid.cell import Cell
from orthogrid.claims import CLAIMS, Claim, judge

# claim: changes of the ideal run, with the verdict each must bring about
CHANGES = {
    # convergence
    "log-b": [
        (printed(FIT, 1.001, step=200), "refuted"),
        (printed("loss", 1.001, step=1), "refuted"),
        (printed("orthogonality_fro2", 1.02, step=100), "refuted"),
        (printed("orthogonality_fro2", 3.0, step=0), "supported"),  # rounding alone
        (printed(FIT, 3.0, step=500), "supported"),  # after the early steps
        (printed("distance_l1", 1.001), "refuted"),
        (printed(FIT, math.nan, step=1), "untested"),
    ],
    "log-a": [
        (setter("thread_a", L1, times(0.98)), "refuted"),
        (setter("thread_a", L1, scatter(0.05)), "untested"),  # the mean would pass
    ],
    "closing-line": [
        (setter("thread_b", "distance_l1", times(1.02)), "refuted"),
        (setter("thread_b", "distance_rho_l1", times(0.98)), "refuted"),
        (setter("thread_b", "distance_l1", scatter(0.02)), "untested"),
    ],
    "both-low": [
        (setter("thread_b", FIT, 20.0, where(seed=1)), "refuted"),
        (setter("thread_b", FRO, 1.0), "refuted"),
    ],
    "not-orthogonal": [(setter("thread_a", FRO, 0.1), "refuted"), (setter("thread_a", FRO, scatter(2.0)), "untested")],
    "detached": [(setter("ablation", FRO, 2.0, where(penalty="l1_detached", reg=Cell().reg)), "refuted")],
    "plateau": [
        (setter("thread_a", L1, times(1.1)), "refuted"),
        (setter("thread_a", L1, scatter(0.1)), "untested"),
    ],
    "squares": [
        (setter("convergence", FRO, times(1000.0), where(penalty="fro2")), "refuted"),
        (setter("convergence", FRO, 0.02), "partly"),
        (setter("convergence", FIT, 1.0, where(penalty="fro2")), "refuted"),
        (setter("convergence", FIT, 1.0, where(penalty="l1")), "supported"),
        (setter("convergence", FIT, 1.0), "untested"),
        (setter("convergence", FRO, 5.0, where(penalty="fro2", seed=under(3))), "untested"),  # half of the seeds
    ],
    "natural": [
        (setter("convergence", FRO, 1e-6, where(penalty="l1")), "refuted"),
        (setter("convergence", FRO, times(0.001), where(penalty="l1", schedule="cosine")), "partly"),
    ],
    "reg": [
        (setter("ablation", FRO, 4.0, where(penalty="fro2", reg=Cell().reg)), "refuted"),
        (setter("ablation", FIT, 5.0, where(penalty="fro2", reg=Cell().reg)), "partly"),
    ],
    "floor-rate": [
        (setter("rates", L1, times(3.0), where(penalty="l1", lr=3e-4)), "refuted"),
        (setter("rates", L1, scatter(1.0), where(penalty="l1")), "untested"),
    ],
    "floor-size": [(setter("rates", L1, times(0.25), where(penalty="l1", dimension=128)), "refuted")],
    "cosine": [(setter("rates", L1, times(10.0), where(penalty="l1", schedule="cosine")), "refuted")],
    "softer": [
        (setter("rates", L1, times(1000.0), where(penalty="fro2")), "refuted"),
        (setter("rates", L1, times(100.0), where(penalty="fro2")), "partly"),
    ],
    "flip": [],  # arithmetic of the configured dimension, not of rows: see below
    # penalties
    "reach": [
        (setter("penalties", FRO, 2.0, where(penalty="huber")), "partly"),
        (setter("penalties", FRO, 2.0), "refuted"),
        (setter("penalties", FRO, 2.0, where(penalty="offdiag")), "supported"),
    ],
    "offdiag": [
        (setter("penalties", FRO, times(0.01), where(penalty="offdiag")), "refuted"),
        (setter("penalties", FRO, 0.0, where(penalty="offdiag", samples=80)), "supported"),  # there the data orthogonalize
    ],
    "dual-norm": [
        (setter("law", SIGN, RIGHT, where(penalty="coherence")), "partly"),
        (setter("law", SIGN, WRONG, where(penalty=on("fro", "l1", "fro2", "coherence"))), "refuted"),
        (setter("law", SIGN, RIGHT), "refuted"),
        (setter("law", "reg", 1000.0), "untested"),  # one side of the law alone
    ],
    "l1-earlier": [
        (setter("law", SIGN, WRONG, where(penalty="fro", reg=above(0.01))), "refuted"),
        (setter("law", SIGN, WRONG, where(penalty="fro", reg=above(0.2))), "untested"),  # the grid cannot tell
        (setter("law", SIGN, RIGHT, where(penalty="l1")), "untested"),
    ],
    "coherence-later": [(setter("law", SIGN, WRONG, where(penalty="coherence", reg=above(0.1))), "refuted")],
    "logdet-holds": [(setter("law", SIGN, RIGHT, where(penalty="logdet")), "refuted")],
    "logdet-jumps": [
        (each(setter("capture", SIGN, WRONG, where(determinant="mismatch")), setter("capture", SIGN, RIGHT, where(determinant="match"))), "refuted"),
        (each(setter("capture", SIGN, WRONG, where(determinant="mismatch")), setter("capture", "penalty", "none", where(seed=above(6)))), "untested"),  # too few
    ],
    # identifiability
    "optimal-rho": [(setter("thread_b identifiability", "distance_rho", 0.1), "supported")],
    "transpose": [
        (setter("identifiability transition", "distance", 3.0), "refuted"),
        (setter("identifiability transition", FIT, 1.0), "untested"),
    ],
    "information": [
        (setter("thread_b", "distance", times(1.01)), "refuted"),
        (setter("thread_b", "distance", scatter(0.02)), "untested"),
    ],
    "coset": [
        (setter("transition identifiability", "distance", times(1.2)), "refuted"),
        (each(setter("transition", "distance", 5.0), setter("transition", FIT, 1.0)), "supported"),  # not fitted
    ],
    "rank": [(setter("thread_b identifiability", "mean_direction", 1.4), "refuted")],
    "not-nearest": [(setter("thread_b identifiability", "distance_nearest", 0.1), "refuted")],
    "invisible": [(setter("regimes", FIT, 5.0, where(samples=10)), "refuted")],
    "twin-zero": [
        (setter("regimes", "distance", 3.0, where(samples=20)), "refuted"),
        (setter("regimes", SIGN, RIGHT, where(samples=20)), "untested"),  # it crossed
    ],
    "fresh": [(setter("fresh", "distance", 7.0, where(sampling="fresh")), "refuted")],
    "conditioning": [
        (setter("transition", FIT, 1e-6, where(inputs="uniform", samples=above(40))), "refuted"),
        (setter("transition", FIT, 1e-6, where(inputs="uniform", samples=under(40))), "supported"),  # lambda = 0
        (setter("transition", SIGN, WRONG), "untested"),  # they crossed
        (setter("transition", FIT, lambda fit: scatter(2.0)(0 * fit + 1e-5), where(inputs="uniform")), "untested"),
        (setter("transition", FIT, 1e-6, where(inputs="uniform")), "refuted"),
    ],
    # trapping
    "floor": [
        (setter("floor regimes", FIT, times(1.1)), "refuted"),
        (setter("floor regimes", FIT, scatter(0.5)), "untested"),
    ],
    "twin-distance": [(setter("floor regimes", "distance", times(1.1)), "refuted")],
    "existence": [
        (setter("map_twin", SIGN, WRONG), "refuted"),
        (setter("map_twin", SIGN, RIGHT), "refuted"),
        (setter("map_twin", SIGN, RIGHT, where(reg=above(50))), "refuted"),  # a quarter of those above
        (setter("map_twin", SIGN, WRONG, where(seed=under(3), reg=under(0.05))), "untested"),  # two of those below
        (setter("map_twin", "reg", 30.0), "untested"),  # one side alone
    ],
    "shift": [(setter("map_twin law", FIT, 4.0 * LAMBDA), "refuted")],
    "below": [
        (each(setter("capture map_haar", SIGN, WRONG), setter("capture map_haar", FIT, 4.0)), "refuted"),
    ],
    "capture": [
        (setter("capture", SIGN, WRONG, where(reg=above(0.4), determinant="mismatch")), "refuted"),
        (setter("capture", SIGN, WRONG, where(reg=above(3.0), determinant="mismatch")), "untested"),  # within the grid's step
        (setter("capture", SIGN, RIGHT), "untested"),
    ],
    "rate": [
        (each(setter("capture", SIGN, RIGHT, where(lr=0.001)), setter("capture", SIGN, WRONG, where(lr=0.01, reg=above(30.0)))), "refuted"),
        (setter("capture", SIGN, WRONG), "untested"),  # no pair differs
    ],
    "match-wrong": [(setter("capture map_haar grid", SIGN, RIGHT, where(determinant="match")), "refuted")],
    "determinant": [
        (each(setter("floor regimes", SIGN, RIGHT), setter("floor regimes", "distance", 0.0)), "refuted"),
        (setter("floor", FIT, 2.0), "supported"),  # that is the floor's claim
        (setter("floor", SIGN, RIGHT, where(seed=above(15))), "partly"),
    ],
    "continuous": [
        (setter("grid capture map_haar", SIGN, RIGHT), "refuted"),
        (setter("grid capture map_haar", SIGN, WRONG, where(lr=0.001)), "supported"),
        (each(setter("grid capture map_haar", SIGN, WRONG, where(lr=0.001)), setter("grid capture map_haar", SIGN, RIGHT, where(lr=above(0.001)))), "supported"),
        (each(setter("grid capture map_haar", SIGN, WRONG), setter("grid capture map_haar", SIGN, RIGHT, where(reg=under(2.5)))), "supported"),
    ],
    "fortuitous": [
        (setter("capture map_haar", SIGN, RIGHT, where(lr=above(0.001))), "supported"),  # larger rates
        (setter("capture map_haar", SIGN, RIGHT, where(reg=under(20.0))), "supported"),  # nearer the threshold
        (setter("capture map_haar", SIGN, RIGHT, where(lr=0.001, reg=128.0, seed=under(3))), "untested"),
        (setter("capture map_haar", SIGN, RIGHT), "refuted"),
    ],
    # methods
    "components": [(setter("methods", SIGN, RIGHT, where(method="geoopt", seed=1)), "refuted")],
    "near-components": [
        (setter("methods", SIGN, RIGHT, where(method="landing")), "partly"),
        (setter("methods", SIGN, lambda s: -s, where(method=on("newton_schulz", "parseval"))), "supported"),  # left open
        (setter("methods", SIGN, lambda s: -s), "refuted"),
    ],
    "on-manifold": [
        (setter("methods", FRO, 0.1, where(method="torch_exp")), "partly"),
        (setter("methods", FRO, 0.1), "refuted"),
    ],
    "near-manifold": [
        (setter("methods", FRO, 1.0, where(method="parseval")), "partly"),
        (setter("methods", FRO, 1.0), "refuted"),
    ],
    "oracle": [
        (setter("methods", FIT, 9.0, where(method="procrustes")), "refuted"),
        (setter("methods", FIT, 0.05, where(method="procrustes")), "supported"),  # of a loss of ten thousand at the start
    ],
    "side-floor": [(setter("methods", FIT, times(1.01), where(method="procrustes_side")), "refuted")],
    "method-floor": [(setter("methods", FIT, times(1.1)), "refuted")],
    "step-cost": [
        (setter("methods step_cost", "seconds_per_step", 1.0), "refuted"),
        (setter("methods step_cost", "seconds_per_step", times(0.1), where(method="torch_cayley")), "refuted"),  # the cheapest counts
        (setter("step_cost", "seconds_per_step", 1.0), "untested"),  # one timing of three
    ],
    # cures
    "uncured": cure("adam", "refuted", "supported"),
    "reflection": cure("reflection", "supported", "refuted", partly=True),
    "restart": cure("restart", "supported", "refuted", partly=True),
    "reg-ramp": cure("reg_ramp", "supported", "refuted"),
    "early-rate": cure("early_rate", "supported", "refuted"),
    "widened": cure("widened", "supported", "refuted"),
    "weak-landing": cure("landing", "refuted", "supported"),
    # precision
    "dtype-floor": [
        (setter("precision", FRO, 0.1), "refuted"),
        (setter("precision", FRO, times(0.001), where(dtype="bfloat16")), "partly"),
        (setter("precision", FRO, times(0.105), where(dtype="tf32", penalty="l1")), "partly"),  # by 5 % only
        (setter("precision", FRO, scatter(5.0)), "untested"),
    ],
    "dtype-crossing": [
        (setter("precision", SIGN, RIGHT, where(dtype="bfloat16", seed=under(3))), "untested"),  # 2 of 16 pairs differ
        (each(setter("precision", SIGN, WRONG), setter("precision", SIGN, RIGHT, where(dtype="bfloat16"))), "refuted"),
    ],
    "error-growth": [(setter("scaling", FRO, times(30.0), where(dimension=256)), "refuted")],
    "cost-growth": [
        (setter("scaling", "seconds_per_step", 1e-6, where(dimension=64)), "untested"),  # no power of the dimension
        (each(*(setter("scaling", "seconds_per_step", 1e-9 * n**4, where(dimension=n)) for n in (64, 128, 256))), "refuted"),
    ],
}  # fmt: skip
ARITHMETIC = {"flip"}


def test_every_claim_can_be_supported_and_refuted_and_partly_where_designed():
    assert set(CHANGES) == set(CLAIMS)
    for id, entry in CLAIMS.items():
        brought = {outcome for _, outcome in CHANGES[id]} | {IDEAL.get(id, "supported")}
        wanted = {"supported", "refuted"} - ({"supported", "refuted"} if id in ARITHMETIC else set())
        if says_partly(entry):
            wanted.add("partly")
        assert wanted <= brought, (id, wanted - brought)


def says_partly(entry: Claim) -> bool:
    return "partly" in entry.predicate.lower()


def test_ideal_run():
    table = judge(ideal())
    assert dict(zip(table["id"], table["verdict"], strict=True)) == {id: IDEAL.get(id, "supported") for id in CLAIMS}
    assert (table["cells"] > 0).all()
    assert (table["seconds"] == table["cells"]).all()  # each cell took a second


@pytest.mark.parametrize(
    ("claim", "number"), [(claim, i) for claim, changes in CHANGES.items() for i in range(len(changes))]
)
def test_changed_run(claim, number):
    change, expected = CHANGES[claim][number]
    run = ideal(change)
    seen = CLAIMS[claim].evidence(run)
    assert CLAIMS[claim].verdict(seen)[0] == expected, seen
    assert says_partly(CLAIMS[claim]) or not seen.partly  # a reader of the ledger is told when a claim holds in part


def test_flip_holds_in_odd_dimensions():
    blocks = (cross("thread_b", dimension=501), *CONFIG.blocks[1:])
    run = ideal()
    run.config = replace(run.config, blocks=blocks)
    assert verdict(run, "flip") == "supported"
