"""The lock that Snakemake leaves in a folder when it is killed outright."""

from __future__ import annotations

import shutil
from pathlib import Path

import psutil


def clear_dead_lock(folder: Path) -> str:
    """Remove Snakemake's locks in a folder unless one of this machine's processes is a Snakemake at work there.

    Returns what to tell, empty where there is no lock. A Snakemake on another machine is not seen: on a cluster's shared
    folder, look before you call this.
    """
    locks = folder / ".snakemake" / "locks"
    if not locks.is_dir() or not any(locks.iterdir()):
        return ""
    owners = [process.pid for process in psutil.process_iter() if _works_in(process, folder)]
    if owners:
        return f"Snakemake is at work here (process {owners[0]}); its lock stays\n"
    shutil.rmtree(locks)
    return "cleared the lock of a run that was killed\n"


def _works_in(process: psutil.Process, folder: Path) -> bool:
    try:
        is_snakemake = any(Path(part).name == "snakemake" for part in process.cmdline())
        return is_snakemake and Path(process.cwd()).resolve() == folder.resolve()
    except (psutil.Error, OSError):
        return False
