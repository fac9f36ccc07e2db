"""Maps over the grid: the boundary of trapping and the full cross."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.colors import Normalize, PowerNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from .. import theory
from ..run import Run
from .style import (
    DISTANCE,
    GREY,
    REG,
    absent,
    arms,
    canvas,
    figure,
    number,
    ordered_arms,
    title,
)


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
    """A heat map over reg × samples. Hatched: not finished, cells are missing; cross: every run diverged."""
    ok = cells[cells["status"] == "ok"]
    table = ok.pivot_table(index="samples", columns="reg", values=value, aggfunc=aggregate, observed=False)
    table = table.reindex(index=samples, columns=regs).astype(float)
    shown = table.map(lambda x: "" if math.isnan(x) else f"{x:.2g}".replace("0.", ".")) if annotate else False
    sns.heatmap(
        table,
        ax=ax,
        norm=norm,
        vmin=norm.vmin,  # given, or seaborn looks for it, in a table without values too
        vmax=norm.vmax,
        cmap=cmap,
        cbar=False,
        annot=shown,
        fmt="",
        annot_kws=dict(size=7, zorder=6),
        linewidths=0.3,
        linecolor="white",
    )
    for row, k in enumerate(samples):
        for column, reg in enumerate(regs):
            here = cells[(cells["samples"] == k) & (cells["reg"] == reg)]
            if not math.isnan(table.iat[row, column]) or here.empty:
                continue
            if (here["status"] == "missing").any():
                ax.add_patch(Rectangle((column, row), 1, 1, fill=False, hatch="/////", edgecolor="0.6", linewidth=0))
            else:
                ax.text(column + 0.5, row + 0.5, "×", ha="center", va="center", color=GREY)
    ax.invert_yaxis()  # more samples further up
    ax.grid(False)
    ax.set(xlabel="", ylabel="")
    ax.tick_params(length=0)
    crowded = len(regs) > 4 or len(regs) * ax.get_gridspec().ncols > 20
    ax.set_xticks(np.arange(len(regs)) + 0.5, [number(reg) for reg in regs], rotation=90 if crowded else 0)
    ax.set_yticks(np.arange(len(samples)) + 0.5, [str(k) for k in samples], rotation=0)
    return ax.collections[0]


def _place(value: float, regs: Sequence[float]) -> float:
    """Where a weight lies on a heat map's axis: between the centres of its neighbours, by logarithm."""
    weightless = sum(reg == 0 for reg in regs)  # sorted, so they come first
    regs = regs[weightless:]
    if len(regs) < 2 or not 0 < value < math.inf:
        return math.nan
    logs, centres = np.log(regs), np.arange(len(regs)) + 0.5 + weightless
    inside = np.interp(np.log(value), logs, centres)
    if np.log(value) < logs[0]:
        inside = centres[0] + (np.log(value) - logs[0]) / (logs[1] - logs[0])
    elif np.log(value) > logs[-1]:
        inside = centres[-1] + (np.log(value) - logs[-1]) / (logs[-1] - logs[-2])
    return float(np.clip(inside, weightless, weightless + len(regs)))


@figure("map_twin map_haar")
def draw_map(run: Run) -> Figure:
    """The share of runs that end on the wrong side, over samples and weight, with the boundary of existence."""
    cells = run.planned("map_twin", "map_haar")
    if not len(cells):
        return absent("map_twin", "map_haar")
    cells = cells.assign(wrong=cells["wrong"].astype(float))
    panels = [
        (heading, cells[(cells["init"] == init) & (cells["determinant"] == determinant)])
        for heading, init, determinant in (
            ("from the twin", "twin", "mismatch"),
            ("random, on the wrong side", "haar", "mismatch"),
            ("random, on the right side", "haar", "match"),
        )
    ]
    panels = [(heading, here) for heading, here in panels if len(here)]
    # Each panel has its own axes: twin and Haar starts are mapped where each says most.
    fig, axes = canvas(2.4, 1, len(panels))
    norm, cmap = Normalize(0, 1), sns.color_palette("light:#0173b2", as_cmap=True)
    for ax, (heading, here) in zip(axes[0], panels, strict=True):
        samples, regs = sorted(here["samples"].unique()), sorted(here["reg"].unique())
        mesh = _heat(ax, here, "wrong", regs, samples, norm, cmap, "mean", annotate=True)
        thresholds = here.groupby("samples")["predicted_trap_threshold"].median().reindex(samples)
        x = np.repeat([_place(value, regs) for value in thresholds], 2)
        y = np.repeat(np.arange(len(samples) + 1), 2)[1:-1]
        ax.plot(x, y, color="white", linewidth=3.2)
        ax.plot(x, y, color="#d55e00", linewidth=1.5)
        ax.set_title(heading)
        ax.set_xlabel(REG)
    axes[0, 0].set_ylabel("samples $k$")
    bar = fig.colorbar(mesh, ax=axes, aspect=18, pad=0.01, label="share on the wrong side")
    bar.outline.set_visible(False)
    label = r"$\gamma=2\lambda$, median over seeds"
    fig.legend([Line2D([], [], color="#d55e00", linewidth=1.5)], [label], loc="outside lower center")
    return fig


@figure("grid")
def draw_grid(run: Run) -> Figure:
    """The full cross: median distance to the target, a panel for each penalty and determinant."""
    cells = run.planned("grid")
    if not len(cells):
        return absent("grid")
    cells = cells.assign(arm=arms(cells))
    names = ordered_arms(cells)
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
        for n, k, inputs in cells[["dimension", "samples", "inputs"]].drop_duplicates().itertuples(index=False)
        if k < n and cells["dimension"].nunique() == 1
    }
    finished = cells.loc[cells["status"] == "ok", "distance"]
    top = max([theory.TWIN_DISTANCE * 1.2, *laws, *finished.quantile([0.98]).dropna()])
    # The square root spreads small distances: the target (0) and the twin (2) get colours of their own.
    norm, cmap = PowerNorm(0.5, 0, top), sns.color_palette("mako_r", as_cmap=True)
    for column, arm in enumerate(names):
        for row, determinant in enumerate(determinants):
            ax = axes[row, column]
            here = cells[(cells["arm"] == arm) & (cells["determinant"] == determinant)]
            mesh = _heat(ax, here, "distance", regs[arm], samples, norm, cmap, "median")
            if regs[arm] == [0]:
                ax.set_xticks([])
            if row == 0:
                title(ax, arm, slanted=len(names) > 7)
            if row < len(determinants) - 1:
                ax.tick_params(labelbottom=False)
            if column == 0:
                ax.set_ylabel(f"{determinant}\nsamples $k$")
            for n in here["dimension"].unique():  # from here on the data determine W
                ax.axhline(float(np.searchsorted(samples, n, side="right")), color="#d55e00", linewidth=0.8)
    fig.supxlabel(REG + r"   (line: $k=n$)", fontsize=8)
    bar = fig.colorbar(mesh, ax=axes, aspect=30, pad=0.01, extend="max" if finished.max() > top * 1.001 else "neither")
    bar.outline.set_visible(False)
    bar.set_label(f"median {DISTANCE}")
    ticks = {0.0: "0", theory.TWIN_DISTANCE: "2 (twin)"}
    for value, name in sorted(laws.items()):
        if all(abs(math.sqrt(value) - math.sqrt(t)) > 0.05 * math.sqrt(top) for t in ticks):
            ticks[value] = name
    bar.set_ticks(list(ticks), labels=list(ticks.values()))
    bar.minorticks_off()
    return fig
