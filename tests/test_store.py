"""Journal and rows files: what is taken from them, what counts as damaged, and what another process does meanwhile."""

import gzip
import os
import random
import shutil
from pathlib import Path

import pandas as pd
import pytest
import torch
from training import (
    CELLS,
    REAL,
    assert_same_rows,
    collect_cells,
    config_of,
    names,
    rows_files,
    rows_of,
    train,
    without_time,
)

from orthogrid.jobs import runner
from orthogrid.jobs.store import Store, shard_name


def test_a_finished_job_trains_nothing_and_writes_the_same_bytes(tmp_path, trained):
    assert train(CELLS, tmp_path) == 6
    (path,) = rows_files(tmp_path)
    assert path.name == f"{shard_name(CELLS)}.csv.gz" and not list((tmp_path / "journal").iterdir())
    first = path.read_bytes()
    assert train(CELLS[::-1], tmp_path) == 0 and len(trained) == 6
    assert rows_files(tmp_path) == [path] and path.read_bytes() == first


def test_a_name_tells_what_is_in_the_file_whatever_the_order():
    different = {shard_name(cells) for cells in (CELLS, CELLS[:2], CELLS[2:], CELLS[::-1])}
    assert len(different) == 3 and all(len(name) == 12 and int(name, 16) >= 0 for name in different)


def test_a_grown_grid_trains_its_new_cells_and_a_shrunk_one_nothing(tmp_path, trained):
    train(CELLS[:4], tmp_path / "grown")
    assert train(CELLS, tmp_path / "grown") == 2 and trained[4:] == CELLS[4:]
    assert train(CELLS[1:3], tmp_path / "grown") == 0
    train(CELLS, tmp_path / "alone")
    pd.testing.assert_frame_equal(
        without_time(collect_cells(config_of(CELLS, tmp_path, "grown"), names(tmp_path / "grown"))),
        without_time(rows_of(tmp_path / "alone")),
    )


def test_a_torn_journal_line_is_trained_again_and_spoils_no_other(tmp_path, trained):
    store = Store(tmp_path)
    records = [runner._record(r, torch.device("cpu")) for r in REAL(CELLS[:3])]
    store.append("x", records)
    journal = store.file("journal", "x")
    journal.write_bytes(journal.read_bytes()[:-200])  # a crash in the middle of the last line
    store.append("x", records[2:])  # goes to a line of its own
    assert set(store.finished(CELLS)[0]["key"]) == {cell.key for cell in CELLS[:3]}
    assert train(CELLS[:4], tmp_path) == 1
    assert set(rows_of(tmp_path)["key"]) == {cell.key for cell in CELLS[:4]}


def test_rows_and_traces_are_on_the_disk_before_their_journal_goes(tmp_path, monkeypatch):
    events, sync, unlink = [], os.fsync, Path.unlink

    def recorded_sync(handle):
        events.append(Path(os.readlink(f"/proc/self/fd/{handle}")))
        sync(handle)

    def recorded_unlink(path, **how):
        events.append(("gone", path.parent.name))
        unlink(path, **how)

    monkeypatch.setattr(os, "fsync", recorded_sync)
    monkeypatch.setattr(Path, "unlink", recorded_unlink)
    train(CELLS, tmp_path)
    gone = events.index(("gone", "journal"))
    for kind in ("traces", "rows"):
        folder = events.index(tmp_path / kind)
        assert events[folder - 1].parent == tmp_path / kind and folder < gone


@pytest.mark.parametrize("moment", ["listed", "read"])
def test_a_journal_that_another_process_settles_meanwhile_is_missed_by_no_reader(tmp_path, monkeypatch, moment):
    cells, real = CELLS[:3], Path.read_text
    records = [runner._record(r, torch.device("cpu")) for r in REAL(cells)]

    def settling(path, **how):
        monkeypatch.setattr(Path, "read_text", real)
        text = real(path, **how) if moment == "read" else None
        Store(path.parents[1]).settle("x", cells)
        return text or real(path, **how)

    reads = {
        "keys": lambda store: store.finished_keys(cells),
        "rows": lambda store: set(store.finished(cells)[0]["key"]),
    }
    for name, read in reads.items():
        store = Store(tmp_path / name)
        store.append("x", records)
        monkeypatch.setattr(Path, "read_text", settling)
        assert read(store) == {cell.key for cell in cells}
        assert rows_files(store.root) and not store.file("journal", "x").exists()


def test_a_rows_file_that_another_process_puts_aside_meanwhile_stops_no_reader(run, monkeypatch):
    store, (name,), real = Store(run), names(run), Store.where

    def moving(self, cells):
        found = real(self, cells)
        monkeypatch.setattr(Store, "where", real)
        self.file("rows", name).rename(run / "aside")
        return found

    monkeypatch.setattr(Store, "where", moving)
    rows, _ = store.finished(CELLS)
    assert rows.empty and (run / "aside").exists()


@pytest.mark.parametrize("name", ["aaa", "checksums", "Checksum"])
def test_rows_without_the_column_of_checksums_count_as_damaged(run, name):
    store, (file,) = Store(run), rows_files(run)
    text = gzip.decompress(file.read_bytes()).decode()
    file.write_bytes(gzip.compress(text.replace("checksum", name, 1).encode()))
    assert list(store.damaged()) == [file.name.removesuffix(".csv.gz")]
    assert store.unfiled(CELLS) == CELLS


@pytest.mark.parametrize("line", ["42", "null", "{}", '{"row": {}}', "\x00\x00", "\ufffd"])
def test_a_foreign_journal_line_is_skipped(tmp_path, line):
    store = Store(tmp_path)
    store.append("x", [runner._record(r, torch.device("cpu")) for r in REAL(CELLS[:2])])
    with store.file("journal", "x").open("a", encoding="utf-8") as file:
        file.write(line + "\n")
    assert len(store.finished(CELLS)[0]) == 2


def test_rows_of_other_code_are_not_taken(run):
    store, (name,) = Store(run), names(run)
    store.put(name, store.rows(name).assign(code="0123456789ab"), store.traces(name))
    assert Store(run).where(CELLS) == {}
    assert train(CELLS[:2], run) == 2


def test_rows_without_traces_count_as_not_there(run):
    next((run / "traces").iterdir()).unlink()
    assert Store(run).where(CELLS) == {}


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
def test_what_does_not_agree_with_its_checksum_is_trained_again_and_told(run, calm, trained, capsys, damage):
    kind, edit, lost = DAMAGE[damage]
    (path,) = (run / kind).iterdir()
    rewritten(path, edit)
    assert train(CELLS, run) == lost == len(trained)
    message = capsys.readouterr().err
    assert path.name in message and f"{6 - lost} of its cells agree" in message
    assert len(list((run / "damaged").iterdir())) == 2
    assert_same_rows(calm, run)
    assert Store(run).unfiled(CELLS) == [] and Store(run).damaged() == {}


@pytest.mark.parametrize("kind", ["rows", "traces"])
@pytest.mark.parametrize("part", [0.0, 0.3, 0.9, 0.999])
def test_a_file_cut_anywhere_keeps_the_cells_that_are_whole(run, calm, kind, part):
    (path,) = (run / kind).iterdir()
    whole = path.read_bytes()
    path.write_bytes(whole[: int(part * len(whole))])
    lost = train(CELLS, run)
    assert lost == {0.0: 6, 0.999: 0}.get(part, lost)
    assert_same_rows(calm, run)


def test_bytes_flipped_at_random_are_found(tmp_path, calm):
    draw = random.Random(1)
    for number in range(8):
        root = tmp_path / str(number)
        shutil.copytree(calm, root)
        (path,) = (root / draw.choice(["rows", "traces"])).iterdir()
        data = bytearray(path.read_bytes())
        data[draw.randrange(10, len(data) - 8)] ^= 1 << draw.randrange(8)  # between gzip's own head and foot
        path.write_bytes(data)
        train(CELLS, root)
        assert_same_rows(calm, root)


def test_a_doubled_row_counts_once(run):
    (path,) = rows_files(run)
    rewritten(path, lambda text: text + text.splitlines()[-1] + "\n")
    store = Store(run)
    assert store.damaged() == {} and len(store.finished(CELLS)[0]) == len(CELLS)
    assert len(collect_cells(config_of(CELLS, run.parent, run.name), names(run))) == len(CELLS)


def test_a_journal_whose_record_was_altered_gives_the_others(tmp_path):
    store = Store(tmp_path)
    store.append("x", [runner._record(r, torch.device("cpu")) for r in REAL(CELLS[:3])])
    journal = store.file("journal", "x")
    first, second, third = journal.read_text().strip().splitlines(keepends=True)
    assert second.count('"seed": ') == 1
    journal.write_text(first + second.replace('"seed": ', '"seed": 1') + third)
    assert len(store.finished(CELLS)[0]) == 2


def test_the_torch_of_rows_that_a_config_asks_for_is_counted(calm):
    assert Store(calm).torch_versions(CELLS[:4]) == {torch.__version__: 4}


def test_a_rows_file_without_traces_hides_no_other(tmp_path):
    for cell in CELLS[:3]:
        train([cell], tmp_path)
    first = names(tmp_path)[0]
    (tmp_path / "traces" / f"{first}.csv.gz").unlink()
    assert len(Store(tmp_path).finished(CELLS[:3])[0]) == 2


def test_gathering_leaves_files_that_hold_other_cells_too(tmp_path):
    train(CELLS[:2], tmp_path)
    train(CELLS[1:4], tmp_path)
    store = Store(tmp_path)
    assert store.gather(CELLS[:3]) == 3
    held = {name: set(codes) for name, codes in Store(tmp_path).held().items()}
    keys = [cell.key for cell in CELLS]
    assert set(keys[:3]) in held.values() and any(keys[3] in codes for codes in held.values())
    assert set(keys[:2]) not in held.values()
    assert store.gather(CELLS[:3]) == 3 and len(Store(tmp_path).finished(CELLS[:4])[0]) == 4


def test_what_made_a_code_digest_is_kept_beside_the_rows(tmp_path):
    parts = {"penalties.py: l1": "01234567"}
    Store(tmp_path).keep_code("0123456789ab", parts)
    assert Store(tmp_path).code_parts("0123456789ab") == parts


def test_of_a_logarithm_of_the_determinant_five_decimals_are_kept(calm):
    (name,) = names(calm)
    kept = Store(calm).traces(name)["log_abs_det"]
    assert (kept == kept.round(5)).all() and (kept != kept.round(4)).any()
