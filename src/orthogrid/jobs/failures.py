"""Messages in place of a traceback, where a disk, a folder, the rows or the memory stand in the way."""

from __future__ import annotations

import errno
import inspect
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ..cells.components import ConfigError
from .files import open_own

# A full disk or quota, a limit, a folder that may not be written, a file in the place of a folder or the other way round,
# links in a circle.
WAYS = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT), "make room or choose another folder for results, or TMPDIR for what is temporary"),
    errno.EFBIG: "raise the limit on the size of files (ulimit -f)",
    **dict.fromkeys((errno.EROFS, errno.EACCES, errno.EPERM), "change its permissions or choose another folder for results"),
    **dict.fromkeys((errno.EISDIR, errno.ENOTDIR, errno.EEXIST, errno.ELOOP), "move it away"),
}  # fmt: skip


def in_words(error: BaseException) -> str | None:
    """The message for an error that no line of ours can mend; None where a traceback is of more use."""
    if isinstance(error, ConfigError):
        return str(error).encode(errors="backslashreplace").decode()
    if isinstance(error, MemoryError):
        return "There is not enough memory. What was finished before is kept; take fewer cores or a smaller config."
    if isinstance(error, OSError) and "temporary directory" in str(error):  # the standard library's
        return f"{error.strerror}; set TMPDIR to a folder with room that may be written"
    if not isinstance(error, OSError) or error.errno not in WAYS:
        return None
    where = error.filename or "the folder of results"
    return f"{where}: {error.strerror}. What was finished before is kept; {WAYS[error.errno]}, then call the same command again"


def where(error: BaseException, function: Callable) -> str:
    """File, line and function of the last place that an error passed beside a function's file, or where that function begins; and the error."""
    code = inspect.unwrap(function).__code__
    places = [(code.co_filename, code.co_firstlineno, code.co_name)]
    package = Path(__file__).parents[1]
    of_user = not Path(code.co_filename).is_relative_to(package)
    for frame in traceback.extract_tb(error.__traceback__):
        path = Path(frame.filename)
        if of_user and (path.is_relative_to(package) or "site-packages" in path.parts):
            continue  # which may lie in the user's folder
        if path.is_relative_to(Path(code.co_filename).parent):
            places.append((frame.filename, frame.lineno or 0, frame.name))
    file, line, name = places[-1]
    shown = os.path.relpath(file) if Path(file).is_relative_to(Path.cwd()) else file
    return f"{shown}, line {line}, in {name}: {type(error).__name__}: {' '.join(str(error).split())}"


@contextmanager
def told(log: str) -> Iterator[None]:
    """End the process with status 1 where the work inside raises; why goes to the log of a job, which Snakemake names and shows."""
    try:
        yield
    except Exception as error:
        words = in_words(error) or traceback.format_exc()
        try:
            Path(log).parent.mkdir(parents=True, exist_ok=True)
            with open_own(Path(log)) as file:
                print(words, file=file)
        except OSError:
            print(words, file=sys.stderr)
        sys.exit(1)
