"""The figures of the paper: one function a figure, from a `Run` to a matplotlib Figure.

To add one, write a function `draw_<name>(run)` with the decorator `@figure` and add its name to FIGURES in
workflow/rules/figures.smk. Nothing here names a dimension, a weight or a penalty: all of it comes from the rows.
Lines and markers are medians over seeds, bands and bars the full range.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Iterable, Sequence
from functools import wraps
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.colors import Normalize, PowerNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Circle, Rectangle

from . import theory
from .grid import Cell
from .identity import registry
from .run import Run
from .store import write_bytes

TEXT_WIDTH = 156 / 25.4  # inches: figures are drawn at the size they are printed
GREY = "0.35"
LAW = dict(color="0.1", linestyle=(0, (5, 2)), linewidth=1.0)  # every closed form looks like this
MARKERS = "osD^vP*X<>hpd"
RANGE = ("pi", 100)  # seaborn's name for the full range
SCHEDULES = {"constant": "-", "cosine": (0, (3, 1.5))}
CIRCLE_START = (0.01, 1.50)  # the point of the thread's analogy

S_FRO = r"$\|WW^\mathsf{T}-I\|_F$"
DISTANCE = r"$\|W-\rho^\mathsf{T}\|_F$"
DATA_LOSS = "data loss"
REG = r"reg $\gamma$"

STYLE = {
    **sns.axes_style("ticks"),
    "font.family": "STIXGeneral",  # goes with the paper's Latin Modern, and ships with matplotlib
    "mathtext.fontset": "stix",
    "font.size": 8,
    "axes.labelsize": 8,
    "axes.titlesize": 8,
    "legend.fontsize": 7.5,
    "legend.title_fontsize": 7.5,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "0.9",
    "grid.linewidth": 0.5,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "xtick.minor.size": 1.5,
    "ytick.minor.size": 1.5,
    "lines.linewidth": 1.1,
    "lines.markersize": 3.5,
    "legend.frameon": False,
    "legend.handlelength": 2.2,
    "hatch.linewidth": 0.5,
    "hatch.color": "0.6",
    "pdf.fonttype": 42,
}

FIGURES: dict[str, Callable[[Run], Figure]] = {}


def figure(function: Callable[[Run], Figure]) -> Callable[[Run], Figure]:
    """Register `draw_<name>` as the figure <name>, drawn in the paper's style."""

    @wraps(function)
    def styled(run: Run) -> Figure:
        with mpl.rc_context(STYLE):
            return function(run)

    FIGURES[function.__name__.removeprefix("draw_")] = styled
    return styled


def draw_figures(
    run: Run,
    names: Iterable[str],
    folder: str | Path,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> None:
    """Write figures as PDF files, the same bytes for the same rows."""
    names = list(names)
    for done, name in enumerate(names, start=1):
        buffer = io.BytesIO()
        with mpl.rc_context(STYLE):  # some settings act only when a figure is written
            FIGURES[name](run).savefig(buffer, format="pdf", metadata={"CreationDate": None})
        write_bytes(buffer.getvalue(), Path(folder) / f"{name}.pdf")
        progress(done, len(names))


# Shared pieces -------------------------------------------------------------------------------------------------------


def arms(cells: pd.DataFrame) -> pd.Series:
    """What keeps W orthogonal in each cell: its penalty or, for another method than Adam, the method."""
    return cells["penalty"].where(cells["method"] == "adam", cells["method"])


def arm_styles(run: Run) -> dict[str, dict]:
    """Colour and marker of every arm in the run, the same in all figures.

    Arms are numbered in the order of their definition, so that a new one does not repaint the others; those that
    carry options follow in order of appearance.
    """
    present = list(arms(run.cells).unique())
    known = [*registry("penalties.py"), *registry("constraints.py")]
    ordered = [arm for arm in known if arm in present] + [arm for arm in present if arm not in known]
    palette = sns.color_palette("colorblind")
    palette = palette if len(ordered) <= len(palette) else sns.husl_palette(len(ordered), l=0.55)
    return {arm: dict(color=palette[i], marker=MARKERS[i % len(MARKERS)]) for i, arm in enumerate(ordered)}


def ordered_arms(run: Run, cells: pd.DataFrame) -> list[str]:
    present = set(arms(cells))
    return [arm for arm in arm_styles(run) if arm in present]


def planned(run: Run, *blocks: str) -> pd.DataFrame:
    """All configured cells of some blocks, also missing and diverged ones."""
    keys = run.membership.loc[run.membership["block"].isin(blocks), "key"]
    return run.cells[run.cells["key"].isin(keys)]


def canvas(height: float, rows: int = 1, columns: int = 1, **options) -> tuple[Figure, np.ndarray]:
    """A figure of the text's width and an array of axes, always two-dimensional. Height in inches."""
    fig = Figure(figsize=(TEXT_WIDTH, height), layout="constrained")
    fig.get_layout_engine().set(w_pad=0.03, h_pad=0.03, wspace=0.02, hspace=0.02)
    return fig, fig.subplots(rows, columns, squeeze=False, **options)


def say_absent(ax: Axes, text: str = "not in this run") -> None:
    """An empty panel that says why it is empty."""
    ax.set(xticks=[], yticks=[])
    ax.grid(False)
    ax.text(0.5, 0.5, text, transform=ax.transAxes, ha="center", va="center", color=GREY, style="italic")


def absent(height: float = 1.2) -> Figure:
    fig, axes = canvas(height)
    say_absent(axes[0, 0])
    return fig


def steps_axis(ax: Axes, last: float) -> None:
    """Steps on a logarithmic axis that still has a place for step 0."""
    ax.set_xscale("symlog", linthresh=1, linscale=0.5)
    ax.set_xlim(-0.1, last * 1.15)
    top = math.floor(math.log10(max(last, 1)))
    ax.set_xticks([0, *(10.0**power for power in range(top + 1))])
    ax.set_xlabel("step")


def decades(ax: Axes, axis: str = "y", most: int = 6) -> None:
    """Label at most a few decades of a logarithmic axis."""
    which = ax.yaxis if axis == "y" else ax.xaxis
    which.set_major_locator(mpl.ticker.LogLocator(numticks=most))
    which.set_minor_locator(mpl.ticker.NullLocator())


def number(value: float) -> str:
    """0.001 → 10⁻³, 30 → 30: as short as a tick label should be."""
    if value > 0 and not 0.01 <= value < 1000 and math.isclose(math.log10(value) % 1, 0, abs_tol=1e-9):
        return rf"$10^{{{round(math.log10(value))}}}$"
    return f"{value:g}"


def name_of(arm: str) -> dict:
    """An arm's name, spelled and set as in the text."""
    return dict(label=arm, family="DejaVu Sans Mono", fontsize=6.5 if len(arm) <= 13 else 5.5)


def title(ax: Axes, arm: str) -> None:
    style = name_of(arm)
    ax.set_title(style.pop("label"), **style)


def mono(legend) -> None:
    for text in legend.get_texts():
        text.set(family="DejaVu Sans Mono", fontsize=6.5)


def size_of(cells: pd.DataFrame) -> str:
    """n = 100, k = 10, 3 seeds: whatever of it the cells have in common."""
    parts = []
    for column, symbol in (("dimension", "n"), ("samples", "k")):
        values = cells[column].unique()
        if len(values) == 1:
            parts.append(f"${symbol}={values[0]:g}$")
    seeds = cells["seed"].nunique()
    return ", ".join([*parts, f"{seeds} seed{'s' * (seeds > 1)}"])


def span(values: pd.Series) -> tuple[float, float, float]:
    """Median, and how far the full range reaches below and above it."""
    middle = values.median()
    return middle, middle - values.min(), values.max() - middle


def bars(ax: Axes, cells: pd.DataFrame, x: str, y: str, **style) -> None:
    """Medians of y over x, joined, with bars over the full range."""
    groups = cells.groupby(x)[y].apply(span)
    if len(groups):
        middle, below, above = np.array(groups.tolist()).T
        ax.errorbar(
            groups.index, middle, yerr=[below, above], elinewidth=0.8, capsize=1.5, capthick=0.6, **style
        )


# How W moves ---------------------------------------------------------------------------------------------------------


@figure
def draw_thread(run: Run) -> Figure:
    """The thread's two logs on our runs of them."""
    fig, axes = canvas(2.45, 1, 2)
    _log_a(axes[0, 0], run)
    _log_b(axes[0, 1], run)
    return fig


def _other_size(ax: Axes, cells: pd.DataFrame, **place) -> bool:
    """Whether the cells are not of the thread's size; if so, say it in the axes."""
    thread = Cell()
    sizes = cells[["dimension", "samples"]].drop_duplicates()
    if len(sizes) == 1 and tuple(sizes.iloc[0]) == (thread.dimension, thread.samples):
        return False
    ours = " or ".join(f"$n={row.dimension}$, $k={row.samples}$" for row in sizes.itertuples())
    note = f"lines: {ours}\npoints: $n={thread.dimension}$, $k={thread.samples}$"
    ax.annotate(note, xycoords="axes fraction", color=GREY, fontsize=7, **place)
    return True


def _log_a(ax: Axes, run: Run) -> None:
    cells = run.block("thread_a")
    colour = sns.color_palette("colorblind")[0]
    points = dict(color="black", marker="o", linestyle="none", markersize=2.2, label="thread, as printed")

    def draw(on: Axes, after: float) -> None:
        for i, (_, trace) in enumerate(run.trace(cells).groupby("seed")):
            trace = trace[trace["step"] >= after]
            on.plot(
                trace["step"],
                trace["orthogonality_l1"],
                color=colour,
                alpha=0.8,
                linewidth=0.9,
                label=None if i else "our seeds",
            )
        on.plot(log_a["step"], log_a["orthogonality_l1"], **points)
        if len(cells):
            on.axhline(cells["predicted_detached_plateau"].median(), **LAW, label="closed form")

    log_a = run.log_a
    draw(ax, 0)
    steps_axis(ax, max([log_a["step"].max(), *cells["steps"]]))
    ax.set_ylabel(r"log A:  $\sum_{ij}\,|(WW^\mathsf{T}-I)_{ij}|$")
    ax.legend(loc="upper left")
    if not len(cells):
        ax.annotate(
            "our runs: not in this run", (0.04, 0.6), xycoords="axes fraction", color=GREY, style="italic"
        )
    elif _other_size(ax, cells, xy=(0.97, 0.06), ha="right"):
        ax.set_yscale("log")
    else:
        plateau = log_a.loc[log_a["step"] >= log_a["step"].max() / 10, "orthogonality_l1"]
        detail = ax.inset_axes((0.52, 0.12, 0.46, 0.44))
        draw(detail, log_a["step"].iloc[1])
        middle, around = plateau.median(), 0.035 * plateau.median()
        detail.set(ylim=(middle - around, middle + around), xlim=(0, None))
        detail.set_xticks([0, log_a["step"].max()])
        detail.tick_params(labelsize=6.5, pad=1)


def _log_b(ax: Axes, run: Run) -> None:
    cells = run.block("thread_b")
    palette = sns.color_palette("colorblind")
    trace = run.trace(cells).assign(orthogonality_fro2=lambda t: t["orthogonality_fro"] ** 2)
    strong = Cell().seed if Cell().seed in set(cells["seed"]) else cells["seed"].min()
    for column, colour, marker, label in (
        ("fit", palette[0], "o", DATA_LOSS),
        ("orthogonality_fro2", palette[1], "s", r"$\|WW^\mathsf{T}-I\|_F^2$"),
    ):
        for seed, one in trace.groupby("seed"):
            strength = (
                dict(alpha=1, linewidth=1.2, zorder=3) if seed == strong else dict(alpha=0.35, linewidth=0.8)
            )
            ax.plot(one["step"], one[column], color=colour, **strength)
        ax.plot(
            run.log_b["step"],
            run.log_b[column],
            color="black",
            marker=marker,
            linestyle="none",
            markersize=2.6,
            markerfacecolor=colour,
            markeredgewidth=0.6,
            zorder=4,
        )
        place = run.log_b.iloc[10]
        below = column == "fit"
        ax.annotate(
            label,
            (place["step"], place[column]),
            xytext=(-8, -9 if below else -14),
            textcoords="offset points",
            ha="right",
            va="top",
            color=colour,
        )
    ax.set_yscale("log")
    decades(ax)
    steps_axis(ax, max([run.log_b["step"].max(), *cells["steps"]]))
    ax.set_ylabel("log B")
    handles = [
        Line2D([], [], color="black", marker="o", markerfacecolor="white", linestyle="none", markersize=2.6)
    ]
    labels = ["thread, as printed"]
    if len(cells):
        handles += [Line2D([], [], color=GREY, linewidth=1.2)]
        labels += [f"our seed {strong}"]
        if cells["seed"].nunique() > 1:
            handles += [Line2D([], [], color=GREY, alpha=0.4, linewidth=0.8)]
            labels += ["our other seeds"]
        _other_size(ax, cells, xy=(0.97, 0.42), ha="right")
    else:
        ax.annotate(
            "our runs: not in this run", (0.4, 0.5), xycoords="axes fraction", color=GREY, style="italic"
        )
    ax.legend(handles, labels, loc="lower center")


@figure
def draw_convergence(run: Run) -> Figure:
    """Orthogonality and data loss over steps: a column a penalty, a colour a weight."""
    cells = run.block("convergence")
    if not len(cells):
        return absent()
    names = ordered_arms(run, cells)
    regs = sorted(cells["reg"].unique())
    colours = dict(zip(regs, sns.color_palette("viridis_r", len(regs) + 1)[1:], strict=True))
    schedules = [s for s in SCHEDULES if s in set(cells["schedule"])]
    across = min(len(names), 6)
    bands = math.ceil(len(names) / across)
    fig, axes = canvas(3.3 * bands, 2 * bands, across, sharex=True, sharey=False)
    trace = run.trace(cells).assign(arm=lambda t: arms(t))
    rows = ("orthogonality_fro", S_FRO), ("fit", DATA_LOSS)
    for row, (column, label) in enumerate(rows):
        low, high = _limits(trace[column])
        for i in range(bands * across):
            ax = axes[2 * (i // across) + row, i % across]
            if i >= len(names):
                ax.set_axis_off()
                continue
            ax.set_yscale("log")
            sns.lineplot(
                trace[trace["arm"] == names[i]],
                x="step",
                y=column,
                hue="reg",
                hue_order=regs,
                palette=colours,
                style="schedule",
                style_order=schedules,
                dashes=[_dashes(SCHEDULES[s]) for s in schedules],
                estimator="median",
                errorbar=RANGE,
                err_kws=dict(alpha=0.15, linewidth=0),
                legend=False,
                ax=ax,
                linewidth=1.0,
            )
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


def _dashes(linestyle) -> tuple | str:
    return "" if linestyle == "-" else linestyle[1]


def _limits(values: pd.Series, decades_at_most: float = 14) -> tuple[float, float]:
    """Limits for a logarithmic axis around the positive values; what lies many decades below the top is cut."""
    values = values[(values > 0) & np.isfinite(values)]
    if values.empty:
        return 0.1, 10
    high = values.max() * 2
    return max(values.min() / 2, high / 10**decades_at_most), high


@figure
def draw_reg(run: Run) -> Figure:
    """Final orthogonality and data loss against the weight."""
    main = run.block("convergence")
    grid = run.block("grid")
    grid = grid[(grid["determinant"] == "match") & (grid["samples"] < grid["dimension"])]
    if len(grid):  # the samples whose share of the dimension is nearest to the other panel's
        share = (main["samples"] / main["dimension"]).median() if len(main) else 0.0
        distance = (np.log((grid["samples"] / grid["dimension"]) / share) if share else grid["samples"]).abs()
        grid = grid[distance == distance.min()]
    if not len(main) and not len(grid):
        return absent()
    styles = arm_styles(run)
    shown = pd.concat([main, grid])
    fig, axes = canvas(4.0, 2, 2, sharex="col", sharey="row")
    for column, cells in enumerate((main, grid)):
        if not len(cells):
            for ax in axes[:, column]:
                ax.text(
                    0.5,
                    0.5,
                    "not in this run",
                    transform=ax.transAxes,
                    ha="center",
                    color=GREY,
                    style="italic",
                )
            continue
        axes[0, column].set_title(
            size_of(cells) + f", {'/'.join(f'{s:g}' for s in sorted(cells['steps'].unique()))} steps"
        )
        for row, (quantity, label) in enumerate((("orthogonality_fro", S_FRO), ("fit", DATA_LOSS))):
            ax = axes[row, column]
            ax.set(xscale="log", yscale="log")
            for (arm, schedule), one in cells.groupby([arms(cells), "schedule"], sort=False):
                style = dict(styles[arm], linestyle=SCHEDULES.get(schedule, ":"))
                style["markerfacecolor"] = style["color"] if schedule == "constant" else "white"
                if (one["reg"] > 0).any():
                    bars(ax, one[one["reg"] > 0], "reg", quantity, **style)
                else:  # no weight: the same at every reg
                    ax.axhline(one[quantity].median(), color=style["color"], linestyle=":", linewidth=1.4)
            ax.set_ylabel(label if column == 0 else "")
            ax.set_xlabel(REG if row == 1 else "")
            decades(ax)
    names = ordered_arms(run, shown)
    weightless = set(arms(shown[shown["reg"] == 0])) - set(arms(shown[shown["reg"] > 0]))
    handles = [
        Line2D(
            [],
            [],
            color=styles[a]["color"],
            linestyle=":" if a in weightless else "-",
            linewidth=1.4,
            marker=None if a in weightless else styles[a]["marker"],
        )
        for a in names
    ]
    labels = list(names)
    for schedule in shown["schedule"].unique() if shown["schedule"].nunique() > 1 else []:
        handles.append(
            Line2D(
                [],
                [],
                color=GREY,
                linestyle=SCHEDULES.get(schedule, ":"),
                marker="o",
                markerfacecolor=GREY if schedule == "constant" else "white",
            )
        )
        labels.append(schedule)
    mono(fig.legend(handles, labels, loc="outside lower center", ncols=5))
    return fig


@figure
def draw_circle(run: Run) -> Figure:
    """The thread's picture in two variables, and what the penalties do there. Needs no rows."""
    target = np.array([0.0, 1.0])

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
        (r"$|x-x_0|+|y-y_0|$", [("", analogy, colours[0], "o")]),
        (
            r"one row",
            [(r"$|x^2+y^2-1|$", row_abs, colours[0], "o"), (r"$(x^2+y^2-1)^2$", row_square, colours[1], "s")],
        ),
        (r"diagonal:  $|x^2-1|+|y^2-1|$", [("", diagonal, colours[0], "o")]),
    )
    fig, axes = canvas(3.25, 2, 3, height_ratios=(2.6, 1))
    at = np.stack(np.meshgrid(np.linspace(-1.6, 1.6, 13), np.linspace(-1.6, 1.6, 13)), -1).reshape(-1, 2)
    for column, (heading, functions) in enumerate(panels):
        ax, below = axes[:, column]
        field = functions[0][1](at)
        ax.quiver(*at.T, *field.T, color="0.72", angles="xy", scale=40, width=0.006, headwidth=4, zorder=1)
        ax.add_patch(
            Circle((0, 0), 1, fill=False, color=GREY, linewidth=0.8, linestyle=(0, (4, 2)), zorder=2)
        )
        if column == 0:
            solutions = target[None]
        elif column == 2:
            solutions = np.array([(x, y) for x in (-1, 1) for y in (-1, 1)], dtype=float)
        else:
            solutions = None
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
                markevery=4,
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
            f"start {CIRCLE_START[0]:g}, {CIRCLE_START[1]:.2f}".replace("start ", "start (") + ")",
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
            aspect="equal",
            xlabel="$x$",
            ylabel="$y$" if column == 0 else "",
        )
        ax.set_xticks([-1, 0, 1])
        ax.set_yticks([-1, 0, 1])
        ax.set_title(heading)
        below.set(yscale="log", ylim=(1e-9, 2), xlabel="step")
        below.set_ylabel("distance to a\nsolution" if column == 0 else "")
        below.tick_params(labelleft=column == 0)
        decades(below, most=4)
        if len(functions) > 1:
            ax.legend(
                loc="center", handlelength=1.6, fontsize=7, framealpha=0.85, frameon=True, edgecolor="none"
            )
    return fig


def _descend(
    direction: Callable[[np.ndarray], np.ndarray], step: float = 0.03, steps: int = 60
) -> np.ndarray:
    """Constant-step gradient descent from the thread's point: every position, the start first."""
    path = [np.array(CIRCLE_START)]
    for _ in range(steps):
        path.append(path[-1] + step * direction(path[-1]))
    return np.array(path)


# Where W ends --------------------------------------------------------------------------------------------------------


@figure
def draw_identifiability(run: Run) -> Figure:
    """Distance to the target against samples, with the law of the coset."""
    main, near = run.block("identifiability"), run.block("transition")
    if not len(main) and not len(near):
        return absent()
    panels: list[tuple[pd.DataFrame, str]] = [(main, "")]
    for bias in sorted(near["bias"].unique(), reverse=True) or [True]:
        panels.append((near[near["bias"] == bias], "with bias" if bias else "without bias"))
    fig, axes = canvas(2.4, 1, len(panels), width_ratios=[1.25, *[1] * (len(panels) - 1)])
    inputs = sorted(set(main["inputs"]) | set(near["inputs"]))
    palette = dict(zip(inputs, sns.color_palette("colorblind"), strict=False))
    for i, (ax, (cells, note)) in enumerate(zip(axes[0], panels, strict=True)):
        if not len(cells):
            say_absent(ax)
            continue
        near_n = i > 0
        for j, kind in enumerate(inputs):
            style = dict(
                color=palette[kind], marker=MARKERS[j], markerfacecolor=palette[kind] if j == 0 else "white"
            )
            for n, one in cells[cells["inputs"] == kind].groupby("dimension"):
                some = one.assign(x=one["samples"] - n if near_n else one["samples"])
                bars(ax, some, "x", "distance", linestyle="none", **style)
                k = np.unique(
                    np.round(np.concatenate([np.geomspace(1, 2 * n, 200), np.arange(n - 30, n + 2)]))
                )
                k = k[(k >= one["samples"].min()) & (k <= one["samples"].max())]
                law = theory.coset_distance(n, [theory.effective_rank(n, int(each), kind) for each in k])
                law = np.where(law > 0, law, np.nan) if near_n else law
                ax.plot(
                    k - n if near_n else k,
                    law,
                    color=palette[kind],
                    linestyle=SCHEDULES["cosine"],
                    linewidth=0.9,
                )
        heading = ", ".join(filter(None, [f"$n={'/'.join(map(str, cells['dimension'].unique()))}$", note]))
        ax.set_title(f"{heading}, {cells['seed'].nunique()} seeds" if i == 0 else heading)
        if near_n:
            ax.axvline(0, color=GREY, linewidth=0.8)
            ax.set_xscale("symlog", linthresh=1, linscale=0.6)
            ax.set_xlabel("samples beyond the dimension, $k-n$")
            ax.set_yscale("log")
            reach = (cells["samples"] - cells["dimension"]).abs().max()
            powers = [10**p for p in range(math.floor(math.log10(max(reach, 1))) + 1)]
            ticks = sorted({0, *powers, *(-p for p in powers)})
            ax.set_xticks(ticks, [f"{t:+d}".replace("-", "−") if t else "0" for t in ticks])
            decades(ax)
        else:
            for n in cells["dimension"].unique():
                ax.axvline(n, color=GREY, linewidth=0.8)
                ax.annotate(
                    "$k=n$",
                    (n, 1),
                    xycoords=("data", "axes fraction"),
                    xytext=(-2, -2),
                    ha="right",
                    va="top",
                    textcoords="offset points",
                    color=GREY,
                )
            ax.set_xscale("log")
            ax.set_ylim(bottom=0)
            ax.set_xlabel("samples $k$")
            ax.set_ylabel(DISTANCE)
    handles = [
        Line2D(
            [],
            [],
            color=palette[k],
            marker=MARKERS[j],
            markerfacecolor=palette[k] if j == 0 else "white",
            linestyle="none",
        )
        for j, k in enumerate(inputs)
    ]
    handles.append(Line2D([], [], color=GREY, linestyle=SCHEDULES["cosine"], linewidth=0.9))
    law = r"law $\sqrt{2(n-r)}$ at the rank $r$ of each kind of input"
    fig.legend(handles, [f"{k} inputs" for k in inputs] + [law], loc="outside lower center", ncols=3)
    return fig


@figure
def draw_regimes(run: Run) -> Figure:
    """Final data loss and distance below, at and above rank n - 1, by determinant. One marker a run."""
    cells = run.block("regimes")
    if not len(cells):
        return absent()
    cells = cells.sort_values(["predicted_rank", "samples"])
    groups = cells[["dimension", "predicted_rank", "samples"]].drop_duplicates()

    def label(n: float, r: float, k: float) -> str:
        rank = "$r=n$" if r == n else f"$r=n-{n - r:g}$"
        beyond = "$k=n$" if k == n else f"$k=n{k - n:+g}$".replace("-", "-")
        return f"{rank}\n{beyond}"

    labels = [label(*row) for row in groups.itertuples(index=False)]
    cells = cells.assign(
        regime=[label(*row) for row in cells[["dimension", "predicted_rank", "samples"]].to_numpy()]
    )
    determinants = sorted(cells["determinant"].unique())
    palette = dict(zip(determinants, sns.color_palette("colorblind"), strict=False))
    markers = dict(zip(determinants, "o^", strict=False))
    fig, axes = canvas(2.3, 1, 2)
    for ax, column, name in zip(axes[0], ("fit", "distance"), (DATA_LOSS, DISTANCE), strict=True):
        if column == "fit":
            ax.set_yscale("log")
        for i, text in enumerate(labels):
            here = cells[cells["regime"] == text]
            for j, determinant in enumerate(determinants):
                values = here.loc[here["determinant"] == determinant, column].to_numpy()
                centre = i + 0.36 * (j - (len(determinants) - 1) / 2)
                spread = np.linspace(-0.09, 0.09, len(values)) if len(values) > 1 else np.zeros(len(values))
                ax.plot(
                    centre + spread,
                    values,
                    color=palette[determinant],
                    marker=markers[determinant],
                    linestyle="none",
                    markerfacecolor="white",
                    markeredgewidth=0.8,
                )
                if len(values):
                    ax.hlines(
                        np.median(values),
                        centre - 0.16,
                        centre + 0.16,
                        color=palette[determinant],
                        linewidth=1.6,
                    )
            law = (
                here["predicted_wrong_floor"].median()
                if column == "fit"
                else here["predicted_distance"].median()
            )
            if law > 0:
                ax.hlines(law, i - 0.42, i + 0.42, **LAW)
        if column == "distance":
            ax.axhline(theory.TWIN_DISTANCE, color=GREY, linewidth=0.8, linestyle=":")
            ax.annotate(
                "twin", (0, theory.TWIN_DISTANCE), xytext=(-8, 2), textcoords="offset points", color=GREY
            )
            ax.set_ylim(bottom=-0.05 * cells["distance"].max())
        else:
            decades(ax)
        ax.set_xticks(range(len(labels)), labels)
        ax.set_xlim(-0.55, len(labels) - 0.45)
        ax.grid(False, axis="x")
        ax.set_ylabel(name)
    handles = [
        Line2D([], [], color=palette[d], marker=markers[d], markerfacecolor="white", linewidth=1.6)
        for d in determinants
    ]
    handles.append(Line2D([], [], **LAW))
    names = [f"determinant: {d}" for d in determinants]
    names.append(r"closed form: $4\lambda$ (left), $\sqrt{2(n-r)}$ (right)")
    fig.legend(handles, names, loc="outside lower center", ncols=len(names))
    return fig


@figure
def draw_floor(run: Run) -> Figure:
    """What mismatched runs with more samples than dimensions end with, against 4 lambda and distance 2."""
    cells = run.block("floor")
    cells = cells[cells["lambda_min"] > 0]
    if not len(cells):
        return absent()
    samples = sorted(cells["samples"].unique())
    colours = dict(zip(samples, sns.color_palette("viridis_r", len(samples) + 1)[1:], strict=True))
    kinds = sorted(cells["bias"].unique(), reverse=True)
    fig, axes = canvas(2.75, 1, 2)
    left, right = axes[0]
    for k in samples:
        for j, bias in enumerate(kinds):
            for wrong in (True, False):
                some = cells[(cells["samples"] == k) & (cells["bias"] == bias) & (cells["wrong"] == wrong)]
                style = dict(
                    color=colours[k], markerfacecolor=colours[k] if wrong else "white", markeredgewidth=0.8
                )
                left.plot(
                    theory.wrong_floor(some["lambda_min"]),
                    some["fit"],
                    marker=MARKERS[j],
                    linestyle="none",
                    **style,
                )
    reach = _limits(pd.Series(theory.wrong_floor(cells["lambda_min"])))
    left.plot(reach, reach, **LAW)
    left.annotate(
        "equal", (reach[1], reach[1]), xytext=(-6, -2), textcoords="offset points", ha="right", color="0.1"
    )
    left.set(xscale="log", yscale="log", ylabel="final data loss")
    left.set_xlabel(r"floor of the wrong component, $4\lambda$")
    decades(left)

    palette = sns.color_palette("colorblind")
    targets = (
        ("distance", r"to $\rho^\mathsf{T}$", palette[0], "o"),
        ("distance_twin", "to the twin", palette[1], "D"),
    )
    for column, _, colour, marker in targets:
        side = -1 if column == "distance" else 1
        for i, k in enumerate(samples):
            here = cells[cells["samples"] == k].sort_values(["bias", "seed"])
            place = i + side * 0.2 + np.linspace(-0.12, 0.12, len(here))
            for x, y, wrong in zip(place, here[column], here["wrong"], strict=True):
                right.plot(
                    x,
                    y,
                    color=colour,
                    marker=marker,
                    linestyle="none",
                    markeredgewidth=0.8,
                    markerfacecolor=colour if wrong else "white",
                )
    right.axhline(theory.TWIN_DISTANCE, **LAW)
    right.set_xticks(range(len(samples)), [str(k) for k in samples])
    right.set_xlim(-0.5, len(samples) - 0.5)
    right.set_ylim(bottom=-0.04 * cells[["distance", "distance_twin"]].max().max())
    right.grid(False, axis="x")
    right.set(xlabel="samples $k$", ylabel="distance, Frobenius norm")

    def dot(colour, marker="o", fill=True):
        return Line2D(
            [], [], color=colour, marker=marker, linestyle="none", markerfacecolor=colour if fill else "white"
        )

    handles = [dot(colours[k], "s") for k in samples]
    names = [f"$k={k}$" for k in samples]
    if len(kinds) > 1:
        handles += [dot(GREY, MARKERS[j], False) for j in range(len(kinds))]
        names += ["with bias" if bias else "without bias" for bias in kinds]
    first = left.legend(
        handles,
        names,
        loc="upper center",
        bbox_to_anchor=(0.5, -0.2),
        ncols=5,
        columnspacing=0.9,
        handletextpad=0.1,
    )
    first.set_in_layout(True)
    handles = [dot(colour, marker) for _, _, colour, marker in targets]
    handles += [dot(GREY), dot(GREY, fill=False), Line2D([], [], **LAW)]
    names = [label for _, label, _, _ in targets] + ["ended wrong", "crossed", "closed form"]
    right.legend(
        handles,
        names,
        loc="upper center",
        bbox_to_anchor=(0.5, -0.2),
        ncols=3,
        columnspacing=0.9,
        handletextpad=0.3,
    )
    return fig


# Maps over the grid --------------------------------------------------------------------------------------------------


def _heat(
    ax: Axes,
    cells: pd.DataFrame,
    value: str,
    regs: Sequence[float],
    samples: Sequence[int],
    norm: Normalize,
    cmap,
    aggregate: str,
    annotate: bool = False,
):
    """A heat map over reg × samples. Hatched: no finished run because cells are missing; cross: every run diverged."""
    ok = cells[cells["status"] == "ok"]
    table = ok.pivot_table(index="samples", columns="reg", values=value, aggfunc=aggregate, observed=False)
    table = table.reindex(index=samples, columns=regs).astype(float)
    shown = table.map(lambda x: "" if math.isnan(x) else f"{x:.2g}".replace("0.", ".")) if annotate else False
    sns.heatmap(
        table,
        ax=ax,
        norm=norm,
        cmap=cmap,
        cbar=False,
        annot=shown,
        fmt="",
        annot_kws=dict(size=6.5),
        linewidths=0.3,
        linecolor="white",
    )
    for row, k in enumerate(samples):
        for column, reg in enumerate(regs):
            here = cells[(cells["samples"] == k) & (cells["reg"] == reg)]
            if not math.isnan(table.iat[row, column]) or here.empty:
                continue
            if (here["status"] == "missing").any():
                ax.add_patch(
                    Rectangle((column, row), 1, 1, fill=False, hatch="/////", edgecolor="0.6", linewidth=0)
                )
            else:
                ax.text(column + 0.5, row + 0.5, "×", ha="center", va="center", color=GREY)
    ax.invert_yaxis()  # more samples further up
    ax.grid(False)
    ax.set(xlabel="", ylabel="")
    ax.tick_params(length=0)
    ax.set_xticks(
        np.arange(len(regs)) + 0.5, [number(reg) for reg in regs], rotation=90 if len(regs) > 4 else 0
    )
    ax.set_yticks(np.arange(len(samples)) + 0.5, [str(k) for k in samples], rotation=0)
    return ax.collections[0]


def _place(value: float, regs: Sequence[float]) -> float:
    """Where a weight lies on the categorical axis of a heat map: between the centres of its neighbours, by logarithm."""
    if len(regs) < 2 or not 0 < value < math.inf:
        return math.nan
    logs, centres = np.log(regs), np.arange(len(regs)) + 0.5
    inside = np.interp(np.log(value), logs, centres)
    if np.log(value) < logs[0]:
        inside = centres[0] + (np.log(value) - logs[0]) / (logs[1] - logs[0])
    elif np.log(value) > logs[-1]:
        inside = centres[-1] + (np.log(value) - logs[-1]) / (logs[-1] - logs[-2])
    return float(np.clip(inside, 0, len(regs)))


@figure
def draw_map(run: Run) -> Figure:
    """The share of runs that end on the wrong side, over samples and weight, with the boundary of existence."""
    cells = planned(run, "map_twin", "map_haar")
    if not len(cells):
        return absent()
    cells = cells.assign(arm=arms(cells), wrong=(cells["det_sign"] != cells["det_sign_target"]).astype(float))
    columns = sorted(
        cells[["init", "lr"]].drop_duplicates().itertuples(index=False),
        key=lambda c: (c.init != "twin", c.lr),
    )
    names = ordered_arms(run, cells)
    samples = sorted(cells["samples"].unique())
    regs = sorted(cells["reg"].unique())
    fig, axes = canvas(
        0.75 + max(1.5, 0.24 * len(samples)) * len(names), len(names), len(columns), sharey=True
    )
    norm, cmap = Normalize(0, 1), sns.color_palette("light:#0173b2", as_cmap=True)
    for row, arm in enumerate(names):
        for column, (init, lr) in enumerate(columns):
            ax = axes[row, column]
            here = cells[(cells["arm"] == arm) & (cells["init"] == init) & (cells["lr"] == lr)]
            mesh = _heat(
                ax, here, "wrong", regs, samples, norm, cmap, "mean", annotate=len(regs) * len(columns) <= 30
            )
            thresholds = here.groupby("samples")["predicted_trap_threshold"].median().reindex(samples)
            places = [_place(value, regs) for value in thresholds]
            x = np.repeat(places, 2)
            y = np.repeat(np.arange(len(samples) + 1), 2)[1:-1]
            ax.plot(x, y, color="white", linewidth=3.2)
            ax.plot(x, y, color="#d55e00", linewidth=1.5)
            start = {"twin": "start: twin", "haar": "start: Haar"}.get(init, init)
            ax.set_title(", ".join([*([arm] if len(names) > 1 else []), start, f"lr {number(lr)}"]))
            ax.set_xlabel(REG if row == len(names) - 1 else "")
            ax.set_ylabel("samples $k$" if column == 0 else "")
    bar = fig.colorbar(mesh, ax=axes, aspect=18, pad=0.01, label="fraction ending wrong")
    bar.outline.set_visible(False)
    squares = names == ["fro2"]
    label = r"$\gamma=2\lambda$, median over seeds" if squares else "trap at the twin, median over seeds"
    fig.legend([Line2D([], [], color="#d55e00", linewidth=1.5)], [label], loc="outside lower center")
    return fig


@figure
def draw_grid(run: Run) -> Figure:
    """The full cross: median distance to the target, a panel for each penalty and determinant."""
    cells = planned(run, "grid")
    if not len(cells):
        return absent()
    cells = cells.assign(arm=arms(cells))
    names = ordered_arms(run, cells)
    determinants = sorted(cells["determinant"].unique())
    samples = sorted(cells["samples"].unique())
    regs = {arm: sorted(cells.loc[cells["arm"] == arm, "reg"].unique()) for arm in names}
    most = max(len(r) for r in regs.values())
    fig, axes = canvas(
        0.75 + max(1.1, 0.17 * len(samples)) * len(determinants),
        len(determinants),
        len(names),
        sharey=True,
        width_ratios=[max(len(regs[a]), 0.35 * most) for a in names],
    )
    laws = {
        float(theory.coset_distance(n, theory.effective_rank(n, k, inputs))): f"$\\sqrt{{2(n-{k})}}$"
        for n, k, inputs in cells[["dimension", "samples", "inputs"]]
        .drop_duplicates()
        .itertuples(index=False)
        if k < n and cells["dimension"].nunique() == 1
    }
    finished = cells.loc[cells["status"] == "ok", "distance"]
    top = max([theory.TWIN_DISTANCE * 1.2, *laws, *finished.quantile([0.98]).dropna()])
    # The square root spreads the small distances, so that the target (0) and the twin (2) keep colours of their own.
    norm, cmap = PowerNorm(0.5, 0, top), sns.color_palette("mako_r", as_cmap=True)
    for column, arm in enumerate(names):
        for row, determinant in enumerate(determinants):
            ax = axes[row, column]
            here = cells[(cells["arm"] == arm) & (cells["determinant"] == determinant)]
            mesh = _heat(ax, here, "distance", regs[arm], samples, norm, cmap, "median")
            if regs[arm] == [0]:
                ax.set_xticks([])
            if row == 0:
                title(ax, arm)
            if row < len(determinants) - 1:
                ax.tick_params(labelbottom=False)
            if column == 0:
                ax.set_ylabel(f"{determinant}\nsamples $k$")
            for n in here["dimension"].unique():  # from here on the data determine W
                ax.axhline(float(np.searchsorted(samples, n, side="right")), color="#d55e00", linewidth=0.8)
    fig.supxlabel(REG + r"   (line: $k=n$)", fontsize=8)
    bar = fig.colorbar(
        mesh, ax=axes, aspect=30, pad=0.01, extend="max" if finished.max() > top * 1.001 else "neither"
    )
    bar.outline.set_visible(False)
    bar.set_label(f"median {DISTANCE}")
    ticks = {0.0: "0", theory.TWIN_DISTANCE: "2 (twin)"}
    for value, name in sorted(laws.items()):
        if all(abs(math.sqrt(value) - math.sqrt(t)) > 0.05 * math.sqrt(top) for t in ticks):
            ticks[value] = name
    bar.set_ticks(list(ticks), labels=list(ticks.values()))
    bar.minorticks_off()
    return fig
