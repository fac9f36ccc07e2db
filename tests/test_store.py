"""Journal, rows files, and training jobs that are interrupted, killed, grown and shrunk."""

import gzip
import json
import os
import random
import shutil
import signal
from dataclasses import replace

import pandas as pd
import pytest
import torch
from conftest import ROOT

from orthogrid import runner
from orthogrid.catalog import ConfigError
from orthogrid.cell import Cell
from orthogrid.collect import RowsError, collect, pieces, summary
from orthogrid.config import check_config
from orthogrid.files import read_table, write_bytes, write_table
from orthogrid.predictions import predict_cells
from orthogrid.store import LOOKS, Store, shard_name

CELLS = [Cell(dimension=6, samples=s, steps=5, seed=seed) for s in (3, 4) for seed in (1, 2, 3)]
REAL = runner.train_batch


@pytest.fixture
def trained(monkeypatch):
    """The cells handed to the trainer, in order."""
    seen = []

    def spy(cells, *arguments):
        seen.extend(cells)
        return REAL(cells, *arguments)

    monkeypatch.setattr(runner, "train_batch", spy)
    return seen


@pytest.fixture
def with_workers(monkeypatch):
    """Small work goes to workers too, a few cells a batch."""
    monkeypatch.setattr(runner, "WORTH_WORKERS", 0)
    monkeypatch.setattr("orthogrid.plan.CPU_MOST", 2)


def collect_cells(config, names):
    return pd.concat([rows for rows, _, _ in pieces(config, names)], ignore_index=True)


def train(cells, root, **how):
    return runner.train_cells(cells, root, device="cpu", **how)


def rows_of(root):
    return pd.concat([Store(root).rows(name) for name in names(root)], ignore_index=True)


def rows_files(root):
    return sorted((root / "rows").glob("*.csv.gz"))


def without_time(table):
    return table.drop(columns=["seconds", "seconds_per_step"]).sort_values("key", ignore_index=True)


def assert_same_rows(one, two):
    pd.testing.assert_frame_equal(without_time(rows_of(one)), without_time(rows_of(two)))
    tables = [
        pd.concat(read_table(path) for path in (root / "traces").iterdir()).sort_values(
            ["key", "step"], ignore_index=True
        )
        for root in (one, two)
    ]
    pd.testing.assert_frame_equal(*tables)


# ---- Files and what is found in them ----


def test_a_finished_job_trains_nothing_and_writes_the_same_bytes(tmp_path, trained):
    assert train(CELLS, tmp_path) == 6
    (path,) = rows_files(tmp_path)
    assert path.name == f"{shard_name(CELLS)}.csv.gz" and not list((tmp_path / "journal").iterdir())
    first = path.read_bytes()
    assert train(CELLS[::-1], tmp_path) == 0 and len(trained) == 6
    assert rows_files(tmp_path) == [path] and path.read_bytes() == first


def test_a_name_tells_what_is_in_the_file_whatever_the_order():
    assert shard_name(CELLS) == shard_name(CELLS[::-1]) != shard_name(CELLS[1:])


def test_a_grown_grid_trains_its_new_cells_and_a_shrunk_one_nothing(tmp_path, trained):
    train(CELLS[:4], tmp_path / "grown")
    assert train(CELLS, tmp_path / "grown") == 2 and trained[4:] == CELLS[4:]
    assert train(CELLS[1:3], tmp_path / "grown") == 0
    train(CELLS, tmp_path / "alone")
    pd.testing.assert_frame_equal(
        without_time(collect_cells(config_of(CELLS, tmp_path, "grown"), names(tmp_path / "grown"))),
        without_time(rows_of(tmp_path / "alone")),
    )


def names(root):
    return [path.name.removesuffix(".csv.gz") for path in rows_files(root)]


def test_a_torn_journal_line_is_trained_again_and_spoils_no_other(tmp_path, trained):
    store = Store(tmp_path)
    records = [runner._record(r, torch.device("cpu")) for r in REAL(CELLS[:3])]
    store.append("x", records)
    journal = store.journal_file("x")
    journal.write_bytes(journal.read_bytes()[:-200])  # a crash in the middle of the last line
    store.append("x", records[2:])  # goes to a line of its own
    assert journal.read_bytes().count(b"\n") == 4
    store.append("x", records[:1])  # and this one needs none before it
    assert journal.read_bytes().count(b"\n") == 5
    assert set(store.finished(CELLS)[0]["key"]) == {cell.key for cell in CELLS[:3]}
    assert train(CELLS[:4], tmp_path) == 1
    assert set(rows_of(tmp_path)["key"]) == {cell.key for cell in CELLS[:4]}


def test_a_file_that_another_process_replaces_is_looked_for_again(tmp_path, monkeypatch):
    train(CELLS, tmp_path)
    looks, real = [], Store._finished

    def vanishing(times):
        def finished(self, cells):
            looks.append(1)
            if len(looks) <= times:
                raise FileNotFoundError("replaced meanwhile")
            return real(self, cells)

        return finished

    monkeypatch.setattr(Store, "_finished", vanishing(LOOKS - 1))
    assert len(Store(tmp_path).finished(CELLS)[0]) == len(CELLS) and len(looks) == LOOKS == 5
    looks.clear()
    monkeypatch.setattr(Store, "_finished", vanishing(LOOKS))
    with pytest.raises(FileNotFoundError):
        Store(tmp_path).finished(CELLS)
    assert len(looks) == LOOKS


def test_names_are_twelve_digits_and_tell_cells_and_code_apart(monkeypatch):
    names = {shard_name(cells) for cells in (CELLS, CELLS[:2], CELLS[2:])}
    assert len(names) == 3 and all(len(name) == 12 and int(name, 16) >= 0 for name in names)
    assert shard_name(CELLS) == shard_name(reversed(CELLS))


@pytest.mark.parametrize("name", ["aaa", "checksums", "Checksum"])
def test_rows_without_the_column_of_checksums_count_as_damaged(tmp_path, name):
    train(CELLS, tmp_path)
    store, (file,) = Store(tmp_path), rows_files(tmp_path)
    text = gzip.decompress(file.read_bytes()).decode()
    file.write_bytes(gzip.compress(text.replace("checksum", name, 1).encode()))
    assert list(store.damaged()) == [file.name.removesuffix(".csv.gz")]
    assert train(CELLS, tmp_path) == len(CELLS)


@pytest.mark.parametrize("line", ["42", "null", "{}", '{"row": {}}', "\x00\x00", "\ufffd"])
def test_a_foreign_journal_line_is_skipped(tmp_path, line):
    store = Store(tmp_path)
    store.append("x", [runner._record(r, torch.device("cpu")) for r in REAL(CELLS[:2])])
    with store.journal_file("x").open("a", encoding="utf-8") as file:
        file.write(line + "\n")
    assert len(store.finished(CELLS)[0]) == 2


def test_rows_of_other_code_are_not_taken(tmp_path, trained):
    train(CELLS[:2], tmp_path)
    store, (name,) = Store(tmp_path), names(tmp_path)
    store.put(name, store.rows(name).assign(code="0123456789ab"), store.traces(name))
    assert Store(tmp_path).files_of(CELLS) == ([], set())
    assert train(CELLS[:2], tmp_path) == 2


def test_rows_without_traces_count_as_not_there(tmp_path):
    train(CELLS, tmp_path)
    next((tmp_path / "traces").iterdir()).unlink()
    assert Store(tmp_path).files_of(CELLS) == ([], set())


def rewritten(path, edit):
    """A compressed file with its text edited."""
    path.write_bytes(gzip.compress(edit(gzip.decompress(path.read_bytes()).decode()).encode()))


def in_line(number, column, value):
    """An edit of one field, by the number of its line."""

    def edit(text):
        lines = [line.split(",") for line in text.splitlines()]
        lines[number][lines[0].index(column)] = value
        return "\n".join(map(",".join, lines)) + "\n"

    return edit


DAMAGE = {
    "a number": ("rows", in_line(2, "distance", "0.5"), 1),
    "a setting": ("rows", in_line(3, "reg", "2.0"), 1),
    "a status": ("rows", in_line(1, "status", "diverged"), 1),
    "a key": ("rows", in_line(1, "key", "0123456789ab"), 1),
    "a code": ("rows", in_line(1, "code", "0123456789ab"), 1),
    "a checksum": ("rows", in_line(4, "checksum", "0123456789ab"), 1),
    "a missing column": ("rows", lambda text: text.replace("orthogonality_l1", "l1", 1), 6),
    "no checksums": ("rows", lambda text: "\n".join(line.rpartition(",")[0] for line in text.splitlines()), 6),
    "half a line": ("rows", lambda text: text[:-100], 1),
    "nothing": ("rows", lambda text: "", 6),
    "a point of a trace": ("traces", in_line(2, "fit", "1.0"), 1),
    "a trace's last line": ("traces", lambda text: text[:-2], 1),
    "no traces": ("traces", lambda text: "", 6),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_what_does_not_agree_with_its_checksum_is_trained_again_and_told(tmp_path, trained, capsys, damage):
    kind, edit, lost = DAMAGE[damage]
    train(CELLS, tmp_path / "calm")
    train(CELLS, tmp_path / "x")
    (path,) = (tmp_path / "x" / kind).iterdir()
    rewritten(path, edit)
    trained.clear()
    assert train(CELLS, tmp_path / "x") == lost == len(trained)
    told = capsys.readouterr().err
    assert path.name in told and f"{6 - lost} of its cells agree" in told
    assert len(list((tmp_path / "x" / "damaged").iterdir())) == 2
    assert_same_rows(tmp_path / "calm", tmp_path / "x")
    assert train(CELLS, tmp_path / "x") == 0 and Store(tmp_path / "x").damaged() == {}


@pytest.mark.parametrize("kind", ["rows", "traces"])
@pytest.mark.parametrize("part", [0.0, 0.3, 0.9, 0.999])
def test_a_file_cut_anywhere_keeps_the_cells_that_are_whole(tmp_path, kind, part):
    train(CELLS, tmp_path / "calm")
    train(CELLS, tmp_path / "x")
    (path,) = (tmp_path / "x" / kind).iterdir()
    whole = path.read_bytes()
    path.write_bytes(whole[: int(part * len(whole))])
    lost = train(CELLS, tmp_path / "x")
    assert lost == {0.0: 6, 0.999: 0}.get(part, lost)
    assert_same_rows(tmp_path / "calm", tmp_path / "x")


def test_bytes_flipped_at_random_are_found(tmp_path):
    train(CELLS, tmp_path / "calm")
    draw = random.Random(1)
    for number in range(20):
        root = tmp_path / str(number)
        shutil.copytree(tmp_path / "calm", root)
        (path,) = (root / draw.choice(["rows", "traces"])).iterdir()
        data = bytearray(path.read_bytes())
        data[draw.randrange(10, len(data) - 8)] ^= 1 << draw.randrange(8)  # between gzip's own head and foot
        path.write_bytes(data)
        train(CELLS, root)
        assert_same_rows(tmp_path / "calm", root)


def test_a_doubled_row_counts_once(tmp_path):
    train(CELLS, tmp_path)
    (path,) = rows_files(tmp_path)
    rewritten(path, lambda text: text + text.splitlines()[-1] + "\n")
    store = Store(tmp_path)
    assert store.damaged() == {} and len(store.finished(CELLS)[0]) == len(CELLS)
    assert len(collect_cells(config_of(CELLS, tmp_path.parent, tmp_path.name), names(tmp_path))) == len(CELLS)


def test_a_journal_whose_record_was_altered_gives_the_others(tmp_path):
    store = Store(tmp_path)
    store.append("x", [runner._record(r, torch.device("cpu")) for r in REAL(CELLS[:3])])
    journal = store.journal_file("x")
    first, second, third = journal.read_text().splitlines(keepends=True)
    assert second.count('"seed": ') == 1
    journal.write_text(first + second.replace('"seed": ', '"seed": 1') + third)
    assert len(store.finished(CELLS)[0]) == 2


def test_numbers_survive_the_file_to_the_last_bit_and_keys_stay_text(tmp_path):
    table = pd.DataFrame({"key": ["000000000012", "1234567890e1"], "fit": [0.1 + 0.2, 1e-300], "code": ["12", "34"]})
    for name in ("a.csv", "a.csv.gz"):
        write_table(table, tmp_path / name)
        pd.testing.assert_frame_equal(read_table(tmp_path / name), table)
    first = (tmp_path / "a.csv.gz").read_bytes()
    write_table(table, tmp_path / "a.csv.gz")
    assert (tmp_path / "a.csv.gz").read_bytes() == first


def test_a_whole_number_stays_one_beside_a_missing_one(tmp_path):
    write_table(pd.DataFrame({"rank": [3.0, None], "det_sign": [-1.0, 1.0], "fit": [1.0, 2.0]}), tmp_path / "a.csv")
    assert (tmp_path / "a.csv").read_text() == "rank,det_sign,fit\n3,-1,1.0\n,1,2.0\n"


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "a"
    write_bytes(b"old", path)
    monkeypatch.setattr("os.replace", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError):
        write_bytes(b"new", path)
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]


def config_of(cells, folder, run="x", **more):
    axes = {
        "dimension": 6,
        "samples": sorted({c.samples for c in cells}),
        "steps": 5,
        "seed": sorted({c.seed for c in cells}),
    }
    return check_config({"run": run, "results": str(folder), "blocks": [{"name": "a", "axes": axes}], **more})


def test_aggregation_takes_exactly_the_configured_cells(tmp_path):
    train(CELLS, tmp_path / "x")
    fewer = config_of(CELLS[:2], tmp_path)
    table = collect_cells(fewer, names(tmp_path / "x"))
    assert table["key"].tolist() == [c.key for c in fewer.cells]
    more = [*CELLS, *(replace(c, seed=9) for c in CELLS)]
    with pytest.raises(RowsError, match="2 of 8 cells have no row"):
        collect_cells(config_of(more, tmp_path), names(tmp_path / "x"))
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
    train(CELLS[2:], root)  # cells 3 and 4 lie in two files
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
    assert summary(config, table.assign(seconds=600.0))["minutes"] == 10.0 * len(CELLS)
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
    assert len(Store(tmp_path / "x").files_of(CELLS, any_code=True)[1]) == 6
    with pytest.raises(RowsError, match="2 of 6"):
        collect_cells(config_of(CELLS, tmp_path), names(tmp_path / "x"))
    partial = config_of(CELLS, tmp_path, partial=True)
    assert summary(partial, collect_cells(partial, names(tmp_path / "x")))["of_other_code"] == 2
    train(CELLS, tmp_path / "x")  # today's code has its rows too now, and they come first
    told = summary(partial, collect_cells(partial, names(tmp_path / "x")))
    assert told["of_other_code"] == 0 and told["finished"] == 6


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
    Store(config.root).append("x", [])
    grown = check_config(
        {"run": "x", "results": str(tmp_path), "blocks": [{"name": "a", "axes": SETTINGS | {"seed": [1, 4]}}]}
    )
    assert Store(config.root).clear(grown.cells) == [] and len(rows_files(config.root)) == 2
    removed = {path.name.split(".")[0] for path in Store(config.root).clear(config.cells)}
    assert len(removed) == 2 and "x" in removed and names(config.root) == [shard_name(config.cells)]


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
