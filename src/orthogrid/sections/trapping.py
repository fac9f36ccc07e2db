"""Trapping: where runs on the wrong side end, where a trap exists, and which runs it catches."""

from __future__ import annotations

import pandas as pd

from ..analysis.intervals import bracketed, mean, share
from ..analysis.select import (
    boundaries,
    by_seed,
    crossed,
    ended_at,
    only,
    outside_margin,
    paired,
    problems,
    random_starts,
    resting,
    with_threshold,
)
from ..analysis.settings import EXISTENCE_SHARE, MARGIN, MOST
from ..presenting.formats import MISSING, digits2, out_of
from ..presenting.ledger import ANSWERER, UNTESTED, Measurement, claim, measured
from ..presenting.values import FORMS, Value, values
from ..run.run import Run
from ..theory import forms
from ..theory.outcomes import ALIGNED, NEAR

# Where runs end.


@claim("landscape", "Runs whose loss is flat are at the target, at the trap or beside a saddle that the theorem lists", "≥",
       blocks="floor existence map_twin map_haar capture capture_white large_white large_trap cures_uniform",
       tolerance=1 - MOST,
    predicate="Of Adam's runs whose gradient_norm ends at {FLAT} or less, the share that are recovered, trapped, or "
    "within {NEAR} of the path through the reflection of one eigenvector of G, clustered by problem.",
)  # fmt: skip
def landscape(run: Run, cells: pd.DataFrame) -> Measurement:
    used = resting(with_threshold(cells, method="adam"))
    beside = (used["overlap"] >= ALIGNED) & (used["off_path"] <= NEAR)
    listed = used["outcome"].isin(["recovered", "trapped"]) | beside
    return measured(share(listed, problems(used)), 1.0, used)


@claim(
    "trap-loss",
    "A trapped run pays λ(1 - s*)²",
    "≈",
    blocks="floor existence map_twin",
    tolerance=0.02,
    predicate="Data loss over lambda (1 - s*)² of the trapped runs at rest; median over the runs of a seed, mean "
    "over seeds.",
)
def trap_loss(run: Run, cells: pd.DataFrame) -> Measurement:
    used = resting(ended_at(with_threshold(cells), "trapped"))
    return measured(mean(by_seed(used["fit"] / used["predicted_trap_loss"], used)), 1.0, used)


# Existence.


@claim("existence", "From the twin, runs are trapped above 2λ and recovered below", "≥",
       blocks="existence map_twin", tolerance=1 - EXISTENCE_SHARE,
    predicate="Share of twin-started runs outside a factor {MARGIN} of the threshold that end on the side the "
    "theorem says: wrong of those with reg > 2 lambda, right of the others; the worse of the two.",
)  # fmt: skip
def existence(run: Run, cells: pd.DataFrame) -> Measurement:
    used = outside_margin(with_threshold(cells))
    above = used["threshold"] > 1
    if above.all() or not above.any():
        return UNTESTED
    return measured(min(share(used.loc[above, "wrong"]), share(~used.loc[~above, "wrong"])), 1.0, used)


@claim(
    "noise",
    "With noise in the targets the threshold moves as foretold",
    "≥",
    blocks="noise",
    tolerance=1 - MOST,
    predicate="Share of the twin-started runs on noisy targets, outside a factor {MARGIN} of the threshold of the "
    "noise, that end on the wrong side exactly where reg is above it, clustered by problem.",
)
def noise(run: Run, cells: pd.DataFrame) -> Measurement:
    used = cells[cells["noise"] > 0]
    used = used.assign(threshold=used["reg"] / used["predicted_trap_threshold"])
    used = outside_margin(used)
    if (used["threshold"] > 1).nunique() < 2:
        return UNTESTED
    return measured(share(used["wrong"] == (used["threshold"] > 1), problems(used)), 1.0, used)


# Capture.


@claim("white", "Where all directions weigh alike, wrong starts stay wrong exactly above 2λ, and right ones end right", "≥",
       blocks="capture_white large_white", tolerance=1 - MOST,
    predicate="Share of random starts with white inputs outside a factor {MARGIN} of 2 lambda that end wrong if "
    "they began wrong above it, and right otherwise; the worst of the three cases, each clustered by "
    "problem.",
)  # fmt: skip
def white(run: Run, cells: pd.DataFrame) -> Measurement:
    used = outside_margin(with_threshold(only(cells, init="haar", inputs="whitened")))
    began, above = used["determinant"] == "mismatch", used["threshold"] > 1
    cases = [(began & above, used["wrong"]), (began & ~above, ~used["wrong"]), (~began, ~used["wrong"])]
    if not all(case.any() for case, _ in cases):
        return UNTESTED
    return measured(min(share(ends[case], problems(used[case])) for case, ends in cases), 1.0, used)


def _spread(cells: pd.DataFrame, determinant: str) -> pd.DataFrame:
    """Random starts of Adam with uniform inputs and reg between 2 lambda and 2 mu, a factor MARGIN off both."""
    used = only(random_starts(cells, determinant), inputs="uniform", method="adam")
    bound = used["reg"] / used["predicted_capture_threshold"]
    return used[(used["threshold"] > MARGIN) & (bound < 1 / MARGIN)]


@claim(
    "existence-not-capture",
    "With uniform inputs many wrong starts pass the trap",
    ">",
    blocks="map_haar large_trap",
    predicate="Share of mismatched random starts of Adam, uniform inputs and a bias, with reg between 2 lambda and "
    "2 mu, a factor {MARGIN} off both, that end on the right side, clustered by problem; against a fifth.",
)
def existence_not_capture(run: Run, cells: pd.DataFrame) -> Measurement:
    used = _spread(cells, "mismatch")
    return measured(share(~used["wrong"], problems(used)), 0.2, used)


@claim(
    "match-wrong",
    "There, some right starts end on the wrong side",
    ">",
    blocks="map_haar large_trap",
    predicate="Share of the matching starts in the same range that end on the wrong side, clustered by problem; "
    "against a tenth.",
)
def match_wrong(run: Run, cells: pd.DataFrame) -> Measurement:
    used = _spread(cells, "match")
    return measured(share(used["wrong"], problems(used)), 0.1, used)


def _above(cells: pd.DataFrame) -> pd.DataFrame:
    """Random starts of either side, uniform inputs, with reg above MARGIN times 2 mu."""
    used = pd.concat([random_starts(cells, determinant) for determinant in ("match", "mismatch")])
    return used[(used["reg"] > MARGIN * used["predicted_capture_threshold"]) & (used["inputs"] == "uniform")]


@claim(
    "bound",
    "Without a bias no run changes its side above 2μ",
    "≤",
    blocks="capture",
    tolerance=1 - MOST,
    predicate="Share of random starts without a bias, reg above {MARGIN} · 2 mu, whose determinant changes its "
    "sign, clustered by problem. Proved for the flow, run with Adam.",
)
def bound(run: Run, cells: pd.DataFrame) -> Measurement:
    used = _above(cells)
    return measured(share(crossed(used), problems(used)), 0.0, used)


@claim(
    "bound-bias",
    "With a bias some do",
    ">",
    blocks="map_haar large_trap",
    predicate="The same share with a bias and uncentred inputs, which the theorem does not cover; against a twentieth.",
)
def bound_bias(run: Run, cells: pd.DataFrame) -> Measurement:
    used = _above(cells)
    return measured(share(crossed(used), problems(used)), 0.05, used)


@claim(
    "coin",
    "Where the gap is wide, the start's light sign tells the side of the flow more often than not",
    ">",
    blocks="coin",
    predicate="Share of random starts, by gradient descent with small steps, that end on the side of `slow_sign`, "
    "clustered by seed, since both sides of a seed share their samples; against one half, for the gap is "
    "finite.",
)
def coin(run: Run, cells: pd.DataFrame) -> Measurement:
    used = light_signed(cells)
    return measured(share((used["slow_sign"] > 0) == ~used["wrong"], used["seed"]), 0.5, used)


def light_signed(cells: pd.DataFrame) -> pd.DataFrame:
    """Random starts of either side whose light sign is known."""
    used = pd.concat([random_starts(cells, determinant) for determinant in ("match", "mismatch")])
    return used[used["slow_sign"].notna()]


@values("coin")
def coin_values(run: Run) -> dict[str, Value | str]:
    """How often the light sign wins where it contradicts the side of the start."""
    used = light_signed(run.block("coin"))
    against = used[(used["slow_sign"] > 0) != (used["determinant"] == "match")]
    won = against[(against["slow_sign"] > 0) == ~against["wrong"]]
    return {"coin-against": Value(out_of(won, against), blocks="coin", cells=len(against))}


@claim("rate", "At an equal product of rate and steps, a tenfold rate changes the share that ends wrong by less than a quarter", "±",
       blocks="capture capture_fast", tolerance=0.25,
    predicate="Between 2 lambda and 2 mu, a factor {MARGIN} off both: whether a mismatched random start ends wrong "
    "at the largest rate less whether it does at the smallest; mean over the paired runs of a seed, then "
    "over seeds.",
)  # fmt: skip
def rate(run: Run, cells: pd.DataFrame) -> Measurement:
    used = _spread(cells, "mismatch")
    if used["lr"].nunique() < 2:
        return UNTESTED
    used = used.assign(held=used["wrong"].astype(float))
    pairs = paired(used, "held", "lr", used["lr"].min(), used["lr"].max(), apart=["steps"], keep=("seed", "reg"))
    if pairs.empty:
        return UNTESTED
    return measured(mean((pairs["second"] - pairs["first"]).groupby(pairs["seed"]).mean()), 0.0, used)


@values("capture capture_fast")
def rate_values(run: Run) -> dict[str, Value | str]:
    """The same for starts on the right side, and how far a step of Adam can move s at the largest rate. Read off the rows: no claim."""
    used = _spread(run.block("capture", "capture_fast"), "match")
    if used["lr"].nunique() < 2:
        return {"rate-right-points": MISSING, "largest-step": MISSING}
    used = used.assign(held=used["wrong"].astype(float))
    pairs = paired(used, "held", "lr", used["lr"].min(), used["lr"].max(), apart=["steps"], keep=("seed", "reg"))
    told = mean((pairs["second"] - pairs["first"]).groupby(pairs["seed"]).mean())
    step = forms.largest_step(used["dimension"].max(), used["lr"].max())
    return {
        "rate-right-points": Value(FORMS["points"](told.value), *told, blocks="capture capture_fast", cells=len(used)),
        "largest-step": Value(digits2(step), step),
    }


@claim(
    "norms",
    "White inputs: norms capture in the reverse order of how they hold the twin",
    ">",
    blocks="capture_norms",
    predicate="The reg from which mismatched random starts end wrong under fro over that under nuclear, geometric "
    "mean over seeds; both hold the twin from 2 lambda on. Against {MARGIN}; of starts held at S = 0 "
    "throughout it would be √(3n/8).",
)
def norms(run: Run, cells: pd.DataFrame) -> Measurement:
    nuclear, fro = (boundaries(only(cells, penalty=name, determinant="mismatch")) for name in ("nuclear", "fro"))
    both = nuclear.add_suffix("_nuclear").join(fro.add_suffix("_fro"), how="inner")
    if both.empty:
        return UNTESTED
    used = cells[cells["penalty"].isin(["nuclear", "fro"]) & cells["seed"].isin(both.index)]
    ratio = bracketed(both["low_fro"] / both["high_nuclear"], both["high_fro"] / both["low_nuclear"])
    return measured(ratio, MARGIN, used)


# The thread on the two sides.


@claim(
    "determinant", "With a large weight, a run that starts on the wrong side stays there", "≥", blocks="floor regimes", tolerance=1 - MOST,
    author=ANSWERER, quote="able to train model.weight to become rho",
    predicate="Share of the mismatched runs with white inputs and a reg above {MARGIN} · 2 lambda that end on the "
    "wrong side, clustered by problem.",
)  # fmt: skip
def determinant(run: Run, cells: pd.DataFrame) -> Measurement:
    used = only(with_threshold(cells), determinant="mismatch", inputs="whitened")
    used = used[used["threshold"] > MARGIN]
    return measured(share(used["wrong"], problems(used)), 1.0, used)


@claim(
    "fortuitous", "A run changes the determinant's sign only by a step that jumps", "≤",
    blocks="existence", tolerance=0.05,
    author=ANSWERER,
    quote="the optimizer could take a large, fortuitous step that flips the sign of the determinant of model.weight, "
    "but this would be highly unlikely", foretold="refuted",
    predicate="Share of runs of plain gradient descent, in double precision and below 2 lambda/{MARGIN}, that end "
    "with another sign than they began with: it moves W by far less than 1 a step, so none of them jumps.",
)  # fmt: skip
def fortuitous(run: Run, cells: pd.DataFrame) -> Measurement:
    used = with_threshold(cells, method="sgd")
    used = used[used["threshold"] < 1 / MARGIN]
    return measured(share(crossed(used), problems(used)), 0.0, used)
