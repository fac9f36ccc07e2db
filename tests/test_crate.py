"""A published run's description for archives: what RO-Crate asks for, and read by its library."""

from __future__ import annotations

import json

import pytest
from conftest import ROOT

from orthogrid.publishing.crate import NAME, describe

SUMMARY = {
    "run": "mine", "title": "a run", "cells": 12, "finished": 12, "date": "2026-11-30", "minutes": 3.5, "commit": "abc1234",
    "device": {"cpu": 12}, "torch": {"2.13.0": 12},
}  # fmt: skip


def test_every_part_that_is_there_is_described_once(tmp_path):
    (tmp_path / "rows").mkdir()
    (tmp_path / "paper.pdf").write_bytes(b"%PDF")
    graph = describe(tmp_path, SUMMARY)["@graph"]
    entities = {entity["@id"]: entity for entity in graph}
    assert len(entities) == len(graph)
    assert [part["@id"] for part in entities["./"]["hasPart"]] == ["paper.pdf", "rows/"]
    assert entities["paper.pdf"]["contentSize"] == "4" and "traces/" not in entities
    named = {reference["@id"] for entity in graph for value in entity.values() for reference in listed(value)}
    assert named <= {*entities, "https://w3id.org/ro/crate/1.1"}


def listed(value) -> list[dict]:
    return [each for each in (value if isinstance(value, list) else [value]) if isinstance(each, dict)]


@pytest.mark.slow
def test_the_published_run_is_read_by_the_librarys_reader(tmp_path):
    rocrate = pytest.importorskip("rocrate.rocrate")
    summary = json.loads((ROOT / "results" / "full" / "run.json").read_text(encoding="utf-8"))
    metadata = describe(ROOT / "results" / "full", summary)
    kept = json.loads((ROOT / "results" / "full" / NAME).read_text(encoding="utf-8"))
    assert kept == metadata
    crate = rocrate.ROCrate(str(ROOT / "results" / "full"))
    assert (
        crate.root_dataset["license"].id.endswith("MIT")
        and crate.get("paper.pdf")["encodingFormat"] == "application/pdf"
    )
