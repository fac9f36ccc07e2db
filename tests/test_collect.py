"""The tables of a run hold the cells of its config, however they lie in rows files, and however many are taken at a time."""

import json
import os
import subprocess
from dataclasses import replace

import pytest
import torch
from conftest import ROOT
from training import CELLS, collect_cells, config_of, names, train

from orthogrid.jobs.files import read_table
from orthogrid.jobs.store import Store, shard_name
from orthogrid.run.collect import RowsError, _commit, _committed, collect, rows_date, summary
from orthogrid.run.collect import git as asked
from orthogrid.theory.predictions import predict_cells


def test_aggregation_takes_exactly_the_configured_cells(tmp_path):
    train(CELLS, tmp_path / "x")
    fewer = config_of(CELLS[:2], tmp_path)
    table = collect_cells(fewer, names(tmp_path / "x"))
    assert table["key"].tolist() == [c.key for c in fewer.cells]
    more = [*CELLS, *(replace(c, seed=9) for c in CELLS)]
    key = replace(CELLS[0], seed=9).key
    told = f"2 of 8 cells have no row, {key} for one .*; run the same command again"
    with pytest.raises(RowsError, match=told):
        collect_cells(config_of(more, tmp_path), names(tmp_path / "x"))
    with pytest.raises(RowsError, match="take partial: true from the config"):
        collect_cells(config_of([replace(CELLS[0], seed=9)], tmp_path, run="none", partial=True), [])
    partial = config_of(more, tmp_path, partial="true")
    table = collect_cells(partial, names(tmp_path / "x"))
    assert table.loc[table["status"] == "missing", "seed"].tolist() == [9, 9]
    told = summary(partial, table)
    assert (told["cells"], told["finished"], told["partial"], told["of_other_code"]) == (8, 6, True, 0)
    assert told["torch"] == {torch.__version__: 6}


@pytest.mark.parametrize("size", [1, 2, 5])
def test_collected_in_pieces_the_tables_have_the_same_bytes(tmp_path, size):
    root = tmp_path / "x"
    train(CELLS[:4], root)
    train(CELLS[2:], root)
    Store(root).write(CELLS[2:])  # of these, all lie in two files
    config = config_of([*reversed(CELLS), replace(CELLS[0], seed=9)], tmp_path, partial=True)
    predictions = predict_cells(config)
    logs = [read_table(ROOT / "data" / "thread" / f"log_{name}.csv") for name in "ab"]
    for folder, cells in (("whole", len(config.cells)), ("pieces", size)):
        shares: list[float] = []
        collect(config, names(root), predictions, logs, folder=tmp_path / folder, size=cells, progress=shares.append)
        count = -(-len(config.cells) // cells)
        assert shares == pytest.approx([min(1, (i + 1) * cells / len(config.cells)) for i in range(count)])
    whole, pieced = (sorted((tmp_path / folder).iterdir()) for folder in ("whole", "pieces"))
    assert [path.name for path in whole] == [path.name for path in pieced] and len(whole) == 5
    assert all(a.read_bytes() == b.read_bytes() for a, b in zip(whole, pieced, strict=True))
    told = json.loads((tmp_path / "whole" / "run.json").read_text(encoding="utf-8"))
    assert (told["finished"], told["cells"], told["partial"]) == (len(CELLS), len(config.cells), True)
    table = read_table(tmp_path / "whole" / "cells.csv")
    assert summary(config, table.assign(seconds=601.4))["minutes"] == 60.1
    traces = read_table(tmp_path / "whole" / "traces.csv.gz")
    finished = [cell.key for cell in config.cells if cell in CELLS]
    assert traces["key"].drop_duplicates().tolist() == finished
    for key, trace in traces.groupby("key"):
        last = read_table(tmp_path / "whole" / "cells.csv").set_index("key").loc[key]
        assert trace["step"].is_monotonic_increasing and trace["fit"].iloc[-1] == pytest.approx(last["fit"], rel=1e-5)


def test_a_partial_run_takes_rows_of_other_code_where_there_are_none_of_todays(tmp_path):
    train(CELLS, tmp_path / "x")
    store, (name,) = Store(tmp_path / "x"), names(tmp_path / "x")
    table = store.rows(name)
    table.loc[:1, "code"] = "0123456789ab"
    store.put(name, table, store.traces(name))
    assert len(Store(tmp_path / "x").where(CELLS, any_code=True)) == 6
    with pytest.raises(RowsError, match="2 of 6"):
        collect_cells(config_of(CELLS, tmp_path), names(tmp_path / "x"))
    partial = config_of(CELLS, tmp_path, partial=True)
    assert summary(partial, collect_cells(partial, names(tmp_path / "x")))["of_other_code"] == 2
    train(CELLS, tmp_path / "x")  # today's code has its rows too now, and they come first
    told = summary(partial, collect_cells(partial, names(tmp_path / "x")))
    assert told["of_other_code"] == 0 and told["finished"] == 6


def test_when_and_of_what_source_rows_are_as_git_tells(tmp_path, capfd, monkeypatch):
    monkeypatch.setattr("orthogrid.run.collect.HERE", tmp_path)

    def git(*words):
        call = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b.c", *words]
        return subprocess.run(call, check=True, capture_output=True, text=True).stdout.strip()

    rows = tmp_path / "rows"
    rows.mkdir()
    assert rows_date(rows) == "" and asked("rev-parse", "HEAD") == ""
    (rows / "a.csv.gz").write_bytes(b"")
    os.utime(rows / "a.csv.gz", (0, 86400 * 365))
    assert rows_date(rows) == "1971-01-01"  # without git that of the files
    git("init")
    assert asked("rev-parse", "HEAD") == ""  # of which git says HEAD, and fails
    git("add", ".")
    git("commit", "-m", "rows", "--date", "2001-02-03T12:00")
    assert rows_date(rows) == git("log", "-1", "--format=%cs")
    (tmp_path / "later").write_bytes(b"")
    first = git("rev-parse", "--short", "HEAD")
    git("add", ".")
    git("commit", "-m", "nothing of the rows")
    assert _committed(rows, "%h") == first  # which a later commit does not change
    assert asked("rev-parse", "HEAD") == git("rev-parse", "HEAD")
    (rows / "a.csv.gz").write_bytes(b"edited")
    os.utime(rows / "a.csv.gz", (0, 86400 * 365))
    assert rows_date(rows) == "1971-01-01"
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("commit, status, told", [("", "", ""), ("abc", "", "abc"), ("abc", " M a.py", "abc+")])
def test_a_commit_has_a_plus_where_the_source_was_edited_since(monkeypatch, commit, status, told):
    monkeypatch.setattr("orthogrid.run.collect.git", lambda what, *_: commit if what == "rev-parse" else status)
    assert _commit() == told


@pytest.mark.parametrize("order", [1, -1])
def test_a_cell_that_two_files_hold_is_taken_from_the_first_named_alone(tmp_path, order):
    root = tmp_path / "x"
    train(CELLS[:4], root)
    train(CELLS[2:], root)
    store = Store(root)
    both = store.write(CELLS[2:])
    whole = shard_name(CELLS[:4])
    store.put(whole, store.rows(whole).assign(seconds=7.0), store.traces(whole))
    assert sum(map(len, store.held().values())) == len(CELLS) + 4
    named = [both, *(name for name in names(root) if name != both)][::order]
    table = collect_cells(config_of(CELLS, tmp_path), named).set_index("key").loc[[cell.key for cell in CELLS]]
    assert (table["seconds"] == 7).tolist() == [True, True, order < 0, order < 0, False, False]
