"""One run at a time in a folder: a lock of the operating system. Its file names its holder, and it ends with that process."""

from __future__ import annotations

import fcntl
import os
import platform
import time
from pathlib import Path
from typing import TextIO

from ..cells.components import ConfigError
from .files import open_own

_held: dict[Path, TextIO] = {}  # kept open: closing a file lets go of its lock
# A folder that is not empty is a run's where it has one of these.
OF_A_RUN = (".lock", "rows", "run.json", "journal", "shards", "predictions.csv")


def require_run_folder(root: Path) -> None:
    """Raises ConfigError where a folder holds other things than a run, symbolic links, which would lead out of it, or something else in the place of a file."""
    if not root.is_dir():
        return
    if any(root.iterdir()) and not any((root / name).exists() for name in OF_A_RUN):
        raise ConfigError(f"{root} is not empty and holds no run; choose another run or another folder for results")
    for path in root.rglob("*"):
        if path.is_symlink():
            raise ConfigError(f"{path} is a symbolic link; a run's folder has none: put in its place what it points to")
        if path.is_fifo() or (path.suffix and path.is_dir()):  # which Snakemake would take for a file that is made
            raise ConfigError(f"{path} is no file; move it away")


def hold(root: Path) -> None:
    """Take a run's folder until this process ends. Raises ConfigError where another process has it, it cannot be written, or is no run's."""
    path = root.resolve() / ".lock"
    if path in _held:
        return
    require_run_folder(root)
    try:
        root.mkdir(parents=True, exist_ok=True)
        file = open_own(path)
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
