"""What training costs, from the benchmark: ratios to two plain products of the cell's size."""

from __future__ import annotations

import math

import pandas as pd

from ..bench import OURS, PART, WHOLE, thread_size
from ..run import Run
from ..views import reads
from .format import MISSING, d2, d3, integer, number, spread, text


@reads(tables="bench")
def bench_numbers(run: Run) -> dict[str, str]:
    """Of the first device; a dash for whatever was not measured."""
    bench = run.bench
    devices = list(dict.fromkeys(bench["device"].dropna()))
    bench = bench[bench["device"].isin(devices[:1])]
    steps = thread_size(bench)
    samples = sorted(steps.loc[steps["what"] == WHOLE, "samples"].unique())
    few, many = (samples[0], samples[-1]) if samples else (math.nan, math.nan)

    def ratio(what: str, k: float, penalty: str, batch: float = 8) -> float:
        found = steps[
            (steps["what"] == what)
            & (steps["samples"] == k)
            & (steps["penalty"] == penalty)
            & (steps["batch"] == batch)
        ]
        return float(found["ratio_to_floor"].median()) if len(found) else math.nan

    def value(what: str) -> float:
        found = bench.loc[bench["what"] == what, "value"]
        return float(found.median()) if len(found) else math.nan

    elementwise = steps[(steps["what"] == OURS) & (steps["samples"] == few) & (steps["batch"] == 8)]
    elementwise = elementwise[elementwise["penalty"] != "fro2"]["ratio_to_floor"] / ratio(OURS, few, "fro2")
    loop = steps[(steps["what"] == "thread's loop") & (steps["samples"] == few) & (steps["penalty"] == "fro2")]
    return {
        "bench-device": text(devices[0]) if devices else MISSING,
        "bench-torch": text(bench["torch"].iloc[0]) if len(bench) else MISSING,
        "bench-cores": integer(bench["cores"].max() if len(bench) else None),
        "bench-runs": integer(bench["started"].nunique() if len(bench) else None),
        "bench-dimension": integer(steps["dimension"].max() if len(steps) else None),
        "bench-few": integer(few),
        "bench-many": integer(many),
        "bench-step-few": d2(ratio(OURS, few, "fro2")),
        "bench-whole-few": d2(ratio(WHOLE, few, "fro2")),
        "bench-step-many": d2(ratio(OURS, many, "fro2")),
        "bench-whole-many": d2(ratio(WHOLE, many, "fro2")),
        "bench-elementwise": spread(elementwise, d2),
        "bench-vmap": d2(ratio("torch.func.vmap", few, "fro2")),
        "bench-jax": d2(ratio("JAX jit + vmap + scan", few, "fro2")),
        "bench-loop": d2(float(loop["ratio_to_floor"].median()) if len(loop) else math.nan),
        "bench-symmetric": d3(ratio(f"{PART}symmetric product by lower blocks", few, "fro2")),
        "bench-general": d3(ratio(f"{PART}general product", few, "fro2")),
        "bench-data": d3(ratio(f"{PART}data gradient", few, "fro2")),
        "bench-adam": d3(ratio(f"{PART}Adam", few, "fro2")),
        "bench-logged": d2(ratio(f"{PART}metrics of one logged step", few, "fro2")),
        "bench-plan": number(value("10000 cells: dry run"), 2),
        "bench-resume": number(value("10000 cells: resume from the journal"), 2),
        "bench-rate": number(value("smoke: cells a minute, whole run")),
        "bench-outside": _percent(value("default: training jobs: share outside training")),
        "bench-more-rows": number(value("default, one more reg: beyond its cells, until the rows are there"), 2),
        "bench-more-paper": number(value("default, one more reg: beyond its cells, until the paper is there"), 2),
    }


def _percent(value: float) -> str:
    return MISSING if pd.isna(value) else number(100 * value, 2) + r"\,\%"
