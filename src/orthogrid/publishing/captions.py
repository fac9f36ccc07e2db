"""What Snakemake's report says under each figure. The paper has captions of its own."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from pathlib import Path

from ..cells.config import Config
from ..jobs.files import write_bytes
from ..presenting.readers import BLOCK_FIGURE
from ..presenting.style import FIGURES
from ..run.views import WHOLE


def write_captions(config: Config, names: Iterable[str], folder: Path) -> None:
    """Write `<name>.rst` beside each figure: what it shows, and what the blocks ask that it is drawn from."""
    questions = {block.name: block.question for block in config.blocks}
    for name in names:
        figure = FIGURES[name]
        shows = "" if name.startswith(BLOCK_FIGURE) else inspect.getdoc(figure) or ""
        lines = [" ".join(shows.split("\n\n")[0].split()), ""]
        for block in figure.blocks:
            if block != WHOLE and block in questions:
                lines += [f"- ``{block}``: {_escaped(questions[block])}".rstrip(": ")]
        write_bytes(("\n".join(lines).strip() + "\n").encode(), folder / f"{name}.rst")


def _escaped(text: str) -> str:
    return "".join(f"\\{sign}" if sign in "\\*`_|<>" else sign for sign in text)
