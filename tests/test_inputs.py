"""Real samples: the sets that come with the project, and files of one's own."""

import numpy as np
import pytest
import torch

from orthogrid.cells.cell import Cell
from orthogrid.cells.components import ConfigError
from orthogrid.cells.inputs import SETS, read, size
from orthogrid.numerics.inputs import VARIANCE, components, draw_inputs
from orthogrid.numerics.problem import draw_problem
from orthogrid.training.train import train_batch


@pytest.mark.parametrize("inputs, rows", [("digits", 1797), ("words", 5000)])
def test_the_sets_are_there_and_small(inputs, rows):
    assert size(inputs) == (rows, 64) == read(inputs).shape
    assert sum(path.stat().st_size for path in SETS.values()) < 1_000_000


@pytest.mark.parametrize("width", [4, 16])
@pytest.mark.parametrize("inputs", SETS)
def test_components_are_uncorrelated_ordered_and_of_one_mean_variance(inputs, width):
    samples = components(inputs, width)
    covariance = np.cov(samples, rowvar=False, bias=True)
    variances = np.diag(covariance)
    assert variances.mean() == pytest.approx(VARIANCE) and (np.diff(variances) < 0).all()
    assert np.abs(covariance - np.diag(variances)).max() < 1e-6 * variances[0]
    # The largest directions: they hold what their number can hold of the variance.
    values = np.linalg.eigvalsh(np.cov(read(inputs), rowvar=False, bias=True))[::-1]
    assert variances[0] / variances.sum() == pytest.approx(values[0] / values[:width].sum(), rel=1e-6)
    assert np.abs(samples.mean(0)).max() > 0.1 * VARIANCE**0.5  # the mean is left in


@pytest.mark.parametrize("inputs", SETS)
def test_a_cell_takes_different_rows_and_paired_cells_the_same(inputs):
    cell = Cell(dimension=6, samples=40, inputs=inputs, seed=3)
    x = draw_problem(cell).x
    known = {tuple(row) for row in components(inputs, 6).astype(np.float32).tolist()}
    drawn = [tuple(row) for row in x.tolist()]
    assert set(drawn) <= known and len(set(drawn)) > 35  # few rows of the set are alike
    paired = Cell(dimension=6, samples=40, inputs=inputs, seed=3, penalty="l1", determinant="mismatch")
    assert torch.equal(draw_problem(paired).x, x)
    assert not torch.equal(draw_problem(Cell(dimension=6, samples=40, inputs=inputs, seed=4)).x, x)


def test_all_rows_may_be_asked_for_and_no_more():
    assert draw_inputs(Cell(dimension=4, samples=1797, inputs="digits"), 4, torch.Generator()).shape == (1797, 4)
    for change, says in [
        ({"samples": 1798}, "samples 1798 with inputs 'digits': it has 1797 samples; set samples ≤ 1797"),
        ({"dimension": 65}, "dimension 65 with inputs 'digits': it has 64 entries"),
        ({"sampling": "fresh"}, "a set of samples ends; set sampling: fixed"),
        ({"inputs": "digit"}, "did you mean 'digits'"),
    ]:
        with pytest.raises(ConfigError, match=says):
            Cell(**{"dimension": 8, "samples": 30, "inputs": "digits", **change})


def test_normal_inputs_are_normal():
    x = draw_problem(Cell(dimension=10, samples=4000, inputs="normal")).x.double()
    assert abs(float(x.mean())) < 0.02 and float(x.var()) == pytest.approx(1, abs=0.03)
    fresh = draw_problem(Cell(dimension=4, samples=10, inputs="normal", sampling="fresh"))
    assert torch.equal(fresh.eigenvalues, torch.full((4,), 10.0, dtype=torch.float64))


# ---- A file of one's own ----


@pytest.fixture
def mine(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my").mkdir()
    samples = np.random.default_rng(0).normal(size=(50, 7)) * np.arange(1, 8) + 3
    np.save("my/samples.npy", samples)
    return samples


def test_a_file_trains_and_its_digest_is_part_of_the_key(mine):
    cell = Cell(dimension=5, samples=30, inputs="my/samples.npy", steps=3)
    assert cell.inputs.startswith("my/samples.npy@") and Cell(**cell.settings).key == cell.key
    assert train_batch([cell])[0].row["status"] == "ok"
    np.save("my/samples.npy", mine + 1)
    assert Cell(dimension=5, samples=30, inputs="my/samples.npy", steps=3).key != cell.key
    with pytest.raises(ConfigError, match="no longer the file of digest"):
        Cell(**cell.settings)


def test_a_csv_is_the_same_samples(mine):
    header = ",".join("abcdefg")
    for name, first in (("plain.csv", ""), ("named.csv", header + "\n")):
        text = first + "\n".join(",".join(map(repr, row)) for row in mine.tolist())
        with open(name, "w", encoding="utf-8") as file:
            file.write(text)
        np.testing.assert_array_equal(read(name), mine)


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("gone.npy", None, "there is no file 'gone.npy', looked for from"),
        ("empty.csv", b"", "cannot be read"),
        ("words.csv", b"a,b\nc,d\n", "cannot be read: could not convert"),
        ("ragged.csv", b"1,2\n3\n", "cannot be read"),
        ("nan.csv", b"1,nan\n2,3\n", "finite real numbers"),
        ("broken.npy", b"\x93NUMPY", "cannot be read"),
        ("pickled.npy", None, "cannot be read"),
        ("flat.npy", np.zeros(5), r"float64 of shape \(5,\)"),
        ("complex.npy", np.zeros((3, 3), complex), "complex128"),
        ("none.npy", np.zeros((0, 3)), r"shape \(0, 3\)"),
    ],
)
def test_what_is_no_table_of_numbers_is_said(tmp_path, monkeypatch, name, content, says):
    monkeypatch.chdir(tmp_path)
    if name == "pickled.npy":
        np.save(name, np.array([{}]), allow_pickle=True)
    elif isinstance(content, bytes):
        (tmp_path / name).write_bytes(content)
    elif content is not None:
        np.save(name, content)
    with pytest.raises(ConfigError, match=f"inputs: .*{says}"):
        Cell(dimension=2, samples=2, inputs=name)


def test_a_table_from_elsewhere_is_read_without_the_file():
    cell = Cell(dimension=5, samples=30, inputs="their/samples.npy@0123456789ab")
    assert cell.inputs == "their/samples.npy@0123456789ab"
    with pytest.raises(ValueError, match=r"their/samples\.npy, which is not there"):
        train_batch([cell])
