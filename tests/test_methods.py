"""What every method and cure must keep: rows that do not depend on the batch, neighbours of diverged cells, names."""

import importlib.util
from pathlib import Path

import pytest
from stepping import CLOSED, CONSTRAINED, CURES, LIBRARIES, rows, skip_without_library

from orthogrid.cells import components, costs
from orthogrid.cells.cell import Cell, ConfigError
from orthogrid.cells.shape import shape_of
from orthogrid.cells.sources import PACKAGE
from orthogrid.jobs import runner
from orthogrid.jobs.runner import train_cells
from orthogrid.training.train import train_batch


@pytest.fixture(params=CONSTRAINED)
def method(request) -> str:
    skip_without_library(request.param)
    return request.param


# ---- Rows whatever the batch, and cells whose numbers overflow ----


@pytest.mark.parametrize("name", [*CONSTRAINED, *CURES])
@pytest.mark.parametrize(
    "n, dtype, bias", [(5, "float32", True), (8, "float64", False), (20, "tf32", True), (24, "float32", False)]
)
def test_a_row_is_the_same_bits_whatever_the_batch(name, n, dtype, bias):
    skip_without_library(name)
    settings = {
        "method": name, "dimension": n, "samples": [n // 2, 2 * n][n % 8 == 0], "dtype": dtype, "bias": bias, "steps": 9
    }  # fmt: skip
    uses_reg = name in CURES
    cells = [
        Cell(seed=seed, lr=lr, reg=reg, determinant=d, **settings)
        for seed, d in ((1, "match"), (2, "mismatch"))[: 1 if uses_reg else 2]
        for lr in ((1e-2, 1e-3) if name not in CLOSED else (1e-3,))
        for reg in ((1.0, 100.0) if uses_reg else (1.0,))
    ]
    together = rows(cells)
    assert rows(cells[::-1])[::-1] == together
    for i in range(0, len(cells), 3):
        assert rows([cells[i]]) == [together[i]]
    assert rows(cells[1:]) == together[1:]


@pytest.mark.parametrize("name", CURES)
def test_so_for_fresh_samples(name):
    settings = {"method": name, "sampling": "fresh", "dimension": 6, "samples": 5, "steps": 20}
    cells = [Cell(reg=reg, determinant=d, **settings) for reg in (1, 10) for d in ("match", "mismatch")]
    together = rows(cells)
    assert rows([cells[2]]) == [together[2]] and rows(cells[::-1])[::-1] == together


@pytest.mark.parametrize("name", ["adam", *CURES, *sorted(set(CONSTRAINED) - set(CLOSED))])
def test_a_diverged_cell_leaves_its_neighbours_alone(name):
    skip_without_library(name)
    good, bad = (Cell(method=name, dimension=6, samples=9, steps=16, lr=lr, reg=1.0) for lr in (1e-3, 1e30))
    results = train_batch([bad, good])
    assert results[0].row["status"] == "diverged" and results[1].row["status"] == "ok"
    assert rows([bad, good])[1] == rows([good])[0]


# ---- Libraries, names, canonical cells ----


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_missing_library_is_told_before_anything_trains(library, monkeypatch, tmp_path):
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == library else real(name, *rest))
    cells = [Cell(dimension=4), Cell(dimension=4, method=library)]
    with pytest.raises(ConfigError, match=f"pip install {library}"):
        runner.require_trainable(cells)
    runner.require_trainable(cells[:1])
    monkeypatch.setattr("orthogrid.jobs.runner.train_batch", lambda *_: pytest.fail("something trained"))
    with pytest.raises(ConfigError, match=library):
        train_cells(cells, tmp_path, device="cpu")


def test_libraries_are_the_methods_that_import_them():
    assert {name for name, entry in components.methods().items() if entry.library} == set(LIBRARIES) <= set(CONSTRAINED)


def test_every_name_was_timed_and_every_time_is_of_a_name():
    timed = {name for penalty, method, _ in costs._table() for name in (penalty, method)}
    entries = {**components.penalties(), **components.methods()}
    ours = {name for name, entry in entries.items() if Path(entry.file).is_relative_to(PACKAGE)}
    assert timed == {*ours, "", "draw", "log"}


def test_methods_have_shapes_of_their_own():
    settings = {"dimension": 4, "samples": 3}
    specs = ["adam", "landing", "landing(strength=0.1)", "reflection"]
    assert len({shape_of(Cell(method=m, penalty="none", **settings)) for m in specs}) == len(specs)


@pytest.mark.parametrize("dtype", ["tf32", "bfloat16"])
def test_a_method_that_lacks_a_precision_is_refused_or_runs(method, dtype):
    # LAPACK knows no bfloat16: a library's method must be refused with the config, not crash its job midway.
    try:
        cell = Cell(method=method, dimension=5, samples=9, steps=3, dtype=dtype)
    except ConfigError:
        return
    assert train_batch([cell])[0].row["status"] == "ok"
