"""Beyond one layer: the trap in networks, one hidden unit more, and a read-out that absorbs it."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from ..analysis.intervals import share, share_difference
from ..analysis.select import only, paired
from ..analysis.settings import ALWAYS
from ..cells.shape import spec_name, spec_options
from ..presenting.ledger import UNTESTED, Measurement, claim, measured
from ..presenting.panels import canvas, legend, list_rows
from ..presenting.style import COLOURS, figure, nonempty
from ..run.run import Run
from ..theory.outcomes import SOLVED

RARELY = 0.1


def _free(cells: pd.DataFrame) -> pd.Series:
    """Whether the weight behind the penalised one is free, so that it can absorb a reflection."""
    return cells["model"].map(lambda spec: bool(spec_options(spec).get("free"))).astype(bool)


def _of(cells: pd.DataFrame, *models: str) -> pd.DataFrame:
    """The networks of these models whose sides differ."""
    return cells[cells["model"].map(spec_name).isin(models) & ~_free(cells)]


def _solved(cells: pd.DataFrame) -> pd.Series:
    return cells["relative_loss"] < SOLVED


@claim(
    "nets-trapped", "Two orthogonal layers with a rectifier, and a recurrent layer, stay on the wrong side, too", "≤",
    blocks="networks recurrent", tolerance=RARELY,
    predicate="Share of the networks that start with the other sign and are solved, relative loss below {SOLVED}, clustered by seed.",
)  # fmt: skip
def nets_trapped(run: Run, cells: pd.DataFrame) -> Measurement:
    used = only(_of(cells, "relu2", "recurrent"), determinant="mismatch", method="adam")
    return measured(share(_solved(used), used["seed"]), 0.0, used)


@claim(
    "nets-row", "One hidden unit more removes it from the two layers", ">", blocks="networks_row",
    predicate="Share of the two-layer networks with one hidden unit more that are solved, clustered by seed; against three quarters.",
)  # fmt: skip
def nets_row(run: Run, cells: pd.DataFrame) -> Measurement:
    used = only(_of(cells, "relu2"), method="lifted")
    return measured(share(_solved(used), used["seed"]), ALWAYS, used)


@claim(
    "nets-free", "Where the second layer is free the side does not matter", "±", blocks="networks", tolerance=0.25,
    predicate="Two layers, the second not penalised: the share solved from the other sign less that from the same, paired by seed.",
)  # fmt: skip
def nets_free(run: Run, cells: pd.DataFrame) -> Measurement:
    used = only(cells[_free(cells)], method="adam")
    good = used.assign(good=_solved(used).astype(float))
    pairs = paired(good, "good", "determinant", "match", "mismatch", keep=("seed", "model"))
    if pairs.empty:
        return UNTESTED
    return measured(share_difference(pairs["first"] > 0.5, pairs["second"] > 0.5), 0.0, used)


NAMES = {
    "relu2": "two layers, rectifier", "recurrent": "recurrent, tanh", "recurrent(linear=1.0)": "recurrent, linear",
    "relu2(free=1.0)": "two layers, second free",
}  # fmt: skip
STARTS = {
    ("adam", "match"): "same sign",
    ("adam", "mismatch"): "other sign",
    ("lifted", "match"): "one hidden unit more",
}


@figure("networks networks_row recurrent recurrent_row")
def draw_networks(run: Run) -> Figure:
    """The share of networks that are solved: a panel a kind of start, a bar a network, with the count."""
    cells = nonempty(run.block("networks", "networks_row", "recurrent", "recurrent_row"))
    sorts = [group for group, _ in cells.groupby(["model", "dimension"], sort=False)]
    fig, axes = canvas(0.7 + 0.2 * len(sorts), 1, len(STARTS), sharey=True)
    for ax, ((method, start), title) in zip(axes[0], STARTS.items(), strict=True):
        for i, (model, n) in enumerate(sorts):
            same = only(cells, model=model, dimension=n, method=method, determinant=start)
            if len(same):
                solved = int(_solved(same).sum())
                ax.barh(i, solved / len(same), 0.7, color=COLOURS["recovered"])
                ax.barh(i, 1 - solved / len(same), 0.7, solved / len(same), color=COLOURS["unfinished"])
                ax.text(1.02, i, f"{solved}/{len(same)}", va="center_baseline", size=7)
        list_rows(ax, [f"{NAMES.get(model, model)}, $n={n}$" for model, n in sorts])
        ax.set(xlim=(0, 1.2), xticks=[])
        ax.spines[:].set_visible(False)
        ax.set_title(title)
    legend(
        fig,
        {
            "solved": dict(color=COLOURS["recovered"], linewidth=5),
            "not": dict(color=COLOURS["unfinished"], linewidth=5),
        },
    )
    return fig
