"""Training jobs: take the finished rows, train the missing cells batch by batch, journal each, write the rows files."""

from __future__ import annotations

import ctypes
import gc
import json
import multiprocessing
import os
import platform
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from pathlib import Path

import torch

from .cell import Cell, ConfigError, spec_name
from .config import Config
from .numerics.train import Result, shape_of, train_batch
from .plan import batches, effort, require_libraries, shared_out
from .progress import Progress
from .store import Store, write_bytes


def find_device(wanted: str) -> torch.device:
    """`auto` takes a GPU where there is one. Raises ConfigError when `cuda` is asked for in vain."""
    if wanted == "cuda" and not torch.cuda.is_available():
        raise ConfigError(
            f"device 'cuda': torch {torch.__version__} sees no GPU; set device: auto or cpu, "
            "or install a CUDA build of torch (see README, GPU)"
        )
    use_gpu = wanted == "cuda" or (wanted == "auto" and torch.cuda.is_available())
    return torch.device("cuda" if use_gpu else "cpu")


def device_name(device: torch.device) -> str:
    """What the row says it was made on, such as `cuda (NVIDIA H200)` or `cpu (AMD EPYC, 1 thread)`."""
    if device.type == "cuda":
        return f"cuda ({torch.cuda.get_device_name(device)})"
    return f"cpu ({_processor()}, 1 thread)"


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def gpu_batch(cell: Cell, device: torch.device) -> int | None:
    """Cells of this shape that fit into four fifths of the GPU's free memory; None on the CPU, which has a rule of its own."""
    if device.type != "cuda":
        return None
    size = {"float64": 8, "bfloat16": 2}.get(cell.dtype, 4)
    n, k = cell.dimension, cell.samples
    # Six matrices in training precision (a method's own: four more, widened ones four times as large), six float64 ones while
    # metrics are taken; data twice over.
    own = {"adam": 0, "widened": 24}.get(spec_name(cell.method), 4)
    need = n * n * ((6 + own) * size + 6 * 8) + k * n * (3 * size + 4 * 8)
    free, _ = torch.cuda.mem_get_info(device)
    return max(1, int(0.8 * free // need))


def train_cells(
    group: str,
    cells: Sequence[Cell],
    results: str | Path,
    device: str = "auto",
    workers: int | None = None,
    log: str | Path | None = None,
) -> int:
    """Bring one group's rows and traces files about; returns how many cells had to be trained.

    On the CPU `workers` processes (as many as there are cores, by default) train a batch each, with one thread: faster than
    one batch on all cores, far faster where other programs run too, and a row's bits do not depend on their number.
    Interrupt it anywhere and call it again: cells whose batch had finished are not trained twice.
    """
    store = Store(results)
    trained = _train_missing(group.rpartition("-")[0], cells, store, device, workers, log)
    store.write_group(group, cells)
    return trained


def train_run(
    config: Config,
    cells: Sequence[Cell],
    results: str | Path,
    device: str = "auto",
    minutes: float | None = None,
    log: str | Path | None = None,
) -> int:
    """Train cells of a config, of all its families together; returns how many were trained.

    With `minutes` the cheapest go first and no batch starts later than that. However it ends, what is finished by then is in
    the rows files, and `run.json` says how much of the config that is.
    """
    store = Store(results)
    try:
        return _train_missing(config.run, cells, store, device, None, log, minutes)
    finally:
        finished = store.write_finished(config.cells)
        summary = {
            "run": config.run, "title": config.title, "cells": len(config.cells), "finished": finished,
            "partial": finished < len(config.cells), "digest": config.digest,
        }  # fmt: skip
        write_bytes((json.dumps(summary, indent=2) + "\n").encode(), store.root / "run.json")


def _train_missing(
    name: str,
    cells: Sequence[Cell],
    store: Store,
    device: str,
    workers: int | None,
    log: str | Path | None,
    minutes: float | None = None,
) -> int:
    target = find_device(device)
    finished, _ = store.finished(cells)
    done_keys = set(finished["key"])
    missing = [cell for cell in cells if cell.key not in done_keys]
    if log:
        Path(log).parent.mkdir(parents=True, exist_ok=True)
    require_libraries(missing)
    if not missing:
        return 0
    progress = Progress(name, sum(map(effort, missing)), log)
    kept = f"; {len(done_keys)} more are finished already" if done_keys else ""
    progress.say(f"{name}: {len(missing)} cells to train on {device_name(target)}{kept}")
    workers = workers or os.cpu_count() or 1
    waiting = batches(missing, shape_of, lambda cell: gpu_batch(cell, target))
    if target.type == "cpu":
        waiting = shared_out(waiting, workers)
    if minutes is not None:
        waiting.sort(key=lambda batch: effort(batch[0]))
    deadline = time.monotonic() + 60 * minutes if minutes is not None else None
    count = 0

    def report(done: float) -> None:
        progress.update(done, f"{count} of {len(missing)} cells done, ")

    try:
        for results_of_batch in _train_all(waiting, target, workers, report, deadline):
            families: dict[str, list[Result]] = {}
            for result in results_of_batch:
                families.setdefault(result.cell.family, []).append(result)
            for family, same in families.items():
                store.append(family, [_record(result, target) for result in same])
            count += len(results_of_batch)
    except KeyboardInterrupt:
        progress.close(f"interrupted; {count} cells are kept, run the same command again to go on. Stopped")
        raise
    rest = f", {len(missing) - count} are left" if count < len(missing) else ""
    progress.close(f"{count} cells trained{rest}")
    return count


# Below this effort (some seconds) starting workers would cost more than it saves.
WORTH_WORKERS = 2e11


def _train_all(
    waiting: list[list[Cell]],
    device: torch.device,
    workers: int,
    report: Callable[[float], None],
    deadline: float | None = None,
) -> Iterator[list[Result]]:
    """The results of each batch, as they come; `report` hears the effort done. No batch starts after the deadline."""
    efforts = [sum(map(effort, batch)) for batch in waiting]
    workers = min(workers, len(waiting))

    def in_time() -> bool:
        return deadline is None or time.monotonic() < deadline

    if device.type == "cpu":
        torch.set_num_threads(1)
    if device.type != "cpu" or workers == 1 or sum(efforts) < WORTH_WORKERS:
        done = 0.0
        for batch, work in zip(waiting, efforts, strict=True):
            if not in_time():
                return
            yield from _train(batch, device, lambda fraction, done=done, work=work: report(done + fraction * work))
            done += work
        return
    context = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
    fractions = context.Array("d", len(waiting), lock=False)
    pool = ProcessPoolExecutor(workers, context, _start_worker, (fractions, os.getpid()))
    running: dict[Future, int] = {}
    following = iter(enumerate(waiting))
    try:
        while True:
            # One batch ahead of each worker, so that none waits for the next.
            while len(running) < 2 * workers and in_time() and (numbered := next(following, None)):
                running[pool.submit(_train_in_worker, *numbered)] = numbered[0]
            if not running:
                break
            finished, _ = wait(running, timeout=1, return_when=FIRST_COMPLETED)
            for future in finished:
                fractions[running.pop(future)] = 1.0
                yield future.result()
            report(sum(f * work for f, work in zip(fractions, efforts, strict=True)))
    finally:
        for process in list((pool._processes or {}).values()) if running else ():
            process.terminate()
        pool.shutdown(wait=True, cancel_futures=True)


_PR_SET_PDEATHSIG = 1  # of prctl(2)

_fractions = None  # of each batch, shared with the parent; in workers only


def _start_worker(fractions, parent: int) -> None:
    global _fractions
    _fractions = fractions
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    if sys.platform == "linux":
        # A worker must not outlive a parent that was killed outright.
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)


def _train_in_worker(index: int, batch: list[Cell]) -> list[Result]:
    def report(fraction: float) -> None:
        _fractions[index] = fraction

    return train_batch(batch, "cpu", report)


def _train(cells: list[Cell], device: torch.device, report):
    """Train a batch, in halves where the GPU's memory does not suffice."""
    if device.type == "cuda":
        gc.collect()  # a finished batch and its method hold each other, and the GPU's memory with them
    try:
        results = train_batch(cells, device, report)
    except torch.cuda.OutOfMemoryError:
        if len(cells) == 1:
            raise
        results = None
    if results is not None:
        yield results
        return
    torch.cuda.empty_cache()  # outside the handler, which would keep the failed batch's tensors alive
    middle = len(cells) // 2
    yield from _train(cells[:middle], device, report)
    yield from _train(cells[middle:], device, report)


def _record(result: Result, device: torch.device) -> dict:
    provenance = {"device": device_name(device), "torch": torch.__version__, "code": result.cell.code}
    return {"row": {"key": result.cell.key, **result.cell.settings, **result.row, **provenance}, "trace": result.trace}
