"""Progress of a long job, with the time left. Times and counts in words."""

from __future__ import annotations

import sys
import time
from contextlib import suppress
from pathlib import Path

from .files import open_own


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
    """Prints the share that is done and the time left: on a terminal in one line, else in a line every few seconds."""

    def __init__(self, name: str, total: float, log: str | Path | None = None, every: float = 10.0):
        self.name, self.total, self.every = name, total, every
        self.started = self.said = time.monotonic()
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
        if now - self.said < (0.5 if self.terminal else self.every) or done <= 0:
            return
        self.said = now
        gone = now - self.started
        left = gone * (self.total - done) / done
        self.say(f"{self.name}: {done / self.total:.0%} {detail}about {duration(left)} left", passing=True)

    def close(self, text: str) -> None:
        self.say(f"{self.name}: {text} in {duration(time.monotonic() - self.started)}")
        if self.log:
            self.log.close()
