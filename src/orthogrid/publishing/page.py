"""The ledger as a page for a browser: every claim with its verdict, what was measured, and what trains it again."""

from __future__ import annotations

import html
import math
from pathlib import Path
from typing import Any

import pandas as pd

from ..jobs.files import write_bytes
from ..presenting.ledger import ABSENT, VERDICTS

SIGNS = {"supported": "●", "partly": "◐", "refuted": "✕", "untested": "○"}
STYLE = """
body { font: 15px/1.4 system-ui, sans-serif; margin: 1rem; max-width: 70rem; }
table { border-collapse: collapse; width: 100%; } td, th { text-align: left; vertical-align: top; padding: 0.4rem 0.6rem; }
tr { border-top: 1px solid #ddd; } code { font-size: 0.8rem; overflow-wrap: anywhere; } small { color: #555; }
.supported { color: #0072b2; } .refuted { color: #b04300; } .partly, .untested { color: #555; }
"""


def write_claims_page(verdicts: pd.DataFrame, run: str, path: Path) -> None:
    """Write the page of a run's claims.csv; claims that have no block in the run are counted."""
    here = verdicts[verdicts["reason"] != ABSENT]
    counts = here["verdict"].value_counts()
    totals = ", ".join(f"{counts.get(word, 0)} {word}" for word in VERDICTS)
    rows = "\n".join(map(_row, here.itertuples()))
    rest = f" {len(verdicts) - len(here)} more, not listed here: {ABSENT}." if len(here) < len(verdicts) else ""
    title = f"Claims of run {html.escape(run)}"
    page = (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title><style>{STYLE}</style>'
        f"<h1>{title}</h1><p>{totals}.{rest}</p><table><tr><th>claim</th><th>verdict</th><th>measured</th><th>expected</th></tr>\n{rows}</table></html>\n"
    )
    write_bytes(page.encode(), path)


def _row(row: Any) -> str:
    parts = [html.escape(str(part)) for part in (row.id, row.predicate, row.command)]
    statement = f"<b>{parts[0]}</b> {html.escape(row.statement)}"
    if row.quote and isinstance(row.quote, str):
        statement += f"<br><q>{html.escape(row.quote)}</q> <small>{html.escape(row.author)}</small>"
    reason = f"<br><small>{html.escape(row.reason)}</small>" if isinstance(row.reason, str) and row.reason else ""
    return (
        f"<tr><td>{statement}<br><small>{parts[1]}</small><br><code>{parts[2]}</code></td>"
        f'<td class="{row.verdict}">{SIGNS[row.verdict]} {row.verdict}{reason}</td>'
        f"<td>{_value(row.measured, row.interval_low, row.interval_high)}<br><small>{row.cells} cells</small></td>"
        f"<td>{row.relation} {_value(row.expected)}</td></tr>"
    )


def _value(value: float, low: float = math.nan, high: float = math.nan) -> str:
    if math.isnan(value):
        return "–"
    return f"{value:.3g}" + (f" [{low:.3g}, {high:.3g}]" if low < high else "")
