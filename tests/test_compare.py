"""One cell looked at and trained again, a sample of rows verified, two runs compared."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pandas as pd
import pytest
import yaml

from orthogrid.__main__ import main
from orthogrid.cells.cell import Cell
from orthogrid.cells.components import ConfigError
from orthogrid.cells.config import load_config
from orthogrid.cells.costs import Costs
from orthogrid.jobs import runner
from orthogrid.jobs.store import Store
from orthogrid.tools import verify
from orthogrid.tools.diff import describe, difference
from orthogrid.tools.show import find_cell
from orthogrid.tools.verify import DIFFERS, OTHER_CODE, ROUNDED, SAME, Comparison, compare, sample, strict

AXES = {"dimension": 6, "samples": [3, 12], "steps": 20, "penalty": ["fro2", "l1"], "seed": [1, 2, 3]}


@pytest.fixture
def run(tmp_path, monkeypatch):
    """The path of the config of a finished run of twelve cells in two blocks."""
    monkeypatch.chdir(tmp_path)
    few = AXES | {"samples": 4, "penalty": "fro2", "dimension": 8}
    raw = {"run": "x", "blocks": [{"name": "a", "axes": AXES}, {"name": "b", "axes": few}]}
    (tmp_path / "mini.yaml").write_text(yaml.safe_dump(raw), encoding="utf-8")
    config = load_config("mini.yaml")
    runner.train_run(config, config.cells, device="cpu")
    return "mini.yaml"


def edited(path, change):
    """The kept rows edited, and sealed again as a forger would."""
    store = Store(load_config(path).root)
    (name,) = store.held()
    store.put(name, change(store.rows(name)), store.traces(name))


def first(table, **values):
    """The first row, a recovered one's neighbour or not, with other values."""
    for column, value in values.items():
        table.loc[0, column] = value
    return table


# ---- One cell ----


def test_a_cell_is_shown_by_the_beginning_of_its_key(run, capsys):
    cell = load_config(run).cells[0]
    assert main(["show", cell.key[:6], "--config", run]) == 0
    told = capsys.readouterr().out
    assert f"cell {cell.key} of x, in a" in told and "dimension           6" in told and "orthogonality_fro" in told
    assert told.isascii() and f"--key {cell.key} --again" in told
    assert main(["show", cell.key, "--config", run, "--png", "cell.png"]) == 0
    assert Path("cell.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    "key, why", [("zzzz", "is no cell of mini.yaml"), ("a", "shorter than 4"), ("", "shorter than 4")]
)
def test_a_key_that_names_no_cell_is_told(run, capsys, key, why):
    assert main(["show", key, "--config", run]) == 2
    assert why in capsys.readouterr().err


def test_a_beginning_of_several_keys_is_told(run, monkeypatch):
    config = load_config(run)
    monkeypatch.setattr("orthogrid.tools.show.SHORTEST", 0)
    with pytest.raises(ConfigError, match="that of 15 cells"):
        find_cell(config, "")


def test_one_cell_is_trained_by_its_key(run, capsys):
    config = load_config(run)
    for path in config.root.glob("*/*.csv.gz"):
        path.unlink()
    assert main(["train", "--config", run, "--key", config.cells[3].key]) == 0
    assert set(Store(config.root).finished(config.cells)[0]["key"]) == {config.cells[3].key}
    assert main(["train", "--config", run, "--key", config.cells[4].key, "--again"]) == 2
    assert "train it first" in capsys.readouterr().err


def test_a_cell_trained_again_agrees_in_every_bit_whatever_batch_it_was_in(run, capsys):
    config = load_config(run)
    kept = {path: path.read_bytes() for path in config.root.rglob("*.csv.gz")}
    for cell in config.cells[::4]:
        assert main(["train", "--config", run, "--key", cell.key, "--again"]) == 0
        assert "agree in every bit" in capsys.readouterr().out
    assert {path: path.read_bytes() for path in config.root.rglob("*.csv.gz")} == kept


def test_a_diverged_neighbour_raises_no_false_alarm(run, capsys):
    """Its trace has no signs, so that in the run's file the column of all cells is of another type."""
    config = yaml.safe_load(Path(run).read_text(encoding="utf-8"))
    config["blocks"].append({"name": "c", "axes": AXES | {"samples": 5, "lr": [0.01, "1e30"], "seed": 1}})
    Path(run).write_text(yaml.safe_dump(config), encoding="utf-8")
    runner.train_run(load_config(run), load_config(run).cells, device="cpu")
    (name,) = Store(load_config(run).root).held()
    assert Store(load_config(run).root).traces(name)["det_sign"].isna().any()
    key = load_config(run).cells[0].key
    assert main(["train", "--config", run, "--key", key, "--again"]) == 0
    assert "agree in every bit" in capsys.readouterr().out


def test_a_forged_number_is_found_by_training_the_cell_again(run, capsys):
    edited(run, lambda rows: first(rows, distance=0.25, torch="1.0"))
    key = Store(load_config(run).root).rows(*Store(load_config(run).root).held())["key"][0]
    assert main(["train", "--config", run, "--key", key, "--again"]) == 1
    told = capsys.readouterr().out
    assert "distance" in told and "0.25" in told and "Its torch was 1.0" in told


# ---- A sample ----


def verified(run, capsys, *more):
    code = main(["verify", "--config", run, "--minutes", "0.5", *more])
    return code, capsys.readouterr().out


def test_rows_as_they_were_made_come_out_again(run, capsys):
    code, told = verified(run, capsys)
    assert code == 0 and "All 15 rows that were tried come out again, 15 of them in every bit." in told
    assert verified(run, capsys, "--cells", "4")[1].count("All 4 rows") == 1


def test_a_forged_row_is_found_and_named(run, capsys):
    edited(run, lambda rows: first(rows, distance=rows["distance"][0] * 1.5))
    code, told = verified(run, capsys)
    assert code == 1 and "1 of 15 rows do not come out again" in told and "--again" in told


def test_a_number_forged_a_little_is_found_where_other_rows_agree_in_every_bit(run, capsys):
    edited(run, lambda rows: first(rows, fit=rows["fit"][0] * (1 + 1e-6)))
    assert verified(run, capsys)[0] == 1


def test_another_torchs_rounding_is_no_forgery(run, capsys):
    def rounded(rows):
        numbers = ["fit", "distance", "orthogonality_fro"]
        rows[numbers] *= 1 + 1e-6
        return rows.assign(torch="2.0.0")

    edited(run, rounded)
    code, told = verified(run, capsys)
    assert code == 0 and "0 of them in every bit" in told


def test_rows_of_other_code_are_told_apart(run, capsys):
    edited(run, lambda rows: first(rows, code="0123456789ab", distance=rows["distance"][0] * 1.5))
    code, told = verified(run, capsys)
    assert code == 1 and "1 of 15 rows were made by other code" in told


def test_a_row_of_the_wrong_side_or_status_is_no_rounding():
    row = (
        {name: 1.0 for name in (*verify.SIZES, "distance")}
        | dict.fromkeys(verify.EQUAL, 1)
        | {"status": "ok", "code": "x"}
    )
    assert compare(row, dict(row), "x").kind == SAME
    assert compare(row, row | {"fit": 1.5}, "x").kind == ROUNDED
    for other in ({"fit": 2.5}, {"distance": 1.1}, {"det_sign": -1}, {"status": "diverged"}):
        assert compare(row, row | other, "x").kind == DIFFERS, other
        assert compare(row, row | other, "y").kind == OTHER_CODE


def test_a_processor_that_rounds_otherwise_is_known_by_its_many_rows():
    same, other = Comparison(SAME, {}), Comparison(ROUNDED, {})
    assert strict({"a": same, "b": same, "c": other})["c"].kind == DIFFERS
    assert strict({"a": same, "b": other, "c": other})["c"].kind == ROUNDED


def test_a_sample_keeps_to_its_time_and_takes_from_every_block(run):
    config, costs = load_config(run), Costs()
    second = costs.seconds(config.cells[0])
    for count in (3, 6, 9):
        chosen = sample(config, config.cells, costs, count * second * 1.5, seed=1)
        assert sum(map(costs.seconds, chosen)) <= count * second * 1.5 and len(set(chosen)) == len(chosen)
        assert {cell.dimension for cell in chosen} == {6, 8}
    assert sample(config, config.cells, costs, 1e9, 1) != sample(config, config.cells, costs, 1e9, 2)
    assert set(sample(config, config.cells, costs, 1e9, 1)) == set(config.cells)
    assert sample(config, config.cells, costs, 0.0, 1) == []


# ---- Two runs ----


@pytest.fixture
def two(tmp_path):
    """Folders of two runs with cells.csv and claims.csv, a table of the second to edit."""
    cells = [Cell(dimension=6, penalty=p, seed=s) for p in ("l1", "fro2") for s in (1, 2, 3)]
    table = pd.DataFrame(
        [{"key": c.key, **c.settings, "status": "ok", "outcome": "recovered", "fit": 1.0 + 0.1 * c.seed, "distance": 1.0,
          "orthogonality_fro": 1e-3} for c in cells]
    )  # fmt: skip
    claims = pd.DataFrame({"id": ["a", "b"], "verdict": ["supported", "partly"], "measured": [1.0, 2.0]})
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        table.to_csv(tmp_path / name / "cells.csv", index=False)
        claims.to_csv(tmp_path / name / "claims.csv", index=False)
    return tmp_path / "one", tmp_path / "two", table, claims


def test_a_run_is_no_different_from_itself(two, capsys):
    one, other, *_ = two
    assert main(["diff", str(one), str(other)]) == 0
    assert capsys.readouterr().out.endswith("no difference\n")


def test_what_changed_is_told(two, capsys):
    one, other, table, claims = two
    new = table.drop(index=0)
    new.loc[1, "outcome"] = "trapped"
    new.loc[new["penalty"] == "fro2", "fit"] = 50.0
    new.loc[new["penalty"] == "l1", "fit"] = 1.25  # within the range of the seeds
    new.to_csv(other / "cells.csv", index=False)
    claims.assign(id=["a", "c"], verdict="refuted").to_csv(other / "claims.csv", index=False)
    found = difference(str(one), str(other))
    assert found["lost"] == [table["key"][0]] and found["gained"] == []
    assert found["ends"] == [{"from": "recovered", "to": "trapped", "count": 1, "keys": [table["key"][1]]}]
    (moved,) = found["moved"]
    assert moved["measure"] == "fit" and moved["b"] == pytest.approx(50) and moved["a"] == pytest.approx(1.2)
    assert found["claims"]["changed"][0]["id"] == "a" and found["claims"]["gained"] == ["c"]
    told = describe(found)
    assert "1 cells lost" in told and "recovered -> trapped" in told and "supported -> refuted" in told
    assert main(["diff", str(one), str(other), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == json.loads(json.dumps(found))


def test_rows_alone_and_a_commits_rows_can_be_compared(run, capsys, tmp_path):
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b"]
    for words in (["init", "-q"], ["add", "-f", "results"], ["commit", "-qm", "rows"]):
        subprocess.run([*git, *words], check=True, cwd=tmp_path, env=os.environ)
    edited(run, lambda rows: first(rows, status="diverged"))
    found = difference("HEAD:results/x", "results/x")
    assert found["cells"] == [15, 15] and [each["to"] for each in found["ends"]] == ["diverged"]


@pytest.mark.parametrize("name", ["nowhere", "HEAD:nowhere", "nocommit:results/x"])
def test_what_is_no_run_is_told(run, capsys, name):
    assert main(["diff", name, "results/x"]) == 2
    assert name in capsys.readouterr().err
