"""The freeze: what was decided before anybody saw a row of the published run. It is a commit, which a file names with its reason.

A test checks that commit's ledger out and asks for its verdicts on today's rows. So the code may be rebuilt without a freeze.
Beside the file lie the verdicts of the exploratory run at that time, to be held against the published ones.
"""

from __future__ import annotations

import csv
import hashlib
from dataclasses import astuple, dataclass, fields
from datetime import date
from pathlib import Path
from typing import Any

from ..cells.components import ConfigError
from ..cells.config import Config
from ..jobs.files import write_bytes

EXPLORED = "explored.csv"  # beside the file of freezes: id, verdict, measured, low, high


@dataclass(frozen=True)
class Freeze:
    """One line of the file."""

    number: int
    date: str
    commit: str  # its tree holds the ledger and the config as they were decided
    ledger: str  # digest of what the claims say
    config: str  # digest of the published run's config
    why: str


def ledger_digest() -> str:
    """Twelve hex digits that change with what any claim says: its text, predicate, relation, tolerance, blocks."""
    from ..presenting.ledger import OWN
    from ..sections import CLAIMS  # imports the analysis, which training does without

    said = [
        (c.id, c.statement, c.predicate, c.tolerance, c.blocks, c.foretold) for c in CLAIMS.values() if c.section != OWN
    ]
    return hashlib.sha256(repr(sorted(said)).encode()).hexdigest()[:12]


def read_freezes(path: str | Path) -> list[Freeze]:
    """The lines of the file, the first freeze first; none where there is no file."""
    return [Freeze(int(row.pop("number")), **row) for row in _rows(Path(path))]


def add_freeze(path: str | Path, config: Config, why: str, explored: str | Path | None = None) -> Freeze:
    """Freeze the commit that is checked out: another line of the file. `explored`: the claims.csv of the exploratory run.

    Raises ConfigError where files differ from that commit, or where the exploratory run has other claims than the ledger.
    """
    from ..run.collect import git  # imports pandas

    if git("status", "--porcelain", ":/") or not (commit := git("rev-parse", "--short", "HEAD")):
        raise ConfigError("a freeze names a commit, and there are files that no commit holds; commit them first")
    if explored is not None:
        _keep_explored(Path(explored), Path(path).with_name(EXPLORED))
    before = read_freezes(path)
    new = Freeze(
        len(before) + 1, date.today().isoformat(), commit, ledger_digest(), config.digest, why.replace('"', "'")
    )
    lines = [",".join(f.name for f in fields(Freeze))]
    lines += [",".join(map(str, astuple(one)[:-1])) + f',"{one.why}"' for one in (*before, new)]
    write_bytes(("\n".join(lines) + "\n").encode(), Path(path))
    return new


def _keep_explored(claims: Path, kept: Path) -> None:
    from ..sections import CLAIMS

    rows = [row for row in _rows(claims) if row["id"] in CLAIMS]
    if missing := set(CLAIMS) - {row["id"] for row in rows}:
        raise ConfigError(f"{claims} has no verdict on {', '.join(sorted(missing))}; run the exploratory config again")
    names = {"id": "id", "verdict": "verdict", "measured": "measured", "low": "interval_low", "high": "interval_high"}
    lines = [",".join(names), *(",".join(row[name] for name in names.values()) for row in rows)]
    write_bytes(("\n".join(lines) + "\n").encode(), kept)


def frozen(path: str | Path, config: Config) -> dict[str, Any]:
    """For run.json: the last freeze, whether the ledger says and this config holds what it did then, and the explored verdicts.

    A config that was never frozen, an exploratory run's, has `config_holds` false.
    """
    freezes = read_freezes(path)
    if not freezes:
        return {"freezes": 0}
    last, explored = freezes[-1], _rows(Path(path).with_name(EXPLORED))
    return {
        "freezes": len(freezes), "date": last.date, "why": last.why, "commit": last.commit,
        "ledger_holds": last.ledger == ledger_digest(), "config_holds": last.config == config.digest,
        "explored": {row["id"]: row["verdict"] for row in explored},
    }  # fmt: skip


def _rows(path: Path) -> list[dict[str, str]]:
    if not path.exists():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))
