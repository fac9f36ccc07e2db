"""The freeze: what was decided before anybody saw a row of the published run. It is a commit, which a file names with its reason.

A test checks that commit's ledger out and asks for its verdicts on today's rows. So the code may be rebuilt without a freeze.
Beside the file lie the verdicts of the exploratory run at that time, to be held against the published ones.
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

from ..analysis.intervals import Estimate
from ..analysis.power import power
from ..cells.components import ConfigError
from ..cells.config import Config
from ..jobs.files import read_table, write_bytes, write_table
from ..presenting.ledger import OWN
from ..run.collect import git
from ..sections import CLAIMS

EXPLORED = "explored.csv"  # beside the file of freezes
# Its columns, and their names in claims.csv.
VERDICT = {
    "id": "id", "verdict": "verdict", "measured": "measured", "low": "interval_low", "high": "interval_high", "seeds": "seeds",
}  # fmt: skip


def ledger_digest() -> str:
    """Twelve hex digits that change with what any claim says: its text, predicate, relation, tolerance, blocks."""
    claims = [claim for claim in CLAIMS.values() if claim.section != OWN]
    said = [(c.id, c.statement, c.predicate, c.tolerance, c.blocks, c.foretold) for c in claims]
    return hashlib.sha256(repr(sorted(said)).encode()).hexdigest()[:12]


def read_freezes(path: str | Path) -> list[dict[str, str]]:
    """The lines of the file, the first freeze first; none where there is no file.

    `commit` is the one whose tree holds the ledger and the config as they were decided; `ledger` and `config` are their digests.
    """
    return list(csv.DictReader(Path(path).read_text(encoding="utf-8").splitlines())) if Path(path).exists() else []


def add_freeze(path: str | Path, config: Config, why: str, explored: str | Path | None = None) -> dict[str, str]:
    """Freeze the commit that is checked out: another line of the file. `explored`: the claims.csv of the exploratory run.

    Raises ConfigError where files differ from that commit, or where the exploratory run has other claims than the ledger.
    """
    path = Path(path)
    if git("status", "--porcelain", ":/") or not (commit := git("rev-parse", "--short", "HEAD")):
        raise ConfigError("a freeze names a commit, and there are files that no commit holds; commit them first")
    if explored is not None:
        verdicts = read_table(Path(explored))
        if missing := set(CLAIMS) - set(verdicts["id"]):
            raise ConfigError(
                f"{explored} has no verdict on {', '.join(sorted(missing))}; run the exploratory config again"
            )
        verdicts = verdicts[verdicts["id"].isin(CLAIMS)].reset_index(drop=True)
        found = verdicts[list(VERDICT.values())].set_axis(list(VERDICT), axis="columns")
        planned = [len(seeds_of(config, CLAIMS[id].blocks)) for id in found["id"]]
        rows = zip(found.itertuples(), planned, verdicts["expected"], strict=True)
        chances = [
            power(Estimate(row.measured, row.low, row.high), row.seeds, count, CLAIMS[row.id].holds(expected))
            for row, count, expected in rows
        ]
        write_table(found.assign(planned=planned, power=chances).round({"power": 3}), path.with_name(EXPLORED))
    number, today = str(len(read_freezes(path)) + 1), date.today().isoformat()
    new = {"number": number, "date": today, "commit": commit, "ledger": ledger_digest(), "config": config.digest}
    new["why"] = why.replace('"', "'")
    before = path.read_text(encoding="utf-8") if path.exists() else ",".join(new) + "\n"
    write_bytes(f'{before}{",".join(list(new.values())[:-1])},"{new["why"]}"\n'.encode(), path)
    return new


def seeds_of(config: Config, blocks: Sequence[str]) -> set[int]:
    """The seeds that a config has in some blocks."""
    return {cell.seed for block in config.blocks if block.name in blocks for cell in block.cells}


def frozen(path: str | Path, config: Config) -> dict[str, Any]:
    """For run.json: the last freeze, whether the ledger says and this config holds what it did then, and what was explored.

    A config that was never frozen, an exploratory run's, has `config_holds` false.
    """
    if not (freezes := read_freezes(path)):
        return {"freezes": 0}
    last, explored = freezes[-1], Path(path).with_name(EXPLORED)
    found = read_table(explored).set_index("id").to_dict(orient="index") if explored.exists() else {}
    return {
        "freezes": len(freezes), "date": last["date"], "why": last["why"], "commit": last["commit"],
        "ledger_holds": last["ledger"] == ledger_digest(), "config_holds": last["config"] == config.digest,
        "explored": found,
    }  # fmt: skip
