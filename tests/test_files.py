"""Tables keep their numbers, and a file is written whole or not at all."""

import stat

import pandas as pd
import pytest

from orthogrid.jobs.files import read_table, write_bytes, write_table


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
    path = tmp_path / "new" / "folder" / "a"
    write_bytes(b"old", path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o644  # others may read it, as if it had not been a temporary one
    monkeypatch.setattr("os.replace", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError) as error:
        write_bytes(b"new", path)
    assert error.value.filename == str(path)
    assert path.read_bytes() == b"old" and list(path.parent.iterdir()) == [path]


def test_a_table_is_replaced_whole_too(tmp_path, monkeypatch):
    path = tmp_path / "a.csv.gz"
    write_table(pd.DataFrame({"fit": [1.0]}), path)
    old = path.read_bytes()
    monkeypatch.setattr("os.replace", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError):
        write_table(pd.DataFrame({"fit": [2.0]}), path)
    assert path.read_bytes() == old
