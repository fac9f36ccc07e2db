r"""Every number of the paper's text, once: a run's tables → `\setval{key}{text}` lines.

Each function below serves one section of the paper and returns key → text. The text is safe in LaTeX, in text and in math; a
measured quantity that the run lacks is an en dash. The thread's own numbers come from its logs and from `Cell()`, which
is its second script; closed forms come from `theory`; settings of the analysis from `claims`.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from . import penalties, theory
from .aggregate import LOG_B_CLOSING
from .claims import (
    CLAIMS,
    EARLY_STEPS,
    FITTED,
    FLOOR_TOLERANCE,
    LOG_A,
    MARGIN,
    NEAR,
    OURS,
    PLATEAU_FROM,
    RECOVERY,
    SETTLED,
    SIMILAR,
    VERDICTS,
    best_fitted,
    detached_spread,
    fitted,
    floor_cells,
    floor_ratio,
    law_error,
    map_cells,
    only,
    planned,
    plateau_by_seed,
    predicted_plateau,
    settled,
    squares_ratio,
    thread_like,
    wrong_side,
)
from .grid import Cell
from .identity import code_digest
from .run import Run
from .store import write_bytes

CIRCLE_START = (0.01, 1.50)  # the thread's point beside its circle
APART = 2.0  # two predictions closer than this many standard errors are not told apart
HUBER_DELTA = inspect.signature(penalties.huber.value).parameters["delta"].default

# Formatting.

MISSING = r"\mbox{--}"

_CHARACTERS = {
    "\\": r"\textbackslash{}", "_": r"\_", "%": r"\%", "&": r"\&", "#": r"\#", "$": r"\$", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "γ": r"\ensuremath{\gamma}", "λ": r"\ensuremath{\lambda}",
    "<": r"\ensuremath{<}", ">": r"\ensuremath{>}", "≤": r"\ensuremath{\le}", "≥": r"\ensuremath{\ge}", "≈": r"\ensuremath{\approx}",
    "²": r"\ensuremath{^2}", "ρ": r"\ensuremath{\rho}", "×": r"\ensuremath{\times}",
    "±": r"\ensuremath{\pm}",
}  # fmt: skip


def text(words: object) -> str:
    """Plain text as LaTeX."""
    return "".join(_CHARACTERS.get(character, character) for character in str(words))


def is_missing(value) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value)) or value is pd.NA


def _grouped(digits: str) -> str:
    """Digits with thin spaces between thousands, from five digits before the point on; the minus as a minus."""
    sign, digits = (r"\ensuremath{-}", digits[1:]) if digits.startswith("-") else ("", digits)
    whole, point, rest = digits.partition(".")
    return sign + (f"{int(whole):,}".replace(",", r"\,") if len(whole) > 4 else whole) + point + rest


def integer(value) -> str:
    return MISSING if is_missing(value) else _grouped(f"{int(value)}")


def decimals(value, places: int) -> str:
    """A fixed number of decimals."""
    if is_missing(value):
        return MISSING
    return r"\ensuremath{\infty}" if math.isinf(value) else _grouped(f"{value:.{places}f}")


def scientific(value, digits: int = 2) -> str:
    if is_missing(value):
        return MISSING
    if value == 0:
        return "0"
    mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
    return rf"\ensuremath{{{mantissa}\times10^{{{int(exponent)}}}}}"


def number(value, digits: int = 3) -> str:
    """Significant digits; scientific below a thousandth and from a million on. Settings lose their trailing zeros."""
    if is_missing(value):
        return MISSING
    if math.isinf(value):
        return r"\ensuremath{\infty}"
    size = abs(float(f"{value:.{digits - 1}e}"))
    if size and not 1e-3 <= size < 1e6:
        return scientific(value, digits)
    return _grouped(f"{value:.{max(0, digits - 1 - math.floor(math.log10(size)))}f}") if size else "0"


def setting(value) -> str:
    """A value that somebody chose, as short as it can be said."""
    if is_missing(value):
        return MISSING
    if value and not 1e-4 <= abs(value) < 1e6:
        mantissa, exponent = f"{value:e}".split("e")
        mantissa = "" if float(mantissa) == 1 else rf"{float(mantissa):g}\times"
        return rf"\ensuremath{{{mantissa}10^{{{int(exponent)}}}}}"
    return _grouped(f"{value:.10f}".rstrip("0").rstrip("."))


def percent(value, places: int = 1, signed: bool = False) -> str:
    """A share as a percentage."""
    if is_missing(value):
        return MISSING
    return ("+" if signed and value > 0 else "") + decimals(100 * value, places) + r"\,\%"


def spread(values: pd.Series, form=number) -> str:
    """The full range, lo--hi."""
    values = values.dropna()
    return f"{form(values.min())}--{form(values.max())}" if len(values) else MISSING


def median(values: pd.Series) -> float:
    return float(values.median()) if values.notna().any() else math.nan


def seeds(cells: pd.DataFrame) -> str:
    """How many seeds, with the noun."""
    count = cells["seed"].nunique()
    return "1 seed" if count == 1 else f"{count or MISSING} seeds"


def enumeration(words: Iterable[str]) -> str:
    """a, b and c."""
    words = list(words)
    return " and ".join(filter(None, [", ".join(words[:-1]), words[-1]])) if words else MISSING


def counted(cells: pd.DataFrame, which: pd.Series) -> tuple[str, str]:
    """Number of cells and of those marked; two dashes where there are none."""
    return (integer(len(cells)), integer(which.sum())) if len(cells) else (MISSING, MISSING)


def d1(value) -> str:
    return decimals(value, 1)


def d2(value) -> str:
    return decimals(value, 2)


def d3(value) -> str:
    return decimals(value, 3)


# The run.


def run_numbers(run: Run) -> dict[str, str]:
    dimensions = {
        name: planned(run, block, "dimension")
        for name, block in (
            ("main", "identifiability"),
            ("transition", "transition"),
            ("grid", "grid"),
            ("map", "map_haar"),
        )
    }
    main, grid, maps = (dimensions[name] for name in ("main", "grid", "map"))
    scale = f"dimension {main}" + ("" if grid == maps == main else f", grid at {grid}, maps at {maps}")
    return {
        "run-name": text(run.config.run),
        # One phrase for parentheses.
        "run-scale": MISSING if None in (main, grid, maps) else scale,
        "cells-total": integer(len(run.cells)) if len(run.cells) else MISSING,
        "cells-diverged": integer((run.cells["status"] == "diverged").sum()) if len(run.cells) else MISSING,
        # Dimension of blocks identifiability (and convergence), transition, grid and the maps.
        **{f"dimension-{name}": integer(value) for name, value in dimensions.items()},
        # The thread's number of samples in this run: 30 at full size.
        "samples-main": integer(planned(run, "convergence", "samples")),
        "lr-main": setting(planned(run, "convergence", "lr")),
        # ‖W - rhoᵀ‖_F below which a run counts as recovered.
        "recovery-tolerance": setting(RECOVERY),
        # At reg = 4 lambda the trap of huber needs delta > (3/4) max w_i² ≥ 3/(4n): the least n, and the largest n of this run.
        "huber-delta": setting(HUBER_DELTA),
        "huber-dimension": integer(math.ceil(3 / (4 * HUBER_DELTA))),
        "dimension-largest": integer(max((cell.dimension for cell in run.config.cells), default=None)),
    }


# The thread and our repetition of it.


def thread_numbers(run: Run) -> dict[str, str]:
    log_b, printed = Cell(), run.log_a[run.log_a["step"] >= PLATEAU_FROM]
    levels, predicted = plateau_by_seed(run), predicted_plateau(run)
    ours = only(run.thread, log="b").set_index("quantity")["ours"]
    early = only(run.thread, log="b", quantity="fit")
    n, k = planned(run, "thread_b", "dimension"), planned(run, "thread_b", "samples")

    def model(squared) -> float:
        return math.nan if n is None else float(theory.entrywise_l1(n, squared(n, k)))

    return {
        "thread-dimension": integer(log_b.dimension),
        "thread-samples": integer(log_b.samples),
        "thread-seed": str(log_b.seed),
        "thread-reg-a": setting(LOG_A.reg),
        "thread-reg-b": setting(log_b.reg),
        # Median of the printed penalty once it has risen.
        "thread-a-plateau": d1(median(printed["orthogonality_l1"])),
        # Log B's closing line: entrywise sums |W - rho| and |W - rhoᵀ|.
        "thread-b-rho": d2(LOG_B_CLOSING["distance_rho_l1"]),
        "thread-b-target": d2(LOG_B_CLOSING["distance_l1"]),
        "thread-a-seeds": seeds(run.block("thread_a")),
        "thread-b-seeds": seeds(run.block("thread_b")),
        # Block thread_a: plateau by seed; median and full range over seeds; deviation of the median from the closed form.
        "ours-a-plateau": d1(median(levels)),
        "ours-a-plateau-range": spread(levels, d1),
        "ours-a-plateau-excess": percent(median(levels) / predicted - 1, signed=True),
        "predicted-a-plateau": d1(predicted),
        # What a dash in the table stands for.
        "thread-dash": "no closed form" if n == log_b.dimension else "no closed form, or a size that this run lacks",
        # Last step of log B that is compared digit by digit, and the largest relative difference in its data loss up to there.
        "thread-b-early-steps": integer(EARLY_STEPS),
        "thread-b-early-error": scientific(early.loc[early["step"] <= EARLY_STEPS, "relative_difference"].max()),
        "ours-b-rho": d2(ours.get("distance_rho_l1")),
        "ours-b-target": d2(ours.get("distance_l1")),
        # The same without training, for the dimension of block thread_b: W is unrelated to rho, and near rhoᵀ on rank k.
        "predicted-b-rho": d1(model(lambda n, k: 2 * n)),
        "predicted-b-target": d1(model(lambda n, k: 2 * (n - theory.effective_rank(n, k)))),
        "circle-start": "({:.2f}, {:.2f})".format(*CIRCLE_START),
    }


# The ablation: median ‖S‖_F over seeds, small reg = log A's, large = log B's.


def ablation_numbers(run: Run) -> dict[str, str]:
    cells = run.block("ablation")

    def final(penalty: str, reg: float, column: str = "orthogonality_fro") -> str:
        return number(median(only(cells, penalty=penalty, reg=reg)[column]))

    small, large = LOG_A.reg, Cell().reg
    return {
        "ablation-seeds": seeds(cells),
        "ablation-base": final("l1_detached", small),
        "ablation-attach": final("l1", small),
        "ablation-attach-square": final("fro2", small),
        "ablation-attach-reg": final("l1", large),
        "ablation-attach-reg-fit": final("l1", large, "fit"),
        "ablation-reg-only": final("l1_detached", large),
        "ablation-all": final("fro2", large),
        "ablation-all-fit": final("fro2", large, "fit"),
        # Largest difference of ‖S‖_F between paired detached cells.
        "ablation-detached-difference": scientific(detached_spread(run)),
    }


# Convergence: medians over seeds of block convergence.


def convergence_numbers(run: Run) -> dict[str, str]:
    cells = run.block("convergence")
    largest = cells["reg"].max() if len(cells) else None
    l1 = _with_floor(only(cells, penalty="l1"))
    constant, cosine = only(l1, schedule="constant"), only(l1, schedule="cosine")
    by_reg = constant.groupby("reg")[["floor", "fit"]].median()
    # The largest weight that a constant rate fits; the best fitted one where there is none.
    fits = by_reg["fit"]
    reg = fits.index[fits < FITTED].max() if (fits < FITTED).any() else fits.idxmin() if fits.notna().any() else None
    constant_there, cosine_there = only(constant, reg=reg), only(cosine, reg=reg)
    grid = _with_floor(only(run.block("grid"), penalty="l1", schedule="constant"))
    weights = sorted(grid["reg"].unique())
    upper = weights[len(weights) // 2] if weights else None
    ratio = squares_ratio(run)

    def final(column: str, **settings) -> str:
        return number(median(only(cells, **settings)[column]))

    def best(penalty: str) -> str:
        """The best fitted setting with its name."""
        found = best_fitted(run, penalty)
        if found is None:
            return rf"{MISSING} (no setting fits)"
        where = rf"\texttt{{reg}} {setting(found['reg'])}, {found['schedule']} rate"
        return f"{number(found['orthogonality_fro'])} ({where}, data loss {number(found['fit'], 2)})"

    return {
        "conv-seeds": seeds(cells),
        # c = sum |S| / (n² lr) over the l1 cells with a constant rate.
        "conv-floor-cells": integer(len(constant)) if len(constant) else MISSING,
        "conv-floor-median": number(median(constant["floor"])),
        "conv-floor-range": spread(constant["floor"]),
        # Largest over smallest of the medians by reg.
        "conv-floor-reg-factor": d1(by_reg["floor"].max() / by_reg["floor"].min()),
        # c at that weight with its data loss, under a constant rate and under cosine (lr: the initial rate).
        "conv-floor-reg": setting(reg),
        "conv-floor-constant": number(median(constant_there["floor"])),
        "conv-floor-constant-fit": number(median(constant_there["fit"]), 2),
        "conv-floor-cosine": number(median(cosine_there["floor"])),
        "conv-floor-cosine-fit": number(median(cosine_there["fit"]), 2),
        # Block grid, constant rate: c over the upper half of the weights, and at the smallest.
        "grid-floor-reg-upper": setting(upper),
        "grid-floor-upper": spread(grid.loc[grid["reg"] >= upper, "floor"]) if weights else MISSING,
        "grid-floor-reg-lowest": setting(weights[0] if weights else None),
        "grid-floor-lowest": spread(only(grid, reg=weights[0])["floor"]) if weights else MISSING,
        # The price of the largest reg: data loss, constant rate.
        "conv-reg-high": setting(largest),
        "conv-l1-fit-high": final("fit", penalty="l1", reg=largest, schedule="constant"),
        "conv-fro2-fit-high": final("fit", penalty="fro2", reg=largest, schedule="constant"),
        # Smallest median ‖S‖_F over reg and schedule among settings whose median data loss is below the threshold.
        "conv-fit-threshold": setting(FITTED),
        "conv-l1-best": best("l1"),
        "conv-fro2-best": best("fro2"),
        # "By this comparison squares are ...".
        "conv-squares-word": "not comparable"
        if math.isnan(ratio)
        else "better" if ratio < 1 / SIMILAR else "worse" if ratio > SIMILAR
        else f"as good within a factor of {setting(SIMILAR)}",
    }  # fmt: skip


def _with_floor(cells: pd.DataFrame) -> pd.DataFrame:
    """With `floor`, sum |S| over n² lr."""
    return cells.assign(floor=cells["orthogonality_l1"] / (cells["dimension"] ** 2 * cells["lr"]))


# Identifiability.


def identifiability_numbers(run: Run) -> dict[str, str]:
    n, k = planned(run, "identifiability", "dimension"), planned(run, "convergence", "samples")
    cells, transition = run.block("identifiability"), run.block("transition")
    both = run.block("identifiability", "transition")
    here = only(cells, samples=k, inputs="uniform", determinant="match", bias=True)
    pooled = thread_like(run)  # with block thread_b's seeds: the difference of one rank is small against the scatter
    squared = pooled["distance"] ** 2
    error = float(squared.std() / math.sqrt(len(squared))) if len(squared) > 1 else math.nan

    def distance(rank) -> float:
        return math.nan if n is None or k is None else float(theory.coset_distance(n, rank(n, k)))

    static, trained = distance(lambda n, k: k - 1) ** 2, distance(theory.effective_rank) ** 2

    def first_recovered(**settings):
        """Smallest number of samples at which at least half of the runs of block transition recover."""
        share = only(transition, **settings).groupby("samples")["distance"].agg(lambda d: (d < RECOVERY).mean()) >= 0.5
        if share.empty:
            return MISSING
        return integer(share.idxmax()) if share.any() else "none of those tried"  # fmt: skip

    law = both[both["dimension"] - both["predicted_rank_effective"] >= 2]
    by_inputs = {name: fitted(only(law, inputs=name)) for name in ("whitened", "uniform")}
    # Transition, matching start: one free dimension with whitened inputs; full rank with uniform ones.
    matched = only(transition, determinant="match", init="haar")
    free = matched["dimension"] - matched["rank"]
    twin, full = only(matched[free == 1], inputs="whitened"), only(matched[free == 0], inputs="uniform")
    even = only(matched[free == 0], inputs="whitened")
    twin_cells, twin_wrong = counted(twin, twin["wrong"])
    full_cells, full_wrong = counted(full, full["wrong"])
    separation = (static - trained) / error if error else math.nan
    nearer = (
        r"rank \ensuremath{k-1}"
        if abs(squared.mean() - static) < abs(squared.mean() - trained)
        else r"rank \ensuremath{k}"
    )
    if math.isnan(separation):
        rank = rf"which cannot be compared with the two ({MISSING})"
    elif separation > APART:
        rank = f"nearer to the prediction of {nearer}; the two predictions are {d1(separation)} standard errors apart"
    else:
        rank = f"but the two predictions are only {d1(separation)} standard errors apart and this mean cannot tell them apart"
    return {
        "ident-seeds": seeds(here),
        # At the thread's number of samples, uniform inputs.
        "ident-distance-median": d2(median(here["distance"])),
        "ident-distance-range": spread(here["distance"], d2),
        "ident-distance-predicted": d2(distance(theory.effective_rank)),
        "ident-distance-start-predicted": d2(distance(lambda n, k: 0)),
        # Median relative deviation from the law √(2(n - r)), r = k for uniform and k - 1 for whitened inputs, n - r ≥ 2, over the
        # fitted cells of blocks identifiability and transition; how many there are.
        "ident-law-cells-whitened": _of(by_inputs["whitened"], only(law, inputs="whitened")),
        "ident-law-cells-uniform": _of(by_inputs["uniform"], only(law, inputs="uniform")),
        "ident-law-error-whitened": percent(median(law_error(by_inputs["whitened"])), 2),
        "ident-law-error-uniform": percent(median(law_error(by_inputs["uniform"])), 2),
        # The numbers of samples below n with a fitted uniform run, for each dimension.
        "ident-fitted-uniform": _samples(by_inputs["uniform"]) if len(law) else MISSING,
        "ident-transition-seeds": seeds(transition),
        "ident-transition-whitened": first_recovered(inputs="whitened", bias=True),
        "ident-transition-uniform": first_recovered(inputs="uniform", bias=True),
        # Started on the right side: one free dimension (whitened), full rank (uniform). The distance is of those that end wrong.
        "ident-twin-cells": twin_cells,
        "ident-twin-wrong": twin_wrong,
        "ident-twin-distance": d2(median(twin.loc[twin["wrong"], "distance"])),
        "ident-twin-word": MISSING
        if twin.empty
        else "is kept" if not twin["wrong"].any() else "is lost" if twin["wrong"].all() else "is not always kept",
        "ident-full-cells": full_cells,
        "ident-full-wrong": full_wrong,
        "ident-full-whitened": _of(even[even["wrong"]], even),
        "ident-full-distance": d2(median(full.loc[full["wrong"], "distance"])),
        # Block transition: median data loss of uniform and whitened inputs at k = n.
        "ident-fit-n-whitened": number(median(_square(transition, "whitened")["fit"]), 2),
        "ident-fit-n-uniform": number(median(_square(transition, "uniform")["fit"]), 2),
        # Squared distance: the two ranks' predictions, and mean and standard error over the pooled seeds.
        "ident-square-static": integer(round(static)) if not math.isnan(static) else MISSING,
        "ident-square-trained": integer(round(trained)) if not math.isnan(trained) else MISSING,
        "ident-square-mean": d1(squared.mean()),
        "ident-square-error": d1(error),
        "ident-square-seeds": seeds(pooled),
        # "The measured mean is ..., ...".
        "ident-rank-phrase": rank,
        # ‖D x̂‖ along the mean direction.
        "ident-mean-direction-median": d3(median(pooled["mean_direction"])),
        "ident-mean-direction-range": spread(pooled["mean_direction"], d3),
        # Distances to the coset's point nearest the start, and to the start.
        "ident-nearest-median": d2(median(here["distance_nearest"])),
        "ident-start-median": d2(median(here["distance_start"])),
    }  # fmt: skip


def _of(part: pd.DataFrame, whole: pd.DataFrame) -> str:
    """a of b."""
    return f"{integer(len(part))} of {integer(len(whole))}" if len(whole) else f"{MISSING} of {MISSING}"


def _samples(cells: pd.DataFrame) -> str:
    """Each dimension's numbers of samples."""
    parts = [
        f"{enumeration(map(integer, sorted(same['samples'].unique())))} samples at dimension {integer(n)}"
        for n, same in cells.groupby("dimension")
    ]
    return "; ".join(parts) if parts else "none"


def _square(cells: pd.DataFrame, inputs: str) -> pd.DataFrame:
    """Cells with as many samples as dimensions."""
    return only(cells[cells["samples"] == cells["dimension"]], inputs=inputs, bias=True)


# Regimes, by the rank recorded with each cell: medians over block regimes.


def regimes_numbers(run: Run) -> dict[str, str]:
    cells = run.block("regimes")
    free = cells["dimension"] - cells["rank"]
    below, twin, full = cells[free > 1], cells[free == 1], cells[free == 0]
    # A mismatched run that kept its start's sign: what the reflected twin is about.
    kept = twin[(twin["determinant"] == "mismatch") & twin["wrong"]]

    def fit(cells: pd.DataFrame, determinant: str) -> str:
        return number(median(only(cells, determinant=determinant)["fit"]), 2)

    return {
        "regime-below-fit-match": fit(below, "match"),
        "regime-below-fit-mismatch": fit(below, "mismatch"),
        "regime-twin-fit": number(median(kept["fit"]), 2),
        "regime-twin-distance": d3(median(kept["distance"])),
        "regime-full-fit-match": fit(full, "match"),
        "regime-full-fit-mismatch": fit(full, "mismatch"),
        # 4 lambda of the same cells.
        "regime-full-floor": number(median(theory.wrong_floor(1) * full["lambda_min"]), 2),
    }


# The floor on the wrong side: block floor.


def floor_numbers(run: Run) -> dict[str, str]:
    cells, held = run.block("floor"), floor_cells(run)
    cells = cells[cells["lambda_min"] > 0]
    ratio = floor_ratio(held)
    uniform, whitened = only(held, inputs="uniform"), only(held, inputs="whitened")
    total, wrong = counted(cells, cells["wrong"])
    agrees = abs(median(ratio) - 1) <= FLOOR_TOLERANCE
    return {
        "floor-cells": total,
        "floor-wrong": wrong,
        # Wrong-sided runs of blocks floor and regimes whose data loss no longer falls.
        "floor-settled": integer(len(held)) if len(cells) else MISSING,
        "floor-settled-share": percent(SETTLED, 0),
        # Block floor, wrong side, settled or not: data loss over 4 lambda.
        "floor-unsettled-ratio": number(median(floor_ratio(wrong_side(cells)))),
        # Of the settled: data loss over 4 lambda, and over lambda (1 - s*)² where reg > 2 lambda.
        "floor-settled-uniform": integer(len(uniform)) if len(cells) else MISSING,
        "floor-settled-whitened": integer(len(whitened)) if len(cells) else MISSING,
        "floor-ratio-uniform": d3(median(floor_ratio(uniform))),
        "floor-range-uniform": spread(floor_ratio(uniform), d3),
        "floor-ratio-whitened": d3(median(floor_ratio(whitened))),
        "floor-range-whitened": spread(floor_ratio(whitened), d3),
        "floor-shifted-median": d3(median(held["fit"] / held["predicted_trap_loss"])),
        "floor-distance-median": d3(median(held["distance"])),
        # Whitened inputs make lambda multiple: any unit vector of its eigenspace gives a twin, and only one is measured.
        "floor-twin-median": d3(median(uniform["distance_twin"])),
        "floor-twin-range": spread(uniform["distance_twin"], d3),
        "floor-tolerance": percent(FLOOR_TOLERANCE, 0),
        # "The floor ... the closed form".
        "floor-word": "cannot be compared with" if held.empty else "agrees with" if agrees else "differs from",
    }


# The trapping maps: fro2, mismatched, lambda > 0; above and below reg = 2 lambda of the cell itself.


def map_numbers(run: Run, verdicts: pd.DataFrame) -> dict[str, str]:
    twin, haar = map_cells(run, "map_twin"), map_cells(run, "map_haar")
    rates = sorted(haar["lr"].unique())
    low, high = (rates[0], rates[-1]) if rates else (None, None)
    trapped = twin[(twin["threshold"] > 1) & (twin["threshold"] <= NEAR) & twin["wrong"]]
    trapped = settled(run, trapped)
    numbers = {}
    for name, cells in (("twin", twin), ("haar", haar)):
        for side, which in (("above", cells["threshold"] > 1), ("below", cells["threshold"] <= 1)):
            total, wrong = counted(cells[which], cells.loc[which, "wrong"])
            numbers |= {f"map-{name}-{side}-cells": total, f"map-{name}-{side}-wrong": wrong}
    above = haar[haar["threshold"] > 1]
    caught = settled(run, above[above["wrong"]])
    below = haar[haar["threshold"] <= 1]

    def caught_at(rate) -> str:
        return "{1} of {0}".format(*counted(only(above, lr=rate), only(caught, lr=rate)["wrong"]))

    matched = only(run.finished, penalty="fro2", method="adam", determinant="match", init="haar")
    matched = matched[matched["samples"] > matched["dimension"]]
    matched_cells, matched_wrong = counted(matched, matched["wrong"])
    logdet = only(run.block("grid"), penalty="logdet")
    logdet = logdet[logdet["samples"] > logdet["dimension"]]
    logdet_cells, logdet_crossed = counted(logdet, logdet["det_sign"] != logdet["det_sign_start"])
    verdict = verdicts.set_index("id")["verdict"].get("existence", "untested")
    return numbers | {
        # Above the threshold: wrong-sided and settled, and recovered; the wrong-sided of the cells include those on their way.
        "map-haar-above-caught": integer(len(caught)) if len(above) else MISSING,
        "map-haar-above-recovered": counted(above, above["distance"] < RECOVERY)[1],
        "map-haar-below-caught": integer(len(settled(run, below[below["wrong"]]))) if len(below) else MISSING,
        "map-haar-below-recovered": counted(below, below["distance"] < RECOVERY)[1],
        "map-seeds": seeds(haar),
        "map-lrs": enumeration(map(setting, rates)),
        # From the twin, settled and wrong, 1 < reg/(2 lambda) ≤ NEAR: relative deviation of the data loss from lambda (1 - s*)².
        "map-twin-near": setting(NEAR),
        "map-twin-near-cells": integer(len(trapped)) if len(twin) else MISSING,
        "map-twin-loss-error": percent(median((trapped["fit"] / trapped["predicted_trap_loss"] - 1).abs()), 2),
        "map-margin": setting(MARGIN),
        # "Existence as observed ... reg > 2 lambda".
        "map-twin-word": {"supported": "agrees with", "untested": "cannot be compared with"}.get(
            verdict, "differs from"
        ),
        "map-lr-low": setting(low),
        "map-lr-high": setting(high),
        # Of the cells above the threshold at that rate: "a of b".
        "map-lr-low-caught": caught_at(low),
        "map-lr-high-caught": caught_at(high),
        # The other way: fro2 with more samples than dimensions whose start matched.
        "cross-match-cells": matched_cells,
        "cross-match-wrong": matched_wrong,
        # logdet in block grid with more samples than dimensions: ended with another sign than it began with.
        "cross-logdet-cells": logdet_cells,
        "cross-logdet-crossed": logdet_crossed,
    }


# The full cross: block grid.


def grid_numbers(run: Run) -> dict[str, str]:
    cells = run.block("grid")
    many = cells["samples"] > cells["dimension"]
    numbers = {"grid-cells": integer(len(cells)) if len(cells) else MISSING, "grid-seeds": seeds(cells)}
    for name, which in (
        ("few", ~many),
        ("none", many & (cells["penalty"] == "none")),
        ("match", many & (cells["determinant"] == "match")),
        ("mismatch", many & (cells["determinant"] == "mismatch")),
    ):
        total, recovered = counted(cells[which], cells.loc[which, "distance"] < RECOVERY)
        numbers |= {f"grid-{name}-cells": total, f"grid-{name}-recovered": recovered}
        if name != "few":
            numbers[f"grid-{name}-wrong"] = counted(cells[which], cells.loc[which, "wrong"])[1]
    plain = cells[many & (cells["penalty"] == "none")]
    recovered = (plain["distance"] < RECOVERY).groupby(plain["samples"]).all()
    finished = enumeration(map(integer, recovered.index[recovered]))
    # The numbers of samples above n at which every run of plain regression recovers.
    numbers["grid-none-samples"] = MISSING if plain.empty else finished if recovered.any() else "none of those tried"
    return numbers


# The ledger and the cost.


def claims_numbers(verdicts: pd.DataFrame) -> dict[str, str]:
    words = verdicts.set_index("id")["verdict"]
    ours = sum(CLAIMS[id].author == OURS for id in words.index)
    return {
        # Each claim's verdict, and its mark beside the sentence that states it.
        **{f"verdict-{id}": word for id, word in words.items()},
        **{f"mark-{id}": rf"\claimmark{{{word}}}{{{id}}}" for id, word in words.items()},
        "claims-total": integer(len(words)),
        **{f"claims-{word}": integer((words == word).sum()) for word in VERDICTS},
        "claims-thread": integer(len(words) - ours),
        "claims-ours": integer(ours),
    }


def cost_numbers(run: Run) -> dict[str, str]:
    devices = sorted(run.finished["device"].dropna().unique())
    return {
        "compute-hours": number(run.finished["seconds"].sum() / 3600, 2) if len(run.finished) else MISSING,
        "compute-device": enumeration(map(text, devices)),
        # Of the modules that every row passes through.
        "code-digest": code_digest("none"),
    }


def all_numbers(run: Run, verdicts: pd.DataFrame) -> dict[str, dict[str, str]]:
    """Section of this module → key → text. Raises ValueError where two sections define one key."""
    sections = {
        "run": run_numbers(run),
        "thread": thread_numbers(run),
        "ablation": ablation_numbers(run),
        "convergence": convergence_numbers(run),
        "identifiability": identifiability_numbers(run),
        "regimes": regimes_numbers(run),
        "floor": floor_numbers(run),
        "map": map_numbers(run, verdicts),
        "grid": grid_numbers(run),
        "claims": claims_numbers(verdicts),
        "cost": cost_numbers(run),
    }
    keys = [key for numbers in sections.values() for key in numbers]
    if twice := {key for key in keys if keys.count(key) > 1}:
        raise ValueError(f"defined twice: {', '.join(sorted(twice))}")
    return sections


def write_numbers(run: Run, verdicts: pd.DataFrame, path: Path) -> None:
    """Write numbers.tex."""
    lines = []
    for section, numbers in all_numbers(run, verdicts).items():
        lines += [f"% {section}", *(rf"\setval{{{key}}}{{{value}}}" for key, value in numbers.items())]
    write_bytes(("\n".join(lines) + "\n").encode(), path)
