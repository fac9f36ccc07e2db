"""How W moves: the thread's logs, the penalties over steps, the circle."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Circle

from ..analysis.select import printed_plateau
from ..cell import Cell
from ..run import CIRCLE_START, Run
from .style import (
    DATA_LOSS,
    GREY,
    LAW,
    REG,
    S_FRO,
    SCHEDULES,
    absent,
    arms,
    canvas,
    decades,
    figure,
    limits,
    number,
    ordered_arms,
    steps_axis,
    title,
)

PRINTED = dict(color="black", marker="o", linestyle="none", markersize=2.4)


@figure("thread_a thread_b", tables="traces log_a log_b")
def draw_thread(run: Run) -> Figure:
    """The thread's two logs on our runs of them."""
    fig, axes = canvas(2.6, 1, 2)
    _log_a(axes[0, 0], run)
    strong = _log_b(axes[0, 1], run)
    handles = {"thread, as printed": Line2D([], [], **PRINTED)}
    if len(run.block("thread_a", "thread_b")):
        handles[f"our runs (log B: seed {strong})"] = Line2D([], [], color=GREY, linewidth=1.2)
    if run.block("thread_b")["seed"].nunique() > 1:
        handles["log B, other seeds"] = Line2D([], [], color=GREY, alpha=0.4, linewidth=0.8)
    if len(run.block("thread_a")):
        handles["closed form"] = Line2D([], [], **LAW)
    fig.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=4)
    return fig


def _other_size(ax: Axes, cells: pd.DataFrame) -> bool:
    """Whether there are no cells of the thread's size; if so, the axes say it."""
    thread = Cell()
    sizes = cells[["dimension", "samples"]].drop_duplicates()
    if len(sizes) == 1 and tuple(sizes.iloc[0]) == (thread.dimension, thread.samples):
        return False
    ours = " or ".join(f"$n={row.dimension}$, $k={row.samples}$" for row in sizes.itertuples())
    note = f"lines: {ours or 'not in this run'}\npoints: $n={thread.dimension}$, $k={thread.samples}$"
    ax.annotate(note, (0.97, 0.05), xycoords="axes fraction", ha="right", color=GREY, fontsize=7)
    return True


def _log_a(ax: Axes, run: Run) -> None:
    cells, log_a = run.block("thread_a"), run.log_a
    colour = sns.color_palette("colorblind")[0]

    def draw(on: Axes, after: float) -> None:
        for _, trace in run.trace(cells).groupby("seed"):
            trace = trace[trace["step"] >= after]
            on.plot(trace["step"], trace["orthogonality_l1"], color=colour, alpha=0.8, linewidth=0.9)
        on.plot(log_a["step"], log_a["orthogonality_l1"], **PRINTED)
        if len(cells):
            on.axhline(cells["predicted_detached_plateau"].median(), **LAW)

    draw(ax, 0)
    last = log_a["step"].max()
    steps_axis(ax, max([last, *cells["steps"]]))
    ax.set_ylabel(r"log A:  $\sum|S_{ij}|$,  $S=WW^\mathsf{T}-I$")
    if _other_size(ax, cells):
        ax.set_yscale("log")
        return
    # The plateau enlarged: how far seeds, thread and closed form lie apart.
    plateau = printed_plateau(run)
    detail = ax.inset_axes((0.56, 0.14, 0.42, 0.44))
    draw(detail, log_a["step"].iloc[1])
    detail.set(ylim=(0.965 * plateau, 1.035 * plateau), xlim=(0, 1.02 * last), xticks=[0, last / 2, last])
    detail.set_xticklabels(["0", "", f"{last:g}"])
    detail.tick_params(labelsize=7, pad=1)


def _log_b(ax: Axes, run: Run) -> int:
    """Draw log B and return the seed of the strong line: the thread's, where the run has it."""
    cells = run.block("thread_b")
    palette = sns.color_palette("colorblind")
    trace = run.trace(cells).assign(orthogonality_fro2=lambda t: t["orthogonality_fro"] ** 2)
    strong = Cell().seed if Cell().seed in set(cells["seed"]) or cells.empty else cells["seed"].min()
    for column, colour, marker, label in (
        ("fit", palette[0], "o", DATA_LOSS),
        ("orthogonality_fro2", palette[1], "s", r"$\|S\|_F^2$"),
    ):
        for seed, one in trace.groupby("seed"):
            pale = dict(alpha=0.35, linewidth=0.8)
            ax.plot(
                one["step"],
                one[column],
                color=colour,
                **(dict(linewidth=1.2, zorder=3) if seed == strong else pale),
            )
        ax.plot(run.log_b["step"], run.log_b[column], **{**PRINTED, "marker": marker}, zorder=4)
        line = trace[trace["seed"] == strong] if len(trace) else run.log_b
        place = line.iloc[(line["step"] - 4).abs().argmin()]
        ax.annotate(
            label,
            (place["step"], place[column]),
            xytext=(0, -6),
            textcoords="offset points",
            ha="center",
            va="top",
            color=colour,
        )
    ax.set_yscale("log")
    decades(ax)
    steps_axis(ax, max([run.log_b["step"].max(), *cells["steps"]]))
    ax.set_ylabel(r"log B:  data loss and $\|S\|_F^2$")
    _other_size(ax, cells)
    return strong


@figure("convergence", tables="traces")
def draw_convergence(run: Run) -> Figure:
    """Orthogonality and data loss over the steps of the longest runs: a column a penalty, a colour a weight."""
    cells = run.block("convergence")
    if not len(cells):
        return absent("convergence")
    cells = cells[cells["steps"] == cells["steps"].max()]
    names = ordered_arms(cells)
    regs = sorted(cells["reg"].unique())
    colours = dict(zip(regs, sns.color_palette("viridis_r", len(regs) + 1)[1:], strict=True))
    schedules = [s for s in SCHEDULES if s in set(cells["schedule"])]
    across = min(len(names), 6)
    bands = math.ceil(len(names) / across)
    fig, axes = canvas(3.3 * bands, 2 * bands, across, sharex=True, sharey=False)
    trace = run.trace(cells).assign(arm=lambda t: arms(t))
    rows = ("orthogonality_fro", S_FRO), ("fit", DATA_LOSS)
    grouped = trace.groupby(["arm", "reg", "schedule", "step"])
    levels = grouped[["orthogonality_fro", "fit"]].agg(["median", "min", "max"])
    for row, (column, label) in enumerate(rows):
        low, high = limits(trace[column])
        for i in range(bands * across):
            ax = axes[2 * (i // across) + row, i % across]
            if i >= len(names):
                ax.set_axis_off()
                continue
            ax.set_yscale("log")
            for (reg, schedule), one in levels[levels.index.get_level_values("arm") == names[i]].groupby(
                ["reg", "schedule"]
            ):
                steps, here = one.index.get_level_values("step"), one[column]
                ax.plot(steps, here["median"], color=colours[reg], linestyle=SCHEDULES[schedule], linewidth=1.0)
                ax.fill_between(steps, here["min"], here["max"], color=colours[reg], alpha=0.15, linewidth=0)
            ax.set(ylim=(low, high), ylabel=label if i % across == 0 else "")
            decades(ax)
            steps_axis(ax, cells["steps"].max())
            ax.set_xticks(ax.get_xticks()[:2].tolist() + ax.get_xticks()[2:][-1::-2].tolist())
            ax.tick_params(labelleft=i % across == 0)
            if row == 0:
                title(ax, names[i])
                ax.set_xlabel("")
    handles = [Line2D([], [], color=colours[reg], linewidth=1.6) for reg in regs]
    labels = [number(reg) for reg in regs]
    handles += [Line2D([], [], color=GREY, linestyle=SCHEDULES[s]) for s in schedules]
    labels = [f"{REG} = {labels[0]}", *labels[1:], *schedules]
    fig.legend(handles, labels, loc="outside lower center", ncols=min(len(labels), 10), columnspacing=1.2)
    return fig


@figure()
def draw_circle(run: Run) -> Figure:
    """The thread's picture in two variables, and what the penalties do there. Needs no rows."""
    target = np.array([0.0, 1.0])
    corners = np.array([(x, y) for x in (-1.0, 1.0) for y in (-1.0, 1.0)])

    def analogy(p):
        return -np.sign(p - target)

    def row_abs(p):
        return -2 * p * np.sign((p**2).sum(-1, keepdims=True) - 1)

    def row_square(p):
        return -4 * p * ((p**2).sum(-1, keepdims=True) - 1)

    def diagonal(p):
        return -2 * p * np.sign(p**2 - 1)

    colours = sns.color_palette("colorblind")
    panels = (
        (r"analogy:  $|x-x_0|+|y-y_0|$", target[None], [("", analogy, colours[0], "o")]),
        (
            "one row $(x, y)$",
            None,  # the whole circle
            [(r"$|x^2+y^2-1|$", row_abs, colours[0], "o"), (r"$(x^2+y^2-1)^2$", row_square, colours[1], "s")],
        ),
        (r"diagonal $W$:  $|x^2-1|+|y^2-1|$", corners, [("", diagonal, colours[0], "o")]),
    )
    fig, axes = canvas(3.35, 2, 3, height_ratios=(2.6, 1))
    fig.get_layout_engine().set(rect=(0, 0, 1, 0.97))  # square panels push their headings up to the edge
    at = np.stack(np.meshgrid(np.linspace(-1.6, 1.6, 13), np.linspace(-1.6, 1.6, 13)), -1).reshape(-1, 2)
    for column, (heading, solutions, functions) in enumerate(panels):
        ax, below = axes[:, column]
        field = functions[0][1](at)
        ax.quiver(*at.T, *field.T, color="0.72", angles="xy", scale=40, width=0.006, headwidth=4, zorder=1)
        ax.add_patch(Circle((0, 0), 1, fill=False, color=GREY, linewidth=0.8, linestyle=(0, (4, 2)), zorder=2))
        if solutions is not None:
            ax.plot(*solutions.T, linestyle="none", marker="*", color="black", markersize=7, zorder=6)
        for i, (label, descent, colour, marker) in enumerate(functions):
            path = _descend(descent)
            # Both trajectories of the middle panel lie on one ray: the second is drawn open, over the first.
            ax.plot(
                *path.T,
                color=colour,
                marker=marker,
                markersize=3 - i * 0.4,
                linewidth=0.8,
                zorder=4 + i,
                markerfacecolor=colour if i == 0 else "white",
                markeredgewidth=0.6,
                label=label,
            )
            ax.plot(
                *path[-1],
                marker="x",
                color="black",
                markersize=5,
                markeredgewidth=1.3,
                linestyle="none",
                zorder=8,
            )
            off = (
                np.abs(np.hypot(*path.T) - 1)
                if solutions is None
                else np.linalg.norm(path[:, None] - solutions, axis=-1).min(-1)
            )
            below.plot(
                off,
                color=colour,
                marker=marker,
                markersize=2,
                linewidth=0.9,
                markevery=8,
                label=label,
                markerfacecolor=colour if i == 0 else "white",
                markeredgewidth=0.6,
            )
        ax.plot(
            *CIRCLE_START,
            marker="o",
            markersize=6.5,
            markerfacecolor="none",
            markeredgecolor="black",
            linestyle="none",
            zorder=8,
        )
        ax.annotate(
            f"start ({CIRCLE_START[0]:g}, {CIRCLE_START[1]:.2f})",
            CIRCLE_START,
            xytext=(7, 1),
            textcoords="offset points",
            fontsize=7,
            zorder=9,
            bbox=dict(facecolor="white", edgecolor="none", alpha=0.8, pad=0.6),
        )
        ax.set(
            xlim=(-1.75, 1.75),
            ylim=(-1.75, 1.75),
            box_aspect=1,
            xlabel="$x$",
            ylabel="$y$" if column == 0 else "",
        )
        ax.set_xticks([-1, 0, 1])
        ax.set_yticks([-1, 0, 1])
        ax.set_title(heading, pad=5)
        below.set(yscale="log", ylim=(1e-9, 2), xlabel="step")
        below.set_ylabel("distance to a\nsolution" if column == 0 else "")
        below.tick_params(labelleft=column == 0)
        decades(below, most=4)
        if len(functions) > 1:
            ax.legend(loc="center", handlelength=1.6, fontsize=7, framealpha=0.85, frameon=True, edgecolor="none")
    return fig


def _descend(direction: Callable[[np.ndarray], np.ndarray], step: float = 0.03, steps: int = 120) -> np.ndarray:
    """Constant-step gradient descent from the thread's point: every position, the start first."""
    path = [np.array(CIRCLE_START)]
    for _ in range(steps):
        path.append(path[-1] + step * direction(path[-1]))
    return np.array(path)
