"""The recipes of docs, run literally: each is taken from its text as it stands there."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd
import torch
import yaml
from conftest import ROOT
from test_workflow import TABLE, keys, mini, rows_files, snakemake

from orthogrid import orthogonality

PAGE = "\n".join((ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8") for name in ("adding", "library"))


def recipe(title: str) -> str:
    """The indented block after a recipe's title in bold."""
    text = PAGE[PAGE.index(f"**{title}") :]
    block = re.search(r"\n\n((?:    .*\n|\n)+)", text)[1]
    return re.sub(r"^    ", "", block, flags=re.M).rstrip() + "\n"


def config_of(project: Path) -> dict:
    return yaml.safe_load((project / "mini.yaml").read_text())


def write_config(project: Path, raw: dict) -> None:
    (project / "mini.yaml").write_text(yaml.safe_dump(raw))


def test_another_reg_trains_its_cells_alone(tmp_path):
    project, arguments = mini(tmp_path)
    snakemake(project, TABLE, *arguments)
    before = rows_files(project, "mini")
    raw = config_of(project)
    raw["blocks"][0]["axes"] |= yaml.safe_load(recipe("Another reg"))
    write_config(project, raw)
    snakemake(project, TABLE, *arguments)
    new = pd.read_csv(project / TABLE).set_index("key").loc[keys(rows_files(project, "mini") - before)]
    assert set(new["reg"]) == {0.1, 31, 100, 1000} and len(new) == 4 * 2 * 3


def test_a_block_of_ones_own_is_trained_and_told(tmp_path):
    project, arguments = mini(tmp_path)
    snakemake(project, TABLE, *arguments)
    before = rows_files(project, "mini")
    (block,) = yaml.safe_load(recipe("A block of your own"))
    block["axes"]["steps"] = 20  # in miniature
    write_config(project, config_of(project) | {"blocks": [*config_of(project)["blocks"], block]})
    snakemake(project, TABLE, *arguments)
    members = pd.read_csv(project / "results" / "mini" / "membership.csv")
    own = set(members.loc[members["block"] == "tenfold_rate", "key"])
    assert own == set(keys(rows_files(project, "mini") - before)) and len(own) == 12


def test_a_penalty_by_the_recipe_trains_alone(tmp_path):
    project, arguments = mini(tmp_path)
    snakemake(project, TABLE, *arguments)
    before = rows_files(project, "mini")
    path = project / "src" / "orthogrid" / "penalties" / "cubic.py"
    path.write_text(recipe("A penalty of your own"), encoding="utf-8")
    raw = config_of(project)
    raw["blocks"][0]["axes"]["penalty"].append("cubic")
    write_config(project, raw)
    snakemake(project, TABLE, *arguments)
    new = pd.read_csv(project / TABLE).set_index("key").loc[keys(rows_files(project, "mini") - before)]
    assert set(new["penalty"]) == {"cubic"} and len(new) == 6 and (new["status"] == "ok").all()


def test_a_method_by_the_recipe_trains_alone(tmp_path):
    project, arguments = mini(tmp_path, penalty="fro2", reg=1)
    snakemake(project, TABLE, *arguments)
    before = rows_files(project, "mini")
    path = project / "src" / "orthogrid" / "methods" / "halfway.py"
    path.write_text(recipe("A method of your own"), encoding="utf-8")
    raw = config_of(project)
    raw["blocks"][0]["axes"]["method"] = ["adam", "halfway"]
    write_config(project, raw)
    snakemake(project, TABLE, *arguments)
    new = pd.read_csv(project / TABLE).set_index("key").loc[keys(rows_files(project, "mini") - before)]
    assert set(new["method"]) == {"halfway"} and len(new) == 3
    assert new["orthogonality_fro"].max() < 0.05  # half a step suffices at this rate


def test_the_notebooks_lines_give_results():
    names: dict = {}
    exec(
        recipe("From a notebook").replace("dimension=50, samples=200", "dimension=6, samples=20").replace("3000", "30"),
        names,
    )
    assert len(names["results"]) == 8 and {r.row["status"] for r in names["results"]} == {"ok"}


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
            path = torch.linspace(-1.2, 1.2, 2401).tolist()
            for factor, wells in ((0.9, 1), (1.1, 2)):
                values = [loss(s, factor * weight, mean) for s in path]
                lower = zip(values, values[1:], values[2:], strict=False)
                assert sum(a > b < c for a, b, c in lower) == wells
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "for their mean it is 2λ/kn" in text and "samples are centred" in text
