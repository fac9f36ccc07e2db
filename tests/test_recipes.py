"""The recipes of docs, run literally: each is taken from its text as it stands there."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pandas as pd
import torch
import yaml
from conftest import ROOT
from test_growth import MINI
from test_workflow import copy_project, rows_files, snakemake

from orthogrid import orthogonality
from orthogrid.__main__ import main
from orthogrid.cells.config import load_config

PAGE = "\n".join((ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8") for name in ("adding", "library"))


def recipe(title: str) -> str:
    """The indented block after a recipe's title in bold."""
    text = PAGE[PAGE.index(f"**{title}") :]
    block = re.search(r"\n\n((?:    .*\n|\n)+)", text)[1]
    return re.sub(r"^    ", "", block, flags=re.M).rstrip() + "\n"


GRID = {"name": "grid", "axes": MINI}


def write_config(folder: Path, *blocks: dict) -> str:
    """The path of a config of some blocks."""
    raw = {"run": "mini", "results": str(folder / "results"), "blocks": list(blocks)}
    (folder / "mini.yaml").write_text(yaml.safe_dump(raw), encoding="utf-8")
    return str(folder / "mini.yaml")


def rows_of(folder: Path) -> pd.DataFrame:
    return pd.concat(map(pd.read_csv, rows_files(folder, "mini"))).set_index("key")


def new_rows(folder: Path, *blocks: dict, source: Path | None = None) -> pd.DataFrame:
    """What `train` adds to the rows of the grid for a config of these blocks; `source`: with the package of that project."""
    assert main(["train", "--config", write_config(folder, GRID)]) == 0
    before = rows_of(folder)
    command = ["train", "--config", write_config(folder, *blocks)]
    if source is None:
        assert main(command) == 0
    else:
        environment = os.environ | {"PYTHONPATH": str(source / "src")}
        subprocess.run([sys.executable, "-m", "orthogrid", *command], check=True, cwd=source, env=environment)
    after = rows_of(folder)
    assert after.loc[before.index, "checksum"].equals(before["checksum"])  # of seconds too: they are not trained again
    return after.drop(before.index)


def test_another_reg_trains_its_cells_alone(tmp_path):
    new = new_rows(tmp_path, GRID | {"axes": MINI | yaml.safe_load(recipe("Another reg"))})
    assert set(new["reg"]) == {0.1, 31, 100, 1000} and len(new) == 4 * 2 * 3


def test_a_block_of_ones_own_trains_its_cells_alone(tmp_path):
    (block,) = yaml.safe_load(recipe("A block of your own"))
    block["axes"]["steps"] = 20  # in miniature
    new = new_rows(tmp_path, GRID, block)
    assert {cell.key for cell in load_config(tmp_path / "mini.yaml").blocks[1].cells} == set(new.index)
    assert len(new) == 12


def test_a_penalty_and_a_method_by_the_recipes_train_alone(tmp_path):
    project = copy_project(tmp_path / "project")
    for title in ("A penalty of your own", "A method of your own"):
        path = project / re.search(r"`(src/\S+\.py)`", PAGE[PAGE.index(f"**{title}") :])[1]
        with path.open("a", encoding="utf-8") as file:
            file.write("\n\n" + recipe(title))
    grid = GRID | {"axes": MINI | {"penalty": [*MINI["penalty"], "cubic"]}}
    method = {"name": "method", "axes": MINI | {"penalty": "fro2", "reg": 1, "method": ["adam", "halfway"]}}
    new = new_rows(tmp_path, grid, method, source=project)
    assert len(new) == 9 and (new["status"] == "ok").all()
    assert list(new.groupby(["penalty", "method"]).size().items()) == [(("cubic", "adam"), 6), (("none", "halfway"), 3)]
    # Half a step suffices at this rate.
    assert new.loc[new["method"] == "halfway", "orthogonality_fro"].max() < 0.05


def test_a_workflow_of_ones_own_takes_this_one_as_a_module(tmp_path):
    (tmp_path / "orthogrid").symlink_to(ROOT)
    (tmp_path / "config").mkdir()
    raw = {"run": "mine", "blocks": [GRID]}
    (tmp_path / "config" / "mine.yaml").write_text(yaml.safe_dump(raw), encoding="utf-8")
    (tmp_path / "Snakefile").write_text(recipe("A workflow of your own"), encoding="utf-8")
    program, *figure = shlex.split(recipe("A figure."))
    told = snakemake(tmp_path, "--dry-run", *figure)
    jobs = ("predict_cells", "train_shard", "aggregate_cells", "draw_figures")
    assert program == "snakemake" and all(f"orthogrid_{job} " in told for job in jobs) and "localrules" not in told
    assert list(tmp_path.glob("results/mine/shards/*.json"))  # without a call of onstart


def test_the_notebooks_lines_have_outcomes():
    names: dict = {}
    exec(recipe("From a notebook"), names)
    found = names["table"](names["results"])
    assert set(found.loc[found["reg"] == 1, "outcome"]) == {"recovered"}
    assert set(found.loc[found["reg"] == 100, "outcome"]) == {"trapped"}


def test_the_trap_weight_of_the_library_page_is_where_a_second_well_begins():
    """On the very loss that the reader has: a mean or a sum, with the bias at its optimum or without one."""
    space = {"torch": torch}
    exec(recipe("From which weight on"), space)
    draw = torch.Generator().manual_seed(1)
    x, target = (
        torch.rand(40, 6, generator=draw).double(),
        torch.linalg.qr(torch.randn(6, 6, generator=draw).double())[0],
    )
    for bias in (True, False):
        weighed = x - x.mean(0) if bias else x
        v = torch.linalg.eigh(weighed.T @ weighed)[1][:, 0]

        def loss(s: float, reg: float, mean: bool, v=v, weighed=weighed) -> float:
            w = target.T @ (torch.eye(6).double() - (1 - s) * torch.outer(v, v))
            errors = (weighed @ w.T - weighed @ target).square()
            return float(errors.mean() if mean else errors.sum()) + reg * float(orthogonality(w))

        for mean in (True, False):
            weight = float(space["trap_weight"](x, 6, bias, mean))
            path = torch.linspace(-1.2, 1.2, 241).tolist()
            for factor, wells in ((0.9, 1), (1.1, 2)):
                values = [loss(s, factor * weight, mean) for s in path]
                lower = zip(values, values[1:], values[2:], strict=False)
                assert sum(a > b < c for a, b, c in lower) == wells
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "for their mean it is 2λ/kn" in text and "samples are centred" in text
