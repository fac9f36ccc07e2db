r"""Every number of the paper's text, once: a run's tables → `\setval{key}{text}` lines.

Each function below serves one section of the paper and returns key → text. The text is safe in LaTeX, in text and in math; a
measured quantity that the run lacks is an en dash. The thread's own numbers come from its logs and from `Cell()`, which
is its second script; closed forms come from `theory`; settings of the analysis from `claims`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from . import theory
from .aggregate import LOG_B_CLOSING
from .claims import (
    CLAIMS,
    EARLY_STEPS,
    FITTED,
    FLOOR_TOLERANCE,
    LOG_A,
    MARGIN,
    PLATEAU_FROM,
    RECOVERY,
    SETTLED,
    SIMILAR,
    best_fitted,
    detached_spread,
    floor_cells,
    floor_ratio,
    law_error,
    map_cells,
    only,
    planned,
    plateau_by_seed,
    predicted_plateau,
    squares_ratio,
    thread_like,
    wrong_side,
)
from .grid import Cell
from .identity import code_digest
from .run import Run
from .store import write_bytes

CIRCLE_START = (0.01, 1.50)  # the thread's point beside its circle

# Formatting.

MISSING = r"\mbox{--}"

_CHARACTERS = {
    "\\": r"\textbackslash{}", "_": r"\_", "%": r"\%", "&": r"\&", "#": r"\#", "$": r"\$", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "γ": r"\ensuremath{\gamma}", "λ": r"\ensuremath{\lambda}",
    "<": r"\ensuremath{<}", ">": r"\ensuremath{>}", "≤": r"\ensuremath{\le}", "≥": r"\ensuremath{\ge}", "≈": r"\ensuremath{\approx}",
    "²": r"\ensuremath{^2}", "ρ": r"\ensuremath{\rho}", "×": r"\ensuremath{\times}",
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

    def final(penalty: str, reg: float) -> str:
        return number(median(only(cells, penalty=penalty, reg=reg)["orthogonality_fro"]))

    small, large = LOG_A.reg, Cell().reg
    return {
        "ablation-seeds": seeds(cells),
        "ablation-base": final("l1_detached", small),
        "ablation-attach": final("l1", small),
        "ablation-attach-square": final("fro2", small),
        "ablation-attach-reg": final("l1", large),
        "ablation-reg-only": final("l1_detached", large),
        "ablation-all": final("fro2", large),
        # Largest difference of ‖S‖_F between paired detached cells.
        "ablation-detached-difference": scientific(detached_spread(run)),
    }


# Convergence: medians over seeds of block convergence.


def convergence_numbers(run: Run) -> dict[str, str]:
    cells = run.block("convergence")
    regs = sorted(cells["reg"].unique())
    near_one = min(regs, key=lambda reg: (round(abs(math.log(reg)), 6) if reg > 0 else math.inf, -reg), default=None)
    largest = regs[-1] if regs else None
    l1 = only(cells, penalty="l1")
    l1 = l1.assign(floor=l1["orthogonality_l1"] / (l1["dimension"] ** 2 * l1["lr"]))
    constant, cosine = only(l1, schedule="constant"), only(l1, schedule="cosine")
    by_reg = constant.groupby("reg")["floor"].median()
    ratio = squares_ratio(run)

    def final(column: str, **settings) -> str:
        return number(median(only(cells, **settings)[column]))

    def best(penalty: str) -> str:
        smallest = best_fitted(run, penalty)
        return MISSING if math.isinf(smallest) else number(smallest)

    return {
        "conv-seeds": seeds(cells),
        # The reg nearest to 1 on a logarithmic scale, the larger of two.
        "conv-reg": setting(near_one),
        "conv-l1-fro-constant": final("orthogonality_fro", penalty="l1", reg=near_one, schedule="constant"),
        "conv-l1-fro-cosine": final("orthogonality_fro", penalty="l1", reg=near_one, schedule="cosine"),
        "conv-fro2-fro-constant": final("orthogonality_fro", penalty="fro2", reg=near_one, schedule="constant"),
        "conv-fro2-fro-cosine": final("orthogonality_fro", penalty="fro2", reg=near_one, schedule="cosine"),
        # c = sum |S| / (n² lr) over the l1 cells with a constant rate; under cosine, lr is the initial rate.
        "conv-floor-cells": integer(len(constant)) if len(constant) else MISSING,
        "conv-floor-constant": number(median(constant["floor"])),
        "conv-floor-range": spread(constant["floor"]),
        "conv-floor-cosine": number(median(cosine["floor"])),
        # Largest over smallest of the medians by reg.
        "conv-floor-reg-factor": d1(by_reg.max() / by_reg.min()),
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
        else "better" if ratio < 1 / SIMILAR else "worse" if ratio > SIMILAR else "as good",
    }  # fmt: skip


# Identifiability.


def identifiability_numbers(run: Run) -> dict[str, str]:
    n, k = planned(run, "identifiability", "dimension"), planned(run, "convergence", "samples")
    cells, transition = run.block("identifiability"), run.block("transition")
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
        return integer(share.idxmax()) if share.any() else MISSING  # fmt: skip

    nearer_static = abs(squared.mean() - static) < abs(squared.mean() - trained)
    return {
        "ident-seeds": seeds(here),
        # At the thread's number of samples, uniform inputs.
        "ident-distance-median": d2(median(here["distance"])),
        "ident-distance-range": spread(here["distance"], d2),
        "ident-distance-predicted": d2(distance(theory.effective_rank)),
        "ident-distance-start-predicted": d2(distance(lambda n, k: 0)),
        # Median relative deviation from the law √(2(n - r)), r = k for uniform and k - 1 for whitened inputs, n - r ≥ 2.
        "ident-law-error-whitened": percent(median(law_error(only(cells, inputs="whitened"))), 2),
        "ident-law-error-uniform": percent(median(law_error(only(cells, inputs="uniform"))), 2),
        # Largest number of samples of block identifiability with uniform inputs that were fitted, by median data loss.
        "ident-fitted-uniform": integer(_largest_fitted(only(cells, inputs="uniform"))),
        "ident-transition-whitened": first_recovered(inputs="whitened", bias=True),
        "ident-transition-uniform": first_recovered(inputs="uniform", bias=True),
        # Block transition: median data loss of uniform and whitened inputs at k = n.
        "ident-fit-n-whitened": number(median(_square(transition, "whitened")["fit"]), 2),
        "ident-fit-n-uniform": number(median(_square(transition, "uniform")["fit"]), 2),
        # Squared distance: the two ranks' predictions, and mean and standard error over the pooled seeds.
        "ident-square-static": integer(round(static)) if not math.isnan(static) else MISSING,
        "ident-square-trained": integer(round(trained)) if not math.isnan(trained) else MISSING,
        "ident-square-mean": d1(squared.mean()),
        "ident-square-error": d1(error),
        "ident-square-seeds": seeds(pooled),
        # "The mean is nearer to the prediction of ...", and how many standard errors separate the two.
        "ident-rank-word": MISSING if squared.empty else r"rank \ensuremath{k-1}" if nearer_static else r"rank \ensuremath{k}",
        "ident-rank-separation": d1((static - trained) / error if error else math.nan),
        # ‖D x̂‖ along the mean direction.
        "ident-mean-direction-median": d3(median(pooled["mean_direction"])),
        "ident-mean-direction-range": spread(pooled["mean_direction"], d3),
        # Distances to the coset's point nearest the start, and to the start.
        "ident-nearest-median": d2(median(here["distance_nearest"])),
        "ident-start-median": d2(median(here["distance_start"])),
    }  # fmt: skip


def _square(cells: pd.DataFrame, inputs: str) -> pd.DataFrame:
    """Cells with as many samples as dimensions."""
    return only(cells[cells["samples"] == cells["dimension"]], inputs=inputs, bias=True)


def _largest_fitted(cells: pd.DataFrame):
    fits = cells.groupby("samples")["fit"].median()
    return fits.index[fits < FITTED].max() if (fits < FITTED).any() else None


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
        "floor-ratio-median": d3(median(ratio)),
        "floor-ratio-range": spread(ratio, d3),
        "floor-shifted-median": d3(median(held["fit"] / held["predicted_trap_loss"])),
        "floor-distance-median": d3(median(held["distance"])),
        # Whitened inputs make lambda multiple: any unit vector of its eigenspace gives a twin, and only one is measured.
        "floor-twin-median": d3(median(only(held, inputs="uniform")["distance_twin"])),
        "floor-tolerance": percent(FLOOR_TOLERANCE, 0),
        # "The floor ... the closed form".
        "floor-word": "cannot be compared with" if held.empty else "agrees with" if agrees else "differs from",
    }


# The trapping maps: fro2, mismatched, lambda > 0; above and below reg = 2 lambda of the cell itself.


def map_numbers(run: Run, verdicts: pd.DataFrame) -> dict[str, str]:
    twin, haar = map_cells(run, "map_twin"), map_cells(run, "map_haar")
    rates = sorted(haar["lr"].unique())
    low, high = (rates[0], rates[-1]) if rates else (None, None)
    trapped = twin[(twin["threshold"] > 1) & twin["wrong"]]
    numbers = {}
    for name, cells in (("twin", twin), ("haar", haar)):
        for side, which in (("above", cells["threshold"] > 1), ("below", cells["threshold"] <= 1)):
            total, wrong = counted(cells[which], cells.loc[which, "wrong"])
            numbers |= {f"map-{name}-{side}-cells": total, f"map-{name}-{side}-wrong": wrong}

    def wrong_at(rate) -> str:
        cells = haar[(haar["threshold"] > 1) & (haar["lr"] == rate)]
        return "{1} of {0}".format(*counted(cells, cells["wrong"]))

    matched = only(run.finished, penalty="fro2", method="adam", determinant="match", init="haar")
    matched = matched[matched["samples"] > matched["dimension"]]
    matched_cells, matched_wrong = counted(matched, matched["wrong"])
    logdet = only(run.block("grid"), penalty="logdet")
    logdet = logdet[logdet["samples"] > logdet["dimension"]]
    logdet_cells, logdet_crossed = counted(logdet, logdet["det_sign"] != logdet["det_sign_start"])
    verdict = verdicts.set_index("id")["verdict"].get("existence", "untested")
    return numbers | {
        "map-seeds": seeds(haar),
        "map-lrs": enumeration(map(setting, rates)),
        # From the twin and caught: relative deviation of the data loss from lambda (1 - s*)².
        "map-twin-loss-error": percent(median((trapped["fit"] / trapped["predicted_trap_loss"] - 1).abs()), 2),
        "map-margin": setting(MARGIN),
        # "Existence as observed ... reg > 2 lambda".
        "map-twin-word": {"supported": "agrees with", "untested": "cannot be compared with"}.get(
            verdict, "differs from"
        ),
        "map-capture-multiple": number(_capture_multiple(haar[haar["lr"] == low]), 2),
        "map-lr-low": setting(low),
        "map-lr-high": setting(high),
        # Of the cells above the threshold at that rate: "a of b".
        "map-lr-low-wrong": wrong_at(low),
        "map-lr-high-wrong": wrong_at(high),
        # The other way: fro2 with more samples than dimensions whose start matched.
        "cross-match-cells": matched_cells,
        "cross-match-wrong": matched_wrong,
        # logdet in block grid with more samples than dimensions: ended with another sign than it began with.
        "cross-logdet-cells": logdet_cells,
        "cross-logdet-crossed": logdet_crossed,
    }


def _capture_multiple(cells: pd.DataFrame) -> float:
    """Median over samples of: smallest reg with at least half of the runs caught, over 2 lambda (median over seeds)."""
    multiples = []
    for _, same in cells.groupby("samples"):
        share = same.groupby("reg")["wrong"].mean()
        if (share >= 0.5).any():
            threshold = theory.trap_threshold("fro2", float(same["lambda_min"].median()))
            multiples.append(share.index[share >= 0.5].min() / threshold)
    return median(pd.Series(multiples, dtype=float))


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
    return numbers


# The ledger and the cost.


def claims_numbers(verdicts: pd.DataFrame) -> dict[str, str]:
    words = verdicts.set_index("id")["verdict"]
    return {
        # The thread's five answers.
        **{f"verdict-{id}": words[id] for id in ("detached", "squares", "reg", "information", "determinant")},
        "claims-total": integer(len(CLAIMS)),
        "claims-supported": integer((words == "supported").sum()),
        "claims-refuted": integer((words == "refuted").sum()),
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
