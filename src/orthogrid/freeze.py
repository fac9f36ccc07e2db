"""The freeze: what was decided before anybody saw a row of the published run, and whether it still holds.

A *freeze* is a line of a file that is kept with the project: digests of the ledger and of the published run's config, with a
reason. Whoever changes either afterwards has to add another line, which is counted and printed. Beside it lie the verdicts
of the exploratory run at that time, so that the published ones can be held against them.
"""

from __future__ import annotations

import csv
import hashlib
from dataclasses import asdict, dataclass, fields
from datetime import date
from pathlib import Path
from typing import Any

from .catalog import ConfigError, digest_of
from .config import Config
from .files import write_bytes

EXPLORED = "explored.csv"  # beside the file of freezes: id, verdict, measured, low, high


@dataclass(frozen=True)
class Freeze:
    """One line of the file."""

    number: int
    date: str
    ledger: str  # digest of every claim
    config: str  # digest of the published run's config
    why: str


def ledger_digest() -> str:
    """Twelve hex digits that change with any claim: its text, relation, tolerance, blocks, or the code that measures it."""
    from .paper import CLAIMS  # imports the analysis, which training does without
    from .paper.ledger import OWN

    package = __name__.rpartition(".")[0]
    told = []
    for entry in CLAIMS.values():
        if entry.section != OWN:
            code = digest_of((f"paper.{entry.section}", entry.measure.__name__))
            told.append(
                (entry.id, entry.statement, entry.predicate, entry.tolerance, entry.blocks, entry.foretold, code)
            )
    judge = digest_of(("paper.ledger", "Claim"))
    return hashlib.sha256(repr((package, sorted(told), judge)).encode()).hexdigest()[:12]


def read_freezes(path: str | Path) -> list[Freeze]:
    """The lines of the file, the first freeze first; none where there is no file."""
    path = Path(path)
    if not path.exists():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return [Freeze(int(row.pop("number")), **row) for row in csv.DictReader(file)]


def add_freeze(path: str | Path, config: Config, why: str, explored: str | Path | None = None) -> Freeze:
    """Freeze the ledger and this config as they are now: another line of the file. `explored`: the claims.csv of the exploratory run.

    Raises ConfigError where that has other claims than the ledger.
    """
    if explored is not None:
        _keep_explored(Path(explored), Path(path).with_name(EXPLORED))
    before = read_freezes(path)
    new = Freeze(len(before) + 1, date.today().isoformat(), ledger_digest(), config.digest, why)
    names = [f.name for f in fields(Freeze)]
    lines = [",".join(names)]
    for one in (*before, new):
        values = asdict(one)
        values["why"] = '"' + one.why.replace('"', "'") + '"'
        lines.append(",".join(str(values[name]) for name in names))
    write_bytes(("\n".join(lines) + "\n").encode(), Path(path))
    return new


def _keep_explored(claims: Path, kept: Path) -> None:
    from .paper import CLAIMS

    with claims.open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["id"] in CLAIMS]
    if missing := set(CLAIMS) - {row["id"] for row in rows}:
        raise ConfigError(f"{claims} has no verdict on {', '.join(sorted(missing))}; run the exploratory config again")
    names = {"id": "id", "verdict": "verdict", "measured": "measured", "low": "interval_low", "high": "interval_high"}
    lines = [",".join(names), *(",".join(row[name] for name in names.values()) for row in rows)]
    write_bytes(("\n".join(lines) + "\n").encode(), kept)


def explored_verdicts(path: str | Path) -> dict[str, str]:
    """Claim → its verdict in the exploratory run when the last freeze was made; empty where none were kept."""
    kept = Path(path).with_name(EXPLORED)
    if not kept.exists():
        return {}
    with kept.open(encoding="utf-8", newline="") as file:
        return {row["id"]: row["verdict"] for row in csv.DictReader(file)}


def frozen(path: str | Path, config: Config) -> dict[str, Any]:
    """For run.json: the last freeze, the commit that brought it, and whether ledger and this config are still as they were then.

    A config that was never frozen, an exploratory run's, has `config_holds` false.
    """
    freezes = read_freezes(path)
    if not freezes:
        return {"freezes": 0}
    last = freezes[-1]
    return {
        "freezes": len(freezes), "date": last.date, "why": last.why, "commit": _commit_of(Path(path)),
        "ledger_holds": last.ledger == ledger_digest(), "config_holds": last.config == config.digest,
        "explored": explored_verdicts(path),
    }  # fmt: skip


def _commit_of(path: Path) -> str:
    """The last commit that changed a file; empty where there is no git."""
    from .collect import git  # which imports pandas

    return git("log", "-1", "--format=%h", "--", str(path.resolve()))
