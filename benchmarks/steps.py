"""Milliseconds a cell and step of every contender, as ratios to two plain products timed in the same round.

On a CPU every core runs the same list at the same time, one thread each: what a machine does when its cores train
different cells, for us and for every other contender alike. A cell's milliseconds are the mean over cores, divided by their number.
"""

from __future__ import annotations

import math
import multiprocessing
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace

import torch

from benchmarks.records import BATCH_DIMENSION, BEST_FLOOR, FLOOR, NO_TRITON, OURS, WHOLE
from orthogrid.cells.cell import Cell
from orthogrid.numerics.graphs import WARM_UP
from orthogrid.numerics.linalg import one_thread
from orthogrid.training.train import train_batch

from .contenders import BATCHED, CONTENDERS, METHODS, PARTS, SINGLE, Task, rounded

ROUNDS = 5
SLICE = {
    "cpu": 0.25,
    "cuda": 0.05,
}  # seconds of a contender in a round; a GPU makes hundreds of steps in the shorter one

# Dimension, samples and batch of the steps that are held against JAX: small matrices, where calls cost as much as products.
SMALL = [
    (30, 60, 16), (30, 60, 64), (40, 80, 16), (40, 80, 64), (64, 128, 16),
    (100, 200, 16), (100, 30, 16), (200, 12, 16), (500, 30, 4), (500, 1000, 4),
]  # fmt: skip


@dataclass
class Timing:
    """One contender on one task."""

    what: str
    task: Task
    rounds: list[float]  # milliseconds a cell and step, on one core
    floor: list[float]  # those of the floor, in the same rounds
    steps: int | None = None  # of a whole training
    best_floor: list[float] | None = None  # those of the best floor; a whole training has none

    def record(self, cores: int) -> dict:
        ratios = sorted(a / b for a, b in zip(self.rounds, self.floor, strict=True))
        best = self.best_floor and statistics.median(a / b for a, b in zip(self.rounds, self.best_floor, strict=True))
        shown = {k: v for k, v in asdict(self.task).items() if k != "device"}
        return {
            "what": self.what, **shown, "milliseconds": statistics.median(self.rounds) / cores,
            "ratio_to_floor": statistics.median(ratios), "ratio_low": ratios[0], "ratio_high": ratios[-1],
            "ratio_to_best_floor": best, "rounds": len(ratios), "steps": self.steps,
        }  # fmt: skip


def small_tasks(device: str, quick: bool) -> Iterable[tuple[Task, list[str]]]:
    """The table of small matrices; the thread's dimension closes it."""
    for n, samples, batch in SMALL[: 5 if quick else None]:
        yield Task(n, samples, "fro2", batch, device), [*BATCHED, *([NO_TRITON] if device == "cuda" else [])]


def step_tasks(device: str, quick: bool) -> Iterable[tuple[Task, list[str]]]:
    """Which contenders are timed on which tasks."""
    n = 100 if quick else 500
    for samples in (n * 3 // 50, 2 * n):
        for penalty in ("fro2", "l1"):
            for batch in (1, 8, 64) if device == "cpu" else (1, 64):
                yield Task(n, samples, penalty, batch, device), [*BATCHED, *(SINGLE if batch == 1 else ())]
    yield Task(n, n * 3 // 50, "none", 1, device), METHODS
    for samples in (n * 3 // 50, 2 * n):
        yield Task(n, samples, "fro2", 8, device), PARTS
    for penalty in ("huber", "fro", "offdiag", "coherence", "row_sum"):
        yield Task(n, n * 3 // 50, penalty, 8, device), [OURS]
    for dimension in (32, 64, 128, 256, 512, 1024)[: 4 if quick else 6]:
        yield Task(dimension, max(2, dimension // 16), "fro2", 8, device), [OURS]
    for samples in (n // 50, n // 5, n, n * 11 // 10, n * 12 // 10, 4 * n):
        yield Task(n, samples, "fro2", 8, device), [OURS]
    for batch in (1, 2, 4, 8, 16, 32, 64):
        yield Task(BATCH_DIMENSION, 2 * BATCH_DIMENSION, "fro2", batch, device), [OURS]
    yield from small_tasks(device, quick)


def time_tasks(tasks: list[tuple[Task, list[str]]], barrier, say: Callable[[str], None]) -> list[Timing]:
    """Time contenders in turn, round by round; those whose library is missing or whose memory is, are left out."""
    timings = []
    for task, names in tasks:
        say(f"n={task.dimension} k={task.samples} {task.penalty} batch {task.batch}")
        running = {}
        for name in dict.fromkeys([FLOOR, BEST_FLOOR, *names]):
            single = replace(task, batch=1) if name in (*SINGLE, *METHODS) else task
            try:
                advance = CONTENDERS[name](single)
                # Compiles, fills caches, makes the optimiser's state, captures a GPU's kernels.
                advance(rounded(advance, 1 if task.device == "cpu" else WARM_UP + 1))
                started = time.perf_counter()
                advance(rounded(advance, 2))
                one = (time.perf_counter() - started) / rounded(advance, 2)
            except (ImportError, torch.cuda.OutOfMemoryError) as error:
                say(f"  {name} left out: {error}")
                continue
            running[name] = (advance, single, rounded(advance, max(1, SLICE[task.device] / one)))
        barrier.wait()
        seen: dict[str, list[float]] = {name: [] for name in running}
        for _ in range(ROUNDS):
            for name, (advance, single, steps) in running.items():
                barrier.wait()
                started = time.perf_counter()
                advance(steps)
                seen[name].append(1e3 * (time.perf_counter() - started) / steps / single.batch)
        timings += [Timing(name, running[name][1], seen[name], seen[FLOOR], None, seen[BEST_FLOOR]) for name in running]
    return timings


def time_training(device: str, quick: bool, barrier, say: Callable[[str], None]) -> list[Timing]:
    """Whole trainings of eight cells: problems, a thousand steps, the default log's metrics, final metrics, all of it.

    Four cells at a time, which share a problem, with the floor timed before and after.
    """
    n, steps, timings = (100 if quick else 500), (200 if quick else 1000), []
    together = 8 if device == "cpu" else 64
    for samples in (n * 3 // 50, 2 * n):
        for penalty in ("fro2", "l1"):
            task = Task(n, samples, penalty, together, device)
            say(f"whole training, n={n} k={samples} {penalty}")
            floor = CONTENDERS[FLOOR](task)
            floor(2)
            rounds, floors = [], []
            for seed in (2021, 1):
                cells = [Cell(**{**c.settings, "seed": seed, "steps": steps}) for c in task.cells[: together // 2]]
                before = _floor(floor, task, barrier)
                barrier.wait()
                started = time.perf_counter()
                train_batch(cells, device)
                rounds.append(1e3 * (time.perf_counter() - started) / steps / len(cells))
                floors.append((before + _floor(floor, task, barrier)) / 2)
            timings.append(Timing(FLOOR, task, floors, floors))
            timings.append(Timing(WHOLE, task, rounds, floors, steps))
    return timings + _growing_steps(device, quick, barrier, say)


def _growing_steps(device: str, quick: bool, barrier, say: Callable[[str], None]) -> list[Timing]:
    """Whole trainings of more and more steps: what is done once a cell, and the log's share, spread over them."""
    timings = []
    task = Task(BATCH_DIMENSION, 2 * BATCH_DIMENSION, "fro2", 8, device)
    floor = CONTENDERS[FLOOR](task)
    for steps in (100, 300, 1000) if quick else (100, 300, 1000, 3000, 10_000):
        say(f"whole training of {steps} steps, n={task.dimension}")
        cells = [Cell(**{**cell.settings, "steps": steps}) for cell in task.cells]
        before = _floor(floor, task, barrier)
        barrier.wait()
        started = time.perf_counter()
        train_batch(cells, device)
        took = 1e3 * (time.perf_counter() - started) / steps / task.batch
        timings.append(Timing(WHOLE, task, [took], [(before + _floor(floor, task, barrier)) / 2], steps))
    return timings


def _floor(advance, task: Task, barrier) -> float:
    barrier.wait()
    steps = 1 + 3 * 10**10 // (4 * task.dimension**3 * task.batch)
    times = []
    for _ in range(5):
        started = time.perf_counter()
        advance(steps)
        times.append(1e3 * (time.perf_counter() - started) / steps / task.batch)
    return statistics.median(times)


def _on_core(core: int, speaks: bool, barrier, queue, *what) -> None:
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {core})

    def say(text: str) -> None:
        if speaks:
            print(text, file=sys.stderr, flush=True)

    with one_thread():
        queue.put(_time_all(*what, barrier, say))


def _time_all(device: str, quick: bool, small: bool, barrier, say: Callable[[str], None]) -> list[Timing]:
    if small:
        return time_tasks(list(small_tasks(device, quick)), barrier, say)
    timings = time_tasks(list(step_tasks(device, quick)), barrier, say)
    return timings + time_training(device, quick, barrier, say)


def available_cores() -> list[int]:
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(os.cpu_count() or 1))


def measure(device: str, quick: bool, small: bool = False) -> list[dict]:
    """All timings of this machine, as records; with `small` those of small matrices alone."""
    if device == "cuda":
        barrier = multiprocessing.Barrier(1)
        say = lambda text: print(text, file=sys.stderr, flush=True)  # noqa: E731
        return [timing.record(1) for timing in _time_all(device, quick, small, barrier, say)]
    cores = available_cores()
    context = multiprocessing.get_context("spawn")
    barrier, queue = context.Barrier(len(cores)), context.Queue()
    processes = [
        context.Process(target=_on_core, args=(core, core == cores[0], barrier, queue, device, quick, small))
        for core in cores
    ]
    for process in processes:
        process.start()
    by_core = [queue.get() for _ in processes]
    for process in processes:
        process.join()
    together = []
    for same in zip(*by_core, strict=True):

        def mean(what: str, same=same) -> list[float] | None:
            lists = [getattr(timing, what) for timing in same]
            return lists[0] and [math.fsum(values) / len(values) for values in zip(*lists, strict=True)]

        together.append(replace(same[0], **{what: mean(what) for what in ("rounds", "floor", "best_floor")}))
    return [timing.record(len(cores)) for timing in together]
