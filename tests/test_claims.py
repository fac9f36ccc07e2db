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
    has,
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

from orthogrid.cells.cell import Cell
from orthogrid.presenting.ledger import Claim
from orthogrid.sections import CLAIMS, judge

# Runs whose directions weigh apart: between the trap's threshold and the bound.
APART = "map_haar large_trap"
TRAPPED = on("trapped")
RESTING = " ".join(CLAIMS["landscape"].blocks)


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
    "detached": [(setter("ablation", FRO, 2.0, where(penalty="l1_detached", reg=Cell().reg)), "refuted")],
    "plateau": [
        (setter("thread_a", L1, times(1.1)), "refuted"),
        (setter("thread_a", L1, scatter(0.1)), "untested"),
    ],
    "squares": [
        (setter("large_convergence", FRO, times(1000.0), where(penalty="fro2")), "refuted"),
        (setter("large_convergence", FRO, times(1000.0), where(penalty="fro2", schedule="cosine")), "supported"),
        (setter("large_convergence", FIT, 1.0, where(penalty="fro2")), "refuted"),  # squares never fit
        (setter("large_convergence", FIT, 1.0, where(penalty="l1")), "supported"),  # absolute values never fit
        (setter("large_convergence", FIT, 1.0), "untested"),
        (setter("large_convergence", FRO, 5.0, where(penalty="fro2", seed=under(3))), "untested"),  # half of the seeds
    ],
    "natural": [
        (setter("convergence_sgd", FRO, 1e-6, where(penalty="l1")), "refuted"),
        (setter("convergence_sgd", FRO, 1e-6, where(penalty="l1", steps=1000)), "supported"),  # only the longest count
        (setter("convergence_sgd", FIT, 1.0), "untested"),
    ],
    "exact": [
        (setter("large_convergence", FRO, times(1000.0), where(penalty="fro", schedule="cosine")), "refuted"),
        (setter("large_convergence", FIT, 1.0, where(penalty="fro")), "refuted"),
        (setter("large_convergence", FRO, times(1000.0), where(penalty="fro", schedule="constant")), "supported"),
        (setter("convergence", FRO, times(1000.0), where(penalty="fro")), "supported"),  # in more steps
    ],
    "alike": [
        (setter("convergence", FRO, times(1000.0), where(penalty="l1", schedule="cosine", steps=4000)), "refuted"),
        (setter("convergence", FRO, times(1000.0), where(penalty="l1", schedule="cosine", steps=1000)), "supported"),
    ],
    "cosine": [
        (setter("convergence", FRO, times(100.0), where(penalty="l1", schedule="cosine")), "refuted"),
        (setter("convergence", FIT, 1.0, where(penalty="l1", schedule="cosine")), "untested"),
    ],
    "small-reg": [
        (setter("ablation", FRO, 1.0, where(penalty="l1", reg=0.001)), "refuted"),
        (setter("ablation", FRO, 1.0, where(penalty="fro2", reg=0.001)), "refuted"),
        (setter("ablation", FRO, 0.1, where(penalty="l1", reg=1000.0)), "supported"),  # of the large weight
        (setter("ablation", FRO, 1.0, where(penalty="l1", reg=0.001, seed=2)), "untested"),
    ],
    "reg": [
        (setter("ablation", FRO, 4.0, where(penalty="fro2", reg=Cell().reg)), "refuted"),
        (setter("ablation", FIT, 5.0, where(penalty="fro2", reg=Cell().reg)), "untested"),  # no equal fit
    ],
    "floor-rate": [
        (setter("rates", L1, times(3.0), where(penalty="l1", lr=3e-4)), "refuted"),
        (setter("rates", L1, scatter(1.0), where(penalty="l1")), "untested"),
    ],
    "floor-constant": [
        (setter("beta1", L1, times(1.3), where(dimension=on(16, 32))), "refuted"),
        (setter("beta1", L1, times(1.3), lambda cells: cells["method"] == "adam(beta1=0.0)"), "partly"),  # one of four
        (setter("beta1", L1, scatter(0.5)), "untested"),
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
        (setter("law_long", SIGN, RIGHT), "partly"),
        (setter("law law_long", SIGN, WRONG, where(penalty=on("fro", "l1", "fro2", "coherence"))), "refuted"),
        (setter("law law_long", SIGN, RIGHT), "refuted"),
        (setter("law law_long", "reg", 1000.0), "untested"),  # one side of the law alone
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
    "invisible": [(setter("regimes", FIT, 5.0, where(samples=10)), "refuted")],
    "fresh": [(setter("fresh", "distance", 7.0, where(sampling="fresh")), "refuted")],
    # trapping
    "landscape": [
        (each(setter(RESTING, "outcome", "unfinished"), setter(RESTING, "off_path", 1.0)), "refuted"),  # at rest, but nowhere
        (each(setter(RESTING, "outcome", "unfinished"), setter(RESTING, "overlap", 0.5)), "refuted"),
        (each(setter(RESTING, "outcome", "unfinished", where(determinant="mismatch")), setter(RESTING, "off_path", 1.0), setter(RESTING, "gradient_norm", 1.0, where(determinant="mismatch"))), "supported"),  # they move
        (setter(RESTING, "gradient_norm", 1.0), "untested"),  # none rests
    ],
    "trap-loss": [
        (setter("floor existence map_twin", FIT, times(1.1), where(outcome=TRAPPED)), "refuted"),
        (setter("floor", FIT, times(1.1), where(outcome=on("unfinished"))), "supported"),
        (setter("floor existence map_twin", FIT, 4.2 * LAMBDA, where(outcome=TRAPPED)), "refuted"),
        (setter("floor existence map_twin", "gradient_norm", 1.0), "untested"),
    ],
    "existence": [
        (setter("existence map_twin", SIGN, WRONG), "refuted"),
        (setter("existence map_twin", SIGN, RIGHT), "refuted"),
        (setter("map_twin", SIGN, RIGHT), "untested"),  # a fifteenth of those above
        (setter("existence", SIGN, WRONG, where(seed=under(3), reg=1.0)), "untested"),  # a few of those below
        (setter("existence map_twin", "reg", 30.0), "untested"),  # one side alone
    ],
    "noise": [
        (setter("noise", SIGN, RIGHT, where(noise=0.3)), "refuted"),
        (setter("noise", SIGN, WRONG, where(noise=0.3)), "refuted"),
        (setter("noise", SIGN, RIGHT, where(noise=0.0)), "supported"),  # those are another claim's
        (setter("noise", "predicted_trap_threshold", 9.9), "untested"),  # too near, or on one side
        (setter("noise", SIGN, RIGHT, where(noise=0.3, seed=under(6))), "untested"),
    ],
    "white": [
        (setter("capture_white large_white", SIGN, RIGHT, where(inputs="whitened")), "refuted"),
        (setter("capture_white large_white", SIGN, WRONG, where(inputs="whitened", reg=1.0, determinant="mismatch")), "refuted"),
        (setter("capture_white large_white", SIGN, WRONG, where(inputs="whitened", determinant="match")), "refuted"),
        (setter("capture_white large_white", "reg", 10.0), "untested"),  # one side of the threshold alone
    ],
    "existence-not-capture": [
        (setter(APART, SIGN, WRONG, where(determinant="mismatch")), "refuted"),
        (setter(APART, SIGN, WRONG, where(determinant="mismatch", reg=on(1.0, 1000.0))), "supported"),  # outside the range
        (setter(APART, SIGN, WRONG, where(determinant="mismatch", seed=above(12))), "untested"),
    ],
    "match-wrong": [
        (setter(APART, SIGN, RIGHT, where(determinant="match")), "refuted"),
        (setter(APART, SIGN, RIGHT, where(determinant="match", reg=on(0.1, 1.0, 1000.0))), "supported"),
        (setter("heavy", SIGN, RIGHT), "supported"),  # another optimiser's
        (setter(APART, SIGN, RIGHT, where(determinant="match", seed=above(8))), "untested"),
    ],
    "bound": [
        (setter("capture bound", SIGN, lambda sign: -sign, where(reg=1000.0)), "refuted"),
        (setter("capture bound", SIGN, lambda sign: -sign, where(reg=30.0)), "supported"),  # below it
        (setter("bound", SIGN, lambda sign: -sign, where(seed=under(4))), "untested"),
        (setter("capture bound", "predicted_lambda_max", 1e6), "untested"),  # none above it
    ],
    "heavy": [
        (setter("heavy", "start_cosine", times(-1)), "refuted"),
        (setter("capture", "start_cosine", times(-1)), "supported"),  # another optimiser's
        (setter("heavy", "start_cosine", 0.6), "untested"),  # none that is to change sides
        (setter("heavy", "start_cosine", 0.0), "untested"),  # too near
        (setter("heavy", SIGN, times(-1), where(seed=under(9))), "untested"),
    ],
    "first-step": [
        (setter("first_step", "first_sign", times(-1), where(inputs="uniform", warmup=0)), "refuted"),
        (setter("first_step", "first_sign", times(-1), where(inputs="normal")), "supported"),
        (setter("first_step", "first_sign", times(-1), where(warmup=50)), "supported"),
        (setter("first_step", "lr", 0.003), "untested"),  # one side of the rate alone
    ],
    "warm-up": [
        (setter("first_step", SIGN, times(-1), where(warmup=50)), "refuted"),
        (setter("first_step", SIGN, times(-1), where(warmup=0)), "supported"),
        (setter("first_step", SIGN, times(-1), where(warmup=50, lr=0.003)), "supported"),  # too slow to change sides
        (setter("first_step", SIGN, times(-1), where(warmup=50, seed=under(4))), "untested"),
    ],
    "norms": [
        (setter("capture_norms", SIGN, WRONG, where(penalty="fro", reg=above(2 * LAMBDA))), "refuted"),  # both alike
        (setter("capture_norms", SIGN, RIGHT, where(penalty="nuclear", reg=under(5 * LAMBDA))), "refuted"),  # nuclear later
        (setter("capture_norms", SIGN, RIGHT, where(penalty="fro")), "untested"),  # never: no bracket
    ],
    "determinant": [
        (setter("floor regimes", SIGN, RIGHT), "refuted"),
        (setter("floor", SIGN, RIGHT, where(inputs="uniform")), "supported"),
        (setter("floor regimes", "reg", 1.0), "untested"),  # none above the threshold
    ],
    "fortuitous": [
        (setter("existence", SIGN, WRONG, where(method="sgd", reg=1.0)), "supported"),
        (setter("existence", SIGN, WRONG, where(method="adam", reg=1.0)), "refuted"),  # of another optimiser
        (setter("existence", "reg", 30.0), "untested"),
    ],
    # methods
    "components": [
        (setter("methods", SIGN, RIGHT, where(method="geoopt", determinant="mismatch", seed=1)), "refuted"),
        (setter("methods", SIGN, RIGHT, where(method="parseval", determinant="mismatch")), "supported"),  # a correction
    ],
    "side-floor": [(setter("methods", FIT, times(1.01), where(method="procrustes_side")), "refuted")],
    "method-trap": [
        (setter("methods", FIT, times(1.1)), "refuted"),
        (setter("methods", FIT, times(1.1), where(method=on("landing", "adam"))), "supported"),
        (setter("methods", "gradient_norm", 1.0), "untested"),
    ],
    "polar": [
        (setter("methods", "outcome", "unfinished", where(method="polar")), "refuted"),
        (setter("methods", "outcome", "unfinished", where(method="polar", lr=0.003)), "supported"),  # its best rate counts
        (setter("methods", "outcome", "unfinished", where(method="polar", seed=under(3))), "untested"),
    ],
    "step-cost": [
        (setter("step_cost", "seconds_per_step", 1.0), "refuted"),
        (setter("step_cost", "seconds_per_step", times(0.1), where(method="torch_cayley")), "refuted"),  # the cheapest counts
        (setter("methods", "seconds_per_step", 1.0), "supported"),  # at another dimension
    ],
    # cures
    "uncured": cure("adam", "refuted", "supported"),
    "reflection": cure("reflection", "supported", "refuted"),
    "lifted": [
        (setter("cures cures_uniform large_cure", "outcome", "unfinished", where(method="lifted")), "refuted"),
        (setter("cures", "outcome", "unfinished", where(method="lifted", steps=2000)), "untested"),  # a third
        (setter("cures", "outcome", "unfinished", where(method="lifted", steps=500)), "supported"),  # the longer ones count
        (setter("cures_uniform large_cure", "outcome", "unfinished", where(method="lifted")), "refuted"),  # not by 'cures' alone
        (setter("large_cure", "outcome", "unfinished"), "untested"),  # with fewer steps than the others, but its own longest
    ],
    "lifted-thread": [
        (setter("cures_uniform", "outcome", "unfinished", where(method="lifted")), "refuted"),
        (setter("cures_uniform", SIGN, RIGHT, where(method="adam")), "untested"),  # none is left to recover
        (setter("cures_uniform", "outcome", "unfinished", where(method="lifted", seed=under(4))), "untested"),
        (setter("cures_uniform", "status", "diverged", where(method="adam")), "untested"),  # no pairs
    ],
    "tall": [
        (setter("tall tall_l1", FIT, scatter(1.0), where(model=has("more"))), "refuted"),
        (setter("tall tall_l1", FIT, scatter(1.0), where(model=has("fewer"))), "supported"),
        (setter("tall_noise", FIT, scatter(1.0), where(method="lifted")), "refuted"),
        (setter("tall_noise", FIT, scatter(1.0), where(method="adam")), "supported"),
        (setter("tall tall_l1", FIT, scatter(1.0), where(model=has("more"), seed=under(4))), "untested"),
    ],
    "wide": [
        (setter("tall tall_l1", FIT, 1.0, where(model=has("fewer"))), "refuted"),
        (setter("tall tall_l1", FIT, 1.0, where(model=has("more"))), "supported"),
        (setter("tall tall_l1", FIT, 1.0, where(model=has("fewer"), seed=under(15))), "untested"),
    ],
    "row-constrained": [
        (setter("constraints", "outcome", "trapped", where(method="geotorch")), "refuted"),  # the worst method counts
        (setter("constraints", "outcome", "trapped", where(method="torch_exp", seed=under(4))), "untested"),
    ],
    "row-weight": [
        (setter("row_weight", SIGN, times(-1)), "refuted"),
        (setter("row_weight", SIGN, RIGHT), "refuted"),  # a third should be held
        (setter("row_weight", "reg", 1.0), "untested"),  # no trap
    ],
    "row-harmless": [
        (setter("stiff real", "outcome", "unfinished", where(method="lifted", determinant="match")), "refuted"),
        (setter("stiff real", "outcome", "unfinished", where(method="lifted", determinant="mismatch")), "supported"),
        (setter("stiff real", "outcome", "unfinished", where(method="lifted", reg=under(100.0))), "supported"),  # below 2 mu
        (setter("stiff", "outcome", "unfinished", where(method="lifted", seed=under(5))), "untested"),
    ],
    # real inputs
    "real-trap": [
        (setter("real_twin", SIGN, WRONG), "refuted"),
        (setter("real_twin", SIGN, RIGHT), "refuted"),
        (setter("real_twin", "reg", 30.0), "untested"),  # one side alone
    ],
    "real-row": [
        (setter("real", "outcome", "unfinished", where(method="lifted")), "refuted"),
        (setter("real", "outcome", "unfinished", where(method="lifted", reg=600.0)), "supported"),  # above 2 mu
        (setter("real", "outcome", "recovered", where(method="adam")), "untested"),  # none is left to recover
        (setter("real", "outcome", "unfinished", where(method="lifted", seed=under(4))), "untested"),
    ],
    # networks
    "nets-trapped": [
        (setter("networks recurrent", "relative_loss", 0.0, where(determinant="mismatch")), "refuted"),
        (setter("networks", "relative_loss", 0.0, where(determinant="match")), "supported"),
        (setter("recurrent", "relative_loss", 0.0, where(determinant="mismatch", seed=under(6))), "untested"),
    ],
    "nets-row": [
        (setter("networks_row", "relative_loss", 0.4), "refuted"),
        (setter("networks_row", "relative_loss", 0.4, where(model=has("free"))), "supported"),
        (setter("networks_row", "relative_loss", 0.4, where(seed=under(6))), "untested"),
    ],
    "nets-free": [
        (setter("networks", "relative_loss", 0.4, where(model=has("free"), determinant="mismatch")), "refuted"),
        (setter("networks", "relative_loss", 0.4, where(model=has("free"), determinant="mismatch", seed=under(6))), "untested"),
    ],
    # precision
    "dtype-floor": [
        (setter("precision", FRO, 0.1), "refuted"),
        (setter("precision", FRO, times(0.001), where(dtype="bfloat16")), "partly"),
        (setter("precision", FRO, times(0.105), where(dtype="tf32", penalty="l1")), "partly"),  # by 5 % only
        (setter("precision", FRO, scatter(5.0)), "untested"),
    ],
    "dtype-crossing": [
        (setter("precision precision_side", SIGN, RIGHT, where(dtype="bfloat16", seed=under(3))), "untested"),  # 2 of 8 seeds differ
        (each(setter("precision precision_side", SIGN, WRONG), setter("precision precision_side", SIGN, RIGHT, where(dtype="bfloat16"))), "refuted"),
    ],
}  # fmt: skip
ARITHMETIC = {"flip"}  # refuted whatever the rows are


def test_every_claim_can_be_supported_and_refuted_and_partly_where_designed():
    assert set(CHANGES) == set(CLAIMS)
    for id, entry in CLAIMS.items():
        brought = {outcome for _, outcome in CHANGES[id]} | {IDEAL.get(id, "supported")}
        wanted = set() if id in ARITHMETIC else {"supported", "refuted"}
        wanted |= {"partly"} if says_partly(entry) else set()
        assert wanted <= brought, (id, wanted - brought)


def says_partly(entry: Claim) -> bool:
    return "partly" in entry.predicate.lower()


def test_ideal_run():
    table = judge(ideal())
    assert dict(zip(table["id"], table["verdict"], strict=True)) == {id: IDEAL.get(id, "supported") for id in CLAIMS}
    assert (table["cells"] > 0).all()
    assert (table["seconds"] == table["cells"]).all()  # each cell took a second


CHANGED = [(claim, i) for claim, changes in CHANGES.items() for i in range(len(changes))]


@pytest.mark.parametrize(("claim", "number"), CHANGED)
def test_changed_run(claim, number):
    change, expected = CHANGES[claim][number]
    seen = CLAIMS[claim].evidence(ideal(change))
    assert CLAIMS[claim].verdict(seen)[0] == expected, seen
    assert says_partly(CLAIMS[claim]) or not seen.partly  # a reader of the ledger is told when a claim holds in part


def test_flip_holds_in_odd_dimensions():
    blocks = (cross("thread_b", dimension=501), *CONFIG.blocks[1:])
    run = ideal()
    run.config = replace(run.config, blocks=blocks)
    assert verdict(run, "flip") == "supported"
