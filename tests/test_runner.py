"""Training jobs that are interrupted, killed, cut in pieces, and short of memory or time."""

import os
import signal
from dataclasses import replace

import pytest
import torch
from training import CELLS, REAL, assert_same_rows, collect_cells, names, rows_files, rows_of, train

from orthogrid.cells.cell import Cell
from orthogrid.cells.components import ConfigError
from orthogrid.cells.config import check_config
from orthogrid.jobs import runner, workers
from orthogrid.jobs.store import Store, shard_name


@pytest.mark.filterwarnings("error")
def test_a_run_that_diverges_is_a_result_and_no_warning(tmp_path):
    cell = Cell(
        dimension=30, samples=40, method="landing", penalty="none", reg=0.0, lr=1e30, steps=20
    )  # products are NumPy's
    assert train([cell], tmp_path) == 1
    assert rows_of(tmp_path)["status"].tolist() == ["diverged"]


# ---- Devices and batches ----


def test_gpu_memory_too_small_halves_the_batch_and_loses_no_row(tmp_path, monkeypatch):
    sizes = []

    def small_gpu(cells, *arguments):
        sizes.append(len(cells))
        if len(cells) > 1:
            raise torch.cuda.OutOfMemoryError("too large")
        return REAL(cells, *arguments)

    monkeypatch.setattr(runner, "train_batch", small_gpu)
    assert train(CELLS[:3], tmp_path) == 3
    assert sizes == [3, 1, 2, 1, 1] and len(rows_of(tmp_path)) == 3


def test_where_no_worker_can_share_the_gpu_this_process_trains_alone(tmp_path, monkeypatch, with_workers):
    """A card may be set to serve one process. Here there is none at all, so that workers die, and a CPU stands in for it."""
    monkeypatch.setattr(workers, "SPAWN", workers.CONTEXT)  # a forked worker has torch already
    monkeypatch.setattr(runner, "find_device", lambda wanted: torch.device("cuda"))
    monkeypatch.setattr(runner, "device_name", lambda device: "cuda (none)")
    monkeypatch.setattr(runner, "gpu_workers", lambda device, count: count)
    monkeypatch.setattr(runner, "gpu_batch", lambda cell, device, workers: 2)
    monkeypatch.setattr(runner, "train_batch", lambda cells, device, report: REAL(cells, "cpu", report))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    cells = [Cell(dimension=6, samples=4, steps=5, reg=reg) for reg in range(1, 11)]
    assert runner.train_cells(cells, tmp_path, "cuda", workers=2) == len(cells)
    assert {cell.key for cell in cells} == set(Store(tmp_path).finished(cells)[0]["key"])


def test_penalties_that_decompose_train_on_the_cpu_beside_a_gpu(tmp_path, monkeypatch, with_workers):
    """A CPU stands in for the card; a row says where it was made."""
    place = {"fro2": "cuda", "nuclear": "cpu", "logdet": "cpu"}

    def at(cells, device, report):
        assert place[cells[0].penalty] == device.type
        return REAL(cells, "cpu", report)

    monkeypatch.setattr(workers, "SPAWN", workers.CONTEXT)
    monkeypatch.setattr(runner, "find_device", lambda wanted: torch.device("cuda"))
    monkeypatch.setattr(runner, "device_name", lambda device: device.type)
    monkeypatch.setattr(runner, "gpu_workers", lambda device, count: 2)
    monkeypatch.setattr(runner, "gpu_batch", lambda cell, device, workers: 2 if device.type == "cuda" else None)
    monkeypatch.setattr(runner, "_prepare", lambda code, device: None)
    monkeypatch.setattr(runner, "train_batch", at)
    cells = [Cell(dimension=6, samples=4, steps=5, penalty=name, reg=reg) for name in place for reg in range(1, 7)]
    for count in (1, 3):
        root = tmp_path / str(count)
        assert runner.train_cells(cells, root, "cuda", workers=count) == len(cells)
        rows = Store(root).finished(cells)[0]
        assert dict(zip(rows["penalty"], rows["device"], strict=True)) == place and len(rows) == len(cells)


def test_a_device_that_is_not_there_is_told():
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(ConfigError, match="set device: auto or cpu"):
        runner.find_device("cuda")
    assert runner.find_device("auto").type == "cpu"


def test_workers_give_the_rows_of_one_process(tmp_path, with_workers):
    """Also in their order in the files."""
    cells = [Cell(dimension=8, samples=4, steps=30, lr=0.01, reg=reg, seed=s) for s in range(3) for reg in (1, 10)]
    train(cells, tmp_path / "one", workers=1)
    train(cells, tmp_path / "two", workers=2)
    assert_same_rows(tmp_path / "one", tmp_path / "two")
    assert rows_of(tmp_path / "two")["key"].tolist() == sorted(c.key for c in cells)


# ---- Cells that fail, workers that die, runs that are stopped ----


@pytest.mark.parametrize("workers", [1, 2])
def test_a_cell_that_raises_is_named_and_takes_no_other_with_it(tmp_path, monkeypatch, with_workers, workers):
    bad = CELLS[3]

    def broken(cells, *arguments):
        if bad in cells:
            raise ArithmeticError("no convergence")
        return REAL(cells, *arguments)

    monkeypatch.setattr(runner, "train_batch", broken)
    with pytest.raises(runner.TrainingError, match="1 cells could not be trained, 5 were") as error:
        train(CELLS, tmp_path, workers=workers)
    assert f"ArithmeticError: no convergence\n    {bad.key} dimension=6 samples=4" in str(error.value)
    assert set(rows_of(tmp_path)["key"]) == {c.key for c in CELLS} - {bad.key}
    monkeypatch.setattr(runner, "train_batch", REAL)
    assert train(CELLS, tmp_path, workers=workers) == 1


def dies_with(bad, marks=None):
    """A trainer whose process is killed at a cell; if `marks` is a folder, at the first time alone."""

    def trainer(cells, *arguments):
        if bad in cells:
            if marks is None:
                os.kill(os.getpid(), signal.SIGKILL)
            elif not (marks / "killed").exists():
                (marks / "killed").touch()
                os.kill(os.getpid(), signal.SIGKILL)
        return REAL(cells, *arguments)

    return trainer


def test_a_worker_that_is_killed_is_noticed_and_its_batch_tried_once_more(tmp_path, monkeypatch, with_workers):
    monkeypatch.setattr(runner, "train_batch", dies_with(CELLS[3], tmp_path))
    assert train(CELLS, tmp_path / "killed", workers=2) == 6
    monkeypatch.setattr(runner, "train_batch", REAL)
    train(CELLS, tmp_path / "calm", workers=2)
    assert (tmp_path / "killed" / "rows").exists()
    assert_same_rows(tmp_path / "killed", tmp_path / "calm")


def test_a_batch_that_kills_its_worker_twice_is_named_and_the_rest_is_finished(tmp_path, monkeypatch, with_workers):
    monkeypatch.setattr(runner, "train_batch", dies_with(CELLS[3]))
    with pytest.raises(runner.TrainingError, match=r"SIGKILL.*out of memory") as error:
        train(CELLS, tmp_path, workers=2)
    assert CELLS[3].key in str(error.value)
    named = [cell for cell in CELLS if cell.key in str(error.value)]
    assert len(named) <= 2 and len(rows_of(tmp_path)) == len(CELLS) - len(named)


def work(task, report):
    report(0.5)
    if task == "dies":
        os.kill(os.getpid(), signal.SIGKILL)
    if task == "raises":
        raise ArithmeticError(task)
    return task, os.getpid()


def test_a_worker_that_dies_takes_its_own_task_alone_and_the_others_go_on():
    crew = workers.Workers(work, ["a", "dies", "raises", "b", "dies", "c", "d"], 2)
    waiting, outcomes = list(range(7)), {}
    while waiting or crew.running:
        while waiting and crew.free:
            crew.start(waiting.pop(0))
        outcomes |= {outcome.number: outcome for outcome in crew.wait(1.0)}
    assert [outcomes[number].result[0] for number in (0, 3, 5, 6)] == ["a", "b", "c", "d"]
    assert all(isinstance(outcomes[number].error, workers.WorkerDied) for number in (1, 4))
    assert isinstance(outcomes[2].error, ArithmeticError)
    assert list(crew.fractions) == [1.0, 0.5, 0.5, 1.0, 0.5, 1.0, 1.0] and crew.stop() == []


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_stopped_run_keeps_what_it_has_and_goes_on_from_there(tmp_path, monkeypatch, with_workers, workers, number):
    parent, kept = os.getpid(), Store.append

    def stopping(store, name, records):
        kept(store, name, records)
        os.kill(parent, number)

    monkeypatch.setattr(Store, "append", stopping)
    cells = [Cell(dimension=6, samples=3, steps=5, seed=seed) for seed in range(24)]
    before = signal.getsignal(number)
    with pytest.raises(KeyboardInterrupt):
        train(cells, tmp_path, workers=workers)
    assert signal.getsignal(number) == before
    held = len(rows_of(tmp_path))
    assert 0 < held < len(cells) and not list((tmp_path / "journal").iterdir())
    monkeypatch.setattr(Store, "append", kept)
    assert train(cells, tmp_path, workers=workers) == len(cells) - held


# ---- A run in pieces ----


SETTINGS = {"dimension": 6, "steps": 5, "penalty": ["fro2", "l1"], "samples": [3, 4], "seed": [1, 2, 3]}


def in_pieces(folder, **more):
    return check_config({"run": "x", "results": str(folder), "blocks": [{"name": "a", "axes": SETTINGS}], **more})


def train_part(config, cells=None, minutes=None):
    return runner.train_run(config, config.cells if cells is None else cells, device="cpu", minutes=minutes)


def test_first_seeds_are_the_whole_product_for_fewer_seeds(tmp_path):
    config = in_pieces(tmp_path)
    first = config.part(seeds=1)
    assert len(first) == 4 and {c.seed for c in first} == {1}
    assert {(c.penalty, c.samples) for c in first} == {(c.penalty, c.samples) for c in config.cells}
    assert len(config.part(seeds=2)) == 8 and config.part(seeds=9) == config.part() == config.cells


def test_a_part_of_a_config_is_that_of_its_blocks_penalties_and_methods():
    blocks = [{"name": "a", "axes": {**SETTINGS, "seed": [5, 6]}}, {"name": "b", "axes": {**SETTINGS, "seed": [6, 7]}}]
    config = check_config({"run": "x", "blocks": blocks})
    assert config.part(["b"]) == list(config.blocks[1].cells)
    assert {c.seed for c in config.part(["a", "b"], seeds=1)} == {5, 6}
    assert {c.penalty for c in config.part(only=["l1"])} == {"l1"} and config.part(only=["adam"]) == config.cells
    with pytest.raises(ConfigError, match="did you mean 'b'"):
        config.part(["bb"])
    with pytest.raises(ConfigError, match="penalty or method 'l2' is not in this config; did you mean 'l1'"):
        config.part(only=["l2"])


def test_a_run_in_pieces_is_the_run_at_once(tmp_path, trained):
    whole, pieces = in_pieces(tmp_path / "whole"), in_pieces(tmp_path / "pieces")
    assert train_part(whole) == 12
    trained.clear()
    assert train_part(pieces, pieces.part(seeds=1)) == 4
    table = collect_cells(in_pieces(tmp_path / "pieces", partial=True), names(pieces.root))
    assert (table["status"] == "missing").sum() == 8 and set(table.loc[table["status"] == "ok", "seed"]) == {1}
    assert train_part(pieces) == 8 and len(trained) == 12
    # One file holds all, and those of the pieces are gone.
    assert names(pieces.root) == names(whole.root) == [shard_name(whole.cells)]
    assert [p.name for p in (pieces.root / "traces").iterdir()] == [f"{shard_name(whole.cells)}.csv.gz"]
    assert_same_rows(whole.root, pieces.root)


def test_rows_of_another_config_stay_where_they_are(tmp_path):
    axes = {**SETTINGS, "seed": [1, 9]}
    other = check_config({"run": "x", "results": str(tmp_path), "blocks": [{"name": "a", "axes": axes}]})
    train_part(other)
    train_part(in_pieces(tmp_path))
    kept = {*other.cells, *in_pieces(tmp_path).cells}
    assert {c.key for c in kept} == set(rows_of(tmp_path / "x")["key"])


def test_clearing_keeps_what_the_config_needs_and_all_while_a_cell_is_missing(tmp_path):
    config = in_pieces(tmp_path)
    train(config.cells, config.root)
    train(CELLS[:1] + [replace(CELLS[0], seed=9)], config.root)
    Store(config.root).append("0123456789ab", [])
    grown = check_config(
        {"run": "x", "results": str(tmp_path), "blocks": [{"name": "a", "axes": SETTINGS | {"seed": [1, 4]}}]}
    )
    assert Store(config.root).clear(grown.cells) == [] and len(rows_files(config.root)) == 2
    removed = {path.name.split(".")[0] for path in Store(config.root).clear(config.cells)}
    assert len(removed) == 2 and "0123456789ab" in removed and names(config.root) == [shard_name(config.cells)]


def test_a_time_limit_starts_nothing_after_it_and_keeps_the_cheapest(tmp_path, monkeypatch, trained):
    config = in_pieces(tmp_path)
    cells = [*config.cells, Cell(dimension=40, samples=30, steps=5)]
    clock = iter([0.0, 30.0, 90.0, 90.0, 90.0])
    monkeypatch.setattr(runner.time, "monotonic", lambda: next(clock))
    monkeypatch.setattr(
        runner, "Progress", lambda *_: type("P", (), {"say": print, "close": print, "update": print, "name": ""})()
    )
    assert 0 < train_part(config, cells, minutes=1) == len(trained) < len(cells)
    assert cells[-1] not in trained and rows_files(config.root)
