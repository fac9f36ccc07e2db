"""What reads which block: declarations are exact, enforced, found in the source, and held against a config."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT, tiny_config

from orthogrid.cells import sources
from orthogrid.cells.config import Config, check_config, load_config
from orthogrid.cells.declarations import WHOLE, complaints, missing_blocks, readers
from orthogrid.cells.sources import files_digest, imported_files
from orthogrid.presenting.tables import TABLES
from orthogrid.presenting.values import SECTIONS
from orthogrid.run.run import RUN_TABLES, Run, UndeclaredRead, View, reads
from orthogrid.sections import CLAIMS, FIGURES, judge

DRAWN = {("figure", name): figure for name, figure in FIGURES.items()}
WRITTEN = {("table", name): table for name, table in TABLES.items()}
TOLD = {("values", section.__name__.removesuffix("_values")): section for section in SECTIONS}
READERS = DRAWN | WRITTEN | TOLD


class Spy:
    """A run that notes what it is asked for: blocks, tables, and WHOLE for anything that spans blocks."""

    def __init__(self, run: Run):
        self.run, self.blocks, self.tables = run, set(), set()

    def __getattr__(self, name: str):
        if name in ("planned", "block", "configured"):
            return partial(self._ask, name)
        if name in ("traces_of", "trace"):
            self.tables.add("traces")
        elif name in RUN_TABLES and name != "traces":
            self.tables.add(name)
        else:
            self.blocks.add(WHOLE)
        return getattr(self.run, name)

    def _ask(self, name: str, *blocks: str):
        self.blocks |= set(blocks)
        return getattr(self.run, name)(*blocks)


@pytest.fixture(scope="module")
def verdicts(small_run):
    return judge(small_run)


@pytest.mark.parametrize(("kind", "name"), list(READERS))
def test_every_reader_declares_exactly_what_it_asks_for(small_run, verdicts, kind, name):
    spy, reader = Spy(small_run), READERS[kind, name]
    reader(spy, *([verdicts] if kind == "table" else []))
    assert spy.blocks == set(reader.blocks) or (WHOLE in spy.blocks and set(reader.blocks) == {WHOLE})
    assert spy.tables == set(reader.tables)


@pytest.mark.parametrize("id", list(CLAIMS))
def test_every_claim_asks_for_its_own_blocks(small_run, id):
    spy, entry = Spy(small_run), CLAIMS[id]
    entry.evidence(spy)
    entry.missing(spy)
    assert spy.blocks == set(entry.blocks)


def test_what_is_not_declared_raises(small_run):
    view = View(small_run, ["grid"], ["traces"])
    assert len(view.block("grid")) and len(view.trace(view.block("grid")))
    for read in (
        lambda: view.block("law"),
        lambda: view.planned("grid", "law"),
        lambda: view.configured("law"),
        lambda: view.cells,
        lambda: view.finished,
        lambda: view.config,
        lambda: view.traces,
        lambda: View(small_run, ["grid"]).traces_of(view.block("grid")),
        lambda: View(small_run, ["grid"]).trace(view.block("grid")),
    ):
        with pytest.raises(UndeclaredRead):
            read()
    assert View(small_run, [WHOLE]).cells is small_run.cells


def test_a_view_reads_as_the_run_does(small_run):
    view = View(small_run, ["grid", "law"], RUN_TABLES)
    assert view.planned("grid", "law").equals(small_run.planned("grid", "law"))
    assert view.block("law").equals(small_run.block("law"))
    assert view.configured("law") == small_run.configured("law") != ()
    assert view.thread is small_run.thread


def test_a_table_that_no_run_has_cannot_be_declared():
    with pytest.raises(ValueError, match="trace"):
        reads(len, "grid", tables="trace")


def test_the_source_tells_what_the_registers_hold():
    told = {(reader.kind, reader.name): reader.blocks for reader in readers()}
    held = {which: reader.blocks for which, reader in READERS.items()}
    held |= {("claim", id): entry.blocks for id, entry in CLAIMS.items()}
    assert told == held


def test_a_declaration_that_is_no_text_is_refused(tmp_path):
    (tmp_path / "mine.py").write_text(
        "from orthogrid.presenting.tables import table\n@table(BLOCKS)\ndef mine(run): ...\n"
    )
    with pytest.raises(ValueError, match=r"mine\.py, line 3"):
        readers(tmp_path)


def renamed(old: str, new: str) -> Config:
    """The tiny config with one block under another name."""
    raw = tiny_config()
    raw["blocks"] = [block | {"name": new if block["name"] == old else block["name"]} for block in raw["blocks"]]
    return check_config(raw)


@pytest.mark.parametrize("name", ["config", "smoke", "full"])
def test_shipped_configs_and_readers_fit(name):
    assert complaints(load_config(ROOT / "config" / f"{name}.yaml")) == []


def test_a_misspelt_block_is_named_from_both_sides():
    config = renamed("map_twin", "map_twins")
    assert list(missing_blocks(config)) == ["map_twin"]
    assert {"figure 'map'", "claim 'existence'", "claim 'trap-loss'"} <= set(missing_blocks(config)["map_twin"])
    unread, missed = complaints(config)
    assert (
        unread == "block 'map_twins' is new to the paper, which gives it a section of its own; did you mean 'map_twin'?"
    )
    assert missed.startswith("this config has no block 'map_twin', which figure 'map', figure 'double_well', claim")


def test_a_block_of_ones_own_has_no_nearest_name():
    config = check_config({"run": "own", "blocks": [{"name": "zebra", "axes": {"steps": 5}}]})
    unread, missed = complaints(config)  # those that are missed are many, so they are counted
    assert "zebra" in unread and "did you mean" not in unread
    assert re.search(r"has 0 of the \d\d blocks that the paper reads", missed)


def test_readers_import_neither_torch_nor_plotting():
    code = "import sys, orthogrid.cells.declarations as r; r.readers(); print(sorted({'torch', 'matplotlib', 'pandas'} & set(sys.modules)))"
    shown = subprocess.run([sys.executable, "-c", code], cwd=ROOT / "src", capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"


# Imports.


def test_imports_are_followed_within_the_package(tmp_path, monkeypatch):
    package = tmp_path / "pack"
    monkeypatch.setattr(sources, "PACKAGE", package)
    for folder in ("a", "b"):
        (package / folder).mkdir(parents=True)
    for name, text in {
        "__init__": "from . import unused",
        "unused": "",
        "base": "import json\nfrom os import path",
        "deep": "",
        "a/__init__": "from .other import something",
        "a/other": "something = 1",
        "a/used": "def f():\n    from pack import deep",
        "b/mine": "from .. import base\nfrom ..a.used import f\nfrom ..a import other\nimport pack.base",
    }.items():
        (package / f"{name}.py").write_text(text)
    found = [path.relative_to(package).as_posix() for path in imported_files(package / "b" / "mine.py")]
    assert found == ["a/other.py", "a/used.py", "b/mine.py", "base.py", "deep.py"]
    before = files_digest(imported_files(package / "b" / "mine.py"))
    (package / "unused.py").write_text("changed = 1")
    assert files_digest(imported_files(package / "b" / "mine.py")) == before
    (package / "deep.py").write_text("changed = 1")
    assert files_digest(imported_files(package / "b" / "mine.py")) != before


def test_a_figure_hangs_on_its_module_and_the_shared_ones_only():
    files = {path.name for path in imported_files(ROOT / "src/orthogrid/sections/precision.py")}
    assert {"precision.py", "panels.py", "style.py", "run.py"} <= files
    assert not files & {"capture.py", "drawing.py", "train.py", "penalties.py", "reproduction.py"}


# Cells without a result.


def test_a_cell_without_a_result_is_not_on_the_wrong_side(small_run):
    cells = small_run.cells.copy()
    gone = pd.Series(np.arange(len(cells)) % 3 == 0, index=cells.index)
    for column in ("det_sign", "det_sign_target"):
        cells[column] = cells[column].where(~gone)
    cells.loc[gone, "status"] = np.where(np.arange(gone.sum()) % 2 == 0, "missing", "diverged")
    names = small_run.membership["block"].unique()
    before, after = small_run.planned(*names), replace(small_run, cells=cells).planned(*names)
    assert after["wrong"].dtype == bool and before["wrong"][gone].any()
    assert not after["wrong"][gone].any()
    assert after["wrong"][~gone].equals(before["wrong"][~gone])
