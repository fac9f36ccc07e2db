"""Worker processes that may die: each has a pipe of its own, so that a death is seen at once and holds up nobody.

The standard library's pool shares queues among its workers; one that is killed while it holds a queue's lock stops all.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any

# Forked workers share what the parent has imported and is to work on; elsewhere both are sent to them.
CONTEXT: Any = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
SPAWN: Any = multiprocessing.get_context("spawn")
_PR_SET_PDEATHSIG = 1  # of prctl(2)


class WorkerDied(RuntimeError):
    """A worker ended without a result: killed, out of memory, or crashed in native code."""


@dataclass
class Outcome:
    """What became of a task: its number, and a result or the error that stopped it."""

    number: int
    result: Any = None
    error: Exception | None = None


@dataclass
class _Worker:
    process: Any  # of the context that workers come from
    pipe: Connection
    task: int | None = None  # the number it works on


class Pool:
    """Processes that work on numbered tasks. `work(task, report)` may call `report(fraction)` meanwhile."""

    def __init__(
        self,
        work: Callable[[Any, Callable[[float], None]], Any],
        tasks: Sequence[Any],
        workers: int,
        prepare: Callable[[], None] | None = None,
        forks: bool = True,
    ):
        """`prepare` is called first in each worker that is not forked, so has nothing of what the parent did.

        Without `forks` none is forked: a fork of a process that uses a GPU cannot.
        """
        self.work, self.tasks, self.prepare = work, tasks, prepare
        self.context = CONTEXT if forks else SPAWN
        self.fractions = self.context.Array("d", len(tasks), lock=False)  # of each task, written by its worker
        self.workers: list[_Worker] = []
        self.most = workers

    def start(self, number: int) -> None:
        """Give a task to an idle worker, a new one if there is none. Not more at once than `idle` allows."""
        worker = next((w for w in self.workers if w.task is None), None) or self._hire()
        worker.task = number
        worker.pipe.send(number)

    @property
    def running(self) -> list[int]:
        return [w.task for w in self.workers if w.task is not None]

    @property
    def idle(self) -> int:
        """How many more tasks can run now."""
        return self.most - len(self.running)

    def wait(self, seconds: float) -> list[Outcome]:
        """The outcomes that are there, at the latest after so many seconds."""
        busy: dict[Any, _Worker] = {w.pipe: w for w in self.workers if w.task is not None}
        return [self._receive(busy[pipe]) for pipe in wait(list(busy), timeout=seconds)]

    def stop(self) -> list[Outcome]:
        """End all workers, in the middle of their tasks; what they had just finished is returned."""
        ready = [o for o in self.wait(0) if o.error is None]
        for worker in self.workers:
            worker.process.kill()
        for worker in self.workers:
            worker.process.join()
            worker.pipe.close()
        self.workers = []
        return ready

    def _hire(self) -> _Worker:
        ours, theirs = self.context.Pipe()
        inherited = [w.pipe for w in self.workers] + [ours]
        forked = self.context.get_start_method() == "fork"
        inherited, prepare = (inherited, None) if forked else ([], self.prepare)
        process = self.context.Process(
            target=_serve,
            args=(theirs, inherited, self.work, self.tasks, self.fractions, os.getpid(), prepare),
            daemon=True,
        )  # fmt: skip
        process.start()
        theirs.close()
        self.workers.append(_Worker(process, ours))
        return self.workers[-1]

    def _receive(self, worker: _Worker) -> Outcome:
        assert worker.task is not None, "only a worker at work answers"
        number, worker.task = worker.task, None
        try:
            result, error = worker.pipe.recv()
        except (EOFError, OSError):
            self.workers.remove(worker)
            worker.process.join()
            worker.pipe.close()
            return Outcome(number, error=WorkerDied(_how(worker.process.exitcode)))
        if error is None:
            self.fractions[number] = 1.0
        return Outcome(number, result, error)


def _how(exitcode: int | None) -> str:
    if exitcode is not None and exitcode < 0:
        name = signal.Signals(-exitcode).name
        hint = " (the machine may have run out of memory)" if name == "SIGKILL" else ""
        return f"its process was ended by {name}{hint}"
    return f"its process ended with code {exitcode}"


def die_with_parent(parent: int, number: int = signal.SIGKILL) -> None:
    """Ask the system to send this process a signal when its parent ends, so that it is no orphan. Linux only."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, number)
        if os.getppid() != parent:  # it ended before the request
            os.kill(os.getpid(), number)


def _serve(pipe, inherited, work, tasks, fractions, parent: int, prepare) -> None:
    """A worker's life: take a number, work, send (result, error)."""
    for other in inherited:
        other.close()  # held open here, a sister's pipe would not tell of her death
    for name in ("SIGINT", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)  # the parent's to handle
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    die_with_parent(parent)
    if prepare is not None:
        prepare()
    while True:
        try:
            number = pipe.recv()
        except (EOFError, OSError):
            return

        def report(fraction: float, number: int = number) -> None:
            fractions[number] = fraction

        try:
            answer: tuple[Any, Exception | None] = (work(tasks[number], report), None)
        except Exception as error:
            answer = (None, error)
        try:
            pipe.send(answer)
        except Exception as error:  # an error that cannot be pickled
            pipe.send((None, RuntimeError(f"{type(error).__name__}: {error}; of {answer[1]!r}")))
