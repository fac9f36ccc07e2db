"""Identifiability: what k samples determine, which solution is found, and when the loss sees the determinant."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from .. import theory
from ..claims.select import block_size, fitted, law_error, only, thread_like
from ..claims.settings import RECOVERY
from ..run import Run
from ..views import reads
from .format import (
    MISSING,
    counted,
    d1,
    d2,
    d3,
    enumeration,
    integer,
    listed,
    median,
    number,
    out_of,
    percent,
    seeds,
    spread,
)

FEW = 0.25  # share of the dimension up to which a rank is called small
APART = 2.0  # two predictions closer than this many standard errors are not told apart


# The thread's size: block thread_b, and those cells of block identifiability that have it too.


@reads("thread_b identifiability")
def thread_size_numbers(run: Run) -> dict[str, str]:
    n, k = block_size(run, "thread_b")
    here = thread_like(run)
    squared = here["distance"] ** 2
    error = float(squared.std() / math.sqrt(len(squared))) if len(squared) > 1 else math.nan

    def distance(rank) -> float:
        return math.nan if n is None else float(theory.coset_distance(n, rank(n, k)))

    static, trained = distance(lambda n, k: k - 1) ** 2, distance(theory.effective_rank) ** 2
    separation = (static - trained) / error if error else math.nan
    nearer = "k-1" if abs(squared.mean() - static) < abs(squared.mean() - trained) else "k"
    if math.isnan(separation):
        rank = rf"which cannot be compared with the two ({MISSING})"
    elif separation > APART:
        rank = rf"nearer to the prediction of rank \ensuremath{{{nearer}}}; the two are {d1(separation)} standard errors apart"
    else:
        rank = f"but the two predictions are only {d1(separation)} standard errors apart and this mean cannot tell them apart"
    return {
        "ident-seeds": seeds(here),
        "ident-distance-median": d2(median(here["distance"])),
        "ident-distance-range": spread(here["distance"], d2),
        "ident-distance-predicted": d2(distance(theory.effective_rank)),
        "ident-distance-start-predicted": d2(distance(lambda n, k: 0)),
        # Squared distance: the two ranks' predictions, and mean and standard error over the seeds.
        "ident-square-static": integer(round(static)) if not math.isnan(static) else MISSING,
        "ident-square-trained": integer(round(trained)) if not math.isnan(trained) else MISSING,
        "ident-square-mean": d1(squared.mean()),
        "ident-square-error": d1(error),
        # "The measured mean is ..., ...".
        "ident-rank-phrase": rank,
        # ‖D x̂‖ along the mean direction.
        "ident-mean-direction-median": d3(median(here["mean_direction"])),
        "ident-mean-direction-range": spread(here["mean_direction"], d3),
        # Distances to the coset's point nearest the start, and to the start; the nearest's over the law's.
        "ident-nearest-median": d2(median(here["distance_nearest"])),
        "ident-start-median": d2(median(here["distance_start"])),
    }


@reads("identifiability transition")
def identifiability_numbers(run: Run) -> dict[str, str]:
    cells, transition = run.block("identifiability"), run.block("transition")
    both = run.block("identifiability", "transition")

    def first_recovered(**settings):
        """Smallest number of samples at which at least half of the runs of block transition recover."""
        share = only(transition, **settings).groupby("samples")["distance"].agg(lambda d: (d < RECOVERY).mean()) >= 0.5
        if share.empty:
            return MISSING
        return integer(share.idxmax()) if share.any() else "none of those tried"

    law = both[both["dimension"] - both["predicted_rank_effective"] >= 2]
    by_inputs = {name: fitted(only(law, inputs=name)) for name in ("whitened", "uniform")}
    # Transition, matching start: one free dimension with whitened inputs; full rank with uniform ones.
    matched = only(transition, determinant="match", init="haar")
    free = matched["dimension"] - matched["rank"]
    twin, full = only(matched[free == 1], inputs="whitened"), only(matched[free == 0], inputs="uniform")
    even = only(matched[free == 0], inputs="whitened")
    twin_cells, twin_wrong = counted(twin, twin["wrong"])
    full_cells, full_wrong = counted(full, full["wrong"])
    nearest = fitted(law)
    ratio = nearest["distance_nearest"] / nearest["predicted_distance"]
    r, n = nearest["predicted_rank_effective"], nearest["dimension"]
    # ‖S‖_F where plain regression ends (Proposition "detached").
    regression = (nearest["distance_nearest"] / np.sqrt(2 * r * (n - r) / n))[r <= FEW * n]
    return {
        "ident-law-seeds": seeds(cells),
        # Median relative deviation from the law √(2(n - r)), r = k for uniform and k - 1 for whitened inputs, n - r ≥ 2, over the
        # fitted cells of blocks identifiability and transition; how many there are.
        "ident-law-cells-whitened": out_of(by_inputs["whitened"], only(law, inputs="whitened")),
        "ident-law-cells-uniform": out_of(by_inputs["uniform"], only(law, inputs="uniform")),
        "ident-law-error-whitened": percent(median(law_error(by_inputs["whitened"])), 2),
        "ident-law-error-uniform": percent(median(law_error(by_inputs["uniform"])), 2),
        # The numbers of samples below n with a fitted uniform run, for each dimension.
        "ident-fitted-uniform": _samples(by_inputs["uniform"]) if len(law) else MISSING,
        # Of the same fitted cells: distance to the nearest solution over the law, Haar's value being 1.
        "ident-nearest-ratio": d2(median(ratio)),
        "ident-nearest-range": spread(ratio, d2),
        "ident-nearest-word": MISSING if ratio.empty else "less" if (ratio < 1).all() else "not always less",
        # The same over √(2r(n - r)/n), where r is at most FEW of the dimension.
        "ident-regression-few": percent(FEW, 0),
        "ident-regression-ratio": d2(median(regression)),
        "ident-regression-range": spread(regression, d2),
        "ident-transition-seeds": seeds(transition),
        "ident-transition-whitened": first_recovered(inputs="whitened", bias=True),
        "ident-transition-uniform": first_recovered(inputs="uniform", bias=True),
        # Started on the right side: one free dimension (whitened), full rank (uniform). The distance is of those that end wrong.
        "ident-twin-cells": twin_cells,
        "ident-twin-wrong": twin_wrong,
        "ident-twin-distance": d2(median(twin.loc[twin["wrong"], "distance"])),
        "ident-full-cells": full_cells,
        "ident-full-wrong": full_wrong,
        "ident-full-whitened": out_of(even[even["wrong"]], even),
        "ident-full-distance": d2(median(full.loc[full["wrong"], "distance"])),
        # Block transition: median data loss of uniform and whitened inputs at k = n.
        "ident-fit-n-whitened": number(median(_square(transition, "whitened")["fit"]), 2),
        "ident-fit-n-uniform": number(median(_square(transition, "uniform")["fit"]), 2),
    }


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


# Block fresh: the same number of samples a step, fixed or new ones.


@reads("fresh")
def fresh_numbers(run: Run) -> dict[str, str]:
    cells = only(run.block("fresh"), determinant="match")
    few = cells[cells["samples"] < cells["dimension"]]
    least = only(few, samples=few["samples"].min()) if len(few) else few
    distances = {name: only(least, sampling=name)["distance"] for name in ("fixed", "fresh")}
    back = {name: only(few, sampling=name) for name in ("fixed", "fresh")}
    return {
        "fresh-seeds": seeds(cells),
        "fresh-samples": listed(few, "samples"),
        "fresh-steps": listed(cells, "steps"),
        # With the fewest samples a step: distance to rhoᵀ, median and range over seeds and inputs, and the law's for fixed ones.
        "fresh-least": integer(least["samples"].min()) if len(least) else MISSING,
        "fresh-least-fixed": d2(median(distances["fixed"])),
        "fresh-least-fresh": number(median(distances["fresh"])),
        "fresh-least-fresh-range": spread(distances["fresh"]),
        "fresh-least-law": d2(float(np.median(theory.coset_distance(least["dimension"], least["samples"]))))
        if len(least)
        else MISSING,
        # Runs with fewer samples a step than dimensions that recover the target.
        "fresh-recovered": out_of(back["fresh"][back["fresh"]["distance"] < RECOVERY], back["fresh"]),
        "fresh-fixed-recovered": out_of(back["fixed"][back["fixed"]["distance"] < RECOVERY], back["fixed"]),
    }


# Regimes, by the rank recorded with each cell: medians over block regimes.


@reads("regimes")
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
