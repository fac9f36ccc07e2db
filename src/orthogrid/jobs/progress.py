"""Progress of a long job, with the time left. Times and counts in words."""

from __future__ import annotations

import sys
import time
from contextlib import suppress
from pathlib import Path

from .files import open_own

SURE_SHARE, SURE_SECONDS = 0.02, 30.0


def duration(seconds: float) -> str:
    """45 s, 3 min 20 s, 2 h 5 min."""
    seconds = round(seconds)
    if seconds < 60:
        return f"{seconds} s"
    minutes, seconds = divmod(seconds, 60)
    if minutes < 60:
        return f"{minutes} min {seconds:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def how_many(count: int, name: str) -> str:
    """1 cell, 2 cells."""
    return f"{count} {name}" + ("" if count == 1 else "s")


class Progress:
    """Prints the share that is done: on a terminal in one line, else in a line every few seconds.

    The time left is told once a speed is known: it is measured from when the first work is done, over SURE_SHARE of it or SURE_SECONDS.
    """

    def __init__(self, name: str, total: float, log: str | Path | None = None, every: float = 10.0):
        self.name, self.total, self.every = name, total, every
        self.started = self.said = time.monotonic()
        self.first: tuple[float, float] | None = None  # when the first work was done, and how much that was
        if log:
            Path(log).parent.mkdir(parents=True, exist_ok=True)
        self.log = open_own(Path(log)) if log else None  # closed by close()
        self.terminal = sys.stderr.isatty()

    def say(self, text: str, passing: bool = False) -> None:
        if self.log:
            print(text, file=self.log, flush=True)
        end = "\r" if passing and self.terminal else "\n"
        with suppress(OSError):  # a terminal that is gone, or a full disk behind it, stops no training
            print(f"\x1b[2K{text}" if self.terminal else text, end=end, file=sys.stderr, flush=True)

    def update(self, done: float, detail: str = "") -> None:
        """Print a line, unless the last one is too recent. `done` is in the units of `total`."""
        now = time.monotonic()
        if done <= 0:
            return
        begun, before = self.first = self.first or (now, done)  # libraries are loaded, memory is warm
        if now - self.said < (0.5 if self.terminal else self.every):
            return
        self.said = now
        gone, work = now - begun, done - before
        known = work > 0 and (work >= SURE_SHARE * self.total or gone >= SURE_SECONDS)
        left = f"about {duration(gone * (self.total - done) / work)} left" if known else "time left not known yet"
        self.say(f"{self.name}: {done / self.total:.0%} {detail}{left}", passing=True)

    def close(self, text: str) -> None:
        self.say(f"{self.name}: {text} in {duration(time.monotonic() - self.started)}")
        if self.log:
            self.log.close()
