"""The workflow up to the rows, in miniature: what grids that grow and shrink, shards, other folders and cells that fail train."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd
import pytest
import yaml
from conftest import ROOT
from test_workflow import copy_project, keys, planned, rows_files, snakemake, without

from orthogrid.cells.config import Config, load_config
from orthogrid.jobs.plan import Plan
from orthogrid.jobs.runner import train_run

MINI = {"dimension": 8, "samples": 6, "penalty": ["fro2", "l1"], "reg": [1, 10], "steps": 50, "seed": [1, 2, 3]}
TABLE = "results/mini/cells.csv"


def ask_for(project: Path, *blocks: dict, **axes) -> Config:
    """Write mini.yaml, a config of a few small cells; `axes` are other than usual, `blocks` more than the one."""
    raw = {"run": "mini", "blocks": [{"name": "grid", "axes": MINI | axes}, *blocks]}
    (project / "mini.yaml").write_text(yaml.safe_dump(raw))
    return load_config(project / "mini.yaml", results=str(project / "results"))


def mini(folder: Path, **axes) -> tuple[Path, tuple[str, ...]]:
    """A project with such a config, and the arguments that make its rows."""
    project = copy_project(folder)
    ask_for(project, **axes)
    return project, ("--cores", "all", "--configfile", "mini.yaml")


def test_a_grown_grid_trains_its_new_cells_only_and_a_shrunk_one_nothing(tmp_path):
    project, arguments = mini(tmp_path)
    config = ask_for(project)
    train_run(config, config.cells, device="cpu")  # Snakemake did not make them, as in a clone that ships rows
    shipped = rows_files(project, "mini")
    ask_for(project, seed=[1, 2, 3, 4])
    snakemake(project, TABLE, *arguments)
    (new,) = rows_files(project, "mini") - shipped
    assert len(keys([new])) == 4 and set(pd.read_csv(project / TABLE)["key"]) == {*keys(shipped), *keys([new])}
    # In a shrunk grid, a row that was lost is trained again, though its file is there, and nothing else.
    shrunk = ask_for(project, seed=[1, 4])
    lost = shrunk.cells[0].key
    without(*shipped, [lost])
    snakemake(project, "train_all", *arguments)
    (again,) = rows_files(project, "mini") - {*shipped, new}
    assert keys([again]) == [lost]
    # What the config no longer asks for is cleared when that is asked for, and nothing else.
    ask_for(project, seed=[1])
    snakemake(project, "clear_old_rows", *arguments)
    assert rows_files(project, "mini") == {*shipped, again}
    assert not Plan(ask_for(project, seed=[1])).missing


@pytest.mark.slow
def test_any_number_of_shards_makes_the_same_rows_and_a_change_of_it_trains_nothing(tmp_path):
    project, arguments = mini(tmp_path)
    output = snakemake(project, "train_all", *arguments, "--config", "shards=2")
    assert re.search(r"^train_shard +2$", output, re.M)
    files = rows_files(project, "mini")
    assert len(files) == 2 and len(set(keys(files))) == len(keys(files)) == 12
    output = snakemake(project, "train_all", *arguments, "--dry-run", "--config", "shards=64")
    assert "train_shard" not in planned(output)
    config = load_config(project / "mini.yaml", results=str(tmp_path / "whole"))
    train_run(config, config.cells, device="cpu")  # here, at once
    tables = [pd.concat(map(pd.read_csv, sorted(found))) for found in (files, (config.root / "rows").glob("*.csv.gz"))]
    times = ["seconds", "seconds_per_step", "checksum"]
    one, whole = (table.drop(columns=times).set_index("key").sort_index() for table in tables)
    pd.testing.assert_frame_equal(one, whole)


@pytest.mark.slow
def test_from_another_folder_and_into_another_folder(tmp_path):
    project, _ = mini(tmp_path / "project")
    elsewhere = tmp_path / "else where"
    elsewhere.mkdir()
    snakefile = ("-s", str(project / "Snakefile"), "--cores", "all", "--configfile", str(project / "mini.yaml"))
    table = "scratch/mini/cells.csv"
    more = re.search(r"--config '(defaults=.*?)'", (ROOT / "README.md").read_text(encoding="utf-8"))[1]
    snakemake(elsewhere, table, *snakefile, "-d", str(tmp_path / "d"), "--config", "results=scratch", more)
    assert list(pd.read_csv(tmp_path / "d" / table)["lr"]) == 12 * [0.01]
    assert not (project / "results").exists() and not (elsewhere / "scratch").exists()


@pytest.mark.slow
def test_a_cell_that_cannot_be_trained_is_named_and_blocks_no_other(tmp_path):
    project, arguments = mini(tmp_path)
    ask_for(project, {"name": "bad", "axes": MINI | {"method": "torch_cayley", "lr": "1e39", "seed": 1}})
    output = snakemake(project, TABLE, *arguments, check=False)
    assert "1 cells could not be trained, 12 were" in output and "method=torch_cayley" in output
    assert len(keys(rows_files(project, "mini"))) == 12
    assert not Plan(ask_for(project)).missing
