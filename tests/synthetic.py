"""A run as theory and thread would have it, and changes of it: what the claims are tested on."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable

import numpy as np
import pandas as pd
from conftest import ROOT

from orthogrid.cells.cell import Cell
from orthogrid.cells.components import having
from orthogrid.cells.config import Block, Config
from orthogrid.cells.shape import spec_name, spec_options
from orthogrid.jobs.files import read_table
from orthogrid.run.run import Run
from orthogrid.run.thread import LOG_A, LOG_B_CLOSING
from orthogrid.sections import CLAIMS
from orthogrid.theory import forms as theory

LOGS = [read_table(ROOT / "data" / "thread" / f"log_{name}.csv") for name in "ab"]
LAMBDA, MU = 1.0, 100.0  # of every cell of full rank; MU with uniform inputs

# The blocks as the configs have them, smaller, and with enough seeds for every interval.

METHODS = having("method", constrains=True)
CURES = ("reg_ramp", "reflection", "lifted")
SMALL = {"dimension": 20, "samples": 40}


def cross(name: str, **axes) -> Block:
    """A block without the config's checks."""
    values = [value if isinstance(value, list | tuple | range) else [value] for value in axes.values()]
    cells = [Cell(**dict(zip(axes, combination, strict=True))) for combination in itertools.product(*values)]
    return Block(name, "", tuple(cells))


def constrained(name: str, **axes) -> list[Block]:
    """Constrained methods and Adam, as `Cell` has them."""
    return [
        cross(name, method=METHODS, penalty="none", reg=0.0, **axes),
        cross(name, method="adam", penalty="fro2", **axes),
    ]


BOTH, SIDES, KINDS = ["constant", "cosine"], ["match", "mismatch"], ["uniform", "whitened"]
FRONTS = {"penalty": ["l1", "fro2", "fro"], "reg": [0.1, 1.0, 10.0], "schedule": BOTH, "seed": range(1, 5)}
WRONG_STARTS = {**SMALL, "determinant": "mismatch"}
KIND = ("", ",more=1", ",fewer=2")  # as many outputs as inputs, more, fewer
TALL = [f"rectangular(generic=1{kind},start={start})" for kind in KIND for start in (1, 2)]
CONFIG = Config("synthetic", "", "cpu", False, 1, "results", (), (
    cross("thread_b", seed=[2021, 1, 2, 3]),
    cross("thread_a", penalty="l1_detached", reg=0.001, steps=10_000, seed=range(1, 5)),
    cross("ablation", penalty=["l1_detached", "l1", "fro2_detached", "fro2"], reg=[0.001, 1000.0], seed=[2021, 1, 2]),
    cross("convergence", dimension=50, samples=3, steps=[1000, 4000], **FRONTS),
    cross("convergence_sgd", dimension=50, samples=3, steps=[1000, 4000], method="sgd", **FRONTS),
    cross("large_convergence", dimension=100, samples=6, **FRONTS),
    cross("penalties", dimension=40, samples=[10, 80], penalty=["l1", "fro2", "fro", "huber(delta=0.01)", "coherence", "offdiag"], reg=[0.1, 10.0], schedule=BOTH, seed=range(1, 4)),
    cross("rates", penalty=["l1", "fro2"], dimension=[32, 64, 128], samples=10, lr=[3e-4, 1e-3, 3e-3], schedule=BOTH, seed=range(1, 4)),
    cross("beta1", dimension=[16, 32], samples=2, penalty="l1", reg=100.0, method=["adam(beta1=0)", "adam(beta1=0.5)", "adam(beta1=0.8)", "adam"], seed=range(1, 5)),
    cross("precision", **SMALL, dtype=["float64", "float32", "tf32", "bfloat16"], penalty=["fro2", "l1"], seed=range(1, 4)),
    cross("precision", **WRONG_STARTS, dtype=["float64", "float32", "tf32", "bfloat16"], reg=[1.0, 64.0], seed=range(1, 9)),
    cross("identifiability", dimension=200, samples=[12, 100, 250], inputs=KINDS, seed=range(1, 5)),
    cross("transition", dimension=40, samples=[5, 20, 39, 40, 41, 80], inputs=KINDS, bias=[True, False], seed=range(1, 5)),
    cross("fresh", dimension=50, samples=[10, 30], inputs="whitened", sampling=["fixed", "fresh"], seed=range(1, 4)),
    cross("regimes", dimension=20, inputs="whitened", samples=[10, 20, 21, 40], bias=False, determinant=SIDES, seed=range(1, 5)),
    cross("floor", **WRONG_STARTS, inputs=KINDS, reg=300.0, seed=range(1, 29)),
    cross("existence", **WRONG_STARTS, inputs=KINDS, reg=[1.0, 30.0], init="twin", method=["sgd", "adam"], dtype="float64", seed=range(1, 31)),
    cross("map_twin", **WRONG_STARTS, reg=[0.1, 1.0, 10.0, 100.0], init="twin", seed=range(1, 9)),
    cross("map_haar", **SMALL, reg=[0.1, 1.0, 10.0, 30.0, 1000.0], determinant=SIDES, seed=range(1, 31)),
    cross("law", **WRONG_STARTS, bias=False, init="twin", penalty=["l1", "fro", "fro2", "logdet"], reg=[2.0**i for i in range(-7, 8)], schedule="cosine", seed=range(1, 31)),
    cross("law_long", **WRONG_STARTS, bias=False, init="twin", penalty="coherence", reg=[2.0**i for i in range(-2, 8)], schedule="cosine", steps=2000, seed=range(1, 31)),
    cross("precision_side", **WRONG_STARTS, dtype=["float64", "float32", "tf32", "bfloat16"], reg=50.0, seed=range(1, 9)),
    cross("capture_white", **SMALL, inputs="whitened", reg=[1.0, 10.0], determinant=SIDES, seed=range(1, 26)),
    cross("capture_norms", dimension=12, samples=24, inputs="whitened", penalty=["fro", "nuclear"], reg=[2 * LAMBDA * f for f in (0.5, 0.9, 1.1, 1.5, 1.9, 2.1, 3.0)], determinant="mismatch", seed=range(1, 6)),
    cross("capture", **SMALL, bias=False, penalty=["fro2", "l1"], reg=[1.0, 10.0, 30.0, 1000.0], determinant=SIDES, seed=range(1, 31)),
    cross("bound", **SMALL, bias=False, inputs=["uniform", "words"], reg=1000.0, determinant=SIDES, seed=range(1, 16)),
    cross("heavy", **SMALL, bias=False, reg=[10.0, 20.0], determinant=SIDES, method="sgd", seed=range(1, 51)),
    cross("first_step", dimension=[60, 120], samples=240, inputs=["uniform", "normal"], bias=False, reg=300.0, lr=[0.003, 0.08], warmup=[0, 50], steps=50, seed=range(1, 16)),
    cross("tall", dimension=8, samples=32, model=TALL, penalty=["fro2", "fro"], reg=10.0, steps=100, seed=range(1, 31)),
    cross("tall_l1", dimension=8, samples=32, model=TALL, penalty="l1", reg=1.0, steps=100, seed=range(1, 31)),
    cross("tall_noise", **SMALL, noise=0.3, penalty="fro2", reg=30.0, determinant=SIDES, method=["adam", "lifted"], seed=range(1, 31)),
    cross("constraints", **WRONG_STARTS, inputs="whitened", method=["torch_exp", "torch_exp(rows=1)", "geotorch(rows=1)"], seed=range(1, 11)),
    cross("row_weight", **WRONG_STARTS, reg=[10.0, 30.0], init="twin", method=["lifted", "lifted(weight=1.5)", "lifted(weight=3)"], seed=range(1, 31)),
    cross("stiff", dimension=16, samples=240, inputs=["digits", "words"], reg=3000.0, determinant=SIDES, method=["adam", "lifted"], seed=range(1, 21)),
    cross("real_twin", **WRONG_STARTS, inputs=["digits", "words"], reg=[1.0, 30.0], init="twin", seed=range(1, 31)),
    cross("real", dimension=16, samples=400, inputs=["digits", "words"], reg=[1.0, 30.0, 600.0], determinant=SIDES, method=["adam", "lifted"], seed=range(1, 21)),
    cross("networks", dimension=6, samples=120, inputs="normal", model=["relu2", "relu2(free=1)"], determinant=SIDES, steps=100, seed=range(1, 31)),
    cross("networks_row", dimension=6, samples=120, inputs="normal", model=["relu2", "relu2(free=1)"], method="lifted", steps=100, seed=range(1, 31)),
    cross("recurrent", dimension=6, samples=24, inputs="normal", model="recurrent", determinant=SIDES, steps=100, seed=range(1, 31)),
    cross("recurrent_row", dimension=6, samples=24, inputs="normal", model="recurrent", method="lifted", steps=100, seed=range(1, 31)),
    cross("noise", **WRONG_STARTS, inputs="whitened", noise=[0.0, 0.3], reg=[0.3, 10.0], init="twin", seed=range(1, 31)),
    *constrained("methods", dimension=20, samples=[10, 40], determinant=SIDES, inputs="whitened", schedule="cosine", lr=[0.003, 0.03], seed=range(1, 8)),
    *constrained("step_cost", steps=5, seed=1),
    cross("cures", **WRONG_STARTS, inputs="whitened", reg=32.0, method=["adam", *CURES], steps=[500, 2000], seed=range(1, 11)),
    cross("cures_uniform", **WRONG_STARTS, reg=[32.0, 64.0], method=["adam", *CURES], steps=2000, seed=range(1, 12)),
    cross("large_white", dimension=30, samples=45, inputs="whitened", reg=[1.0, 10.0], determinant=SIDES, seed=range(1, 7)),
    cross("large_trap", dimension=30, samples=45, reg=[1.0, 10.0], determinant=SIDES, seed=range(1, 7)),
    cross("large_cure", dimension=30, samples=45, reg=10.0, determinant="mismatch", method="lifted", steps=300, seed=range(1, 7)),
), "config/synthetic.yaml")  # fmt: skip
MEMBERS = pd.DataFrame(CONFIG.membership, columns=["block", "key"]).drop_duplicates()


@functools.cache
def block(name: str) -> frozenset[str]:
    return frozenset(MEMBERS.loc[MEMBERS["block"] == name, "key"])


LAW = {"fro": 1.0, "fro2": 1.0, "l1": 0.1, "coherence": 10.0, "logdet": 0.0}  # reg over 2 lambda that holds the twin
NOISY = float(theory.noisy_threshold(LAMBDA, 0.7))  # the weight that does so with noise in the targets
ONE_LOSS = block("tall") | block("tall_l1") | block("tall_noise")  # whose total losses are compared
SADDLES = block("floor")  # of which the runs with uniform inputs rest beside a saddle


def slow_side(cell: Cell) -> float:
    """The sign that decides where directions weigh apart: half of the seeds each."""
    return 1.0 if cell.seed % 2 else -1.0


def counts(cell: Cell) -> float:
    """How often a new row's data loss counts."""
    return spec_options(cell.method).get("weight", 1.0)


def ends_wrong(cell: Cell, rank: int) -> bool:
    """The side on which theory and expectation see a run."""
    mismatch, threshold = cell.determinant == "mismatch", cell.reg / (2 * LAMBDA)
    name = spec_name(cell.method)
    if cell.model != "linear":
        return mismatch and cell.method == "adam" and "free" not in cell.model
    if cell.key in block("heavy"):
        return mismatch != (slow_side(cell) < 0)
    if cell.key in block("row_weight"):
        return counts(cell) > theory.row_weight_bound(theory.trap_position(cell.reg, LAMBDA))
    if "rows" in cell.method:
        return False
    if name not in ("adam", "sgd"):
        return mismatch and name not in (*CURES, "procrustes", "polar")
    if rank < cell.dimension:
        return mismatch
    if cell.noise:
        return cell.reg > NOISY
    if cell.init == "twin":
        return threshold > LAW.get(spec_name(cell.penalty), 1.0)
    if cell.key in block("capture_norms"):
        return threshold > {"nuclear": 1.0, "fro": 2.0}[cell.penalty]
    if cell.key in block("capture") | block("map_haar") and threshold > 1 and cell.reg < 2 * MU:
        return slow_side(cell) < 0
    if cell.key in block("map_haar") and cell.reg > 2 * MU and cell.seed % 4 == 0:
        return not mismatch  # with a bias some change their side
    return mismatch and threshold > 1


def left_over(cell: Cell) -> float:
    """Sum |S| at the end: what a constant rate leaves of absolute values, and less of squares or under a decaying rate."""
    name, penalty, n = spec_name(cell.method), spec_name(cell.penalty), cell.dimension
    if name in METHODS:
        return (1e-6 if name in having("method", keeps="on") else 1e-4) * n**1.5
    rough = ("l1", "fro", "offdiag")
    size = float(theory.l1_floor(n, cell.lr, spec_options(cell.method).get("beta1", 0.9)))
    size *= 1.0 if penalty in rough else 0.01
    if cell.schedule == "cosine":
        size *= {"l1": 1e-3, "fro": 1e-4}.get(penalty, 1.0)
    return size * {"float64": 1e-3, "tf32": 10.0, "bfloat16": 100.0}.get(cell.dtype, 1.0)


def ideal_cell(cell: Cell) -> dict:
    """A row as theory and thread would have it, with a little scatter over seeds."""
    n, k = cell.dimension, cell.samples
    scattered = 1 + 1e-4 * np.random.default_rng(cell.seed).standard_normal()
    rank = n if cell.sampling == "fresh" else min(n, k - 1 if cell.bias or cell.inputs == "whitened" else k)
    effective = theory.effective_rank(n, k, cell.inputs, cell.sampling)
    network = cell.model != "linear"
    lam = math.nan if network else LAMBDA if rank == n else 0.0
    law = float(theory.coset_distance(n, effective))
    detached = cell.penalty in ("l1_detached", "fro2_detached")
    name, penalty = spec_name(cell.method), spec_name(cell.penalty)
    wrong = ends_wrong(cell, rank)
    trap = float(theory.trap_loss(cell.reg, lam)) if lam and cell.reg else math.nan
    beside = cell.key in SADDLES and cell.inputs == "uniform"  # the reflection of a larger eigenvalue
    paid = 5 * lam if beside else trap if penalty == "fro2" and name in ("adam", "sgd") and trap > 0 else 4 * lam
    trapped = wrong and lam > 0 and not beside
    jitter = left_over(cell) * scattered
    fro = 3.0 if detached or (cell.reg <= LOG_A.reg and name == "adam") else jitter / n
    known = 2 * lam * LAW.get(penalty, math.nan) if lam else math.nan
    mu = lam if cell.inputs == "whitened" else MU * lam
    sign = -1 if cell.determinant == "mismatch" else 1
    jumps = cell.inputs == "uniform" and not cell.warmup and theory.first_step_factor(cell.lr, n) < 0
    if cell.model.startswith("rectangular"):  # the starts of a square or wide one end apart
        paid, jitter = 1.0 + (0.0 if "more" in cell.model else spec_options(cell.model)["start"]), 0.0
    if cell.noise and cell.method == "adam" and cell.key in block("tall_noise"):
        paid = 1.0 if cell.determinant == "match" else 2.0
    return {
        "key": cell.key, **cell.settings, "status": "ok", "seconds": 1.0, "device": "cpu (synthetic)", "torch": "2", "code": "0",
        "fit": paid * scattered if (wrong and lam) or cell.key in ONE_LOSS else 1e-6, "orthogonality_fro": fro,
        "orthogonality_l1": 3030.0 * scattered if detached else jitter,  # between the printed plateau and the closed form
        "distance": scattered * (2.0 if wrong and rank >= n - 1 else law if rank < n - 1 else 0.0),
        "distance_rho": math.sqrt(2 * n), "distance_twin": 0.0, "distance_start": 1.0, "distance_nearest": 0.7 * law,
        "distance_l1": float(theory.entrywise_l1(n, 2 * (n - effective))), "distance_rho_l1": float(theory.entrywise_l1(n, 2 * n)),
        "mean_direction": 0.05 * scattered if k < n else math.nan, "det_sign": -1 if wrong else 1,
        "det_sign_start": -1 if cell.determinant == "mismatch" else 1, "det_sign_target": 1, "lambda_min": lam, "rank": rank,
        "distance_seen": 0.0, "gradient_norm": 1e-6, "curvature": -1.0 if beside else 1.0,
        "position": -1.0 if wrong else 1.0, "reflection": float(beside) if wrong else math.nan, "overlap": 1.0 if wrong else math.nan,
        "off_path": 0.05 if beside else 0.0, "start_cosine": 0.6 * slow_side(cell), "det_sign_least_squares": 1,
        "relative_loss": 0.4 if network and wrong else 0.0, "penalty_value": jitter,
        "first_sign": sign * (-1 if jumps else 1),
        "outcome": ("decided wrong" if wrong else "recovered") if network else "unidentified" if not lam else "trapped" if trapped else "unfinished" if wrong else "recovered",
        "seconds_per_step": 1e-6 * n**2.5 * (10.0 if name in having("method", parametrizes=True) else 1.0),
        "predicted_rank_effective": effective, "predicted_distance": law, "predicted_trap_loss": trap, "predicted_w_max2": 0.1, "predicted_w_l1": 3.0,
        "predicted_trap_threshold": NOISY if cell.noise else known, "predicted_lambda_max": mu, "predicted_capture_threshold": 2 * mu,
        "predicted_l1_floor": left_over(cell) if penalty == "l1" and cell.schedule == "constant" else math.nan,
    }  # fmt: skip


def ideal_thread() -> pd.DataFrame:
    """A comparison with the logs in which ours is what the thread printed."""
    rows = [
        (log, row["step"], name, row[name])
        for log, table in zip("ab", LOGS, strict=True)
        for _, row in table.iterrows()
        for name in table.columns.drop("step")
    ]
    rows += [("b", Cell().steps, name, value) for name, value in LOG_B_CLOSING.items()]
    table = pd.DataFrame(rows, columns=["log", "step", "quantity", "thread"])
    return table.assign(ours=table["thread"], relative_difference=0.0)


CELLS, THREAD = pd.DataFrame(map(ideal_cell, CONFIG.cells)), ideal_thread()


def make(cells: pd.DataFrame, thread: pd.DataFrame) -> Run:
    """A run whose data losses have fallen from 10 000."""
    traces = [cells.assign(step=(part * cells["steps"]).astype(int)) for part in (0.6, 1.0)]
    traces.append(cells.assign(step=0, fit=1e4))
    traces.append(
        cells[cells["warmup"].isin([0, 50]) & cells["key"].isin(block("first_step"))]
        .assign(step=1)
        .drop(columns="det_sign")
        .rename(columns={"first_sign": "det_sign"})
    )
    columns = ["key", "step", "fit", "orthogonality_fro", "orthogonality_l1", "det_sign"]
    return Run(CONFIG, cells, MEMBERS, pd.concat(traces)[columns], thread, pd.DataFrame(), *LOGS)


def ideal(change: Callable[[pd.DataFrame, pd.DataFrame], None] = lambda cells, thread: None) -> Run:
    """The ideal run, its tables changed in place by `change(cells, thread)`."""
    cells, thread = CELLS.copy(), THREAD.copy()
    change(cells, thread)
    return make(cells, thread)


def setter(names: str, column: str, value, where: Callable[[pd.DataFrame], pd.Series] | None = None):
    """A change of one column in some blocks: `value` is set, or applied to the column if it is a function."""

    def change(cells: pd.DataFrame, thread: pd.DataFrame) -> None:
        chosen = cells["key"].isin(set().union(*(block(name) for name in names.split())))
        if where is not None:
            chosen &= where(cells)
        assert chosen.any()
        if column not in ("status", "penalty", "outcome"):
            cells[column] = cells[column].astype(float)
        cells.loc[chosen, column] = value(cells.loc[chosen, column]) if callable(value) else value

    return change


def times(factor: float):
    return lambda column: factor * column


def scatter(size: float):
    """Noise that makes an interval too wide to decide."""
    return lambda column: column * np.exp(size * np.random.default_rng(0).standard_normal(len(column)))


def printed(quantity: str, factor: float, step: int | None = None):
    def change(cells: pd.DataFrame, thread: pd.DataFrame) -> None:
        chosen = (thread["log"] == "b") & (thread["quantity"] == quantity)
        if step is not None:
            chosen &= thread["step"] == step
        assert chosen.any()
        thread.loc[chosen, "ours"] *= factor

    return change


def where(**settings):
    """Cells with these settings, method and penalty by name; a function is applied to the column."""

    def chosen(cells: pd.DataFrame) -> pd.Series:
        result = pd.Series(True, index=cells.index)
        for name, value in settings.items():
            column = cells[name].map(spec_name) if name in ("method", "penalty") else cells[name]
            result &= value(column) if callable(value) else column == value
        return result

    return chosen


def each(*changes):
    def change(cells: pd.DataFrame, thread: pd.DataFrame) -> None:
        for one in changes:
            one(cells, thread)

    return change


def on(*names):
    return lambda column: column.isin(names)


def under(value):
    return lambda column: column < value


def has(text):
    return lambda column: column.str.contains(text)


def above(value):
    return lambda column: column > value


RIGHT, WRONG = 1.0, -1.0
FRO, L1, SIGN, FIT = "orthogonality_fro", "orthogonality_l1", "det_sign", "fit"


def cure(method: str, good: str, bad: str) -> list:
    """All runs right, all wrong, none with a result; shorter ones do not count."""
    return [
        (setter("cures", SIGN, RIGHT, where(method=method)), good),
        (setter("cures", SIGN, WRONG, where(method=method)), bad),
        (setter("cures", SIGN, WRONG if good == "supported" else RIGHT, where(method=method, steps=500)), "supported"),
        (setter("cures", "status", "diverged", where(method=method)), "untested"),
    ]


# In the ideal run these do not hold: the theory says so.
IDEAL = {"optimal-rho": "refuted", "flip": "refuted", "fortuitous": "refuted"}


def verdict(run: Run, claim: str) -> str:
    """What a claim is judged to be on a run."""
    entry = CLAIMS[claim]
    return entry.verdict(entry.evidence(run))[0]
