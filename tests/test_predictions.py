"""Predictions that are kept: only new problems are drawn, and the table has the same bytes."""

from __future__ import annotations

import subprocess
import sys

import pandas as pd
import pytest

from orthogrid.cells.config import check_config
from orthogrid.jobs.files import write_table
from orthogrid.theory import predictions
from orthogrid.theory.predictions import cache_file, predict_cells


def config(**axes):
    axes = {"dimension": 6, "samples": [3, 12], "penalty": ["fro2", "huber"], "reg": 50, "seed": [1, 2]} | axes
    return check_config({"run": "x", "blocks": [{"name": "a", "axes": axes}]})


@pytest.fixture
def drawn(monkeypatch) -> list:
    """The problems drawn so far."""
    problems, draw = [], predictions._draw
    monkeypatch.setattr(predictions, "_draw", lambda new: problems.extend(new) or draw(new))
    return problems


def written(table: pd.DataFrame, path) -> bytes:
    write_table(table, path)
    return path.read_bytes()


def test_kept_predictions_have_the_same_bytes(tmp_path, drawn):
    plain = written(predict_cells(config()), tmp_path / "plain.csv")
    for name in ("first", "second"):
        assert written(predict_cells(config(), cache=tmp_path / "cache"), tmp_path / f"{name}.csv") == plain
    assert len(drawn) == 8  # four without a cache, four that were kept


def test_a_grown_config_draws_new_problems_only(tmp_path, drawn):
    predict_cells(config(), cache=tmp_path)
    del drawn[:]
    predict_cells(config(reg=[10, 50], penalty=["fro2", "huber", "l1"]), cache=tmp_path)
    assert drawn == []  # neither is a setting of the problem
    seen = []
    grown = config(seed=[1, 2, 3])
    table = predict_cells(grown, lambda done, total: seen.append((done, total)), cache=tmp_path)
    assert {(cell.seed, cell.samples) for cell in drawn} == {(3, 3), (3, 12)} and len(drawn) == 2
    assert seen == [(1, 2), (2, 2)]
    pd.testing.assert_frame_equal(table, predict_cells(grown))


def test_what_is_no_longer_asked_for_stays(tmp_path, drawn):
    for seeds in ([1, 2], [3], [1, 2, 3]):
        predict_cells(config(seed=seeds), cache=tmp_path)
    assert len(drawn) == 6


def flipped(data: bytes) -> bytes:
    """One bit of the numbers is another."""
    at = data.index(b"numbers.npy") + 400
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


@pytest.mark.parametrize("damage", [lambda data: data[: len(data) // 2], flipped, lambda data: b""])
def test_a_damaged_cache_is_drawn_anew(tmp_path, damage):
    plain = written(predict_cells(config(), cache=tmp_path / "cache"), tmp_path / "a.csv")
    path = cache_file(tmp_path / "cache")
    whole = path.read_bytes()
    path.write_bytes(damage(whole))
    assert written(predict_cells(config(), cache=tmp_path / "cache"), tmp_path / "b.csv") == plain
    assert path.read_bytes() == whole


def test_other_code_draws_anew_in_place_of_the_old(tmp_path, drawn, monkeypatch):
    predict_cells(config(), cache=tmp_path)
    monkeypatch.setattr("orthogrid.theory.predictions.digest_of", lambda *names: "0" * 12)
    predict_cells(config(), cache=tmp_path)
    assert len(drawn) == 8 and [path.name[:12] for path in tmp_path.iterdir()] == ["0" * 12]


def test_torch_is_imported_only_where_something_is_drawn(tmp_path):
    """Its import takes longer than the rest of the job."""
    predict_cells(config(), cache=tmp_path)
    program = (
        "import sys; from orthogrid.cells.config import check_config; from orthogrid.theory.predictions import predict_cells; "
        "axes = {'dimension': 6, 'samples': [3, 12], 'reg': [1, 2], 'seed': [1, 2]}; "
        "config = check_config({'run': 'x', 'blocks': [{'name': 'a', 'axes': axes}]}); "
        f"table = predict_cells(config, cache={str(tmp_path)!r}); print(len(table), 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, encoding="utf-8")
    assert done.stdout.split() == ["8", "False"], done.stderr
