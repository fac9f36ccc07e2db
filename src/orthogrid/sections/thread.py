"""The thread: its two logs on our runs, its own numbers and sentences, and its picture in two variables."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle

from ..analysis.intervals import farthest, mean
from ..analysis.select import block_size, by_seed, only, plateau_by_seed, predicted_plateau, printed_plateau
from ..analysis.settings import EARLY_STEPS, FITTED, ORTHOGONAL, ROUNDING
from ..cells.cell import Cell
from ..presenting import formats
from ..presenting.formats import MISSING, d1, integer, median, setting
from ..presenting.ledger import ANSWERER, QUESTIONER, UNTESTED, Measurement, claim, measured
from ..presenting.panels import canvas, decades, inside, legend, limits, note, over_steps, steps_axis
from ..presenting.style import (
    DATA_LOSS,
    GREY,
    LAW,
    PENALTIES,
    PLAIN,
    REG,
    S_FRO,
    SCHEDULES,
    colour,
    figure,
    in_order,
    nonempty,
    shades,
    tick_label,
    word,
)
from ..presenting.tables import ragged, table, tabular
from ..presenting.values import Value, values
from ..run.run import Run
from ..run.thread import LOG_A, LOG_B_CLOSING, thread_cells
from ..theory import forms

# The logs.


@claim(
    "log-b", "The second script's output comes out as printed, up to rounding", "≤", blocks="thread_b",
    seed=Cell().seed,
    predicate="Largest difference to a printed number, over half a unit of its last digit plus {ROUNDING} of it; steps "
    "≤ {EARLY_STEPS} and the closing line. The same run twice: no sample.",
)  # fmt: skip
def log_b(run: Run, cells: pd.DataFrame) -> Measurement:
    table = only(run.thread, log="b")
    early = table["step"] <= EARLY_STEPS
    # Formats of the script: losses with three decimals, the penalty with three digits, the closing distances with five.
    unit = pd.Series(np.nan, index=table.index)
    unit[early & table["quantity"].isin(["fit", "loss"])] = 1e-3
    # At step 0 the penalty is rounding alone.
    squares = early & (table["quantity"] == "orthogonality_fro2") & (table["step"] > 0)
    unit[squares] = 10 ** (np.floor(np.log10(table.loc[squares, "thread"])) - 2)
    unit[table["quantity"].isin(["distance_l1", "distance_rho_l1"])] = 1e-5
    compared = table[unit.notna()]
    if compared.empty:
        return UNTESTED
    allowed = unit[compared.index] / 2 + ROUNDING * compared["thread"].abs()
    excess = (compared["ours"] - compared["thread"]).abs() / allowed
    return measured(excess.max(skipna=False), 1.0, cells[cells["key"].isin(thread_cells(cells)["b"])])


@claim(
    "log-a", "The first script settles where its author saw it settle", "≈", blocks="thread_a", tolerance=0.01,
    predicate="Plateau of sum |S|, mean over seeds, against the printed one, itself one draw of unknown seed.",
)  # fmt: skip
def log_a(run: Run, cells: pd.DataFrame) -> Measurement:
    if only(run.thread, log="a").empty:
        return UNTESTED
    return measured(mean(plateau_by_seed(run)), printed_plateau(run), cells)


@claim(
    "closing-line", "The second script's closing distances follow without training", "±", blocks="thread_b",
    tolerance=0.01,
    predicate="Relative deviation of the entrywise distance to rho, or to its transpose, from the Gaussian model, mean "
    "over seeds: whichever reaches farther.",
)  # fmt: skip
def closing_line(run: Run, cells: pd.DataFrame) -> Measurement:
    n, free = cells["dimension"], cells["dimension"] - cells["predicted_rank_effective"]
    to_rho = by_seed(cells["distance_rho_l1"] / forms.entrywise_l1(n, 2 * n) - 1, cells)
    to_target = by_seed(cells["distance_l1"] / forms.entrywise_l1(n, 2 * free) - 1, cells)
    return measured(farthest([mean(to_rho), mean(to_target)], 0.0), 0.0, cells)


@claim(
    "both-low", "Squares with a large weight train both losses to low values", "≤", blocks="thread_b", author=ANSWERER,
    quote="both the “fitting” loss (MSELoss) and the orthogonality penalty train down to low values",
    predicate="Over the runs of the second script, the largest of final over initial data loss and of ‖S‖_F²/n; low: a "
    "ten-thousandth.",
)  # fmt: skip
def both_low(run: Run, cells: pd.DataFrame) -> Measurement:
    first = only(run.traces_of(cells), step=0).set_index("key")["fit"]
    fit = cells["fit"] / cells["key"].map(first)
    squares = cells["orthogonality_fro"] ** 2 / cells["dimension"]
    return measured(max(fit.max(skipna=False), squares.max()), 1e-4, cells)


# Its numbers and sentences.


@values("thread_a", tables="traces log_a")
def thread_values(run: Run) -> dict[str, Value | str]:
    script, levels = Cell(), plateau_by_seed(run)
    level = median(levels)
    return {
        "thread-dimension": integer(script.dimension),
        "thread-samples": integer(script.samples),
        "thread-seed": str(script.seed),
        "thread-reg-a": setting(LOG_A.reg),
        "thread-reg-b": setting(script.reg),
        "thread-a-plateau": formats.d0(printed_plateau(run)),
        # Block thread_a: plateau, median over seeds, and the closed form.
        "ours-a-plateau": Value(formats.d0(level), level, levels.min(), levels.max(), "thread_a", len(levels)),
        "predicted-a-plateau": formats.d0(predicted_plateau(run)),
        # Last step of log B that is compared digit by digit.
        "thread-b-early-steps": integer(EARLY_STEPS),
        "circle-start": "({:.2f}, {:.2f})".format(*CIRCLE_START),
        # What counts as fitted, and as orthogonal.
        "fit-threshold": setting(FITTED),
        "orthogonal-threshold": setting(ORTHOGONAL),
    }


@table("thread_a", tables="traces thread log_a log_b")
def thread_table(run: Run, verdicts: pd.DataFrame) -> str:
    """Thread, this run, closed form. A dash where the run lacks the thread's size or there is no closed form."""
    again = only(run.thread, log="b")
    ours = again.set_index(["quantity", "step"])["ours"]
    full = block_size(run, "thread_a")[0] == LOG_A.dimension
    levels, predicted = plateau_by_seed(run), predicted_plateau(run)
    ends = [d1(median(levels)), d1(predicted)] if full else [MISSING, MISSING]
    rows = [[r"A: plateau of $\sum|S_{ij}|$", d1(printed_plateau(run)), *ends], []]
    for quantity, name, form in (
        ("fit", "data loss", formats.decimals),
        ("orthogonality_fro2", r"$\fnorm S^2$", formats.scientific),
    ):
        for step in (1, 10, 100, 200, 500):
            both = median(only(run.log_b, step=step)[quantity]), ours.get((quantity, step))
            rows.append([f"B: {name}, step {integer(step)}", *(form(value, 3) for value in both), MISSING])
        rows.append([])
    n, k = Cell().dimension, Cell().samples
    closing = again.set_index("quantity")["ours"]
    for quantity, name, squared in (
        ("distance_rho_l1", r"$\sum|W-\rho|$", 2 * n),
        ("distance_l1", r"$\sum|W-\rho\T|$", 2 * (n - forms.effective_rank(n, k))),
    ):
        told, mine = (formats.d2(table.get(quantity)) for table in (LOG_B_CLOSING, closing))
        rows.append([f"B: closing {name}", told, mine, d1(float(forms.entrywise_l1(n, squared)))])
    return tabular("lrrr", ["Quantity", "Thread", "This run", "Closed form"], rows)


@table()
def answers_table(run: Run, verdicts: pd.DataFrame) -> str:
    """The thread's sentences as claims: the words, the statement tested, what was measured, the verdict."""
    rows: list[list[str]] = []
    for title, author in (("In the question", QUESTIONER), ("In the answer", ANSWERER)):
        rows += [[rf"\multicolumn{{4}}{{@{{}}l@{{}}}}{{\emph{{{title}}}}}"], []]
        for row in verdicts[verdicts["author"] == author].itertuples():
            words = rf"\enquote{{{formats.text(row.quote.replace('“', '‘').replace('”', '’'))}}}"
            seen = formats.estimate(row.measured, row.interval_low, row.interval_high)
            rows += [[words, formats.text(row.statement), seen, rf"\claimword{{{row.verdict}}}{{{row.id}}}"], []]
    head = ["Words", "Statement tested", "Measured", "Verdict"]
    return tabular(rf"{ragged(50)}{ragged(49)}{ragged(30)}l", head, rows[:-1])


# Its logs, drawn.

PRINTED = dict(color="black", marker="o", linestyle="none", markersize=2.2, zorder=5)


@figure("thread_a thread_b", tables="traces log_a log_b")
def draw_thread(run: Run) -> Figure:
    """The thread's two logs on our runs of them: log A, its plateau enlarged, log B. The points need no rows."""
    fig, axes = canvas(2.2, 1, 3, width_ratios=(1, 0.9, 1.25))
    cells = run.block("thread_a")
    plateau = printed_plateau(run)
    last = run.log_a["step"].max()
    trace = run.trace(cells)
    for ax, enlarged in zip(axes[0], (False, True), strict=False):
        for _, one in trace[trace["step"] >= (run.log_a["step"].iloc[1] if enlarged else 0)].groupby("seed"):
            ax.plot(one["step"], one["orthogonality_l1"], color=PLAIN, linewidth=0.8)
        ax.plot(run.log_a["step"], run.log_a["orthogonality_l1"], **PRINTED)
        if len(cells):
            level = cells["predicted_detached_plateau"].median()
            ax.axhline(level, **LAW)
            if not enlarged:
                note(ax, f"closed form {level:.0f}", (1, level), (0, 4), va="bottom")
    steps_axis(axes[0, 0], max([last, *cells["steps"]]))
    axes[0, 0].set_ylabel(r"$\sum|S_{ij}|$")
    axes[0, 0].set_title(r"$\mathbf{a}$  log A")
    axes[0, 0].set_ylim(top=1.15 * max([plateau, *cells["predicted_detached_plateau"]]))
    axes[0, 1].set(ylim=(0.965 * plateau, 1.035 * plateau), xlim=(0, 1.02 * last), xlabel="step")
    axes[0, 1].set_xticks([0, last / 2, last])
    axes[0, 1].set_title(r"$\mathbf{b}$  its plateau, enlarged")
    inside(axes[0, 0], f"grey: our seeds{_size(cells)}\npoints: as printed", (0.98, 0.4), ha="right")
    _log_b(axes[0, 2], run)
    return fig


def _log_b(ax: Axes, run: Run) -> None:
    cells = run.block("thread_b")
    trace = run.trace(cells).assign(orthogonality_fro2=lambda t: t["orthogonality_fro"] ** 2)
    for column, shade, marker, label in (
        ("fit", "black", "o", DATA_LOSS),
        ("orthogonality_fro2", colour("fro2"), "s", r"$\|S\|_F^2$"),
    ):
        for seed, one in trace.groupby("seed"):
            own = seed == Cell().seed
            style = dict(linewidth=1.2, zorder=4) if own else dict(linewidth=0.7, alpha=0.3)
            ax.plot(one["step"], one[column], color=shade, **style)
        ax.plot(run.log_b["step"], run.log_b[column], **PRINTED | dict(marker=marker))
        place = run.log_b.iloc[(run.log_b["step"] - 30).abs().argmin()]
        note(ax, label, (place["step"], place[column]), (3, 3), va="bottom", color=shade, fontsize=8)
    ax.set_yscale("log")
    decades(ax)
    steps_axis(ax, max([run.log_b["step"].max(), *cells["steps"]]))
    ax.set_title(r"$\mathbf{c}$  log B")
    inside(ax, f"strong: the thread's seed; pale: others{_size(cells)}", (0.98, 0.03), ha="right")


def _size(cells: pd.DataFrame) -> str:
    """Of runs that are not of the thread's size."""
    sizes = set(cells["dimension"]) - {Cell().dimension}
    return f", $n={max(sizes)}$" if sizes else ""


@figure("convergence convergence_sgd", tables="traces")
def draw_convergence(run: Run) -> Figure:
    """‖S‖_F and data loss over the steps of the longest runs, by Adam and by gradient descent: a column a penalty, a colour a weight."""
    cells = nonempty(run.block("convergence", "convergence_sgd"))
    cells = cells[cells["steps"] == cells["steps"].max()]
    names, regs = in_order(cells["penalty"]), sorted(cells["reg"].unique())
    rows = [(method, column) for method in sorted(cells["method"].unique()) for column in ("orthogonality_fro", "fit")]
    colours = shades(regs)
    fig, axes = canvas(0.5 + 0.7 * len(rows), len(rows), len(names), sharex=True, sharey="row")
    trace = run.trace(cells)
    for (method, column), line in zip(rows, axes, strict=True):
        label = {"orthogonality_fro": S_FRO, "fit": DATA_LOSS}[column]
        for ax, name in zip(line, names, strict=True):
            here = trace[(trace["method"] == method) & (trace["penalty"] == name)]
            for (reg, schedule), one in here.groupby(["reg", "schedule"]):
                over_steps(ax, one, column, colours[reg], linestyle=SCHEDULES[schedule], linewidth=0.9)
            ax.set(yscale="log", ylim=limits(trace.loc[trace["method"] == method, column]))
            decades(ax, most=4)
            steps_axis(ax, cells["steps"].max())
            ax.set_xlabel("step" if (method, column) == rows[-1] else "")
        line[0].set_ylabel(f"{'SGD' if method == 'sgd' else 'Adam'}\n{label}")
    for ax, name in zip(axes[0], names, strict=True):
        ax.set_title(word(name))
    labels = [f"{REG} = {regs[0]:g}", *map(tick_label, regs[1:])]
    entries = {label: dict(color=colours[reg]) for label, reg in zip(labels, regs, strict=True)}
    legend(fig, entries | {name: dict(color=GREY, linestyle=style) for name, style in SCHEDULES.items()})
    return fig


# Its picture in two variables.

CIRCLE_START = (0.01, 1.50)  # the point of the thread's analogy, beside its circle
START = (0.8, 1.2)  # where the directions of the penalties differ; at the thread's own point they hardly do
STEP, STEPS = 0.03, 120
TARGET = np.array([0.0, 1.0])
CORNERS = np.array([(x, y) for x in (-1.0, 1.0) for y in (-1.0, 1.0)])
# Negative gradients at points (…, 2).
ANALOGY = lambda p: -np.sign(p - TARGET)  # noqa: E731
ROW_ABS = lambda p: -2 * p * np.sign((p**2).sum(-1, keepdims=True) - 1)  # noqa: E731
ROW_SQUARE = lambda p: -4 * p * ((p**2).sum(-1, keepdims=True) - 1)  # noqa: E731
DIAGONAL = lambda p: -2 * p * np.sign(p**2 - 1)  # noqa: E731
PANELS = (
    (r"the analogy:  $|x-x_0|+|y-y_0|$", TARGET[None], {"l1": ANALOGY}),
    (r"one row:  $|x^2+y^2-1|$, its square", None, {"l1": ROW_ABS, "fro2": ROW_SQUARE}),  # solved by the whole circle
    (r"diagonal $W$:  $|x^2-1|+|y^2-1|$", CORNERS, {"l1": DIAGONAL}),
)


@figure()
def draw_circle(run: Run) -> Figure:
    """Negative gradients and descent with constant steps, from a point where directions show and from the thread's. Needs no rows."""
    fig, axes = canvas(3.0, 2, 3, height_ratios=(2.7, 1), sharey="row")
    at = np.stack(np.meshgrid(np.linspace(-1.6, 1.6, 13), np.linspace(-1.6, 1.6, 13)), -1).reshape(-1, 2)
    for i, ((heading, solutions, descents), ax, below) in enumerate(zip(PANELS, *axes, strict=True)):
        field = next(iter(descents.values()))(at)
        ax.quiver(*at.T, *field.T, color="0.75", angles="xy", scale=40, width=0.006, headwidth=4, zorder=1)
        ax.add_patch(Circle((0, 0), 1, fill=False, color=GREY, linewidth=0.7, zorder=2))
        if solutions is not None:
            ax.plot(*solutions.T, "*", color="black", markersize=6, zorder=6)
        for j, (name, descent) in enumerate(descents.items()):
            face = PENALTIES[name] if j == 0 else "white"
            style = dict(color=PENALTIES[name], markerfacecolor=face, markeredgewidth=0.6)
            for start, alpha in ((CIRCLE_START, 0.45), (START, 1)):
                path = _descend(descent, start)
                # The trajectories of the middle panel lie on one ray: the second is drawn open, over the first.
                ax.plot(*path.T, marker="os"[j], markersize=2.6, linewidth=0.7, zorder=4 + j, alpha=alpha, **style)
                if start == START:
                    below.plot(_off(path, solutions), marker="os"[j], markersize=2, linewidth=0.8, markevery=8, **style)
        ax.plot(*START, "o", markersize=6, markerfacecolor="none", markeredgecolor="black", zorder=8)
        ax.plot(*CIRCLE_START, "o", markersize=6, markerfacecolor="none", markeredgecolor=GREY, zorder=8)
        ax.set(xlim=(-1.7, 1.7), ylim=(-1.7, 1.7), box_aspect=1, xticks=[-1, 0, 1], yticks=[-1, 0, 1])
        ax.set_xlabel("$x$", labelpad=0)
        ax.set_title(rf"$\mathbf{{{'abc'[i]}}}$  {heading}")
        below.set(yscale="log", ylim=(1e-9, 2), xlabel="step")
        decades(below, most=4)
    inside(axes[1, 1], "absolute values", (0.98, 0.4), color=PENALTIES["l1"], ha="right")
    inside(axes[1, 1], "square", (0.98, 0.2), color=PENALTIES["fro2"], ha="right")
    axes[0, 0].set_ylabel("$y$", labelpad=0)
    axes[1, 0].set_ylabel("distance to\na solution")
    return fig


def _off(path: np.ndarray, solutions: np.ndarray | None) -> np.ndarray:
    """Distance to the nearest solution, which is the circle where none are given."""
    if solutions is None:
        return np.abs(np.hypot(*path.T) - 1)
    return np.linalg.norm(path[:, None] - solutions, axis=-1).min(-1)


def _descend(direction: Callable[[np.ndarray], np.ndarray], start: tuple[float, float]) -> np.ndarray:
    """Constant-step gradient descent: every position, the start first."""
    path = [np.array(start)]
    for _ in range(STEPS):
        path.append(path[-1] + STEP * direction(path[-1]))
    return np.array(path)
