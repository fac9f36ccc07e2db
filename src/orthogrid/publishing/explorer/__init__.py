"""The explorer: one HTML file with every cell of a run, which a browser opens from disk. It draws with Plotly, which it carries.

`pack` lays out what the page needs, `page.html`, `page.css` and `page.js` are the page. It loads nothing from elsewhere.
"""

from __future__ import annotations

import base64
import gzip
import importlib.util
import json
import re
from pathlib import Path

from ...cells.components import ConfigError
from ...jobs.files import write_bytes
from ...run.run import Run
from .pack import pack

HERE = Path(__file__).parent


def write_explorer(run: Run, path: str | Path) -> None:
    """Write a run's page. Raises ConfigError where Plotly is not installed."""
    header, data = pack(run)
    parts = {
        "TITLE": _escaped(f"{run.config.run}: {run.config.title}" if run.config.title else run.config.run),
        "STYLE": (HERE / "page.css").read_text(encoding="utf-8"),
        "HEADER": json.dumps(header, ensure_ascii=False, allow_nan=False).replace("<", "\\u003c"),
        "DATA": _compressed(data),
        "PLOTLY": _compressed(_plotly()),
        "SCRIPT": (HERE / "page.js").read_text(encoding="utf-8"),
    }
    page = (HERE / "page.html").read_text(encoding="utf-8")
    text = re.sub(r"\{\{(\w+)\}\}", lambda match: parts[match[1]], page)
    write_bytes(text.encode(), Path(path))


def _plotly() -> bytes:
    """Plotly's script as its Python package carries it, found without importing that."""
    found = importlib.util.find_spec("plotly")
    if found is None or found.origin is None:
        raise ConfigError("the explorer needs plotly: pip install plotly")
    return (Path(found.origin).parent / "package_data" / "plotly.min.js").read_bytes()


def _compressed(data: bytes) -> str:
    return base64.b64encode(gzip.compress(data, 9, mtime=0)).decode()


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;")
