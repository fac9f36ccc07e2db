"""Which obstacle a softly orthogonal layer of one's own faces, in its user's units."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..cells.cell import nearest
from ..penalties import PENALTIES
from ..theory import forms
from ..theory.heavy import boundary
from .extra_row import loss_unit

NEAR = 0.2  # at the target: within this distance of it
SHARE = 0.01  # of the loss, that another weight may save at most where none is called better
STIFF, UNEVEN = 10.0, 1e3  # reg over 2 mu, and condition, from which a row more is slow
CAREFUL = 0.2  # rate times inputs, up to which Adam's first steps keep the side

# What each obstacle is called, and what to do about it. The first that applies is named: the more certain come first.
OBSTACLES = {
    "no gradient": "The penalty has no gradient. Compute it from `weight`, not from `weight.data`, and ask again: then its weight counts.",
    "undetermined": "The samples do not determine the weight, and no penalty finds it.",
    "at the minimum": "No weight has a lower loss, whatever the start. To be closer to orthogonal, raise the penalty's weight.",
    "wide": "Fewer outputs than inputs: such a layer can have traps that a row does not remove. Start orthogonal, and try several seeds.",
    "trapped": "The weight is on the wrong side for good. Add a row of target zero (`extra_row`).",
    "wrong side": "The weight is on the wrong side and may still change. To be sure, add a row of target zero (`extra_row`).",
    "floor": "The entries of WWᵀ - I jitter at the size of the learning rate. Let it decay, or take squares.",
    "may be lost": "The weight is on the right side and may still end on the wrong one. Add a row of target zero, or raise the penalty.",
    "unfinished": "The weight has not arrived. Take more steps.",
    "none": "There is no trap here.",
}


@dataclass(frozen=True)
class Diagnosis:
    """What was found. Weights and losses are in the units of the loss that was named; `reg` is as it was given.

    `trap_from` is the weight from which the wrong side has a minimum, `kept_from` that from which the gradient flow never changes sides:
    2λ and 2μ for the sum of squares, λ and μ the extreme eigenvalues of the samples' Gram matrix. NaN where the theory knows none.
    """

    obstacle: str  # a key of OBSTACLES
    outputs: int
    inputs: int
    samples: int
    rank: int  # of the samples, centred where there is a bias
    bias: bool
    reg: float
    trap_from: float
    kept_from: float
    condition: float  # μ/λ
    side: str  # "right", "wrong", or "" where there are no sides
    decided: bool  # small steps keep the side: by the weight, or since the loss is below what any singular matrix pays
    rate_is_large: bool  # at which Adam's first steps may change the side
    flip_foretold: bool | None  # under gradient descent with one heavy direction; None where that is not known
    loss: float  # data loss now
    loss_of_best: (
        float  # of the best orthogonal weight (Procrustes); NaN for a wide layer, for which no closed form is known
    )
    cost_of_wrong_side: float  # what the best orthogonal weight of the other side pays more
    distance: float  # to the best orthogonal weight
    distance_to_twin: float  # to that one reflected along the weakest direction
    orthogonality: float  # ‖S‖_F
    sum_of_absolutes: float  # sum |S|
    rate_floor: float  # sum |S| that Adam leaves under absolute values at a constant rate; NaN for others
    row_helps: bool
    row_is_slow: bool
    position: float  # s of the weight on the path from twin, -1, to target, 1
    penalty: str
    note: str  # on the penalty's value, where that was given
    edges: tuple[float, float]  # λ and μ, the extreme eigenvalues, of a sum of squared errors
    unit: float  # of the loss over that sum

    @property
    def advice(self) -> str:
        """What to do, in a sentence or two."""
        more = {
            " Take more samples, or new ones at every step.": self.rank < self.inputs >= self.samples,
            " Some inputs follow from others: drop these, for more samples of the kind do not help.": self.rank < self.inputs < self.samples,
            " It will be slow here: the weight is far above that which keeps sides, or the inputs are uneven.": self.row_is_slow and self.row_helps,
            " The inputs are uneven, on which gradient descent crawls: try Adam, or L-BFGS.": self.obstacle == "unfinished" and self.condition > UNEVEN,
            f" Adam's first steps may change the side at this rate: stay below {CAREFUL / self.inputs:.2g}, or warm up.": self.rate_is_large,
            " The weight is at its target already.": self.distance <= NEAR and self.rank == self.inputs,
            f" {self.note}": bool(self.note),
        }  # fmt: skip
        return OBSTACLES[self.obstacle] + "".join(words for words, holds in more.items() if holds)

    def __str__(self) -> str:
        keeps = "small steps keep" if self.decided else "may change"
        foretold = {True: "; gradient descent will change it", False: "; gradient descent will keep it", None: ""}
        sides = f"{self.side} side, which {keeps}{foretold[self.flip_foretold]}" if self.side else "has no sides"
        below, above = self.reg <= self.trap_from, self.reg >= self.kept_from
        known = math.isfinite(self.trap_from + self.kept_from)
        place = ", below these" if below else ", above these" if above else ", between the two" if known else ""
        helps = "helps, slowly" if self.row_is_slow else "helps"
        row = helps if self.row_helps else "is not needed" if self.side else "does not apply"
        floor = "" if math.isnan(self.rate_floor) else f"; Adam's floor at this rate is {self.rate_floor:.3g}"
        twin = f", {self.distance_to_twin:.3g} to its twin" if self.side else ""
        free = self.inputs - self.rank
        many = "two weights fit, one a reflection" if free == 1 else f"many weights fit: {free} dimensions stay free"
        distance = many if free else f"{_shown(self.distance)} to that weight{twin}"
        return "\n".join([
            f"obstacle      {self.obstacle}",
            f"layer         {self.inputs} inputs, {self.outputs} outputs, {'a' if self.bias else 'no'} bias; {self.samples} samples of rank {self.rank}, condition {self.condition:.2g}",
            f"S             ‖S‖ = {self.orthogonality:.3g}, sum |S| = {self.sum_of_absolutes:.3g}{floor}",
            f"trap          from reg {_shown(self.trap_from)} on; small steps keep sides from {_shown(self.kept_from)} on",
            f"reg           {self.reg:.3g}{place}",
            f"weight        {sides}",
            f"data loss     {self.loss:.3g}, a {'sum' if self.unit == 1 else 'mean'}; the best orthogonal weight has {_shown(self.loss_of_best)}"
            + f", the wrong side {self.cost_of_wrong_side:.3g} more" * bool(self.side),
            f"distance      {distance}",
            f"one more row  {row}",
            f"what to do    {self.advice}",
        ])  # fmt: skip

    def plot(self, ax: Any = None) -> Any:
        """The loss of the sum of squares on the path from the twin to the target, with this layer's place on it; returns the axes."""
        try:
            import matplotlib.pyplot as plt
        except ImportError:
            raise ImportError("plot needs matplotlib: pip install matplotlib") from None
        ax = ax or plt.subplots()[1]
        s = np.linspace(-1.3, 1.3, 400)
        smallest = self.edges[0] * self.unit
        ax.plot(s, forms.path_loss(s, self.reg, smallest))
        ax.plot(self.position, forms.path_loss(self.position, self.reg, smallest), "o")
        ax.set(xlabel="position s: twin at −1, target at 1", ylabel="loss", title=self.obstacle)
        return ax


def diagnose(
    layer: torch.nn.Module | Tensor | np.ndarray,
    x: Any,
    y: Any,
    penalty: str | Tensor = "fro2",
    *,
    reg: float,
    loss: str = "mean",
    optimizer: Any = None,
    bias: bool | None = None,
) -> Diagnosis:
    """Which obstacle a layer with a soft orthogonality penalty faces.

    `layer` is an nn.Linear, or its weight (outputs, inputs). `x` (samples, inputs) is what it is given, `y` (samples, outputs) what it is to
    give. `loss` says how the squared errors add up: "mean" as in `mse_loss`, or "sum". `reg` multiplies the penalty, ‖S‖² for "fro2".
    `penalty` is a name, or the value that you computed. Of a value it is asked whether it has a gradient, and of what it is: squares, absolute
    values or the norm. A name is taken to have a gradient. `optimizer` is a torch optimizer, or the rate of Adam; without it floors and flips
    are not asked. `bias` overrides what the layer says.

    Sources: Theorems "landscape", "capture" and "tall layers", Propositions "floor", "norms" and "one heavy direction", Corollary
    "certificate" of the supplement. With targets that no orthogonal weight fits the thresholds hold to first order.

    Raises ValueError or TypeError for what is no layer, no table of finite real numbers, or does not fit together.
    """
    weight, has_bias, trains = _weight_of(layer, bias)
    outputs, inputs = weight.shape
    name, attached, mean, note = _penalty_of(penalty, weight)
    if not (isinstance(reg, int | float) and math.isfinite(reg) and reg >= 0):
        raise ValueError(f"reg must be a number ≥ 0, got {reg!r}")
    reg /= mean
    given = _Samples(_table("x", x, inputs, "inputs"), _table("y", y, outputs, "outputs"), loss, has_bias)
    (smallest, largest), unit = given.edges, given.unit
    summed = reg / unit  # the weight beside a sum of squared errors
    u, sizes, vt = np.linalg.svd(given.y.T @ given.x, full_matrices=False)
    best = u @ vt
    twin = best - 2 * np.outer(u[:, -1], vt[-1])
    determined, square = given.rank == inputs, outputs == inputs
    trap = (
        float(forms.trap_threshold(name, smallest, best @ given.vectors[:, 0])) if determined and square else math.nan
    )
    kept = float(forms.capture_threshold(largest, name)) if name in forms.OF_SINGULAR_VALUES else math.nan
    right = np.linalg.slogdet(weight)[0] == np.linalg.slogdet(best)[0] if square else False
    side = ("right" if right else "wrong") if determined and square else ""
    penalised = summed * _penalty(name, weight) if attached and summed else 0.0
    certified = given.loss(weight) + penalised < summed * forms.SINGULAR_PENALTY.get(name, 0.0)
    decided = bool(side) and (summed >= kept or certified)
    caught = bool(side) and summed > trap
    rate, kind = _rate_of(optimizer)
    floor = float(forms.l1_floor(inputs, rate)) if name == "l1" and kind == "adam" and rate else math.nan
    wide = outputs < inputs
    distance = math.nan if wide else float(np.linalg.norm(weight - best))
    holds = {
        "no gradient": not (trains and attached and reg > 0),
        "undetermined": not determined,
        "at the minimum": name == "fro2" and _none_is_better(weight, given, summed),
        "wide": wide,
        "trapped": side == "wrong" and caught and decided,
        "wrong side": side == "wrong" and caught,
        "floor": not distance > 1 and _penalty("l1", weight) > floor / 3,
        "may be lost": caught and not decided and distance > NEAR,
        "unfinished": square and distance > NEAR,
        "none": True,
    }
    return Diagnosis(
        obstacle=next(name for name in OBSTACLES if holds[name]),
        outputs=outputs, inputs=inputs, samples=len(given.x), rank=given.rank, bias=has_bias, reg=reg, trap_from=trap * unit, kept_from=kept * unit,
        condition=largest / smallest if smallest else math.inf, side=side, decided=decided,
        rate_is_large=bool(side) and kind == "adam" and rate * inputs > CAREFUL,
        flip_foretold=_flips(weight, best, given, summed) if side and kind == "sgd" and name == "fro2" else None,
        loss=given.loss(weight) * unit, loss_of_best=math.nan if wide else given.loss(best) * unit,
        cost_of_wrong_side=4 * float(sizes[-1]) * unit if square else math.nan,
        distance=distance, distance_to_twin=float(np.linalg.norm(weight - twin)) if square else math.nan,
        orthogonality=math.sqrt(_penalty("fro2", weight)), sum_of_absolutes=_penalty("l1", weight), rate_floor=floor, row_helps=caught and not (side == "right" and decided),
        row_is_slow=summed > STIFF * kept or largest > UNEVEN * smallest, position=_position(best.T @ weight, given),
        penalty=name, note=note, edges=given.edges, unit=unit,
    )  # fmt: skip


@dataclass(frozen=True)
class Suggestion:
    """Weights of the sum of squares between which a side is uncertain, in the units of the loss that was named, and what to make of them."""

    low: float
    high: float
    why: str

    def __str__(self) -> str:
        return self.why if math.isnan(self.high) else f"{self.low:.3g} to {self.high:.3g}: {self.why}"


def suggest_reg(x: Any, y: Any, loss: str = "mean", *, bias: bool = True) -> Suggestion:
    """Which weights of ‖S‖² mean what for samples `x` (samples, inputs) and targets `y` (samples, outputs); for `fro2`.

    2λ and 2μ, λ and μ the extreme eigenvalues of the samples' Gram matrix, centred if the layer has a bias (Theorems "landscape" and
    "capture"). Raises ValueError as `diagnose` does.
    """
    given = _Samples(_table("x", x), _table("y", y), loss, bias)
    outputs, inputs = given.y.shape[1], given.x.shape[1]
    if given.rank < inputs:
        why = f"the samples determine {given.rank} of {inputs} dimensions; no weight finds the others, so take more samples"
        return Suggestion(0.0, math.nan, why)
    low, high = (2 * edge * given.unit for edge in given.edges)
    if outputs != inputs:
        kind = "no trap at any weight" if outputs > inputs else "traps that these weights do not foretell"
        return Suggestion(low, high, f"a layer with {outputs} outputs for {inputs} inputs has {kind}")
    why = (
        f"below {low:.3g} nothing traps, and noise bends W; above {high:.3g} a side is kept for good; between them sides are not certain. "
        f"With one row more (`extra_row`) take a weight up to {high:.3g}; ten times that makes it slow"
    )
    return Suggestion(low, high, why)


class _Samples:
    """Samples `x` and targets `y`, centred where there is a bias, with the eigenvalues (ascending) and vectors of their Gram matrix."""

    def __init__(self, x: np.ndarray, y: np.ndarray, loss: str, bias: bool):
        if len(x) != len(y):
            raise ValueError(f"x has {len(x)} samples and y has {len(y)}; they must be as many")
        self.unit = loss_unit(loss, y.size)
        self.x = x - x.mean(0) if bias else x
        self.y = y - y.mean(0) if bias else y
        values, self.vectors = np.linalg.eigh(self.x.T @ self.x)
        self.values = np.maximum(values, 0)
        self.rank = int((self.values > 1e-10 * max(self.values[-1], 1e-300)).sum())
        self.edges = (float(self.values[0]) if self.rank == x.shape[1] else 0.0), float(self.values[-1])

    def loss(self, weight: np.ndarray) -> float:
        """The sum of squared errors."""
        return float(np.square(self.x @ weight.T - self.y).sum())


def _position(m: np.ndarray, given: _Samples) -> float:
    """Where M lies between target, 1, and twin, -1: its least value among the weakest directions."""
    weakest = given.vectors[:, given.values <= given.values[0] * (1 + 1e-4) + 1e-300]
    return float(np.linalg.eigvalsh(weakest.T @ (m + m.T) @ weakest)[0] / 2)


def _none_is_better(weight: np.ndarray, given: _Samples, reg: float) -> bool:
    """Whether no weight has a loss lower by more than SHARE of it, under the sum of squares and beside a sum of squared errors.

    f(W + D) - f(W) = ⟨∇f, D⟩ + tr(DGDᵀ) + 2 reg ⟨S, DDᵀ⟩ + reg ‖WDᵀ + DWᵀ + DDᵀ‖² ≥ -‖∇f‖²/4c with c = λ + 2 reg σ_min(S), if c > 0.
    """
    w = weight if weight.shape[0] <= weight.shape[1] else weight.T
    s = w @ w.T - np.eye(len(w))
    by_penalty = 4 * reg * (s @ w if w is weight else (s @ w).T)
    gradient = 2 * (given.x @ weight.T - given.y).T @ given.x + by_penalty
    curvature = given.edges[0] + 2 * reg * float(np.linalg.eigvalsh(s)[0])
    total = given.loss(weight) + reg * float(np.square(s).sum())
    return curvature > 0 and float(np.square(gradient).sum()) <= 4 * curvature * SHARE * total


def _shown(threshold: float) -> str:
    return "(not known)" if math.isnan(threshold) else f"{threshold:.3g}"


def _flips(weight: np.ndarray, best: np.ndarray, given: _Samples, reg: float) -> bool | None:
    """By Proposition "one heavy direction": None unless one eigenvalue is above reg/2 alone."""
    if not reg or len(given.values) < 2 or not given.values[-2] < reg / 2 < given.values[-1]:
        return None
    heavy = given.vectors[:, -1]
    return bool(heavy @ best.T @ weight @ heavy < -boundary(round(float(given.values[-1]) / reg, 2)))


def _penalty(name: str, weight: np.ndarray) -> float:
    """Its value on the shorter side, at its default options."""
    w = torch.from_numpy(weight)[None]
    return float(PENALTIES[name].value_at(w if w.shape[1] <= w.shape[2] else w.mT))


def _weight_of(layer: Any, bias: bool | None) -> tuple[np.ndarray, bool, bool]:
    """Its weight in double precision, whether it has a bias, and whether the weight is trained."""
    weight = getattr(layer, "weight", layer)
    if isinstance(weight, np.ndarray):
        weight = torch.from_numpy(weight)
    if not isinstance(weight, Tensor):
        raise TypeError(f"diagnose takes a layer with a weight, or a weight; not {type(layer).__name__}")
    if weight.dim() != 2:
        raise ValueError(
            f"the weight must be a matrix (outputs, inputs), not of shape {tuple(weight.shape)}; of a convolution give weight.flatten(1), "
            "and as x its patches"
        )
    if not weight.is_floating_point() or not bool(weight.isfinite().all()):
        raise ValueError(f"the weight must hold finite real numbers, not {weight.dtype}")
    trains = weight.requires_grad or not isinstance(layer, torch.nn.Module)
    has_bias = getattr(layer, "bias", None) is not None if bias is None else bias
    return weight.detach().double().cpu().numpy(), bool(has_bias), bool(trains)


def _table(name: str, given: Any, width: int | None = None, noun: str = "") -> np.ndarray:
    """The samples or targets in double precision."""
    found = given.detach().cpu().numpy() if isinstance(given, Tensor) else np.asarray(given)
    if found.dtype.kind not in "fiub" or found.ndim != 2:
        kind = f"{found.dtype} of shape {found.shape}"
        raise ValueError(f"{name} must be a table of real numbers, a row a sample, not {kind}")
    if found.shape[1] != (width or found.shape[1]):
        raise ValueError(f"{name} has {found.shape[1]} columns, and the weight has {width} {noun}")
    if not len(found) or not np.isfinite(found).all():
        raise ValueError(f"{name} has no rows" if not len(found) else f"{name} has entries that are not finite")
    return found.astype(float)


def _penalty_of(penalty: str | Tensor, weight: np.ndarray) -> tuple[str, bool, int, str]:
    """Its name, whether it has a gradient, over how many entries it is a mean, and what its value says."""
    if isinstance(penalty, Tensor):
        value, attached, (short, long) = float(penalty.detach()), penalty.requires_grad, sorted(weight.shape)
        for name, many in ((name, many) for many in (1, short**2) for name in ("fro2", "l1", "fro")):
            if math.isclose(value * many, _penalty(name, weight), rel_tol=1e-3, abs_tol=1e-6 * short):
                return (
                    name,
                    attached,
                    many,
                    f"Your penalty is a mean over {many} entries, and reg counts as much less." * (many > 1),
                )
        if math.isclose(value, _penalty("fro2", weight) + long - short, rel_tol=1e-3):
            return (
                "fro2",
                attached,
                1,
                f"Your penalty is of the larger Gram matrix and stays at {long - short} or above: take the smaller.",
            )
        unknown = (
            "Your penalty's value is not that of squares, absolute values or the norm; all this holds for squares."
        )
        return "fro2", attached, 1, unknown * attached
    if penalty not in PENALTIES:
        raise ValueError(f"no penalty '{penalty}': one of {', '.join(PENALTIES)}{nearest(str(penalty), PENALTIES)}")
    return penalty, PENALTIES[penalty].attached, 1, ""


def _rate_of(optimizer: Any) -> tuple[float, str]:
    """The learning rate of a torch optimizer, and its kind in small letters; 0 and nothing where there is none."""
    if optimizer is None or isinstance(optimizer, int | float):
        return float(optimizer or 0), "adam" if optimizer else ""
    if not hasattr(optimizer, "param_groups"):
        raise TypeError(f"optimizer must be a torch optimizer or a learning rate, not {type(optimizer).__name__}")
    return float(optimizer.param_groups[0]["lr"]), type(optimizer).__name__.lower().removesuffix("w")
