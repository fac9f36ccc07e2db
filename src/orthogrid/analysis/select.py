"""Selections, pairings and measures that several claims share, or that the text quotes as well."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd

from ..cells.cell import AXES
from ..cells.components import having
from ..cells.shape import spec_name
from ..run.run import Run
from ..theory import forms
from ..theory.outcomes import FLAT
from .intervals import TINY, Estimate, geometric_mean, share
from .settings import FITTED, MARGIN, PLATEAU_FROM, PROBLEM


def values_of(run: Run, block: str, axis: str) -> list:
    """The values of an axis in a block, from the config, in their order there; none where there is no such block."""
    return list(dict.fromkeys(getattr(cell, axis) for cell in run.configured(block)))


def block_size(run: Run, block: str) -> tuple[int | None, int | None]:
    """Dimension and samples of a block's first cell, from the config."""
    n, k = (values_of(run, block, axis) or [None] for axis in ("dimension", "samples"))
    return n[0], k[0]


def only(cells: pd.DataFrame, **settings) -> pd.DataFrame:
    """The cells with these settings."""
    chosen = np.ones(len(cells), dtype=bool)
    for name, value in settings.items():
        chosen &= (cells[name] == value).to_numpy()
    return cells[chosen]


def methods(cells: pd.DataFrame, *names: str) -> pd.DataFrame:
    """The cells of these methods, whatever their options."""
    return cells[cells["method"].map(spec_name).isin(names)]


def attached(cells: pd.DataFrame) -> pd.DataFrame:
    """The cells trained by Adam with a penalty that has a gradient."""
    return cells[(cells["method"] == "adam") & ~without_gradient(cells["penalty"])]


def detached(cells: pd.DataFrame) -> pd.DataFrame:
    """The cells trained by Adam without a penalty's gradient: `none`, or one that is measured only."""
    return cells[(cells["method"] == "adam") & without_gradient(cells["penalty"])]


def without_gradient(names: pd.Series) -> pd.Series:
    """For each penalty, named with its options, whether its entry says that it has no gradient."""
    return names.map(spec_name).isin(having("penalty", attached=False))


def trained(cells: pd.DataFrame) -> pd.DataFrame:
    """Without the closed forms."""
    return cells[~cells["method"].map(spec_name).isin(having("method", uses_steps=False))]


def by_seed(values: pd.Series, cells: pd.DataFrame) -> pd.Series:
    """Median of a column of the cells for each seed: the independent values of an interval."""
    return values.groupby(cells["seed"]).median()


def problems(cells: pd.DataFrame) -> pd.Series:
    """The number of each cell's problem: the clusters of an interval."""
    return cells.groupby(list(PROBLEM)).ngroup()


def paired(
    cells: pd.DataFrame,
    column: str,
    axis: str,
    first,
    second,
    apart: Sequence[str] = (),
    keep: Sequence[str] = ("seed",),
) -> pd.DataFrame:
    """`column` in the cells with axis = first and = second that agree on every other axis: columns first, second and `keep`.

    `apart` names axes on which the partners may differ as well (the reg of another penalty, say): medians over these.
    """
    cells = cells.loc[cells[axis].isin([first, second]), [*AXES, column]]
    # Axes on which none of them differ need no comparing.
    shared = [a for a in AXES if a != axis and a not in apart and (a in keep or cells[a].nunique() > 1)]
    sides = [only(cells, **{axis: value}).groupby(shared)[column].median() for value in (first, second)]
    return pd.concat(sides, axis=1, keys=["first", "second"], join="inner").reset_index()[["first", "second", *keep]]


def seed_ratio(first: pd.Series, second: pd.Series) -> Estimate:
    """Geometric mean of second/first, two columns by seed."""
    return paired_ratio(pd.concat([first, second], axis=1, keys=["first", "second"], join="inner").reset_index())


def paired_ratio(pairs: pd.DataFrame) -> Estimate:
    """Geometric mean of second/first: pairs of one seed are averaged before the interval is made."""
    logs = np.log(pairs["second"].clip(lower=TINY) / pairs["first"].clip(lower=TINY))
    return geometric_mean(np.exp(logs.groupby(pairs["seed"]).mean()))


def boundary(cells: pd.DataFrame, over: str = "reg") -> tuple[float, float]:
    """Bracket of the value of `over` from which runs end wrong, as if the order were monotone; NaN if all or none do.

    With m of N runs wrong it lies between the (N - m)th and the next smallest value: runs out of order cancel.
    """
    values, wrong = np.sort(cells[over].to_numpy(float)), int(cells["wrong"].sum())
    if not 0 < wrong < len(values):
        return math.nan, math.nan
    split = len(values) - wrong
    return float(values[split - 1]), float(values[split])


def boundaries(cells: pd.DataFrame, over: str = "reg") -> pd.DataFrame:
    """The bracket of each seed: columns low, high; seeds without one are left out."""
    brackets = {seed: boundary(same, over) for seed, same in cells.groupby("seed")}
    return pd.DataFrame.from_dict(brackets, orient="index", columns=["low", "high"]).dropna()


def exponents(cells: pd.DataFrame, column: str, *axes: str) -> pd.DataFrame:
    """For each seed, the exponents of column = C · Π axis^exponent by least squares of logarithms: one column an axis."""
    fits = {}
    for seed, same in cells.groupby("seed"):
        design = np.column_stack([np.ones(len(same)), *(np.log(same[axis].to_numpy(float)) for axis in axes)])
        if np.linalg.matrix_rank(design) == len(axes) + 1:
            logs = np.log(same[column].clip(lower=TINY).to_numpy(float))
            fits[seed] = np.linalg.lstsq(design, logs, rcond=None)[0][1:]
    return pd.DataFrame.from_dict(fits, orient="index", columns=list(axes))


def roughness(cells: pd.DataFrame) -> pd.Series:
    """‖S‖_F/√n."""
    return cells["orthogonality_fro"] / np.sqrt(cells["dimension"])


def printed_plateau(run: Run) -> float:
    """Median of the thread's printed sum |S| from PLATEAU_FROM on, once it has risen."""
    return run.log_a.loc[run.log_a["step"] >= PLATEAU_FROM, "orthogonality_l1"].median()


def plateau_by_seed(run: Run) -> pd.Series:
    """Block thread_a, by seed: median of sum |S| over logged steps from PLATEAU_FROM on; the final value of shorter runs."""
    cells = run.block("thread_a").set_index("key")
    late = run.traces_of(cells.reset_index())
    late = late[late["step"] >= PLATEAU_FROM]
    levels = late.groupby("key")["orthogonality_l1"].median().reindex(cells.index).fillna(cells["orthogonality_l1"])
    return levels.set_axis(cells["seed"])


def predicted_plateau(run: Run) -> float:
    """The closed form of that plateau, for the dimension and samples of block thread_a."""
    n, k = block_size(run, "thread_a")
    return math.nan if n is None else float(forms.detached_plateau(n, forms.effective_rank(n, k)))  # type: ignore[arg-type]


def best_fitted(cells: pd.DataFrame, **settings) -> pd.DataFrame:
    """The cells of the reg and steps with the smallest median ‖S‖_F among those whose median data loss is below FITTED; maybe none."""
    cells = only(cells, **settings)
    medians = cells.groupby(["reg", "steps"])[["fit", "orthogonality_fro"]].median()
    return _where_least(cells, medians.loc[medians["fit"] < FITTED, "orthogonality_fro"])


def _where_least(cells: pd.DataFrame, levels: pd.Series) -> pd.DataFrame:
    """The cells with the values of axes, which index `levels`, where these are least; none where no level is known."""
    levels = levels.dropna()
    if levels.empty:
        return cells.iloc[:0]
    best = levels.idxmin()
    return only(cells, **dict(zip(levels.index.names, best if isinstance(best, tuple) else (best,), strict=True)))


def best_ratio(first: pd.DataFrame, second: pd.DataFrame) -> Estimate:
    """‖S‖_F of one side over that of the other, each from `best_fitted`, paired by seed.

    0 or inf where only the first or only the second has a fitted setting, NaN for neither.
    """
    if first.empty or second.empty:
        value = 0.0 if len(first) else math.inf if len(second) else math.nan
        return Estimate(value, value, value)
    return seed_ratio(*(by_seed(side["orthogonality_fro"], side) for side in (second, first)))


def resting(cells: pd.DataFrame) -> pd.DataFrame:
    """The cells that ended where their loss is flat."""
    return cells[cells["gradient_norm"] <= FLAT]


def random_starts(cells: pd.DataFrame) -> pd.DataFrame:
    """`of_squares` of the random starts."""
    return of_squares(only(cells, init="haar"))


def best_setting(cells: pd.DataFrame, *axes: str) -> pd.DataFrame:
    """The cells of the values of `axes` whose median ‖S‖_F/√n is smallest, with `roughness`; of one penalty."""
    cells = cells.assign(roughness=roughness(cells))
    return _where_least(cells, cells.groupby(list(axes))["roughness"].median())


def best_roughness(cells: pd.DataFrame) -> pd.Series:
    """‖S‖_F/√n by seed at the reg and schedule whose median is smallest, medians over the other axes."""
    best = best_setting(cells, "reg", "schedule")
    return by_seed(best["roughness"], best)


def reached(cells: pd.DataFrame) -> pd.Series:
    """By attached penalty, the median of `best_roughness`. Without offdiag, which penalises no row's length."""
    used = attached(cells)
    used = used[used["penalty"].map(spec_name) != "offdiag"]
    return pd.Series({name: best_roughness(same).median() for name, same in used.groupby("penalty")}, dtype=float)


def agreement(cells: pd.DataFrame) -> pd.DataFrame:
    """Twin-started runs outside the margin of their closed-form threshold, and `agrees`: wrong exactly where reg is above it.

    `both`: whether the runs of the penalty lie on both sides of the threshold, without which its share says nothing.
    """
    cells = outside_margin(with_trap(cells), "reg_over_threshold")
    above = cells["reg_over_threshold"] > 1
    both = above.groupby(cells["penalty"]).transform("nunique") == 2
    return cells.assign(agrees=cells["wrong"] == above, both=both)


def law_shares(cells: pd.DataFrame) -> dict[str, Estimate]:
    """By penalty with runs on both sides of its threshold, the share of its runs in `agreement`."""
    return {name: share(same["agrees"], problems(same)) for name, same in cells[cells["both"]].groupby("penalty")}


def at_best_rate(cells: pd.DataFrame) -> pd.DataFrame:
    """Of one method: the cells of the rate whose matching starts have the smallest data loss, median over problems."""
    return _where_least(cells, only(cells, determinant="match").groupby("lr")["fit"].median())


def step_costs(cells: pd.DataFrame) -> dict[str, Estimate]:
    """By trained method, seconds a step over those of Adam with fro2: geometric mean over dimensions and samples.

    Cells trained in one batch share a timing, so each dimension and number of samples counts once. A method's own options
    tell it from others.
    """
    plain = only(cells, method="adam", penalty="fro2").groupby(["dimension", "samples"])["seconds_per_step"].median()
    used = trained(cells).join(plain.rename("plain"), on=["dimension", "samples"], how="inner")
    ratios = (used["seconds_per_step"] / used["plain"]).groupby([used["method"], used["dimension"], used["samples"]])
    return {name: geometric_mean(same.dropna()) for name, same in ratios.median().groupby(level=0)}


def with_trap(cells: pd.DataFrame) -> pd.DataFrame:
    """Runs of Adam with an attached penalty and lambda > 0."""
    cells = attached(cells)
    return cells[cells["lambda_min"] > 0]


def fitted(cells: pd.DataFrame) -> pd.DataFrame:
    """The cells whose data loss ended below FITTED."""
    return cells[cells["fit"] < FITTED]


def of_squares(cells: pd.DataFrame, *optimizers: str) -> pd.DataFrame:
    """The fro2 cells of these optimizers, by default of adam and sgd, with lambda > 0."""
    cells = methods(only(cells, penalty="fro2"), *(optimizers or ("adam", "sgd")))
    return cells[cells["lambda_min"] > 0]


def outside_margin(cells: pd.DataFrame, ratio: str = "reg_over_2lambda") -> pd.DataFrame:
    """The cells that are not within a factor MARGIN of a threshold, by the column that has their weight over it."""
    return cells[(cells[ratio] > MARGIN) | (cells[ratio] < 1 / MARGIN)]
