"""What changed between two runs: cells gained and lost, ends that moved, measures beyond their seeds' spread, verdicts.

A run is a folder of results, or the same at a commit, as `HEAD~3:results/full`.
"""

from __future__ import annotations

import io
import math
import subprocess
import tarfile
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..cells.cell import AXES
from ..cells.components import ConfigError
from ..jobs.files import read_table
from ..jobs.store import Store

MEASURES = ("fit", "orthogonality_fro", "distance")
MOST = 10  # lines of a list
TINY = 1e-12  # what is smaller is as good as zero


def read_run(name: str) -> dict[str, pd.DataFrame]:
    """`cells` (rows alone where there is no cells.csv), and `claims` where there are any. Raises ConfigError for no run."""
    commit, _, path = name.rpartition(":")
    if not commit or Path(name).exists():
        return _tables(Path(name), name)
    # Behind the dashes a commit such as --output=FILE is no option.
    done = subprocess.run(["git", "archive", "--", commit, path], capture_output=True, check=False)
    if done.returncode:
        raise ConfigError(
            f"{name}: {done.stderr.decode(errors='replace').strip()}; give a commit and a folder that it has"
        )
    with tempfile.TemporaryDirectory() as folder:
        with tarfile.TarFile(fileobj=io.BytesIO(done.stdout)) as archive:
            if hasattr(tarfile, "data_filter"):  # before Python 3.11.4 there are no filters
                archive.extraction_filter = tarfile.data_filter
            archive.extractall(folder)
        return _tables(Path(folder, path), name)


def _tables(root: Path, name: str) -> dict[str, pd.DataFrame]:
    if (root / "cells.csv").exists():
        cells = read_table(root / "cells.csv")
        cells = cells[cells["status"] != "missing"]
    else:
        store = Store(root)
        files = [store.rows(each) for each in store.held()]
        if not files:
            raise ConfigError(f"{name}: no run is there; name a folder with cells.csv or rows, such as results/default")
        cells = pd.concat(files).drop_duplicates("key")
    claims = root / "claims.csv"
    return {"cells": cells.set_index("key", drop=False), **({"claims": read_table(claims)} if claims.exists() else {})}


def difference(a: str, b: str) -> dict[str, Any]:
    """What differs between two runs, as `--json` prints it: cells gained and lost, ends that changed, measures that moved, claims.

    Raises ConfigError where one of the two is no run.
    """
    one, two = read_run(a), read_run(b)
    first, second = one["cells"], two["cells"]
    both = first.index.intersection(second.index, sort=False)
    found: dict[str, Any] = {
        "a": a, "b": b, "cells": [len(first), len(second)],
        "gained": sorted(set(second.index) - set(first.index)), "lost": sorted(set(first.index) - set(second.index)),
        "ends": _ends(first.loc[both], second.loc[both]), "moved": _moved(first.loc[both], second.loc[both]),
    }  # fmt: skip
    if "claims" in one and "claims" in two:
        found["claims"] = _claims(one["claims"], two["claims"])
    return found


def _ends(first: pd.DataFrame, second: pd.DataFrame) -> list[dict[str, Any]]:
    """Cells that end otherwise, most frequent change first: by outcome where both runs have it, else by status."""
    column = "outcome" if "outcome" in first and "outcome" in second else "status"
    ends = pd.DataFrame({"from": first[column].fillna(""), "to": second[column].fillna("")})
    groups = ends[ends["from"] != ends["to"]].groupby(["from", "to"], sort=False)
    found = [{"from": old, "to": new, "count": len(g), "keys": list(g.index[:5])} for (old, new), g in groups]
    return sorted(found, key=lambda each: -each["count"])


def _moved(first: pd.DataFrame, second: pd.DataFrame) -> list[dict[str, Any]]:
    """Groups of cells, alike but for the seed, whose median left the range of the seeds in the first run; farthest first."""
    axes = [axis for axis in AXES if axis != "seed"]
    moved = []
    for name in MEASURES:
        a, b = (np.log10(table[name].astype(float).clip(lower=TINY)) for table in (first, second))
        groups = first[axes].assign(a=a, b=b).groupby(axes, dropna=False, sort=False)
        low, high, medians = groups["a"].min(), groups["a"].max(), groups[["a", "b"]].median()
        outside = (medians["b"] < low - 1e-9) | (medians["b"] > high + 1e-9)
        for settings, row in medians[outside].iterrows():
            unlike = {n: v for n, v in zip(axes, settings, strict=True) if v != AXES[n].default}
            moved.append({"measure": name, "a": 10 ** row["a"], "b": 10 ** row["b"], "settings": unlike})
    return sorted(moved, key=lambda each: -abs(math.log10(each["b"] / each["a"])))


def _claims(first: pd.DataFrame, second: pd.DataFrame) -> dict[str, Any]:
    one, two = first.set_index("id"), second.set_index("id")
    changed = []
    for name in one.index.intersection(two.index, sort=False):
        a, b = one.loc[name], two.loc[name]
        if a["verdict"] != b["verdict"]:
            measured = [float(a["measured"]), float(b["measured"])]
            changed.append({"id": name, "from": a["verdict"], "to": b["verdict"], "measured": measured})
    gained, lost = (list(x.index.difference(y.index, sort=False)) for x, y in ((two, one), (one, two)))
    return {"gained": gained, "lost": lost, "changed": changed}


def describe(found: dict[str, Any]) -> str:
    """The sentences of a report on what `difference` found."""
    lines = [f"from {found['a']} ({found['cells'][0]} cells) to {found['b']} ({found['cells'][1]} cells)"]
    for what in ("gained", "lost"):
        lines += [f"{len(found[what])} cells {what}, {found[what][0]} for one"] if found[what] else []
    for each in found["ends"]:
        change = f"{each['from'] or 'none'} -> {each['to'] or 'none'}"
        lines.append(f"{each['count']} cells: {change} ({', '.join(each['keys'])})")
    if found["moved"]:
        lines.append(f"{len(found['moved'])} medians left the range of their seeds; the farthest:")
    for each in found["moved"][:MOST]:
        settings = " ".join(f"{n}={v}" for n, v in each["settings"].items())
        lines.append(f"    {each['measure']:<20}{each['a']:>12.4g}{each['b']:>12.4g}  {settings}")
    claims = found.get("claims", {"changed": [], "gained": [], "lost": []})
    if claims["changed"]:
        lines.append(f"{len(claims['changed'])} claims have another verdict:")
    for each in claims["changed"]:
        a, b = ("nothing" if math.isnan(value) else f"{value:.4g}" for value in each["measured"])
        lines.append(f"    {each['id']:<24}{each['from']:>10} -> {each['to']:<10} measured {a} -> {b}")
    lines += [f"claims {what}: {', '.join(claims[what])}" for what in ("gained", "lost") if claims[what]]
    return "\n".join(lines if len(lines) > 1 else [*lines, "no difference"])
