"""Peak memory of a batch, by the growth of a process of its own."""

from __future__ import annotations

import multiprocessing
import resource
import sys

STEPS = 12


def _peak(queue, dimension: int, samples: int, batch: int, device: str) -> None:
    import torch

    from orthogrid.cells.cell import Cell
    from orthogrid.training.train import train_batch

    torch.set_num_threads(1)

    def cells(dimension: int, samples: int, count: int):
        return [Cell(dimension=dimension, samples=samples, steps=STEPS, reg=1 + i) for i in range(count)]

    train_batch(cells(8, 4, 2), device)  # libraries and their workspaces
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        train_batch(cells(dimension, samples, batch), device)
        queue.put(torch.cuda.max_memory_allocated() - before)
        return
    unit = 1 if sys.platform == "darwin" else 1024
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    train_batch(cells(dimension, samples, batch), device)
    queue.put((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * unit)


def measure(device: str, quick: bool) -> list[dict]:
    """Megabytes a cell, beyond what an empty process holds. On a CPU large cells are trained one at a time: a batch of
    them needs little more than one."""
    context = multiprocessing.get_context("spawn")
    records = []
    for dimension, samples in ((100, 200),) if quick else ((100, 6), (100, 200), (500, 30), (500, 1000)):
        for batch in (1, 8, 64):
            queue = context.Queue()
            process = context.Process(target=_peak, args=(queue, dimension, samples, batch, device))
            process.start()
            megabytes = queue.get() / 1e6 / batch
            process.join()
            records.append(
                {"what": "peak memory", "dimension": dimension, "samples": samples, "penalty": "fro2", "batch": batch,
                 "value": megabytes, "unit": "MB a cell"}
            )  # fmt: skip
    return records
