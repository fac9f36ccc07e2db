"""Trapping: what the wrong side costs, where a wrong minimum exists, and which runs it catches."""

from __future__ import annotations

import pandas as pd

from ..claims.select import (
    attached,
    caught,
    crossed,
    deciding_pairs,
    floor_cells,
    floor_ratio,
    map_cells,
    only,
    random_starts,
    settled,
    wrong_side,
)
from ..claims.settings import FLOOR_TOLERANCE, MARGIN, NEAR, RECOVERY, SETTLED
from ..run import Run
from ..views import reads
from .format import (
    MISSING,
    code,
    counted,
    d3,
    enumeration,
    integer,
    listed,
    median,
    names,
    number,
    out_of,
    percent,
    seeds,
    setting,
    spread,
    word_of,
)
from .penalties import held_from, relative


def _agrees(verdicts: pd.DataFrame, claim: str) -> str:
    return word_of(
        verdicts, claim, supported="agrees with", refuted="differs from", untested="is not shown to agree with",
        missing="cannot be compared with",
    )  # fmt: skip


# The floor on the wrong side: block floor.


@reads("floor regimes", tables="traces")
def floor_numbers(run: Run, verdicts: pd.DataFrame) -> dict[str, str]:
    cells, held = run.block("floor"), floor_cells(run)
    cells = cells[cells["lambda_min"] > 0]
    uniform, whitened = only(held, inputs="uniform"), only(held, inputs="whitened")
    total, wrong = counted(cells, cells["wrong"])
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
        "floor-word": _agrees(verdicts, "floor"),
    }


# The trapping maps: fro2, mismatched, lambda > 0; above and below reg = 2 lambda of the cell itself.


@reads("map_twin map_haar", tables="traces")
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
    held = settled(run, above[above["wrong"]])
    below = haar[haar["threshold"] <= 1]
    undecided = above[(above["distance"] >= RECOVERY) & ~above["key"].isin(held["key"])]
    level = (held["fit"] / held["predicted_trap_loss"] - 1).abs() <= FLOOR_TOLERANCE
    early = twin[(twin["threshold"] <= 1) & twin["wrong"]]

    def caught_at(rate) -> str:
        return "{1} of {0}".format(*counted(only(above, lr=rate), only(held, lr=rate)["wrong"]))

    return numbers | {
        # Above the threshold: wrong-sided and settled, and recovered; the wrong-sided of the cells include those on their way.
        "map-haar-above-caught": integer(len(held)) if len(above) else MISSING,
        "map-haar-above-recovered": counted(above, above["distance"] < RECOVERY)[1],
        # The rest; and of those at rest on the wrong side the share within FLOOR_TOLERANCE of lambda (1 - s*)².
        "map-haar-above-undecided": integer(len(undecided)) if len(above) else MISSING,
        "map-haar-above-level": percent(level.mean(), 0) if len(held) else MISSING,
        "map-haar-below-caught": integer(len(settled(run, below[below["wrong"]]))) if len(below) else MISSING,
        "map-haar-below-recovered": counted(below, below["distance"] < RECOVERY)[1],
        "map-seeds": seeds(haar),
        "map-lrs": enumeration(map(setting, rates)),
        # From the twin, settled and wrong, 1 < reg/(2 lambda) ≤ NEAR: relative deviation of the data loss from lambda (1 - s*)².
        "map-twin-near": setting(NEAR),
        "map-twin-near-cells": integer(len(trapped)) if len(twin) else MISSING,
        "map-twin-loss-error": percent(median((trapped["fit"] / trapped["predicted_trap_loss"] - 1).abs()), 2),
        "map-margin": setting(MARGIN),
        # From the twin, below the threshold and wrong: within the margin of it.
        "map-twin-below-near": integer((early["threshold"] >= 1 / MARGIN).sum()) if len(twin) else MISSING,
        # "Existence as observed ... reg > 2 lambda".
        "map-twin-word": _agrees(verdicts, "existence"),
        "map-lr-low": setting(low),
        "map-lr-high": setting(high),
        # Of the cells above the threshold at that rate: "a of b".
        "map-lr-low-caught": caught_at(low),
        "map-lr-high-caught": caught_at(high),
    }


# Block capture: random starts with either determinant, by penalty and learning rate.


def _trend(counts: pd.Series) -> str:
    """Whether counts, in the order of the rates, fall, rise or neither; equal ones throughout are neither."""
    if counts.nunique() > 1 and (counts.is_monotonic_decreasing or counts.is_monotonic_increasing):
        return "fall" if counts.is_monotonic_decreasing else "rise"
    return "neither"


@reads("capture map_haar", tables="traces")
def capture_numbers(run: Run) -> dict[str, str]:
    cells = run.block("capture")
    cells = attached(cells[cells["lambda_min"] > 0])
    match, mismatch = (only(cells, determinant=name) for name in ("match", "mismatch"))
    wrong = match[caught(run, match)]
    logdet = only(cells, penalty="logdet")
    counts = caught(run, mismatch).groupby([mismatch["penalty"], mismatch["lr"]]).sum()
    trends = pd.Series({name: _trend(part) for name, part in counts.groupby(level=0)}, dtype=object)
    both = run.block("capture", "map_haar")
    slow = relative(only(mismatch, lr=mismatch["lr"].min()))
    return {
        "cap-seeds": seeds(cells),
        "cap-samples": listed(cells, "samples"),
        "cap-regs": listed(cells, "reg"),
        # Started with either sign: settled on the wrong side.
        "cap-match-caught": out_of(wrong, match),
        "cap-mismatch-caught": out_of(mismatch[caught(run, mismatch)], mismatch),
        # At the smallest rate: reg over lambda from which random starts end wrong.
        "cap-lr-low": setting(slow["lr"].min() if len(slow) else None),
        **{f"cap-from-{name}": held_from(only(slow, penalty=name)) for name in ("fro", "fro2")},
        # Penalties whose count of caught runs falls or rises with the rate, or does neither; pairs that decide claim rate.
        **{
            f"cap-rate-{word}": names(trends.index[trends == word]) if len(trends) else MISSING
            for word in ("fall", "rise", "neither")
        },
        "cap-rate-pairs": integer(
            len(deciding_pairs(run, both)) if (random_starts(both)["threshold"] > 1).any() else None
        ),
        "cap-match-by": enumeration(
            f"{code(name)} {out_of(wrong[wrong['penalty'] == name], same)}" for name, same in match.groupby("penalty")
        ),
        # Ended with another sign than they began with.
        "cap-logdet-crossed": out_of(logdet[crossed(logdet)], logdet),
    }


# The full cross: block grid.


@reads("grid")
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
