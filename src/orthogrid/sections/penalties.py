"""Penalties: which of them reach orthogonality at all, and where each holds the reflected twin."""

from __future__ import annotations

import math

import pandas as pd
from matplotlib.figure import Figure

from ..analysis import select
from ..analysis.select import only
from ..analysis.settings import LAW_SHARE, ORTHOGONAL
from ..presenting.formats import MISSING, code, digits2, median, number, out_of, setting
from ..presenting.ledger import UNTESTED, Measurement, claim, measured
from ..presenting.panels import canvas, dots, legend, outcome_marks
from ..presenting.style import GREY, LAW, UNIT, figure, in_order, nonempty, word
from ..presenting.tables import table, tabular
from ..run.run import Run
from ..theory import forms
from .trap import trap_curve


@claim(
    "reach", "Every orthogonality penalty reaches orthogonality at some weight", "≥", blocks="penalties",
    predicate="Share of the attached penalties, offdiag apart, whose best setting has a median ‖S‖_F/√n below "
    "{ORTHOGONAL}: a census of the penalties tried. Partly from one half.",
)  # fmt: skip
def reach(run: Run, cells: pd.DataFrame) -> Measurement:
    best = select.reached(cells)
    if best.empty:
        return UNTESTED
    missed = best.index[~(best < ORTHOGONAL)]
    value, used = (len(best) - len(missed)) / len(best), select.attached(cells)
    partly = f"not by {', '.join(missed)}" if 0.5 <= value < 1 else ""
    return measured(value, 1.0, used[used["penalty"].isin(best.index)], partly)


@claim(
    "offdiag", "Penalizing the off-diagonal entries alone is no orthogonality penalty", "≥", blocks="penalties",
    predicate="With fewer samples than dimensions, best ‖S‖_F/√n of offdiag over that of fro2, geometric mean of paired "
    "seeds; ten times at least, since nothing restores the norms of the rows.",
)  # fmt: skip
def offdiag(run: Run, cells: pd.DataFrame) -> Measurement:
    few = cells[cells["samples"] < cells["dimension"]]
    sides = [select.attached(only(few, penalty=name)) for name in ("fro2", "offdiag")]
    if any(side.empty for side in sides):
        return UNTESTED
    return measured(select.seed_ratio(*map(select.best_roughness, sides)), 10.0, pd.concat(sides))


@claim(
    "dual-norm", "Each penalty holds the twin above its law's weight and releases it below", "≥",
    blocks="law law_long", tolerance=1 - LAW_SHARE,
    predicate="For each penalty the share of twin-started runs outside a factor {MARGIN} of its threshold that end "
    "wrong exactly when reg is above it; the penalty with the smallest share. Partly if all others "
    "pass and that one does not. Clustered by problem.",
)  # fmt: skip
def dual_norm(run: Run, cells: pd.DataFrame) -> Measurement:
    used = select.agreement(cells)
    used = used[used["both"]]
    if used.empty:
        return UNTESTED
    shares = select.law_shares(used)
    worst = min(shares, key=lambda name: shares[name].value)
    others = [shares[name].low for name in shares if name != worst]
    some = shares[worst].value < LAW_SHARE <= min(others, default=0.0)
    return measured(shares[worst], 1.0, used, partly=f"not for {worst}" if some else "")


def held_from(cells: pd.DataFrame) -> str:
    """The bracket of reg/lambda from which runs end wrong, geometric mean over seeds; or that all or none of the weights do."""
    if cells.empty:
        return MISSING
    seen = select.boundaries(cells, "relative")
    if seen.empty:
        return "all" if cells["wrong"].all() else "none" if not cells["wrong"].any() else MISSING
    low, high = (math.exp(seen[side].map(math.log).mean()) for side in ("low", "high"))
    return f"{number(low, 2)}--{number(high, 2)}"


@table("penalties law law_long")
def penalties_table(run: Run, verdicts: pd.DataFrame) -> str:
    """By penalty: ‖S‖_F/√n at its best under either schedule, data loss there; threshold at the twin as predicted and observed."""
    cells, law = select.attached(run.block("penalties")), select.with_trap(run.block("law", "law_long"))
    law = law.assign(relative=law["reg"] / law["lambda_min"], known=law["predicted_trap_threshold"] / law["lambda_min"])
    rows = []
    for name in sorted(set(cells["penalty"]) | set(law["penalty"])):
        row = [code(name)]
        for schedule in ("constant", "cosine"):
            same = only(cells, penalty=name, schedule=schedule)
            best = select.best_setting(same, "reg")
            few = best[best["samples"] < best["dimension"]]
            weight = setting(best["reg"].iloc[0]) if len(best) else MISSING
            row += [digits2(median(select.by_seed(best["roughness"], best))), weight, digits2(median(few["fit"]))]
        held = only(law, penalty=name)
        used = (found := select.agreement(held))[found["both"]]
        agree = out_of(used[used["agrees"]], used) if len(used) else MISSING
        rows.append([*row, digits2(median(held["known"])), held_from(held), agree])
    head = ["Penalty", *(2 * [r"$\fnorm S/\sqrt n$", r"\texttt{reg}", "Loss"]), "Law", "Held from", "Agree"]
    groups = r" & \multicolumn{3}{c}{Constant rate} & \multicolumn{3}{c}{Cosine rate} & \multicolumn{3}{c}{Twin, $\reg/\lambda$} \\"
    rules = r"\cmidrule(r){2-4}\cmidrule(lr){5-7}\cmidrule(l){8-10}"
    return tabular(r"l@{\quad}rrr@{\quad}rrr@{\quad}rrr", head, rows, above=[groups, rules])


@figure("law law_long")
def draw_law(run: Run) -> Figure:
    """Data loss where runs from the twin end, against the weight in units of each penalty's threshold. One marker a run."""
    cells = run.block("law", "law_long")
    cells = nonempty(cells[cells["lambda_min"] > 0])
    cells = cells.assign(relative=cells["predicted_trap_threshold"] / cells["lambda_min"])
    held = cells.groupby("arm")["relative"].median().where(lambda value: (value > 0) & (value < math.inf))
    # Penalties with a threshold first: these share the axis.
    names = sorted(in_order(cells["arm"]), key=lambda arm: math.isnan(held[arm]))
    unit = cells["relative"].where(cells["arm"].map(held).notna(), forms.trap_threshold("fro2", 1.0))
    cells = cells.assign(x=cells["reg"] / (unit * cells["lambda_min"]))
    across = min(len(names), 4)
    bands = math.ceil(len(names) / across)
    fig, axes = canvas(0.5 + 1.1 * bands, bands, across, sharey=True, sharex=True)
    low, high = cells["x"].min() / 1.6, cells["x"].max() * 1.6
    for ax in axes.flat[len(names) :]:
        ax.set_axis_off()
    for i, (ax, name) in enumerate(zip(axes.flat, names, strict=False)):
        here = cells[cells["arm"] == name]
        ax.set_xscale("log")
        if not math.isnan(held[name]):
            ax.axvline(1, color=GREY, linewidth=0.5)
        ax.plot(*trap_curve(name, held[name], low, high), **LAW)
        dots(ax, here, "x", "fit_over_4lambda", markersize=3)
        threshold = f"$\\gamma_{{*}}={float(f'{held[name]:.2g}'):g}\\,\\lambda$"
        if math.isnan(held[name]):
            threshold = r"$\gamma_{*}=0$" if here["relative"].median() == 0 else r"no $\gamma_{*}$"
        ax.set_title(f"{word(name)}, {threshold}")
        if i + across >= len(names):  # nothing below it
            ax.set_xlabel(UNIT if math.isnan(held[name]) else r"$\gamma/\gamma_{*}$")
            ax.tick_params(labelbottom=True)
    last, top = axes[-1, 0], max(1.28, min(1.05 * cells["fit_over_4lambda"].max(), 2))
    last.set(xlim=(low, high), ylim=(-0.08, top), yticks=[0, 0.5, 1])
    powers = range(math.ceil(math.log10(low)), math.floor(math.log10(high)) + 1)
    last.set_xticks([10.0**p for p in powers if p % (1 + (len(powers) > 5)) == 0])
    last.minorticks_off()
    fig.supylabel(r"final data loss $/\,4\lambda$", fontsize=8)
    law = {"closed form": LAW, r"$\gamma=\gamma_{*}$": dict(color=GREY, linewidth=0.5)}
    legend(fig, outcome_marks(cells) | law)
    return fig
