"""What a plan tells before anything is trained: trained, new and stale cells, why they are stale, time and memory."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest
import torch

from orthogrid.__main__ import main
from orthogrid.cells.cell import Cell
from orthogrid.cells.components import ConfigError, code_parts
from orthogrid.cells.config import check_config
from orthogrid.cells.costs import Costs, bytes_needed
from orthogrid.cells.shape import shape_of
from orthogrid.jobs import runner
from orthogrid.jobs.plan import (
    CPU_ELEMENTS,
    CPU_MOST,
    CPU_SECONDS,
    PROCESS_BYTES,
    Plan,
    Shard,
    batches,
    describe,
    shards,
    shared_out,
    summary,
)
from orthogrid.jobs.progress import Progress, duration
from orthogrid.jobs.store import Store, shard_name
from orthogrid.training.train import train_batch

AXES = {"dimension": 6, "steps": 5, "penalty": ["fro2", "l1"], "samples": [3, 4], "seed": [1, 2, 3]}


def config_in(folder, **more):
    return check_config({"run": "x", "results": str(folder), "blocks": [{"name": "a", "axes": AXES | more}]})


def parts_of(**settings):
    cell = Cell(**settings)
    return code_parts(cell.penalty, cell.method, cell.model)


@pytest.fixture
def trained(tmp_path):
    config = config_in(tmp_path)
    runner.train_run(config, config.cells, device="cpu")
    return tmp_path


def columns(text, name):
    """Of a block's line: cells, trained, new, stale."""
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
    assert summary(Plan(config_in(trained)), 2) == ["x: all 12 cells are trained."]
    made_by(trained, lambda parts: parts | {"penalties/l1.py": "000000000000"})
    plan = Plan(config_in(trained, seed=[1, 2, 3, 4]))
    assert plan.names == sorted([shard_name(config_in(trained).cells), *plan.shards]) and len(plan.shards) == 1
    assert columns(describe(plan, 2), "a") == [16, 6, 4, 6]
    first, second = summary(plan, 2)
    assert first == "6 rows are stale: penalties/l1.py changed"
    assert (
        second.startswith("x: 10 of 16 cells to train in 1 job: about ") and "(times of 10 cells as measured" in second
    )


def test_code_that_came_or_went_is_named_too_and_unknown_code_is_said_to_be(trained):
    new = dict(list(parts_of(penalty="l1").items())[1:])
    made_by(trained, lambda parts: new | {"penalties/gone.py": "000000000000"})
    (first, _) = summary(Plan(config_in(trained)), 2)
    assert "training/train.py is new, penalties/gone.py is gone" in first
    (trained / "x" / "code" / "0123456789ab.json").unlink()
    assert "6 rows are stale: the code that made them is not on record" in summary(Plan(config_in(trained)), 2)


def test_rows_of_another_processor_do_not_tell_this_ones_times(trained):
    store = Store(trained / "x")
    (name,) = store.held()
    store.put(name, store.rows(name).assign(device="cpu (another, 1 thread)"), store.traces(name))
    assert "(times of 0 cells as measured" in summary(Plan(config_in(trained, seed=[7])), 2)[0]


def test_memory_grows_with_the_cell(tmp_path):
    small, large = (config_in(tmp_path, dimension=n).cells[0] for n in (50, 500))
    assert 50 < bytes_needed(large) / bytes_needed(small) < 101


def test_ten_thousand_cells_are_planned_in_time(tmp_path):
    """A guard against what is quadratic: half a second here."""
    config = replace(config_in(tmp_path, seed=list(range(2500))), shards=64)
    started = time.perf_counter()
    plan = Plan(config)
    describe(plan, 2)
    assert len(plan.missing) == 10_000 and len(plan.shards) == 64 and time.perf_counter() - started < 10


# ---- How cells are cut ----


def of_sizes(*sizes, **settings):
    return [Cell(dimension=n, samples=8, steps=40, seed=s, **settings) for n in sizes for s in range(40)]


def test_batches_are_of_one_shape_and_of_bounded_size():
    costs = Costs()
    cells = of_sizes(8, 500) + of_sizes(8, penalty="l1")
    cut = batches(cells, costs)
    assert sorted(cell.key for batch in cut for cell in batch) == sorted(cell.key for cell in cells)
    for batch in cut:
        assert len({shape_of(cell) for cell in batch}) == 1
        assert len(batch) <= min(CPU_MOST, max(1, CPU_ELEMENTS // batch[0].dimension ** 2))
    assert max(len(batch) for batch in cut if batch[0].dimension == 8) == 40
    assert {len(batch) for batch in cut if batch[0].dimension == 500} == {8}
    assert [len(batch) for batch in batches(cells[:40], costs, lambda cell: 7)] == [6, 7, 7, 6, 7, 7]
    slow = [replace(cell, steps=10**7) for cell in of_sizes(100)]
    assert {len(batch) for batch in batches(slow, costs)} == {1}


def test_cells_that_share_a_problem_stand_together_in_a_batch_of_bounded_time():
    costs = Costs()
    cells = [Cell(steps=40_000, reg=reg, seed=s) for reg in (1, 2, 3) for s in range(4)]
    cut = batches(cells, costs)
    assert all(costs.batch_seconds(b) <= CPU_SECONDS or len(b) == 1 for b in cut) and 1 < len(cut) <= len(cells)
    seeds = [cell.seed for batch in cut for cell in batch]
    assert seeds == sorted(seeds) and len(seeds) == len(cells)


def test_workers_finish_together_and_no_batch_is_cut_to_a_single_cell():
    costs = Costs()
    waiting = batches(of_sizes(30, 60, 90), costs)
    cut = shared_out(waiting, 2, costs)
    seconds = [costs.batch_seconds(batch) for batch in cut]
    assert seconds == sorted(seconds, reverse=True) and min(map(len, cut)) >= 2
    assert sorted(cell.key for batch in cut for cell in batch) == sorted(c.key for batch in waiting for c in batch)
    assert max(seconds) <= 1.2 * sum(seconds) / 8  # a quarter of a worker's share, in whole cells


@pytest.mark.parametrize("count", [2, 3, 7])
def test_shards_are_of_equal_effort_and_the_same_in_any_order_of_calls(count):
    cells, costs = of_sizes(20, 40, 60, 80), Costs()
    cut = shards(cells, count, costs)
    assert len(cut) == count and all(shard_name(part) == name for name, part in cut.items())
    assert sorted(cell.key for part in cut.values() for cell in part) == sorted(cell.key for cell in cells)
    efforts = [sum(map(costs.seconds, part)) for part in cut.values()]
    assert max(efforts) < 1.3 * min(efforts)
    assert shards(cells, count, costs) == cut and shards([], count, costs) == {}
    assert shards(cells, 1, costs) == {shard_name(cells): cells}


def test_a_shards_file_is_read_as_it_was_planned_and_refused_when_its_code_was_edited(tmp_path):
    config = config_in(tmp_path, penalty=["fro2", "huber(delta=0.01)"], method=["adam", "landing"])
    plan = Plan(replace(config, shards=3, device="cpu"))
    plan.write_shards()
    for name, cells in plan.shards.items():
        shard = Shard.read(config.root / "shards" / f"{name}.json")
        assert (shard.name, shard.root, shard.device, shard.code) == (name, config.root, "cpu", ())
        assert list(shard.cells) == cells
    written = (config.root / "shards" / f"{name}.json").read_text(encoding="utf-8")
    for other in ("000000000000", "ffffffffffff"):
        path = config.root / "shards" / f"{other}.json"
        path.write_text(written, encoding="utf-8")
        with pytest.raises(ConfigError, match="was edited since it was planned"):
            Shard.read(path)


def test_cells_in_a_journal_are_told(tmp_path):
    config = config_in(tmp_path)
    records = [runner._record(result, torch.device("cpu")) for result in train_batch(config.cells[:2])]
    Store(config.root).append("x", records)
    assert summary(Plan(config), 2)[-1].startswith("2 of these are trained already: they are in the journal of a job")
    assert runner.train_run(config, config.cells, device="cpu") == len(config.cells) - 2
    assert len(summary(Plan(config), 2)) == 1


def test_memory_and_versions_of_torch_are_told(trained):
    config = config_in(trained, dimension=400, samples=100)
    plan = Plan(config)
    largest = max(len(batch) * bytes_needed(batch[0]) for batch in batches(plan.missing, Costs()))
    assert f" {2 * (PROCESS_BYTES + largest) / 1e9:.1f} GB of memory" in summary(plan, 2)[-1]
    store = Store(trained / "x")
    (name,) = store.held()
    rows = store.rows(name)
    rows.loc[:2, "torch"] = "1.0"
    store.put(name, rows, store.traces(name))
    ours = rows["torch"].iloc[-1]
    assert (
        summary(Plan(config_in(trained)), 2)[-1]
        == f"Rows were made by several versions of torch: {ours} (9 cells), 1.0 (3 cells)."
    )


def test_nothing_to_train_is_said_of_a_finished_run_and_not_of_one_without_time(tmp_path, capsys):
    path = tmp_path / "c.yaml"
    path.write_text(f"run: x\nresults: {tmp_path}\nblocks: [{{name: a, axes: {{dimension: 4, steps: 5}}}}]\n")
    assert main(["train", "--config", str(path), "--minutes", "1e-9"]) == 0
    said = capsys.readouterr()
    assert '"trained": 0' in said.out and "nothing to train" not in said.err
    assert main(["train", "--config", str(path)]) == 0
    assert "nothing to train" not in capsys.readouterr().err
    assert main(["train", "--config", str(path)]) == 0
    assert "nothing to train: all are trained" in capsys.readouterr().err


def test_the_time_left_is_told_once_a_speed_is_known(monkeypatch, capsys):
    """38 s of work after 7 s of loading, which once were told as 59 min; and a day of it, of which 2 % is long."""
    for total, every in ((38.0, 1.0), (86400.0, 10.0)):
        clock = [0.0]
        monkeypatch.setattr("orthogrid.jobs.progress.time.monotonic", lambda clock=clock: clock[0])
        progress = Progress("training", total, every=every)
        clock[0] = 7.0
        progress.update(0.01, "of the work, ")
        told = []
        while len(told) < 5:
            clock[0] += every
            progress.update(0.01 + clock[0] - 7.0, "of the work, ")
            told.append(capsys.readouterr().err.strip())
        assert "0% of the work, time left not known yet" in told[0] or total == 38.0
        left = [duration(total - 0.01 - every * (i + 1)) for i in range(5)]
        assert all(
            line.endswith((f"about {rest} left", "not known yet")) for line, rest in zip(told, left, strict=True)
        )
        assert told[-1].endswith(f"about {left[-1]} left")


def test_a_plan_says_what_its_seconds_are_of(trained):
    (line,) = summary(Plan(config_in(trained, seed=[9])), 2)
    assert "of training on 2 cores" in line and line.endswith(
        "Starting, figures and the paper take a minute or two more."
    )
