"""What a cell costs: operations of its matrix products, and seconds of one core as they were measured. Imports no torch."""

from __future__ import annotations

import csv
import math
import platform
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from statistics import median

from .cell import AXES, Cell
from .components import methods, models, penalties
from .shape import by_gram, spec_name

# Made by `python -m benchmarks.costs`: seconds of a step and of what surrounds the steps, by name and dimension.
TABLE = Path(__file__).with_name("costs.csv")


def operations(cell: Cell) -> float:
    """Floating-point operations of a cell's matrix products: 2n³ a step for each of the penalty's and the method's; for the data
    4kn², or 2n³ through the Gram matrix.

    Elementwise work and metrics come on top. Where a step decomposes a matrix it is a lower bound.
    """
    n, k = cell.dimension, cell.samples
    data = 6 * k * n**2 if cell.sampling == "fresh" else 2 * n**3 if by_gram(cell) else 4 * k * n**2 * _share(cell)
    products = penalties()[spec_name(cell.penalty)].products + methods()[spec_name(cell.method)].products
    return float((data + products * 2 * n**3) * cell.steps)


# The settings that a cell's time depends on, its number of steps aside.
TIMED = ("model", "dimension", "samples", "sampling", "penalty", "method", "bias", "dtype")


class Costs:
    """Seconds of one core by cell: as rows of the same shape took, else by the table."""

    def __init__(self, rows: Iterable[Mapping[str, str]] = ()):
        """`rows` as a CSV has them: the settings as text, with `seconds` and `seconds_per_step`."""
        taken: defaultdict[tuple[str, ...], list[tuple[float, float]]] = defaultdict(list)
        for row in rows:
            step, seconds, steps = (float(row[name] or "nan") for name in ("seconds_per_step", "seconds", "steps"))
            if math.isfinite(step) and math.isfinite(seconds):
                taken[tuple(row.get(name, AXES[name].default) for name in TIMED)].append(
                    (step, max(0.0, seconds - step * steps))
                )
        self._taken = {shape: tuple(map(median, zip(*times, strict=True))) for shape, times in taken.items()}
        self._known: dict[tuple[str, ...], float] = {}

    def seconds(self, cell: Cell) -> float:
        """Expected seconds of one core, in a batch of ordinary size."""
        shape = tuple(str(getattr(cell, name)) for name in (*TIMED, "steps"))
        if shape not in self._known:
            step, around = self._taken.get(shape[:-1]) or (step_seconds(cell), around_seconds(cell))
            self._known[shape] = step * cell.steps + around
        return self._known[shape]

    def measured(self, cell: Cell) -> bool:
        """Whether the time comes from rows of this cell's shape."""
        return tuple(str(getattr(cell, name)) for name in TIMED) in self._taken

    def batch_seconds(self, batch: Sequence[Cell]) -> float:
        """The same for cells of one shape."""
        return self.seconds(batch[0]) * len(batch) if batch else 0.0


def step_seconds(cell: Cell) -> float:
    """Seconds of a step by the table: the data's part, and what penalty, method and number format add to it."""
    n, k = cell.dimension, cell.samples
    plain = _interpolated("none", "adam", n)
    # The table's residuals are of n/4 samples; a product's time goes with their number.
    data = _interpolated("none", "adam", n, "gram") if by_gram(cell) else plain * (0.5 + 2 * k / n * _share(cell))
    if cell.sampling == "fresh":
        data *= 3
    penalty, method = spec_name(cell.penalty), spec_name(cell.method)
    added = _interpolated(penalty, "adam", n) - plain if penalty != "none" else 0.0
    if method != "adam":
        base = "fro2" if methods()[method].uses_penalty else "none"
        added += _interpolated(base, method, n) - _interpolated(base, "adam", n)
    number_format = {"float64": 2.0, "tf32": 2.0, "bfloat16": 4.0}.get(cell.dtype, 1.0)
    return max(data, data + added) * number_format


def _share(cell: Cell) -> float:
    """The products of its model's step over a layer's two."""
    return models()[spec_name(cell.model)].products / 2


def bytes_needed(cell: Cell) -> int:
    """Memory of a cell in training: seven matrices in its precision and the method's own, six in float64 while metrics are
    taken; data twice over."""
    size = {"float64": 8, "bfloat16": 2}.get(cell.dtype, 4)
    n, k = cell.dimension, cell.samples
    own = methods()[spec_name(cell.method)].matrices
    return n * n * ((7 + own) * size + 6 * 8) + k * n * (3 * size + 4 * 8)


def cpu_name() -> str:
    """What a row says of the processor that made it, such as `cpu (AMD EPYC, 1 thread)`."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    found = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"cpu ({found[0] if found else platform.processor() or platform.machine()}, 1 thread)"


def around_seconds(cell: Cell) -> float:
    """Seconds of a cell's problem and final metrics and of its logged steps, by the table."""
    n, steps = cell.dimension, cell.steps
    # About how many steps `training.train.log_steps` lists.
    logged = min(steps, 13 + 5 * math.log10(steps) + min(steps / 100, 50) if n >= 256 else 2 + 3 * math.log10(steps))
    return _interpolated("", "draw", n) + logged * _interpolated("", "log", n)


@cache
def _table() -> dict[tuple[str, str, str], list[tuple[float, float]]]:
    found: defaultdict[tuple[str, str, str], list[tuple[float, float]]] = defaultdict(list)
    with TABLE.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            found[row["penalty"], row["method"], row["route"]].append((float(row["dimension"]), float(row["seconds"])))
    return {place: sorted(points) for place, points in found.items()}


@cache
def _interpolated(penalty: str, method: str, n: int, route: str = "residuals") -> float:
    """By power laws between the measured dimensions, the first and last one carried on. What was never timed is as fro2."""
    points = _table().get((penalty, method, route)) or _table()["fro2", "adam", "residuals"]
    for (a, low), (b, high) in zip(points, points[1:], strict=False):
        if n <= b or b == points[-1][0]:
            power = math.log(high / low) / math.log(b / a)
            return low * (n / a) ** (max(0.0, power) if n < a else power)
    return points[0][1]
