"""How a training job is cut into batches, and what it costs. Imports no torch."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Sequence

from .catalog import methods
from .cell import Cell, ConfigError, spec_name

# Elements of one weight stack on the CPU: enough to keep the cores busy at small n, little enough to stay near the caches.
CPU_ELEMENTS = 2_000_000
CPU_MOST = 64
# Effort of a batch, about a minute of one core: a batch is what an interruption costs.
CPU_EFFORT = 6e12


# As in train, which this module must not import.
GRAM_FROM = 1.2


# Time of a step beyond the data's products and elementwise passes, in products of 2n³ operations at full rate: measured
# ratios on a CPU at n = 100, for the ETA alone. What needs products alone is in `products`.
COST = {
    "logdet": 10, "spectral": 25, "spectral2": 25, "nuclear": 25, "vonneumann": 25, "riemannian_qr": 20,
    "riemannian_polar": 60, "torch_exp": 60, "torch_cayley": 40, "torch_householder": 150, "geotorch": 60, "geoopt": 40,
    "procrustes": 100, "procrustes_side": 120,
}  # fmt: skip


# Methods that are a library: what must be installed for them.
LIBRARIES = [name for name, entry in methods().items() if entry.library]


def require_libraries(cells: Sequence[Cell]) -> None:
    """Raises ConfigError, before anything trains, where a cell's method is a library that is not installed."""
    for name in LIBRARIES:
        if importlib.util.find_spec(name) is None and any(spec_name(cell.method) == name for cell in cells):
            raise ConfigError(
                f"method '{name}' needs the library {name}: pip install {name}, or take it from the config's methods"
            )


def products(cell: Cell) -> int:
    """Matrix products of 2n³ operations that penalty and method need in a step: two for an attached penalty."""
    penalty = 0 if cell.penalty == "none" or cell.penalty.endswith("_detached") else 2
    method = {"newton_schulz": 2, "parseval": 2, "landing": 5, "pogo": 5}.get(spec_name(cell.method), 0)
    return penalty + method


def operations(cell: Cell) -> float:
    """Floating-point operations of a cell's matrix products: 2n³ a step for each of the penalty's and the method's; for the data
    4kn², or 2n³ through the Gram matrix.

    Elementwise work and metrics come on top. Where a step decomposes a matrix it is a lower bound.
    """
    n, k = cell.dimension, cell.samples
    data = 6 * k * n**2 if cell.sampling == "fresh" else 2 * n**3 if k >= GRAM_FROM * n else 4 * k * n**2
    return float((data + products(cell) * 2 * n**3) * cell.steps)


def effort(cell: Cell) -> float:
    """Expected time of a cell in arbitrary units, for the ETA: operations, decompositions, elementwise passes and a fixed part."""
    n, names = cell.dimension, (spec_name(cell.penalty), spec_name(cell.method))
    slow = max(0, max(COST.get(name, 0) for name in names) - products(cell)) * 2 * n**3
    return operations(cell) + cell.steps * (slow + 150 * n**2 + 2e5) + 60 * n**3 + 1e7


def batches(cells: Sequence[Cell], shape_of, most=lambda cell: None) -> list[list[Cell]]:
    """Cells cut into batches of one shape, in order of appearance; `most` of a cell, if any, overrides the CPU's batch size.

    Within a shape, cells that share a problem stand together: it is drawn once for a batch.
    """
    shapes: dict[tuple, dict[Cell, list[Cell]]] = {}
    for cell in cells:
        shapes.setdefault(shape_of(cell), {}).setdefault(cell.problem, []).append(cell)
    cut = []
    for by_problem in shapes.values():
        same = [cell for sharing in by_problem.values() for cell in sharing]
        size = most(same[0]) or max(
            1, min(CPU_MOST, CPU_ELEMENTS // same[0].dimension ** 2, CPU_EFFORT // effort(same[0]))
        )
        # Equal parts rather than full ones and a rest.
        parts = math.ceil(len(same) / size)
        bounds = [len(same) * i // parts for i in range(parts + 1)]
        cut += [same[a:b] for a, b in zip(bounds, bounds[1:], strict=False)]
    return cut


def shared_out(waiting: Sequence[list[Cell]], workers: int) -> list[list[Cell]]:
    """Batches cut so that the workers finish together: none longer than a quarter of a worker's share, the longest first.

    None is cut to a single cell, which would be stacked with itself.
    """
    most = sum(effort(cell) for batch in waiting for cell in batch) / (4 * workers)
    cut = []
    for batch in waiting:
        parts = max(1, min(len(batch) // 2, math.ceil(sum(map(effort, batch)) / most)))
        bounds = [len(batch) * i // parts for i in range(parts + 1)]
        cut += [batch[a:b] for a, b in zip(bounds, bounds[1:], strict=False)]
    return sorted(cut, key=lambda batch: -sum(map(effort, batch)))


def describe(config) -> str:
    """A table of a config's blocks and jobs with their cells and operations, for the command line."""
    lines = [f"{config.run}: {config.title}", "", f"{'block':<20}{'cells':>8}{'Tflop':>10}  question"]
    for block in config.blocks:
        work = sum(map(operations, block.cells)) / 1e12
        lines.append(f"{block.name:<20}{len(block.cells):>8}{work:>10.2f}  {block.question}")
    work = sum(map(operations, config.cells)) / 1e12
    lines += [f"{'unique':<20}{len(config.cells):>8}{work:>10.2f}", "", f"{'job':<36}{'cells':>8}{'Tflop':>10}"]
    for group, cells in config.groups.items():
        lines.append(f"{group:<36}{len(cells):>8}{sum(map(operations, cells)) / 1e12:>10.2f}")
    return "\n".join(lines)
