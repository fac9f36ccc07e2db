"""Journal, rows files, and training jobs that are interrupted, grown and shrunk."""

import json
from dataclasses import replace

import pandas as pd
import pytest

from orthogrid import runner
from orthogrid.cell import Cell, ConfigError
from orthogrid.config import check_config, group_name
from orthogrid.plan import effort, shared_out
from orthogrid.run import RowsError, collect_cells
from orthogrid.store import Store, read_table, write_bytes, write_table

CELLS = [Cell(dimension=6, samples=s, steps=5, seed=seed) for s in (3, 4) for seed in (1, 2, 3)]


@pytest.fixture
def trained(monkeypatch):
    """The cells handed to the trainer, in order."""
    seen = []
    train_batch = runner.train_batch

    def spy(cells, *args):
        seen.extend(cells)
        return train_batch(cells, *args)

    monkeypatch.setattr(runner, "train_batch", spy)
    return seen


def train(group, cells, root):
    return runner.train_cells(group, cells, root, device="cpu")


def without_time(path):
    return read_table(path).drop(columns=["seconds", "seconds_per_step"])


def test_a_finished_job_trains_nothing_and_writes_the_same_bytes(tmp_path, trained):
    assert train("fro2-a", CELLS, tmp_path) == 6
    first = Store(tmp_path).rows_file("fro2-a").read_bytes()
    assert train("fro2-a", CELLS[::-1], tmp_path) == 0 and len(trained) == 6
    assert Store(tmp_path).rows_file("fro2-a").read_bytes() == first


@pytest.mark.parametrize("survivor", ["journal", "rows"])
def test_a_grown_grid_trains_its_new_cells_and_a_shrunk_one_nothing(tmp_path, trained, survivor):
    train("fro2-a", CELLS[:4], tmp_path)
    if survivor == "rows":  # a clone ships rows and traces, no journal
        Store(tmp_path).journal_file("fro2").unlink()
    else:
        Store(tmp_path).rows_file("fro2-a").unlink()
    assert train("fro2-b", CELLS, tmp_path) == 2 and trained[4:] == CELLS[4:]
    assert train("fro2-c", CELLS[1:3], tmp_path) == 0
    alone = tmp_path / "alone"
    train("fro2-b", CELLS, alone)
    pd.testing.assert_frame_equal(
        without_time(Store(tmp_path).rows_file("fro2-b")), without_time(Store(alone).rows_file("fro2-b"))
    )
    pd.testing.assert_frame_equal(
        read_table(Store(tmp_path).traces_file("fro2-b")), read_table(Store(alone).traces_file("fro2-b"))
    )


def test_an_interrupted_job_goes_on_where_it_was(tmp_path, trained, monkeypatch):
    train_batch = runner.train_batch

    def interrupted(cells, *args):
        if trained:
            raise KeyboardInterrupt
        return train_batch(cells, *args)

    monkeypatch.setattr(runner, "train_batch", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train("fro2-a", CELLS, tmp_path)
    assert len(trained) == 3 and not Store(tmp_path).rows_file("fro2-a").exists()
    monkeypatch.setattr(runner, "train_batch", train_batch)
    assert train("fro2-a", CELLS, tmp_path) == 3
    assert sorted(c.key for c in trained) == sorted(c.key for c in CELLS)


def test_a_torn_journal_line_is_trained_again_and_spoils_no_other(tmp_path, trained):
    train("fro2-a", CELLS[:3], tmp_path)
    store = Store(tmp_path)
    store.rows_file("fro2-a").unlink()
    journal = store.journal_file("fro2")
    journal.write_bytes(journal.read_bytes()[:-200])  # a crash in the middle of the last line
    assert train("fro2-b", CELLS[:4], tmp_path) == 2
    lines = journal.read_text().splitlines()
    assert len(lines) == 5 and sum(_is_json(line) for line in lines) == 4


def _is_json(line):
    try:
        json.loads(line)
    except json.JSONDecodeError:
        return False
    return True


def test_rows_of_other_code_are_not_taken(tmp_path, trained):
    train("fro2-a", CELLS[:2], tmp_path)
    store = Store(tmp_path)
    for path in (store.journal_file("fro2"), store.rows_file("fro2-a")):
        path.write_text(path.read_text().replace(CELLS[0].code, "0123456789ab"))
    assert train("fro2-b", CELLS[:2], tmp_path) == 2


def test_numbers_survive_the_file_to_the_last_bit_and_keys_stay_text(tmp_path):
    table = pd.DataFrame({"key": ["000000000012", "1234567890e1"], "fit": [0.1 + 0.2, 1e-300], "code": ["12", "34"]})
    for name in ("a.csv", "a.csv.gz"):
        write_table(table, tmp_path / name)
        pd.testing.assert_frame_equal(read_table(tmp_path / name), table)
    first = (tmp_path / "a.csv.gz").read_bytes()
    write_table(table, tmp_path / "a.csv.gz")
    assert (tmp_path / "a.csv.gz").read_bytes() == first


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "a"
    write_bytes(b"old", path)
    monkeypatch.setattr("os.replace", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError):
        write_bytes(b"new", path)
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]


def config_of(cells, **more):
    axes = {
        "dimension": 6,
        "samples": sorted({c.samples for c in cells}),
        "steps": 5,
        "seed": sorted({c.seed for c in cells}),
    }
    return check_config({"run": "x", "blocks": [{"name": "a", "axes": axes}], **more})


def test_aggregation_takes_exactly_the_configured_cells(tmp_path):
    train("fro2-a", CELLS, tmp_path)
    rows = Store(tmp_path).rows_file("fro2-a")
    fewer = config_of(CELLS[:2])
    table = collect_cells(fewer, [rows])
    assert table["key"].tolist() == [c.key for c in fewer.cells]
    with pytest.raises(RowsError, match="more than one row"):
        collect_cells(fewer, [rows, rows])
    more = [*CELLS, *(replace(c, seed=9) for c in CELLS)]
    with pytest.raises(RowsError, match="2 of 8 cells have no row"):
        collect_cells(config_of(more), [rows])
    partial = collect_cells(config_of(more, partial=True), [rows])
    assert (partial["status"] == "missing").sum() == 2 and partial.loc[partial["status"] == "missing", "seed"].eq(
        9
    ).all()


def test_gpu_memory_too_small_halves_the_batch_and_loses_no_row(tmp_path, monkeypatch):
    import torch

    train_batch, sizes = runner.train_batch, []

    def small_gpu(cells, *args):
        sizes.append(len(cells))
        if len(cells) > 1:
            raise torch.cuda.OutOfMemoryError("too large")
        return train_batch(cells, *args)

    monkeypatch.setattr(runner, "train_batch", small_gpu)
    assert train("fro2-a", CELLS[:3], tmp_path) == 3
    assert sizes == [3, 1, 2, 1, 1] and len(read_table(Store(tmp_path).rows_file("fro2-a"))) == 3


def test_a_device_that_is_not_there_is_told():
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(ValueError, match="set device: auto or cpu"):
        runner.find_device("cuda")
    assert runner.find_device("auto").type == "cpu"


def test_workers_give_the_rows_of_one_process(tmp_path, monkeypatch):
    """Also in their order in the files; and a failure in a worker is raised, not swallowed."""
    cells = [Cell(dimension=8, samples=4, steps=30, lr=0.01, reg=reg, seed=s) for s in range(3) for reg in (1, 10)]
    monkeypatch.setattr("orthogrid.plan.CPU_MOST", 2)
    runner.train_cells("fro2-one", cells, tmp_path / "one", workers=1)
    monkeypatch.setattr("orthogrid.runner.WORTH_WORKERS", 0)
    runner.train_cells("fro2-two", cells, tmp_path / "two", workers=2)
    one, two = Store(tmp_path / "one"), Store(tmp_path / "two")
    pd.testing.assert_frame_equal(without_time(one.rows_file("fro2-one")), without_time(two.rows_file("fro2-two")))
    assert read_table(one.traces_file("fro2-one")).equals(read_table(two.traces_file("fro2-two")))
    monkeypatch.setattr("orthogrid.runner.train_batch", broken)
    with pytest.raises(ArithmeticError):
        runner.train_cells("fro2-three", cells, tmp_path / "three", workers=2)


def broken(*arguments):
    raise ArithmeticError


def test_long_batches_are_shared_out_without_losing_or_isolating_a_cell():
    many = [Cell(dimension=30, samples=4, seed=s) for s in range(16)]
    few = [Cell(dimension=6, samples=4, seed=s) for s in range(3)]
    cut = shared_out([few, many], workers=2)
    assert sorted(c.key for b in cut for c in b) == sorted(c.key for c in many + few)
    assert len(cut) > 4 and min(map(len, cut)) >= 2
    assert [effort(b[0]) * len(b) for b in cut] == sorted((effort(b[0]) * len(b) for b in cut), reverse=True)


# ---- A run in pieces ----


SETTINGS = {"dimension": 6, "steps": 5, "penalty": ["fro2", "l1"], "samples": [3, 4], "seed": [1, 2, 3]}


def in_pieces(**more):
    return check_config({"run": "x", "blocks": [{"name": "a", "axes": SETTINGS}], **more})


def train_part(config, root, cells=None, minutes=None):
    return runner.train_run(config, config.cells if cells is None else cells, root, "cpu", minutes)


def rows_files(root):
    return sorted((root / "rows").glob("*.csv"))


def test_first_seeds_are_the_whole_product_for_fewer_seeds():
    config = in_pieces()
    first = config.part(seeds=1)
    assert len(first) == 4 and {c.seed for c in first} == {1}
    assert {(c.penalty, c.samples) for c in first} == {(c.penalty, c.samples) for c in config.cells}
    assert len(config.part(seeds=2)) == 8 and config.part(seeds=9) == config.part() == config.cells


def test_a_part_of_a_config_is_that_of_its_blocks():
    blocks = [{"name": "a", "axes": {**SETTINGS, "seed": [5, 6]}}, {"name": "b", "axes": {**SETTINGS, "seed": [6, 7]}}]
    config = check_config({"run": "x", "blocks": blocks})
    assert config.part(["b"]) == list(config.blocks[1].cells)
    assert {c.seed for c in config.part(["a", "b"], seeds=1)} == {5, 6}
    with pytest.raises(ConfigError, match="did you mean 'b'"):
        config.part(["bb"])


def test_a_run_in_pieces_is_the_run_at_once(tmp_path, trained):
    config = in_pieces()
    whole, pieces = tmp_path / "whole", tmp_path / "pieces"
    assert train_part(config, whole) == 12
    trained.clear()
    assert train_part(config, pieces, config.part(seeds=1)) == 4
    assert json.loads((pieces / "run.json").read_text())["finished"] == 4
    table = collect_cells(in_pieces(partial=True), rows_files(pieces))
    assert (table["status"] == "missing").sum() == 8 and set(table.loc[table["status"] == "ok", "seed"]) == {1}
    for path in (pieces / "journal").iterdir():  # a clone ships rows and traces alone
        path.unlink()
    assert train_part(config, pieces) == 8 and len(trained) == 12
    summary = json.loads((pieces / "run.json").read_text())
    assert summary["finished"] == summary["cells"] == 12 and not summary["partial"]
    # The files are those that the workflow asks for, and those of the first piece are gone.
    assert [p.stem for p in rows_files(pieces)] == sorted(config.groups)
    for one, two in zip(rows_files(whole), rows_files(pieces), strict=True):
        pd.testing.assert_frame_equal(without_time(one), without_time(two))
    assert {p.name for p in (pieces / "traces").iterdir()} == {f"{group}.csv.gz" for group in config.groups}


def test_rows_of_another_config_stay_where_they_are(tmp_path):
    other = check_config({"run": "x", "blocks": [{"name": "a", "axes": {**SETTINGS, "seed": [1, 9]}}]})
    train_part(other, tmp_path)
    train_part(in_pieces(), tmp_path)
    kept = pd.concat(read_table(p) for p in rows_files(tmp_path))
    assert {c.key for c in other.cells} | {c.key for c in in_pieces().cells} == set(kept["key"])


def test_a_time_limit_starts_nothing_after_it_and_keeps_the_cheapest(tmp_path, monkeypatch, trained):
    cells = [*in_pieces().cells, Cell(dimension=40, samples=30, steps=5)]
    config = in_pieces()
    clock = iter([0.0, 30.0, 90.0, 90.0, 90.0])
    monkeypatch.setattr(runner.time, "monotonic", lambda: next(clock))
    monkeypatch.setattr(
        runner, "Progress", lambda *_: type("P", (), {"say": print, "close": print, "update": print, "name": ""})()
    )
    assert 0 < train_part(config, tmp_path, cells, minutes=1) == len(trained) < len(cells)
    assert max(effort(c) for c in trained) < effort(cells[-1])
    assert rows_files(tmp_path)


def test_an_interrupted_run_writes_what_it_has(tmp_path, monkeypatch):
    train_batch, count = runner.train_batch, []

    def interrupted(cells, *arguments):
        if count:
            raise KeyboardInterrupt
        count.append(len(cells))
        return train_batch(cells, *arguments)

    monkeypatch.setattr(runner, "train_batch", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train_part(in_pieces(), tmp_path)
    held = pd.concat(read_table(p) for p in rows_files(tmp_path))
    assert len(held) == count[0] and json.loads((tmp_path / "run.json").read_text())["partial"]
    cells = [c for c in in_pieces().cells if c.key in set(held["key"])]
    assert [p.stem for p in rows_files(tmp_path)] == [group_name(cells)]


def test_cells_that_share_a_problem_stand_together_in_a_batch_of_bounded_effort():
    from orthogrid.numerics.train import shape_of
    from orthogrid.plan import CPU_EFFORT, batches

    cells = [Cell(steps=4000, reg=reg, seed=s) for reg in (1, 2, 3) for s in range(4)]
    cut = batches(cells, shape_of)
    assert sorted(c.key for b in cut for c in b) == sorted(c.key for c in cells)
    assert all(sum(map(effort, batch)) <= CPU_EFFORT for batch in cut) and 1 < len(cut) < len(cells)
    seeds = [c.seed for batch in cut for c in batch]
    assert seeds == sorted(seeds)
