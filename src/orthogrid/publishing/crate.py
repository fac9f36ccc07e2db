"""ro-crate-metadata.json: a finished run described for archives, by the RO-Crate 1.1 specification, from what run.json says of it.

`python -m orthogrid.publishing.crate results/full` writes it into the run's folder.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

CONTEXT = "https://w3id.org/ro/crate/1.1/context"
PROFILE = "https://w3id.org/ro/crate/1.1"
NAME = "ro-crate-metadata.json"
LICENCE = "https://spdx.org/licenses/MIT"
# What is kept of a published run: path, what it is, its media type; a folder ends with a slash.
PARTS = (
    ("paper.pdf", "The paper of this run", "application/pdf"),
    ("supplement.pdf", "Proofs, further experiments, the ledger of claims and every printed number", "application/pdf"),
    ("run.json", "What the run is, what made it, and whether it confirms what was frozen", "application/json"),
    ("rows/", "One JSON line a training run: settings, ends, digest of the code, checksum", ""),
    ("traces/", "Loss, orthogonality, distance and determinant over the logged steps", ""),
    ("code/", "What the digest of the code behind a row is made of", ""),
)


def describe(folder: Path, summary: Mapping[str, Any]) -> dict[str, Any]:
    """The metadata of a run's folder: the data set, its parts, the workflow that made it. `summary` is what run.json holds."""
    parts = [(path, *words) for path, *words in PARTS if (folder / path).exists()]
    root = {
        "@id": "./", "@type": "Dataset", "name": f"orthogrid, run {summary['run']}: {summary['title']}",
        "description": f"{summary['finished']} of {summary['cells']} training runs of a grid over penalties that keep a weight matrix orthogonal.",
        "datePublished": summary["date"], "license": {"@id": LICENCE}, "hasPart": [{"@id": path} for path, *_ in parts],
        "mentions": {"@id": "#training"},
    }  # fmt: skip
    action = {
        "@id": "#training", "@type": "CreateAction", "name": "The training of all cells", "instrument": {"@id": "#workflow"},
        "result": [{"@id": path} for path, *_ in parts],
        "description": f"{summary['minutes']} minutes of one core or GPU on {' and '.join(summary['device'])}, torch {' and '.join(summary['torch'])}.",
    }  # fmt: skip
    workflow = {
        "@id": "#workflow", "@type": ["SoftwareSourceCode", "SoftwareApplication"], "name": "orthogrid", "license": {"@id": LICENCE},
        "version": summary["commit"], "programmingLanguage": "Snakemake",
    }  # fmt: skip
    licence = {"@id": LICENCE, "@type": "CreativeWork", "name": "MIT License"}
    entities = [
        {"@id": path, "@type": "File" if kind else "Dataset", "name": path, "description": what}
        | ({"encodingFormat": kind, "contentSize": str((folder / path).stat().st_size)} if kind else {})
        for path, what, kind in parts
    ]
    crate = {"@id": NAME, "@type": "CreativeWork", "conformsTo": {"@id": PROFILE}, "about": {"@id": "./"}}
    return {"@context": CONTEXT, "@graph": [crate, root, *entities, action, workflow, licence]}


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    metadata = describe(folder, json.loads((folder / "run.json").read_text(encoding="utf-8")))
    (folder / NAME).write_text(json.dumps(metadata, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
