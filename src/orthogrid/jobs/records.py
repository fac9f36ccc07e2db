"""What the workflow made, on record by digest: what was emptied or edited since is made again.

The records lie apart from the run: none that came with a stranger's results is believed.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .files import cache_folder, write_bytes


@contextmanager
def on_record(job: Any) -> Iterator[None]:
    """Put the outputs of a job of Snakemake's on record once they are made. While it is at work they are on none."""
    path = cache_folder(job.wildcards.root) / "made" / f"{job.rule}.json"
    path.unlink(missing_ok=True)
    yield
    write_bytes(json.dumps({name: _digest(Path(name)) for name in job.output}).encode(), path)


def set_aside_edited(root: Path) -> list[str]:
    """Move what is no longer as the workflow made it to damaged/. Returns a message for each."""
    messages, aside = [], root / "damaged"
    for record in sorted((cache_folder(root) / "made").glob("*.json")):
        for path, digest in json.loads(record.read_text(encoding="utf-8")).items():
            if os.path.isfile(path) and _digest(Path(path)) != digest:
                aside.mkdir(exist_ok=True)
                os.replace(path, aside / Path(path).name)
                messages.append(
                    f"{path} was emptied or edited since it was made. It is now in {aside}, and made again."
                )
    return messages


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
