"""Worker processes that may die: each has a pipe of its own, so that a death is seen at once and takes its own task alone.

The standard library's pools share queues among their workers. One that is killed takes the tasks of others with it. A process
for each task would be simpler still, but forking one that has loaded torch, and ending it, takes as long as a small batch.
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

SPAWN: Any = multiprocessing.get_context("spawn")
# A forked process has what its parent has imported and is to work on; elsewhere both are sent to it.
CONTEXT: Any = multiprocessing.get_context("fork") if sys.platform == "linux" else SPAWN
_PR_SET_PDEATHSIG = 1  # of prctl(2)


class WorkerDied(RuntimeError):
    """A worker ended without a result: killed, out of memory, or crashed in native code."""


@dataclass
class Outcome:
    """What became of a task: its number, and a result or the error that stopped it."""

    number: int
    result: Any = None
    error: Exception | None = None


class Workers:
    """Processes that work on numbered tasks, one after another. `work(task, report)` may call `report(fraction)` meanwhile."""

    def __init__(
        self,
        work: Callable[[Any, Callable[[float], None]], Any],
        tasks: Sequence[Any],
        most: int,
        prepare: Callable[[], None] | None = None,
        forks: bool = True,
    ):
        """At most `most` processes work at a time. `prepare` is called first in each that is not forked.

        Without `forks` none is forked: a fork of a process that uses a GPU cannot use it.
        """
        self.context = CONTEXT if forks else SPAWN
        self.fractions = self.context.Array("d", len(tasks), lock=False)  # of each task, written by its worker
        self.most = most
        self.running: dict[Connection, tuple[int, Any]] = {}  # pipe → number of the task, process
        self._idle: list[tuple[Connection, Any]] = []
        forked = self.context.get_start_method() == "fork"
        self._work = (work, tasks, self.fractions, os.getpid(), None if forked else prepare)

    @property
    def free(self) -> int:
        """How many more tasks can run now."""
        return self.most - len(self.running)

    def start(self, number: int) -> None:
        """Give a task to a process. Not more at once than are `free`."""
        pipe, process = self._idle.pop() if self._idle else self._hire()
        self.running[pipe] = number, process
        pipe.send(number)

    def _hire(self) -> tuple[Connection, Any]:
        ours, theirs = self.context.Pipe()
        process = self.context.Process(target=_serve, args=(theirs, *self._work), daemon=True)
        process.start()
        theirs.close()  # held open here, it would hide the worker's death
        return ours, process

    def wait(self, seconds: float, *others: Workers) -> list[Outcome]:
        """The outcomes that are there, of others too, at the latest after so many seconds."""
        owner = {pipe: workers for workers in (self, *others) for pipe in workers.running}
        return [owner[pipe]._receive(pipe) for pipe in wait(list(owner), timeout=seconds)]  # type: ignore[arg-type, index]

    def _receive(self, pipe: Connection) -> Outcome:
        number, process = self.running.pop(pipe)
        try:
            result, error = pipe.recv()
        except (EOFError, OSError):
            process.join()
            pipe.close()
            return Outcome(number, error=WorkerDied(_death(process.exitcode)))
        self._idle.append((pipe, process))
        if error is None:
            self.fractions[number] = 1.0
        return Outcome(number, result, error)

    def stop(self) -> list[Outcome]:
        """End all processes, in the middle of their tasks. Returns what had just been finished."""
        finished = [outcome for outcome in self.wait(0) if outcome.error is None]
        left = [*self._idle, *((pipe, process) for pipe, (_, process) in self.running.items())]
        for _, process in left:
            process.kill()
        for pipe, process in left:
            process.join()
            pipe.close()
        self._idle, self.running = [], {}
        return finished


def _death(exitcode: int | None) -> str:
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


def _serve(
    pipe: Connection, work: Callable, tasks: Sequence[Any], fractions: Any, parent: int, prepare: Callable | None
) -> None:
    """A process's life: take a number, work, send (result, error)."""
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
        except (EOFError, OSError):  # the parent ended
            return

        def report(fraction: float, number: int = number) -> None:
            fractions[number] = fraction

        answer: tuple[Any, Exception | None]
        try:
            answer = work(tasks[number], report), None
        except Exception as error:
            answer = None, error
        try:
            pipe.send(answer)
        except Exception as error:  # an error that cannot be pickled
            pipe.send((None, RuntimeError(f"{type(error).__name__}: {error}; of {answer[1]!r}")))
