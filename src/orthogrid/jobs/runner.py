"""Training jobs: take the finished rows, train the missing cells batch by batch, journal each, write the rows files."""

from __future__ import annotations

import gc
import importlib.util
import os
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch

from ..cells.cell import Cell
from ..cells.components import ConfigError, methods, models, penalties
from ..cells.config import Config
from ..cells.costs import bytes_needed, cpu_name
from ..cells.shape import spec_name
from ..methods import METHODS
from ..models import MODELS
from ..numerics.graphs import find_kernels
from ..penalties import PENALTIES
from ..penalties.base import find_penalty
from ..training.train import Result, train_batch
from .own import load_code, loaded_code, run_again, staying, try_penalties
from .plan import batches, measured_costs, parts, shared_out
from .progress import Progress, how_many
from .store import Store, shard_name
from .workers import Outcome, WorkerDied, Workers

# Seconds of work of one core from which on workers are started. One that works on a GPU loads its libraries anew.
WORTH_WORKERS = {"cpu": 1.0, "cuda": 60.0}
# At most SHARE_GPU processes share a GPU, SHARE_BYTES of its memory each. They draw problems and measure ends on the CPU, which
# for small matrices takes longer than the steps on the GPU.
SHARE_GPU = 8
SHARE_BYTES = 4e9


class TrainingError(RuntimeError):
    """Some cells could not be trained; the text names them. All others are finished and kept."""


@dataclass
class Failure:
    """Cells that could not be trained, and why."""

    cells: list[Cell]
    error: BaseException

    def __str__(self) -> str:
        kind = "" if isinstance(self.error, WorkerDied) else f"{type(self.error).__name__}: "
        which = "\n".join(f"    {cell.key} {cell}" for cell in self.cells)
        return f"  {kind}{self.error}\n{which}"


Trained = Result | Failure


def find_device(wanted: str) -> torch.device:
    """`auto` takes a GPU where there is one. Raises ConfigError when `cuda` is asked for in vain."""
    if wanted == "cuda" and not torch.cuda.is_available():
        raise ConfigError(
            f"device 'cuda': torch {torch.__version__} sees no GPU; set device: auto or cpu, "
            "or install a CUDA build of torch (see docs/gpu.md)"
        )
    return torch.device("cuda" if wanted != "cpu" and torch.cuda.is_available() else "cpu")


def device_name(device: torch.device) -> str:
    """What a row says it was made on, such as `cuda (NVIDIA H200)` or `cpu (AMD EPYC, 1 thread)`."""
    if device.type != "cuda":
        return cpu_name()
    return f"cuda ({torch.cuda.get_device_name(device)}{'' if find_kernels(device) else ', no Triton'})"


def device_of(cell: Cell, device: torch.device) -> torch.device:
    """Where a cell of a job on `device` is trained. To decompose matrices or to step a small network a GPU takes as long as a core."""
    beside = find_penalty(cell.penalty)[0].decomposes or models()[spec_name(cell.model)].network
    return torch.device("cpu") if beside else device


def gpu_batch(cell: Cell, device: torch.device, workers: int = 1) -> int | None:
    """The cells of this shape that fit into four fifths of a worker's share of the GPU's free memory; None on the CPU."""
    if device.type != "cuda":
        return None
    free, _ = torch.cuda.mem_get_info(device)
    return max(1, 4 * free // (5 * workers * bytes_needed(cell)))


def gpu_workers(device: torch.device, workers: int) -> int:
    """How many of these processes may share the GPU."""
    free, _ = torch.cuda.mem_get_info(device)
    return max(1, min(workers, SHARE_GPU, int(free / SHARE_BYTES)))


@contextmanager
def stopping() -> Iterator[list[int]]:
    """The signals that ask the work inside to stop, as they come: Ctrl-C, SIGTERM or a closed terminal (SIGHUP).

    The list is looked at where nothing can be lost. To raise could be in the middle of a write.
    """
    stop: list[int] = []
    here = threading.current_thread() is threading.main_thread()  # no other may handle signals
    # SIGINT by name: a shell starts background jobs with it ignored.
    numbers = [getattr(signal, n) for n in ("SIGINT", "SIGTERM", "SIGHUP") if here and hasattr(signal, n)]
    before = {number: signal.signal(number, lambda number, frame: stop.append(number)) for number in numbers}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def train_cells(
    cells: Sequence[Cell],
    root: str | Path,
    device: str = "auto",
    *,
    name: str | None = None,
    workers: int | None = None,
    minutes: float | None = None,
    log: str | Path | None = None,
) -> int:
    """Bring the rows and traces of some cells about; returns how many had to be trained.

    A planned job's files are called `name` and hold all of the cells; without a name they hold those that no file has yet.

    On the CPU `workers` processes (as many as there are cores, by default) train a batch each, with one thread: a row's bits
    do not depend on their number. A GPU is shared by as many as are asked for, one by default: ends are measured by the CPU.
    With `minutes` the cheapest cells go first and no batch starts later than that.
    However it ends, what is finished by then is in rows files, and the same call goes on from there.

    Raises TrainingError at the end, when some cells could not be trained or are gone; KeyboardInterrupt when it is stopped.
    """
    store, target = Store(root), find_device(device)
    for odd in (*store.set_aside(), *store.contradictions(cells)):
        print(odd, file=sys.stderr, flush=True)
    asked, filed = cells, store.where(cells).keys()
    if name is None:
        cells = [cell for cell in cells if cell.key not in filed]
        if not cells:
            return 0
        name = shard_name(cells)
    done = store.finished_keys(cells)
    missing = [cell for cell in cells if cell.key not in done]
    require_trainable(missing)
    for odd in try_penalties(cell.penalty for cell in missing):
        print(f"note: {odd}", file=sys.stderr, flush=True)
    workers = workers or (os.cpu_count() or 1 if target.type == "cpu" else 1)
    job = Job(store, name, missing, target, workers, minutes)
    with stopping() as stop:
        try:
            if missing:
                job.run(stop, Progress("training", job.seconds, log), len(done))
        finally:
            for code, cell in {cell.code: cell for cell in missing}.items():
                store.keep_code(code, cell.code_parts)
            store.settle(name, cells)
    if stop:
        raise KeyboardInterrupt
    kept = filed | done | job.trained
    if gone := [cell for cell in store.unfiled(asked) if cell.key in kept]:
        raise TrainingError(
            f"{how_many(len(gone), 'cell')} that were trained are gone: rows files or journals in {store.root} were damaged or "
            "removed while this job was at work. The same command trains them again."
        )
    if job.failures:
        number = sum(len(failure.cells) for failure in job.failures)
        listing = "\n".join(map(str, job.failures))
        raise TrainingError(f"{number} cells could not be trained, {job.count} were:\n{listing}")
    return job.count


def require_trainable(cells: Sequence[Cell]) -> None:
    """Raises ConfigError where a method is a library that is not installed, or a user's file has not run in this process."""
    kinds = (PENALTIES, penalties(), "penalty"), (METHODS, methods(), "method"), (MODELS, models(), "model")
    for registry, known, axis in kinds:
        for name in {spec_name(getattr(cell, axis)) for cell in cells}:
            if axis == "method" and known[name].library and importlib.util.find_spec(name) is None:
                raise ConfigError(
                    f"method '{name}' needs the library {name}: pip install {name}, or take it from the config's methods"
                )
            if name not in registry:
                file = known[name].file
                raise ConfigError(
                    f"{axis} '{name}' stands in {file}, which has not run: orthogrid.jobs.own.load_code('{file}')"
                )


def train_run(config: Config, cells: Sequence[Cell], **how) -> int:
    """Train cells of a config, a piece of the run, and gather all that is finished of the run in one rows file.

    The config's own files run first, so that one that cannot be run stops it before anything trains.
    """
    load_code(config.code)
    store = Store(config.root)
    try:
        return train_cells(cells, config.root, **how)
    finally:
        store.gather(config.cells)


class Job:
    """The training of some cells: what waits, what is done, what failed."""

    def __init__(
        self, store: Store, name: str, cells: list[Cell], device: torch.device, workers: int, minutes: float | None
    ):
        self.store, self.name, self.cells, self.device = store, name, cells, device
        self.costs = measured_costs(store, device_name(device))
        self.seconds = sum(map(self.costs.seconds, cells))
        self.workers = workers if self.seconds > WORTH_WORKERS[device.type] else 1
        self.sharing = gpu_workers(device, self.workers) if device.type == "cuda" and self.workers > 1 else self.workers
        self.deadline = None if minutes is None else time.monotonic() + 60 * minutes
        self.waiting = batches(cells, self.costs, lambda cell: gpu_batch(cell, device_of(cell, device), self.sharing))
        if cells and (device.type == "cpu" or self.workers > 1):
            self.waiting = shared_out(self.waiting, self.workers, self.costs)
        if minutes is not None:
            self.waiting.sort(key=lambda batch: self.costs.seconds(batch[0]))
        self.count = 0
        self.trained: set[str] = set()  # their keys
        self.failures: list[Failure] = []

    def run(self, stop: Sequence[int], progress: Progress, done: int) -> None:
        """Train batch by batch and journal what is finished, until all is done or something asks to stop.

        `done` is how many more cells of the job were finished before.
        """
        before = f"; {done} more are trained already" if done else ""
        progress.say(f"training: {how_many(len(self.cells), 'cell')} on {device_name(self.device)}{before}")

        def report(seconds: float) -> None:
            progress.update(seconds, f"of the work, {self.count} of {len(self.cells)} cells, ")

        diverged = 0
        train = self._in_workers if self.workers > 1 else self._here
        for trained in train(stop, report):
            results = [each for each in trained if isinstance(each, Result)]
            self.store.append(self.name, [_record(r, device_of(r.cell, self.device)) for r in results])
            self.count += len(results)
            self.trained |= {result.cell.key for result in results}
            diverged += sum(result.row["status"] == "diverged" for result in results)
            self.failures += [each for each in trained if isinstance(each, Failure)]
        left = len(self.cells) - self.count
        if stop:
            progress.close(f"interrupted; {self.count} cells are kept, run the same command again to go on. Stopped")
        else:
            lost = f", {diverged} of them diverged" if diverged else ""
            progress.close(f"{how_many(self.count, 'cell')} trained{lost}{f', {left} are left' if left else ''}")

    def _late(self) -> bool:
        return self.deadline is not None and time.monotonic() >= self.deadline

    def _here(self, stop: Sequence[int], report: Callable[[float], None]) -> Iterator[list[Trained]]:
        """The results of the batches that wait, trained one after another in this process.

        `report` is called with the seconds of work that are done.
        """
        done = self.seconds - sum(map(self.costs.batch_seconds, self.waiting))
        for batch in self.waiting:
            if stop or self._late():
                return
            work = self.costs.batch_seconds(batch)

            def advance(fraction: float, done: float = done, work: float = work) -> None:
                if stop:
                    raise KeyboardInterrupt
                report(done + fraction * work)

            try:
                yield from halve_on_failure(batch, device_of(batch[0], self.device), advance)
            except KeyboardInterrupt:
                return
            done += work

    def _in_workers(self, stop: Sequence[int], report: Callable[[float], None]) -> Iterator[list[Trained]]:
        """The results of the batches that wait, as they come from the workers: those of a GPU, and beside them those of the CPU.

        A batch whose worker died is tried once more when all others are done, alone: on a CPU by a worker that has the machine's
        memory to itself, on a GPU in this process. Where workers on a GPU die before any has a result, the card may be set to
        serve one process only, and all batches are left to this one.
        """
        seconds = [self.costs.batch_seconds(batch) for batch in self.waiting]
        on_gpu = self.device.type == "cuda"
        beside = [on_gpu and device_of(batch[0], self.device).type == "cpu" for batch in self.waiting]
        waiting, others = (deque(n for n, other in enumerate(beside) if other is where) for where in (False, True))
        died: deque[int] = deque()
        most = max(1, min(self.sharing, len(waiting)))

        def made(most: int, device: torch.device) -> Workers:
            work, prepare = partial(_train_at_once, device), partial(_prepare, loaded_code(), device)
            return Workers(work, self.waiting, most, prepare, forks=not on_gpu)

        workers = made(most, self.device)
        helpers = made(max(1, self.workers - most), torch.device("cpu"))

        def outcomes(lanes: dict[Workers, deque[int]]) -> Iterator[Outcome]:
            while any(numbers or lane.running for lane, numbers in lanes.items()) and not stop:
                for lane, numbers in lanes.items():
                    if self._late():
                        numbers.clear()
                    while numbers and lane.free:
                        lane.start(numbers.popleft())
                yield from workers.wait(1.0, helpers)
                done = zip(workers.fractions, helpers.fractions, seconds, strict=True)
                report(sum((here + there) * work for here, there, work in done))

        any_result = False
        try:
            for outcome in outcomes({workers: waiting, helpers: others}):
                if not isinstance(outcome.error, WorkerDied):
                    any_result = any_result or not beside[outcome.number]
                    yield self._results(outcome)
                    continue
                died.append(outcome.number)
                if on_gpu and not any_result and sum(not beside[number] for number in died) >= most:
                    died.extend(waiting)
                    waiting.clear()
            if not on_gpu:
                workers.most = 1
                yield from map(self._results, outcomes({workers: died}))
        finally:
            finished = [*workers.stop(), *helpers.stop()]
        yield from map(self._results, finished)
        if on_gpu:
            self.waiting = [self.waiting[number] for number in died]
            yield from self._here(stop, report)

    def _results(self, outcome: Outcome) -> list[Trained]:
        return outcome.result if outcome.error is None else [Failure(self.waiting[outcome.number], outcome.error)]


def halve_on_failure(
    cells: list[Cell], device: torch.device, report: Callable[[float], None]
) -> Iterator[list[Trained]]:
    """Train a batch in this process. Where that raises, train its halves, so that a cell that fails takes no other with it.

    The halves also fit into a GPU's memory where the whole did not.
    """
    try:
        with staying(), np.errstate(over="ignore", invalid="ignore"):  # to diverge is a result
            results = train_batch(cells, device, report)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # also what would end the process
        failure = Failure(cells, error.with_traceback(None))
    else:
        yield [replace(result, weight=None, bias=None) for result in results]
        return
    if device.type == "cuda":  # outside the handler, which would keep the failed batch's tensors alive
        gc.collect()
        torch.cuda.empty_cache()
    if len(cells) == 1:
        yield [failure]
    else:
        for half in parts(cells, 2):
            yield from halve_on_failure(half, device, report)


def _train_at_once(device: torch.device, cells: list[Cell], report: Callable[[float], None]) -> list[Trained]:
    """A worker's task: the results of `halve_on_failure`, together."""
    return [result for results in halve_on_failure(cells, device, report) for result in results]


def _prepare(code: Mapping[Path, bytes], device: torch.device) -> None:
    """First in a worker that was not forked: run a user's files, and take hold of the device, or die."""
    run_again(code)
    torch.zeros(1, device=device)


def _record(result: Result, device: torch.device) -> dict:
    provenance = {"device": device_name(device), "torch": torch.__version__, "code": result.cell.code}
    return {"row": {"key": result.cell.key, **result.cell.settings, **result.row, **provenance}, "trace": result.trace}
