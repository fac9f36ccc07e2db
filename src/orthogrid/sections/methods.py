"""Constrained methods: what a hard constraint gives, what it costs, and that it fixes the side."""

from __future__ import annotations

import math

import pandas as pd
from matplotlib.figure import Figure

from ..analysis.intervals import mean, share
from ..analysis.select import at_best_rate, by_seed, methods, only, problems, resting, roughness, step_costs
from ..analysis.settings import FLOOR_TOLERANCE
from ..cells.components import having
from ..cells.components import methods as known
from ..cells.shape import spec_name
from ..presenting.formats import MISSING, code, d1, d2, digits2, median, out_of, setting
from ..presenting.ledger import ANSWERER, UNTESTED, Measurement, claim, measured
from ..presenting.panels import bars, canvas, decades, inside, legend, limits, list_rows
from ..presenting.style import DATA_LOSS, LAW, ROUGHNESS, figure, nonempty
from ..presenting.tables import table, tabular
from ..run.run import Run


def _on(cells: pd.DataFrame) -> pd.DataFrame:
    """The cells of the methods that are orthogonal at every step."""
    return methods(cells, *having("method", keeps="on"))


def _wrong(cells: pd.DataFrame) -> pd.DataFrame:
    """The mismatched cells that ended on the wrong side, where that costs something (lambda > 0)."""
    return cells[(cells["determinant"] == "mismatch") & cells["wrong"] & (cells["lambda_min"] > 0)]


@claim(
    "components", "A method that stays orthogonal never changes the determinant's sign", "≤", blocks="methods",
    check=True, author=ANSWERER, quote="orthogonal matrices come in two disconnected sets",
    predicate="Number of runs of the methods that are orthogonal at every step whose determinant changed its sign: one "
    "refutes it.",
)  # fmt: skip
def components(run: Run, cells: pd.DataFrame) -> Measurement:
    used = _on(cells)
    return measured(used["crossed"].sum(), 0.0, used)


@claim(
    "side-floor", "The best orthogonal matrix of the wrong side pays exactly 4λ", "≈", blocks="methods", tolerance=1e-3,
    check=True,
    predicate="Data loss over 4 lambda of procrustes_side on mismatched problems with lambda > 0: the run farthest from "
    "1. No training, so no sample; float32 data allow a thousandth.",
)  # fmt: skip
def side_floor(run: Run, cells: pd.DataFrame) -> Measurement:
    used = _wrong(methods(cells, "procrustes_side"))
    ratio = used["fit_over_4lambda"]
    return measured(ratio.loc[(ratio - 1).abs().idxmax()], 1.0, used) if len(used) else UNTESTED


@claim(
    "method-trap", "A hard constraint ends at the twin, whatever its rate", "≈", blocks="methods",
    tolerance=FLOOR_TOLERANCE,
    predicate="Data loss over 4 lambda of the mismatched runs, orthogonal at every step, that are at rest; medians by "
    "seed, mean over seeds.",
)  # fmt: skip
def method_trap(run: Run, cells: pd.DataFrame) -> Measurement:
    used = resting(_wrong(_on(cells)))
    return measured(mean(by_seed(used["fit_over_4lambda"], used)), 1.0, used)


@claim(
    "polar", "Plain regression and one polar factor at the end recover the target from either side", ">",
    blocks="methods",
    predicate="Share of the runs of method polar with more samples than dimensions that are recovered, at its best "
    "rate, clustered by problem; against one half. No constraint is needed during training.",
)  # fmt: skip
def polar(run: Run, cells: pd.DataFrame) -> Measurement:
    used = methods(cells[cells["lambda_min"] > 0], "polar")
    shares = {lr: share(same["outcome"] == "recovered", problems(same)) for lr, same in used.groupby("lr")}
    return measured(max(shares.values(), key=lambda s: s.value), 0.5, used) if shares else UNTESTED


@claim(
    "step-cost", "Parametrizations cost more a step than a penalty does", ">", blocks="step_cost",
    predicate="Seconds a step of the cheapest parametrization over those of Adam with a penalty, at the thread's "
    "dimension, against 1.5, to be clear of noise. A timing of this machine: no sample.",
)  # fmt: skip
def step_cost(run: Run, cells: pd.DataFrame) -> Measurement:
    used = methods(cells, *having("method", parametrizes=True))
    plain = only(cells, method="adam")["seconds_per_step"].median()
    return measured(used["seconds_per_step"].min() / plain, 1.5, used)


@table("methods step_cost")
def methods_table(run: Run, verdicts: pd.DataFrame) -> str:
    """By method: cost of a step at two dimensions; at its best rate worst ‖S‖_F/√n, data loss by samples and side, changes of the sign."""
    cells, large = run.block("methods"), run.block("step_cost")
    costs = [step_costs(block) for block in (cells, large)]
    rows: list[list[str]] = []
    names = sorted(cells["method"].unique(), key=_rank)
    for before, name in zip([*names[:1], *names], names, strict=False):
        rows += [[]] if _rank(name)[0] != _rank(before)[0] else []
        same = at_best_rate(only(cells, method=name))
        few, many = same[same["samples"] < same["dimension"]], same[same["samples"] > same["dimension"]]
        mismatch = only(many, determinant="mismatch")
        trained = known()[spec_name(name)].uses_steps
        cost = [d1(each[name].value if name in each else math.nan) for each in costs]
        rate = setting(same["lr"].iloc[0]) if len(same) and trained else MISSING
        rough = digits2(roughness(same).max()) if len(same) else MISSING
        losses = [digits2(median(some["fit"])) for some in (few, only(many, determinant="match"))]
        losses.append(d2(median(mismatch.loc[mismatch["lambda_min"] > 0, "fit_over_4lambda"])))
        rows.append([code(name), *cost, rate, rough, *losses, out_of(same[same["crossed"]], same)])
    sizes = [f"$n={_size(block)}$" for block in (cells, large)]
    head = ["Method", *sizes, "Rate", r"$\fnorm S/\sqrt n$", "$k<n$", "Match", r"Mismatch/$4\lambda$", "Sign changed"]
    groups = r" & \multicolumn{2}{c}{Cost of a step} & Best & Worst & \multicolumn{3}{c}{Data loss} & \\"
    return tabular("lrrrrrrrr", head, rows, above=[groups, r"\cmidrule(lr){2-3}\cmidrule(lr){6-8}"])


def _size(cells: pd.DataFrame) -> str:
    return str(cells["dimension"].iloc[0]) if len(cells) else MISSING


def _rank(method: str) -> tuple[int, bool, str]:
    """What keeps W free, Adam first; then corrections, exact constraints and closed forms."""
    entry = known()[spec_name(method)]
    group = ("", "near", "on").index(entry.keeps) if entry.uses_steps else 3
    return group, entry.name != "adam", entry.name


@figure("methods step_cost")
def draw_methods(run: Run) -> Figure:
    """Cost of a step, and at its best rate orthogonality and data loss of every method, a row a method, sorted by cost."""
    cells, costs = run.block("methods"), run.block("step_cost")
    everything = nonempty(pd.concat([cells, costs]))
    largest = everything[everything["dimension"] == everything["dimension"].max()]
    order = largest.groupby("method")["seconds_per_step"].median()
    names = sorted(everything["method"].unique(), key=lambda name: order.get(name, 0))
    row = {name: i for i, name in enumerate(names)}
    fig, axes = canvas(0.8 + 0.155 * len(names), 1, 3, sharey=True)
    left, middle, right = axes[0]
    for j, (n, some) in enumerate(everything[everything["seconds_per_step"] > 0].groupby("dimension")):
        some = some.assign(ms=1e3 * some["seconds_per_step"], row=some["method"].map(row))
        style = dict(color=("0.5", "0.1", "0.3")[j % 3], marker="os^"[j % 3], linestyle="none")
        bars(left, some, "row", "ms", across=True, **style)
        inside(left, f"$n={n}$", (0.98, 0.97 - 0.07 * j), ha="right", va="top", color=style["color"])
    left.set(xscale="log", xlabel="milliseconds a step")
    cells = pd.concat([at_best_rate(same) for _, same in cells.groupby("method")]) if len(cells) else cells
    cells = cells.assign(roughness=roughness(cells), row=cells["method"].map(row))
    few = cells["samples"] < cells["dimension"]
    for j, (some, label) in enumerate(((cells[few], "$k<n$"), (cells[~few], "$k>n$"))):
        some = some.assign(row=some["row"] + (-0.15, 0.15)[j])
        style = dict(color=("#44aa99", "#882255")[j], marker="Pv"[j], linestyle="none")
        bars(middle, some, "row", "roughness", across=True, **style)
        inside(middle, label, (0.98, 0.97 - 0.07 * j), ha="right", va="top", color=style["color"])
    middle.set(xscale="log", xlabel=ROUGHNESS)
    some = cells[~few & (cells["lambda_min"] > 0)]
    low, high = limits(some["fit_over_4lambda"], 8)  # the rest is drawn on the left edge
    for (start, wrong), same in some.groupby(["determinant", "wrong"]):
        place = same["row"] + (0.15 if start == "mismatch" else -0.15)
        style = dict(color="black" if start == "mismatch" else "0.55", marker="o" if start == "mismatch" else "D")
        style |= dict(linestyle="none", markerfacecolor=style["color"] if wrong else "white")
        right.plot(same["fit_over_4lambda"].clip(lower=1.7 * low), place, **style)
    right.axvline(1, **LAW)
    right.set(xscale="log", xlim=(low, max(high, 3)), xlabel=rf"final {DATA_LOSS} $/\,4\lambda$")
    titles = ("cost", "orthogonality", "data loss, $k>n$")
    for letter, said, ax in zip("abc", titles, axes[0], strict=True):
        list_rows(ax, names)
        decades(ax, "x", most=5)
        ax.set_title(rf"$\mathbf{{{letter}}}$  {said}")
    dot = dict(linestyle="none", marker="o", color="black")
    right_start = dot | dict(marker="D", color="0.55", markerfacecolor="white")
    hollow = dot | dict(markerfacecolor="white")
    entries = {"start wrong": dot, "start right": right_start, "hollow: ended right": hollow, r"$4\lambda$": LAW}
    legend(fig, entries)
    return fig
