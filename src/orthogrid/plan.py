"""How a training job is cut into batches, and what it costs. Imports no torch."""

from __future__ import annotations

from collections.abc import Sequence

from .grid import Cell

# Elements of one weight stack on the CPU: enough to keep the cores busy at small n, little enough to stay near the caches.
CPU_ELEMENTS = 2_000_000
CPU_MOST = 128


# As in train, which this module must not import.
GRAM_FROM = 1.2


def operations(cell: Cell) -> float:
    """Floating-point operations of a cell's matrix products: 4n³ a step for an attached penalty; for the data 4kn², or 2n³
    through the Gram matrix.

    Elementwise work and metrics come on top. For penalties beyond two products (logdet's inverse) it is a lower bound.
    """
    n, k = cell.dimension, cell.samples
    detached = cell.penalty == "none" or cell.penalty.endswith("_detached")
    data = 6 * k * n**2 if cell.sampling == "fresh" else 2 * n**3 if k >= GRAM_FROM * n else 4 * k * n**2
    return float((data + (0 if detached else 4 * n**3)) * cell.steps)


def effort(cell: Cell) -> float:
    """Expected time of a cell in arbitrary units, for the ETA: operations plus elementwise passes and a fixed part."""
    return operations(cell) + cell.steps * (150 * cell.dimension**2 + 2e5) + 60 * cell.dimension**3 + 1e7


def batches(cells: Sequence[Cell], shape_of, most: int | None = None) -> list[list[Cell]]:
    """Cells cut into batches of one shape, in order of appearance; `most` overrides the CPU's batch size."""
    shapes: dict[tuple, list[Cell]] = {}
    for cell in cells:
        shapes.setdefault(shape_of(cell), []).append(cell)
    cut = []
    for same in shapes.values():
        size = most or max(1, min(CPU_MOST, CPU_ELEMENTS // same[0].dimension ** 2))
        # Equal parts rather than full ones and a rest.
        parts = -(-len(same) // size)
        bounds = [len(same) * i // parts for i in range(parts + 1)]
        cut += [same[a:b] for a, b in zip(bounds, bounds[1:], strict=False)]
    return cut


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
