"""The trainer: log B, an independent loop, and rows that do not depend on the company they keep."""

import csv
import itertools
import math
import time
from pathlib import Path

import pytest
import torch

from orthogrid.cells.cell import Cell
from orthogrid.methods.batch import learning_rate
from orthogrid.numerics.linalg import ALONE_FROM
from orthogrid.numerics.problem import draw_problem
from orthogrid.penalties import PENALTIES
from orthogrid.training.train import STACK_ELEMENTS, _stacks, log_steps, train_batch

THREAD = Path(__file__).parents[1] / "data" / "thread"


def rows(cells):
    """Results without the time they took."""
    results = train_batch(cells)
    return [({k: v for k, v in r.row.items() if not k.startswith("seconds")}, r.trace) for r in results]


def same(a, b) -> bool:
    """Equal bit for bit; NaN equals NaN."""
    return repr(a) == repr(b)


def half_unit(text: str) -> float:
    """Half a unit of the last printed digit of a number such as 9968.365 or 4.47e-01."""
    mantissa, _, exponent = text.partition("e")
    return 0.5 * 10.0 ** (int(exponent or 0) - len(mantissa.partition(".")[2]))


def test_the_ordinary_cell_is_log_b():
    printed = [row for row in csv.DictReader((THREAD / "log_b.csv").open()) if int(row["step"]) <= 200]
    assert len(printed) == 13
    # Another cell beside it, because batch or not must not matter; 201 steps, because a constant rate does not look ahead.
    cells = [Cell(steps=201), Cell(steps=201, seed=7, reg=3)]
    trace = {line["step"]: line for line in train_batch(cells)[0].trace}
    for row in printed:
        ours = trace[int(row["step"])]
        squares = ours["orthogonality_fro"] ** 2
        for name, value in {"fit": ours["fit"], "loss": ours["fit"] + 1000 * squares}.items():
            assert abs(value - float(row[name])) <= half_unit(row[name]) + 1e-5 * abs(value), (row["step"], name)
        if row["step"] == "0":
            assert squares < 1e-8  # rounding noise
        else:
            printed_squares = row["orthogonality_fro2"]
            assert abs(squares - float(printed_squares)) <= half_unit(printed_squares) + 1e-5 * squares


@pytest.mark.slow
def test_log_b_closes_as_printed():
    row = train_batch([Cell()])[0].row
    assert row["distance_rho_l1"] == pytest.approx(12627.76172, rel=1e-5)
    assert row["distance_l1"] == pytest.approx(12255.37109, rel=1e-5)


def reference_loop(cell: Cell) -> tuple[float, torch.Tensor]:
    """The thread's way: nn.Linear, autograd, torch's own Adam, one cell at a time."""
    problem = draw_problem(cell)
    model = torch.nn.Linear(cell.dimension, cell.dimension, bias=cell.bias, dtype=torch.float64)
    with torch.no_grad():
        model.weight.copy_(problem.weight)
        if cell.bias:
            model.bias.copy_(problem.bias)
    optimizer = torch.optim.Adam(model.parameters(), lr=cell.lr)
    y = problem.x @ problem.rho
    for t in range(cell.steps):
        optimizer.param_groups[0]["lr"] = learning_rate(cell, t)
        s = model.weight @ model.weight.T - torch.eye(cell.dimension, dtype=torch.float64)
        penalty = s.pow(2).sum() if cell.penalty == "fro2" else s.trace() - model.weight.slogdet()[1] * 2
        loss = torch.nn.functional.mse_loss(model(problem.x), y, reduction="sum") + cell.reg * penalty
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        fit = torch.nn.functional.mse_loss(model(problem.x), y, reduction="sum")
    return float(fit), model.weight.detach()


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("schedule", ["constant", "cosine"])
@pytest.mark.parametrize("samples", [6, 20])  # by residuals, and through the Gram matrix
@pytest.mark.parametrize("penalty", ["fro2", "logdet"])  # smooth ones: rounding does not decide the path
def test_training_is_that_of_an_independent_loop(penalty, samples, schedule, bias):
    cell = Cell(
        dimension=9, samples=samples, penalty=penalty, reg=2.5, schedule=schedule, bias=bias, steps=120, lr=0.01, dtype="float64"
    )  # fmt: skip
    fit, weight = reference_loop(cell)
    row = train_batch([cell])[0].row
    assert row["fit"] == pytest.approx(fit, rel=1e-6, abs=1e-10)
    assert row["distance"] == pytest.approx(float((weight - draw_problem(cell).rho.mT).norm()), rel=1e-8)


# Multiples of a cache line, of a vector, and neither; through the Gram matrix, and by residuals of an even and odd number.
SHAPES = [
    (3, 2), (16, 5), (17, 40), (30, 30), (30, 61), (33, 7), (40, 80), (50, 21), (100, 121), (101, 7), (101, 150), (250, 31)
]  # fmt: skip


# Of larger matrices one elementwise penalty and one that is not suffice, of the largest the first.
CASES = [
    (n, k, penalty)
    for n, k in SHAPES
    for penalty in (PENALTIES if n < 50 else ("fro2", "fro") if n < 250 else ("fro2",))
]


@pytest.mark.parametrize("n, k, penalty", CASES)
def test_a_row_is_the_same_bits_whatever_the_batch(n, k, penalty):
    settings = {"dimension": n, "samples": k, "steps": 12 if n < 50 else 5, "penalty": penalty}
    lrs, regs = (1e-3, 1e-2), (0.1, 1000.0)
    cells = [Cell(seed=s, lr=lr, reg=reg, **settings) for s in range(2) for lr in lrs for reg in regs]
    together = rows(cells)
    for i in (0, 3, len(cells) - 1):
        assert same(rows([cells[i]])[0], together[i])
    shuffled = rows(cells[::-1])[::-1]
    assert same(shuffled, together)


def test_a_noisy_cell_is_not_stacked_with_one_that_goes_through_the_gram_matrix():
    """Through it the targets are the exact ones."""
    quiet, noisy = (Cell(dimension=6, samples=40, steps=5, noise=noise) for noise in (0.0, 0.5))
    with pytest.raises(ValueError, match="one shape"):
        train_batch([quiet, noisy])
    fits = [train_batch([cell])[0].trace[0]["fit"] for cell in (quiet, noisy)]
    assert fits[1] > fits[0]


@pytest.mark.parametrize("samples", [4, 40])
def test_a_noisy_gradient_is_that_of_the_noisy_targets(samples):
    cell = Cell(dimension=6, samples=samples, noise=0.5, reg=3.0, steps=1, dtype="float64", method="sgd", lr=1e-3)
    problem = draw_problem(cell)
    leaf, bias = problem.weight.clone().requires_grad_(), problem.bias.clone().requires_grad_()
    s = leaf @ leaf.mT - torch.eye(6, dtype=torch.float64)
    loss = (problem.x @ leaf.mT + bias - problem.targets).square().sum() + 3 * s.square().sum()
    gradients = torch.autograd.grad(loss, (leaf, bias))
    result = train_batch([cell])[0]
    torch.testing.assert_close(result.weight, problem.weight - 1e-3 * gradients[0])
    torch.testing.assert_close(result.bias, problem.bias - 1e-3 * gradients[1])


@pytest.mark.parametrize("change", [{}, {"samples": 500}, {"sampling": "fresh"}, {"penalty": "l1"}])
def test_large_cells_are_stepped_alone_with_the_same_bits(change):
    """Whatever the batch: they share a problem there, and a fresh problem's stream must not run on from cell to cell."""
    settings = {"dimension": ALONE_FROM, "samples": 6, "steps": 2, **change}
    cells = [Cell(seed=s, reg=reg, **settings) for s in (1, 2) for reg in (1.0, 1000.0)]
    together = rows(cells)
    assert same(rows(cells[1:2])[0], together[1]) and same(rows(cells[::-1])[::-1], together)
    assert together[0][0]["fit"] != together[1][0]["fit"]


def test_cells_of_a_batch_keep_their_own_schedule_side_and_start():
    """What may differ within a stack: neighbours of one rate share a parameter group, paired cells a problem."""
    settings = {"dimension": 8, "samples": 12, "steps": 20, "reg": 2.0, "lr": 0.01}
    own = [
        {"schedule": schedule, "determinant": determinant, "init": init}
        for schedule in ("constant", "cosine")
        for determinant, init in (("match", "haar"), ("mismatch", "haar"), ("mismatch", "twin"))
    ]
    cells = [Cell(**settings, **change) for change in own]
    together = rows(cells)
    for i, cell in enumerate(cells):
        assert same(rows([cell])[0], together[i]), own[i]
    assert len({result[0]["fit"] for result in together}) == len(cells)


@pytest.mark.parametrize("n", [6, ALONE_FROM])
def test_seconds_are_the_cells_share_and_progress_runs_from_start_to_end(n):
    cells = [Cell(dimension=n, samples=4, steps=3, reg=reg) for reg in (1.0, 2.0, 3.0, 4.0)]
    heard = []
    started = time.perf_counter()
    results = train_batch(cells, "cpu", heard.append)
    wall = time.perf_counter() - started
    assert 0.5 * wall < sum(r.row["seconds"] for r in results) <= wall
    assert all(r.row["seconds_per_step"] * 3 <= r.row["seconds"] for r in results)
    assert heard == sorted(heard) and heard[0] == 0 and heard[-1] == 1 and len(set(heard)) > 3


def test_a_traces_numbers_have_seven_digits():
    for result in train_batch([Cell(dimension=9, samples=4, steps=30, seed=s) for s in range(4)]):
        last = result.trace[-1]
        for name in ("fit", "distance", "orthogonality_fro"):
            assert last[name] == pytest.approx(result.row[name], rel=5e-7) and len(repr(last[name]).lstrip("0.")) <= 12
            assert last[name] != result.row[name]


def test_large_cells_follow_an_independent_loop():
    cell = Cell(dimension=ALONE_FROM, samples=9, reg=2.5, steps=6, lr=0.01, dtype="float64")
    fit, weight = reference_loop(cell)
    row = train_batch([cell])[0].row
    assert row["fit"] == pytest.approx(fit, rel=1e-9)
    assert row["distance"] == pytest.approx(float((weight - draw_problem(cell).rho.mT).norm()), rel=1e-10)


@pytest.mark.parametrize(
    "change",
    [
        {"sampling": "fresh"},
        {"inputs": "whitened"},
        {"dtype": "float64"},
        {"dtype": "tf32"},
        {"dtype": "bfloat16"},
        {"bias": False},
    ],
)
def test_so_on_the_other_axes(change):
    settings = {"dimension": 15, "samples": 7, "steps": 25, **change}
    cells = [Cell(seed=s, reg=r, **settings) for s in (1, 2) for r in (1, 10)]
    together = rows(cells)
    assert same(rows(cells[1:2])[0], together[1])
    assert same(rows(cells[2:])[1], together[3])
    assert together[0][0]["fit"] != together[2][0]["fit"]


def test_gram_and_residual_gradients_agree_in_float32(monkeypatch):
    cells = [Cell(dimension=40, samples=60, steps=200, reg=10, seed=s, bias=b) for s in (1, 2) for b in (True, False)]
    by_gram = [train_batch([cell])[0].row for cell in cells]
    monkeypatch.setattr("orthogrid.cells.shape.GRAM_FROM", math.inf)
    by_residuals = [train_batch([cell])[0].row for cell in cells]
    for a, b in zip(by_gram, by_residuals, strict=True):
        assert a["distance"] == pytest.approx(b["distance"], rel=1e-5) and a["fit"] == pytest.approx(b["fit"], rel=1e-4)


@pytest.mark.parametrize("change", [{}, {"samples": 150}, {"dimension": ALONE_FROM, "steps": 3}, {"penalty": "logdet"}])
def test_a_row_is_the_same_bits_whatever_the_threads(change):
    """One thread trains, and the caller has as many as before afterwards."""
    cells = [Cell(**{"dimension": 100, "samples": 30, "steps": 20, "seed": seed} | change) for seed in (1, 2)]
    threads = torch.get_num_threads()
    results = []
    try:
        for number in (1, 2, 3):
            torch.set_num_threads(number)
            results.append(rows(cells))
            assert torch.get_num_threads() == number
    finally:
        torch.set_num_threads(threads)
    assert same(results[0], results[1]) and same(results[0], results[2])


@pytest.mark.parametrize("penalty", list(PENALTIES))
def test_a_diverged_cell_is_a_row_and_leaves_its_neighbours_alone(penalty):
    good, bad = (Cell(dimension=6, samples=4, steps=40, lr=lr, penalty=penalty) for lr in (1e-3, 1e30))
    alone = rows([good])[0]
    beside = rows([bad, good])
    assert beside[0][0]["status"] == "diverged" and math.isnan(beside[0][0]["distance"])
    assert beside[0][0]["det_sign_start"] in (-1, 1) and beside[0][0]["rank"] == 3
    assert same(beside[1], alone)


def test_batches_hold_one_shape():
    with pytest.raises(ValueError, match="one shape"):
        train_batch([Cell(dimension=4), Cell(dimension=5)])


def test_logged_steps_contain_the_threads():
    assert {*range(11), *range(0, 1000, 100), 999, 1000} <= set(log_steps(1000, 500))
    assert set(range(0, 10_000, 200)) <= set(log_steps(10_000, 500))
    assert log_steps(60, 20) == [0, 1, 2, 5, 10, 20, 50, 60]
    for steps, dimension in itertools.product((1, 2, 11, 150, 3000), (20, 500)):
        logged = log_steps(steps, dimension)
        assert logged == sorted(set(logged)) and logged[0] == 0 and logged[-1] == steps


def test_cosine_schedule_ends_near_zero():
    cell = Cell(schedule="cosine", steps=100, lr=0.1)
    assert (
        learning_rate(cell, 0) == 0.1
        and learning_rate(cell, 50) == pytest.approx(0.05)
        and learning_rate(cell, 99) < 1e-4
    )


@pytest.mark.parametrize("n, count", [(30, 1), (30, 2), (30, 5000), (100, 64), (200, 16), (383, 3), (ALONE_FROM, 5)])
def test_stacks_hold_every_cell_once_and_stay_in_the_caches(n, count):
    cells = [Cell(dimension=n, lr=lr, reg=reg) for reg in range(1, count // 2 + 1) for lr in (1e-2, 1e-3)]
    cells += [Cell(dimension=n)] * (count % 2)
    stacks = _stacks(cells, torch.device("cpu"))
    assert {i for stack in stacks for i in stack} == set(range(count))
    if n < ALONE_FROM:
        assert min(map(len, stacks)) >= 2
        assert all(len(stack) <= 3 or (len(stack) - 1) * n * n <= STACK_ELEMENTS for stack in stacks)
        assert sum(map(len, stacks)) == max(2, count)
    else:
        assert all(len(stack) == 1 for stack in stacks)
    (whole,) = _stacks(cells, torch.device("cuda"))
    assert sorted(whole) == list(range(count)) and [cells[i].lr for i in whole] == sorted(c.lr for c in cells)


def test_no_cells_give_no_results():
    assert train_batch([]) == []


def test_a_result_holds_the_weight_that_its_row_measures():
    (result,) = train_batch([Cell(dimension=6, samples=20, steps=50, lr=0.01)])
    problem = draw_problem(result.cell)
    assert float((result.weight - problem.rho.double().mT).norm()) == pytest.approx(result.row["distance"], rel=1e-12)
    assert float(result.bias.norm()) == pytest.approx(result.row["bias_norm"], rel=1e-12)
