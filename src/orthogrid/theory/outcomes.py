"""Where a run ended, in one set of words: from what was measured on its final weight and what the theory says of its cell."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ..cells.shape import spec_name
from . import forms

# docs/outcomes.md says what each means.
OUTCOMES = ("recovered", "trapped", "unidentified", "decided wrong", "unfinished", "diverged")

NEAR = 0.2  # at a point: within this distance of it, where the twin is at 2 from the target
SOLVED = 1e-3  # a network is at its target, too, where its relative loss is below this
FLAT = 1e-3  # the largest gradient_norm at which a run without a known point rests
ALIGNED = 0.9  # the least overlap of a reflection with an eigenvector


def with_outcomes(cells: pd.DataFrame, predictions: pd.DataFrame) -> pd.DataFrame:
    """A run's cells with the column `outcome`; empty where a cell has no row."""
    known = predictions.set_index("key")[["trap_threshold", "trap_position"]].add_prefix("predicted_")
    return cells.assign(outcome=classify(cells.join(known, on="key")))


def classify(cells: pd.DataFrame) -> pd.Series:
    """The outcome of each cell, from cells.csv's columns and the predictions of its trap."""
    determined = cells["lambda_min"] > 0
    network = cells["model"] != "linear"
    recovered = (determined & (cells["distance"] <= NEAR)) | (network & (cells["relative_loss"] < SOLVED))
    trapped = determined & (distance_to_trap(cells) <= NEAR)
    position = cells["predicted_trap_position"]
    resting = (cells["gradient_norm"] <= FLAT) & (cells["curvature"] > 0) & (cells["overlap"] >= ALIGNED)
    unknown = position.isna() & cells["predicted_trap_threshold"].isna()
    trapped |= determined & unknown & resting & (cells["position"] < 0)
    unidentified = (cells["lambda_min"] == 0) & (cells["distance_seen"] <= NEAR)
    decided = (determined | network) & (cells["det_sign"] * cells["det_sign_target"] < 0) & below_certificate(cells)
    chosen = np.select(
        [cells["status"] == "diverged", cells["status"] != "ok", recovered, trapped, unidentified, decided],
        ["diverged", "", "recovered", "trapped", "unidentified", "decided wrong"],
        "unfinished",
    )
    return pd.Series(chosen, index=cells.index)


def below_certificate(cells: pd.DataFrame) -> pd.Series:
    """Whether the total loss is below what any singular weight pays: the flow keeps such a run's side (Corollary "certificate")."""
    paid = cells["penalty"].map(spec_name).map(forms.SINGULAR_PENALTY) * cells["reg"]
    return cells["fit"] + cells["reg"] * cells["penalty_value"] < paid


def distance_to_trap(cells: pd.DataFrame) -> pd.Series:
    """‖M - (I - (1 - s*) vvᵀ)‖_F, v in the smallest eigenvalue's space; NaN where there is no such point or the run is not near it.

    With the measured s, y: the part beyond the path, the part along it, and that of y beside v.
    """
    s, known = cells["position"], cells["predicted_trap_position"]
    aside = (1 - s) * (1 - known) * 2 * (1 - cells["overlap"]).clip(lower=0)
    distance = np.sqrt(cells["off_path"] ** 2 + (s - known) ** 2 + aside)
    return distance.where((cells["reflection"] == 0) & (s < 0))
