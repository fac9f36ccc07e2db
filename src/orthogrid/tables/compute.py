"""What training costs beside other ways to do it, and what the workflow adds."""

from __future__ import annotations

import pandas as pd

from ..bench import FLOOR, KEYS, OURS, PART, WHOLE, thread_size
from ..numbers.format import MISSING, d2, integer, number, text
from ..run import Run
from ..views import reads
from .layout import longtable, tabular

PEERS = ("torch.func.vmap", "JAX jit + vmap + scan", "thread's loop", "thread's loop, slogdet each step")
HEADS = ("vmap", "JAX", "loop", "loop, slogdet")


@reads(tables="bench")
def bench_peers(run: Run, verdicts: pd.DataFrame) -> str:
    """By task: milliseconds of the floor, and every way to train as a ratio to it."""
    steps = thread_size(run.bench)
    steps = steps[steps["penalty"].isin(["fro2", "l1"])]
    rows = []
    for _, own in steps.groupby("device", sort=False):
        compared = own[own["what"].isin([WHOLE, *PEERS])]
        tasks = compared[KEYS].drop_duplicates().sort_values(["samples", "penalty", "batch"], key=_penalties_as_read)
        for task in tasks.itertuples(index=False):
            same = own[(own[KEYS] == list(task)).all(axis=1)].groupby("what")
            floor, ratio = same["milliseconds"].median(), same["ratio_to_floor"].median()
            rows.append(
                [integer(task.samples), rf"\texttt{{{text(task.penalty)}}}", integer(task.batch), d2(floor[FLOOR])]
                + [_ratio(ratio.get(what)) for what in (OURS, WHOLE, *PEERS)]
            )
        rows.append([])
    head = ["$k$", "Penalty", "Batch", "Floor (ms)", "Step", "Training", *HEADS]
    return tabular("rlrrrrrrrr", head, rows[:-1])


def _penalties_as_read(column: pd.Series) -> pd.Series:
    return column.map({"fro2": 0, "l1": 1}) if column.name == "penalty" else column


@reads(tables="bench")
def bench_parts(run: Run, verdicts: pd.DataFrame) -> str:
    """The parts of a step of ours, other penalties, and other ways to keep a weight orthogonal."""
    steps = thread_size(run.bench)
    others = ~steps["what"].isin([FLOOR, WHOLE, *PEERS]) & ~(
        (steps["what"] == OURS) & steps["penalty"].isin(["fro2", "l1"])
    )
    rows = []
    for _, own in steps[others].groupby("device", sort=False):
        kind = own["what"].map(lambda what: 0 if what.startswith(PART) else 1 if what == OURS else 2)  # methods last
        for row in own.assign(kind=kind).sort_values(["kind", "samples"], kind="stable").itertuples():
            what = row.what.removeprefix(PART)
            what = rf"step with \texttt{{{text(row.penalty)}}}" if row.what == OURS else text(what)
            rows.append([what, integer(row.samples), number(row.milliseconds), _ratio(row.ratio_to_floor), _range(row)])
        rows.append([])
    return tabular("lrrrr", ["What", "$k$", "ms a cell", "Ratio", "Range"], rows[:-1])


def _ratio(value) -> str:
    return MISSING if value is None or pd.isna(value) else number(value, 3) if value < 100 else integer(round(value))


def _range(row) -> str:
    return f"{_ratio(row.ratio_low)}--{_ratio(row.ratio_high)}"


@reads(tables="bench")
def bench_workflow(run: Run, verdicts: pd.DataFrame) -> str:
    """What the workflow costs beside its training, and memory. Of the small run, whose jobs are all start, the totals."""
    told = run.bench["value"].notna() & ~run.bench["what"].str.match("smoke.*(: job |one more)")
    rows = []
    for row in run.bench[told].itertuples():
        what = text(row.what)
        if row.what == "peak memory":
            what += f", $n={integer(row.dimension)}$, $k={integer(row.samples)}$, batch {integer(row.batch)}"
        rows.append([what, integer(row.cells), number(row.value), text(row.unit) if isinstance(row.unit, str) else ""])
    return longtable("lrrl", ["What", "Cells", "Value", "Unit"], rows)
