"""What the explorer's page holds of a run: a header in words, and columns of numbers in as few bytes as a plot needs."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from ...cells.cell import AXES
from ...run.run import Run
from ...theory.outcomes import OUTCOMES

POINTS = 24  # of a trace that are kept
TRACED = {"fit": "data loss", "orthogonality_fro": "‖S‖ (Frobenius)", "distance": "distance to the target"}
# What a dot can be placed or coloured by, beside the axes: column → (what it is called, the law that says it, of which outcome: of any, if empty).
MEASURES: dict[str, tuple[str, str, str]] = {
    "trap_ratio": ("γ / trap threshold (fro2: γ/2λ)", "", ""),
    "capture_ratio": ("γ / capture threshold (fro2: γ/2μ)", "", ""),
    "distance": ("distance to the target, ‖W − rhoᵀ‖", "predicted_distance", "unidentified"),
    "distance_seen": ("distance within what the samples see", "", ""),
    "distance_start": ("distance from the start", "", ""),
    "fit": ("data loss", "", ""),
    "loss": ("loss, with the penalty", "predicted_trap_loss", "trapped"),
    "orthogonality_fro": ("‖S‖ (Frobenius), S = WWᵀ − I", "", ""),
    "mean_s": ("mean |S| of an entry", "predicted_mean_s", ""),
    "position": ("position s on the path: 1 target, −1 twin", "predicted_trap_position", "trapped"),
    "off_path": ("distance from the path", "", ""),
    "overlap": ("overlap with the weakest direction", "", ""),
    "sigma_min": ("smallest singular value of W", "", ""),
    "sigma_max": ("largest singular value of W", "", ""),
    "gradient_norm": ("gradient norm at the end", "", ""),
    "curvature": ("curvature across, at the end", "", ""),
    "lambda_min": ("λ, smallest eigenvalue of the Gram matrix", "", ""),
    "predicted_lambda_max": ("μ, largest eigenvalue of the Gram matrix", "", ""),
    "seconds": ("seconds of a core", "", ""),
}
# What is read beside these.
READ = ("predicted_capture_threshold", "predicted_l1_floor", "penalty_value", "orthogonality_l1", "outcome")


def pack(run: Run) -> tuple[dict[str, Any], bytes]:
    """Header and data. The header says at which byte each column begins, how long it is and of what type."""
    cells = _measured(run.derived)
    arrays: dict[str, np.ndarray] = {}
    axes = []
    for name, axis in AXES.items():
        values = sorted(cells[name].unique().tolist())
        arrays[f"axis {name}"] = cells[name].map({value: i for i, value in enumerate(values)}).to_numpy(np.uint16)
        axes.append({
            "name": name, "values": values, "default": axis.default, "numeric": axis.kind in (int, float),
            "whole": axis.kind is int, "minimum": axis.minimum, "about": axis.description,
        })  # fmt: skip
    outcomes = [*OUTCOMES, "missing"]
    ended = cells["outcome"].where(cells["outcome"].isin(OUTCOMES), "missing")
    arrays["outcome"] = ended.map({name: i for i, name in enumerate(outcomes)}).to_numpy(np.uint16)
    measures = []
    for name, (label, law, of) in MEASURES.items():
        values = cells[name].to_numpy(float)
        if not np.isfinite(values).any():
            continue
        with np.errstate(over="ignore"):
            arrays[f"measure {name}"] = values.astype(np.float32)
        if law:
            arrays[f"law {name}"] = cells[law].to_numpy(np.float32)
        known = values[np.isfinite(values)]
        wide = bool((known > 0).all() and known.max() > 20 * known.min())
        measures.append({"name": name, "label": label, "log": wide, "law": bool(law), "of": of})
    arrays["key"] = np.frombuffer(bytes.fromhex("".join(cells["key"])), np.uint8)
    place = pd.Series(np.arange(len(cells)), index=cells["key"])
    questions = {block.name: block.question for block in run.config.blocks}
    blocks = []
    for name, keys in run.membership.groupby("block", sort=False)["key"]:
        arrays[f"block {name}"] = place[keys].to_numpy(np.uint32)
        blocks.append({"name": name, "question": questions.get(str(name), "")})
    arrays |= _thinned(run.traces, place)
    columns, data = _laid_out(arrays)
    header = {
        "run": run.config.run, "title": run.config.title, "config": shlex.quote(run.config.source or "FILE"), "cells": len(cells),
        "axes": axes, "measures": measures, "outcomes": outcomes, "blocks": blocks, "columns": columns,
        "traced": [{"name": name, "label": label} for name, label in TRACED.items()],
    }  # fmt: skip
    return header, data


def _measured(cells: pd.DataFrame) -> pd.DataFrame:
    """With what is computed of other columns; a column that a run lacks is empty."""
    laws = [law for _, law, _ in MEASURES.values() if law]
    cells = cells.reindex(columns=list(dict.fromkeys([*cells.columns, *MEASURES, *laws, *READ])))
    reg = cells["reg"]
    with np.errstate(divide="ignore", invalid="ignore"):
        return cells.assign(
            loss=cells["fit"] + reg * cells["penalty_value"],
            mean_s=cells["orthogonality_l1"] / cells["dimension"] ** 2,
            predicted_mean_s=cells["predicted_l1_floor"] / cells["dimension"] ** 2,
            trap_ratio=_finite(cells["reg_over_threshold"]),
            capture_ratio=_finite(reg / cells["predicted_capture_threshold"]),
        )


def _finite(values: pd.Series) -> pd.Series:
    return values.where(np.isfinite(values) & (values > 0))


def _thinned(traces: pd.DataFrame, place: pd.Series) -> dict[str, np.ndarray]:
    """Of each cell's trace at most so many points, by their order: where each cell's begin, steps, values, signs."""
    traces = traces.assign(cell=traces["key"].map(place)).sort_values(["cell", "step"], kind="stable")
    rank = traces.groupby("cell").cumcount()
    count = traces.groupby("cell")["step"].transform("size")
    # The first and the last are kept, and evenly many between: logged steps stand closer at the beginning.
    kept = (rank * (POINTS - 1) // (count - 1).clip(lower=1)).astype(int)
    new = kept.ne(kept.groupby(traces["cell"]).shift()) | (rank == count - 1) | (count <= POINTS)
    traces = traces[new]
    sizes = traces.groupby("cell").size().reindex(range(len(place)), fill_value=0)
    return {
        "trace begins": np.concatenate([[0], np.cumsum(sizes)]).astype(np.uint32),
        "trace step": traces["step"].to_numpy(np.uint32),
        **{f"trace {name}": _short(traces[name]) for name in TRACED},
        "trace det_sign": traces["det_sign"].fillna(0).to_numpy(np.int8),
    }


def _short(values: pd.Series) -> np.ndarray:
    """The upper half of each float32, rounded: two digits, all that a plot shows."""
    with np.errstate(over="ignore"):  # what overflows is infinite, and not drawn
        bits = values.to_numpy(np.float64).astype(np.float32).view(np.uint32)
    return np.where(np.isfinite(values), (bits + 0x8000) >> 16, 0x7FC0).astype(np.uint16)


def _laid_out(arrays: dict[str, np.ndarray]) -> tuple[dict[str, Sequence[Any]], bytes]:
    """The columns one after the other, each from a multiple of four bytes: name → (type, first byte, length)."""
    columns: dict[str, Sequence[Any]] = {}
    data = bytearray()
    for name, array in arrays.items():
        data += bytes(-len(data) % 4)
        columns[name] = [array.dtype.name, len(data), len(array)]
        data += array.astype(array.dtype.newbyteorder("<")).tobytes()
    return columns, bytes(data)
