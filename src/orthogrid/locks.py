"""One run at a time in a folder: a lock of the operating system's, which names its holder and dies with it."""

from __future__ import annotations

import fcntl
import os
import platform
import time
from pathlib import Path
from typing import TextIO

from .catalog import ConfigError

_held: dict[Path, TextIO] = {}  # kept open: closing a file lets go of its lock


def hold(root: Path) -> None:
    """Take a run's folder until this process ends. Raises ConfigError where another process has it, or it cannot be written."""
    path = root.resolve() / ".lock"
    if path in _held:
        return
    try:
        root.mkdir(parents=True, exist_ok=True)
        file = path.open("a+", encoding="utf-8")
    except OSError as error:
        raise ConfigError(
            f"{root} cannot be written: {error.strerror}; choose another folder for results, or change its permissions"
        ) from None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.seek(0)
        holder = file.read().strip() or "another process"
        file.close()
        raise ConfigError(f"{root}: a run is at work here, {holder}; wait for it or stop it, then call again") from None
    file.truncate(0)
    file.write(f"process {os.getpid()} on {platform.node()} since {time.strftime('%Y-%m-%d %H:%M')}\n")
    file.flush()
    _held[path] = file


def let_go() -> None:
    """Give all folders back before this process ends."""
    for file in _held.values():
        file.close()
    _held.clear()
