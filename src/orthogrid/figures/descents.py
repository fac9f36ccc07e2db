"""W over the steps: the thread's logs on our runs, and penalties at many weights."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ..analysis.select import printed_plateau
from ..cells.cell import Cell
from ..presenting.panels import canvas, decades, inside, legend, limits, note, over_steps, steps_axis
from ..presenting.style import (
    DATA_LOSS,
    GREY,
    LAW,
    PLAIN,
    REG,
    S_FRO,
    SCHEDULES,
    colour,
    figure,
    in_order,
    nonempty,
    number,
    shades,
    word,
)
from ..run.run import Run

PRINTED = dict(color="black", marker="o", linestyle="none", markersize=2.2, zorder=5)


@figure("thread_a thread_b", tables="traces log_a log_b")
def draw_thread(run: Run) -> Figure:
    """The thread's two logs on our runs of them: log A, its plateau enlarged, log B. The points need no rows."""
    fig, axes = canvas(2.2, 1, 3, width_ratios=(1, 0.9, 1.25))
    cells = run.block("thread_a")
    plateau = printed_plateau(run)
    last = run.log_a["step"].max()
    for ax, enlarged in zip(axes[0], (False, True), strict=False):
        trace = run.trace(cells)
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
    names, regs = in_order(list(cells["penalty"].unique())), sorted(cells["reg"].unique())
    rows = [(method, column) for method in sorted(cells["method"].unique()) for column in ("orthogonality_fro", "fit")]
    colours = shades(regs)
    fig, axes = canvas(0.5 + 0.95 * len(rows), len(rows), len(names), sharex=True, sharey="row")
    trace = run.trace(cells)
    for (method, column), line in zip(rows, axes, strict=True):
        label = {"orthogonality_fro": S_FRO, "fit": DATA_LOSS}[column]
        for ax, name in zip(line, names, strict=True):
            here = trace[(trace["method"] == method) & (trace["penalty"] == name)]
            for (reg, schedule), one in here.groupby(["reg", "schedule"]):
                over_steps(ax, one, column, colours[reg], linestyle=SCHEDULES[schedule], linewidth=0.9)
            ax.set(yscale="log", ylim=limits(trace.loc[trace["method"] == method, column]))
            decades(ax)
            steps_axis(ax, cells["steps"].max())
            ax.set_xlabel("step" if (method, column) == rows[-1] else "")
        line[0].set_ylabel(f"{'SGD' if method == 'sgd' else 'Adam'}: {label}")
    for ax, name in zip(axes[0], names, strict=True):
        ax.set_title(word(name))
    labels = [f"{REG} = {regs[0]:g}", *map(number, regs[1:])]
    handles = {label: Line2D([], [], color=colours[reg]) for label, reg in zip(labels, regs, strict=True)}
    handles |= {name: Line2D([], [], color=GREY, linestyle=style) for name, style in SCHEDULES.items()}
    legend(fig, handles)
    return fig
