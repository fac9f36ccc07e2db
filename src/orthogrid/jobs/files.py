"""Files and tables on disk: CSVs to the last bit, and every file written whole or not at all."""

from __future__ import annotations

import errno
import gzip
import hashlib
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from io import StringIO, TextIOWrapper
from pathlib import Path
from typing import IO, TYPE_CHECKING, TextIO

if TYPE_CHECKING:  # a plan needs no pandas, which takes longer to load than the plan to make
    import pandas as pd

# As text, also where every one of them happens to look like a number.
TEXT = dict.fromkeys(("key", "code", "torch", "device", "status"), str)
# Numbers without a fraction, also where some are missing, which pandas would turn into 1.0.
WHOLE = ("rank", "det_sign", "det_sign_start", "det_sign_target", "det_sign_least_squares", "reflection")


def read_table(path: Path | StringIO) -> pd.DataFrame:
    """A CSV of ours, floats to the last bit (pandas ≥ 3.1 reads them so by default)."""
    import pandas as pd

    return pd.read_csv(path, dtype=TEXT)


def write_table(table: pd.DataFrame, path: Path | TextIO, header: bool = True) -> None:
    """Write a CSV (compressed for .gz) whole or not at all, the same bytes for the same table; or a piece of one into an open file."""
    if isinstance(path, Path):
        with writing(path) as file:
            write_table(table, file, header)
        return
    whole = {name: "Int64" for name in WHOLE if name in table and table[name].notna().any()}
    table.astype(whole).to_csv(path, index=False, header=header)


def cache_folder(root: str | Path) -> Path:
    """Where what a run's folder makes is kept for the next time: in the working directory, apart from the run.

    So nothing that came with a stranger's results is taken for what was made here. LaTeX's cached fonts are programs.
    """
    return Path(".snakemake", "orthogrid", hashlib.sha256(str(root).encode()).hexdigest()[:12])


def stat_file(path: Path) -> os.stat_result:
    """What the system says of a file. Raises FileExistsError for a folder, or a FIFO, which a reader may wait for without end."""
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):
        raise FileExistsError(errno.EEXIST, "Something that is no file is in its place", str(path))
    return found


def open_own(path: Path) -> TextIO:
    """Open a text file to read and append to, creating it. Raises OSError for a symbolic link.

    A file that another folder shares by a hard link gets a copy of its own first: what is appended is this folder's alone.
    """
    if path.exists() and path.stat().st_nlink > 1 and not path.is_symlink():
        write_bytes(path.read_bytes(), path)
    handle = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o644)
    return os.fdopen(handle, "a+", encoding="utf-8")


@contextmanager
def writing(path: Path, level: int = 3) -> Iterator[TextIO]:
    """A text file (compressed for .gz) to be written piece by piece: readers see the old one until it is whole."""
    with _replacing(path) as raw, ExitStack() as stack:
        packed = path.suffix == ".gz"
        file = stack.enter_context(gzip.GzipFile("", "wb", level, raw, mtime=0)) if packed else raw
        text = TextIOWrapper(file, encoding="utf-8", newline="")
        yield text
        text.flush()
        text.detach()


def write_bytes(data: bytes, path: Path, sync: bool = False) -> None:
    """Write a file whole or not at all: readers see the old one or the new one. With `sync` it is on the disk afterwards."""
    with _replacing(path) as file:
        file.write(data)
        if sync:
            file.flush()
            os.fsync(file.fileno())
    if sync:  # its name in the folder too
        folder = os.open(path.parent, os.O_RDONLY)
        os.fsync(folder)
        os.close(folder)


@contextmanager
def _replacing(path: Path) -> Iterator[IO[bytes]]:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException as error:
        os.unlink(temporary)
        if isinstance(error, OSError):  # a full disk names no file, a folder in the way the temporary one
            error.filename = str(path)
        raise


def table_text(table: pd.DataFrame) -> str:
    """What `write_table` would write."""
    text = StringIO()
    write_table(table, text)
    return text.getvalue()
