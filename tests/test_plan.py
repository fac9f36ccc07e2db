"""What a plan tells before anything is trained: finished, new and stale cells, why they are stale, time and memory."""

from __future__ import annotations

import time

import pytest

from orthogrid import runner
from orthogrid.cell import Cell
from orthogrid.changes import MOST, changes, code_parts
from orthogrid.config import check_config
from orthogrid.costs import bytes_needed
from orthogrid.plan import Plan, describe, told
from orthogrid.store import Store

AXES = {"dimension": 6, "steps": 5, "penalty": ["fro2", "l1"], "samples": [3, 4], "seed": [1, 2, 3]}


def config_in(folder, **more):
    return check_config({"run": "x", "results": str(folder), "blocks": [{"name": "a", "axes": AXES | more}]})


def parts_of(**settings):
    return code_parts(Cell(**settings))


@pytest.fixture
def trained(tmp_path):
    config = config_in(tmp_path)
    runner.train_run(config, config.cells, device="cpu")
    return tmp_path


def columns(text, name):
    """Of a block's line: cells, finished, new, stale."""
    return [int(number) for number in next(s for s in text.splitlines() if s.startswith(name)).split()[1:5]]


def made_by(root, edit):
    """The rows of penalty l1 as if other code had made them, and that code's parts as `edit` gives them."""
    store = Store(root / "x")
    (name,) = store.held()
    rows, today = store.rows(name), parts_of(penalty="l1")
    store.keep_code("0123456789ab", edit(dict(today)))
    rows.loc[rows["penalty"] == "l1", "code"] = "0123456789ab"
    store.put(name, rows, store.traces(name))


def test_a_plan_tells_finished_new_and_stale_cells(trained):
    assert columns(describe(Plan(config_in(trained)), 2), "a") == [12, 12, 0, 0]
    assert told(Plan(config_in(trained)), 2) == ["x: all 12 cells are finished."]
    made_by(trained, lambda parts: parts | {"penalties.py: l1": "00000000"})
    plan = Plan(config_in(trained, seed=[1, 2, 3, 4]))
    assert columns(describe(plan, 2), "a") == [16, 6, 4, 6]
    first, second = told(plan, 2)
    assert first == "6 rows are stale: penalties.py: l1 changed"
    assert (
        second.startswith("x: 10 of 16 cells to train in 1 job: about ") and "(times of 10 cells as measured" in second
    )


def test_code_that_came_or_went_is_named_too_and_unknown_code_is_said_to_be(trained):
    new = dict(list(parts_of(penalty="l1").items())[1:])
    made_by(trained, lambda parts: new | {"penalties.py: gone": "00000000"})
    (first, _) = told(Plan(config_in(trained)), 2)
    assert "numerics/train.py: train_batch is new, penalties.py: gone is gone" in first
    (trained / "x" / "code" / "0123456789ab.json").unlink()
    assert "6 rows are stale: the code that made them is not on record" in told(Plan(config_in(trained)), 2)


def test_few_changes_are_named():
    old = {f"file.py: f{i}": "0" for i in range(9)}
    text = changes(old, dict.fromkeys(old, "1"))
    assert text.count("changed") == MOST and text.endswith(f"and {9 - MOST} more")


def test_the_parts_of_a_code_tell_its_penalty_and_method_from_others():
    l1, fro2 = parts_of(penalty="l1"), parts_of(penalty="fro2")
    assert "penalties.py: l1" in l1 and "penalties.py: l1" not in fro2
    assert {name for name in l1.keys() & fro2.keys() if l1[name] != fro2[name]} == set()
    assert "methods/constraints.py: cayley" not in l1 and any("landing" in n for n in parts_of(method="landing"))


def test_rows_of_another_processor_do_not_tell_this_ones_times(trained):
    store = Store(trained / "x")
    (name,) = store.held()
    store.put(name, store.rows(name).assign(device="cpu (another, 1 thread)"), store.traces(name))
    assert "(times of 0 cells as measured" in told(Plan(config_in(trained, seed=[7])), 2)[0]


def test_memory_grows_with_the_cell(tmp_path):
    small, large = (config_in(tmp_path, dimension=n).cells[0] for n in (50, 500))
    assert 50 < bytes_needed(large) / bytes_needed(small) < 101


def test_ten_thousand_cells_are_planned_in_time(tmp_path):
    """A guard against what is quadratic: half a second here."""
    config = config_in(tmp_path, seed=list(range(2500)))
    started = time.perf_counter()
    describe(Plan(config), 2)
    assert len(config.cells) == 10_000 and time.perf_counter() - started < 10
