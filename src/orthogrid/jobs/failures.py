"""Messages in place of a traceback, where a disk, a folder, the rows or the memory stand in the way."""

from __future__ import annotations

import errno
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from ..cells.components import ConfigError

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


@contextmanager
def told() -> Iterator[None]:
    """End the process with such a message, and status 1, where the work inside raises such an error."""
    try:
        yield
    except Exception as error:
        if (words := in_words(error)) is None:
            raise
        print(words, file=sys.stderr)
        sys.exit(1)
