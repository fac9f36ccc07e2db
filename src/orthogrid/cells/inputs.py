"""Real samples: the sets of data/samples, and files of one's own, whose digest is part of a cell's settings."""

from __future__ import annotations

import hashlib
import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # a plan needs no numpy
    import numpy as np

DATA = Path(__file__).resolve().parents[3] / "data" / "samples"
SETS = {name: DATA / f"{name}.npy" for name in ("digits", "words")}
ENDINGS = (".npy", ".csv")
_NAMED = re.compile(r"(.+)@([0-9a-f]{12})$")


def is_file(value: object) -> bool:
    """Whether a value means a file of one's own: `my/samples.npy`, or the same with its digest."""
    return isinstance(value, str) and _path(value).suffix in ENDINGS


def with_digest(value: str) -> str:
    """`my/samples.npy@3f2a…`, the file's name and the first twelve digits of its SHA-256.

    A name that has its digest is taken without the file: a table may come from elsewhere. Raises ValueError where the file is
    missing, is another than the digest says, or holds no samples.
    """
    path, named = _path(value), _NAMED.match(value)
    if not path.is_file():
        if named:
            return value
        raise ValueError(
            f"there is no file '{value}', looked for from {Path.cwd()}; name an .npy or .csv file that is there"
        )
    found = f"{path}@{_digest(path, path.stat().st_mtime_ns)}"
    if named and found != value:
        raise ValueError(
            f"'{path}' is no longer the file of digest {named[2]}; leave out the digest to take it as it is now"
        )
    read(found)
    return found


def size(inputs: str) -> tuple[int, int] | None:
    """Samples and entries of a set or file; None where the inputs are drawn, or their file is elsewhere."""
    path = SETS.get(inputs) or _path(inputs)
    return read(inputs).shape if path.suffix in ENDINGS and path.is_file() else None


def read(inputs: str) -> np.ndarray:
    """The samples (rows, entries) float64 of a set or file. Raises ValueError for what is no table of finite numbers."""
    path = SETS.get(inputs) or _path(inputs)
    if not path.is_file():
        raise ValueError(f"inputs '{inputs}' need the file {path}, which is not there")
    return _read(path, path.stat().st_mtime_ns)


def _path(value: str) -> Path:
    named = _NAMED.match(value)
    return Path(named[1] if named else value)


@cache
def _digest(path: Path, changed: int) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:12]


@cache
def _read(path: Path, changed: int) -> np.ndarray:
    import numpy as np

    try:
        if path.suffix == ".npy":
            found = np.load(path)
        else:
            lines = path.read_text(encoding="utf-8").splitlines()
            found = np.array([[float(entry) for entry in line.split(",")] for line in lines[_is_header(lines[0]) :]])
    except (OSError, ValueError, IndexError, EOFError) as error:
        raise ValueError(
            f"'{path}' cannot be read: {error}; give an .npy file or a .csv of numbers, a line a sample"
        ) from None
    if found.ndim != 2 or found.dtype.kind not in "fiub" or not found.size or not np.isfinite(found).all():
        kind = f"{found.dtype} of shape {found.shape}"
        raise ValueError(f"'{path}' holds {kind}; it must hold finite real numbers, a row a sample, a column an entry")
    return found.astype(float)


def _is_header(line: str) -> bool:
    try:
        [float(entry) for entry in line.split(",")]
    except ValueError:
        return True
    return False
