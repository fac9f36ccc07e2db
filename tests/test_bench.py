"""The benchmark: its contenders do the same task."""

from __future__ import annotations

import importlib.util
import multiprocessing
from concurrent.futures import ProcessPoolExecutor

import pytest
import torch
from benchmarks import contenders, devices, steps
from benchmarks.contenders import BATCHED, CONTENDERS, METHODS, SINGLE, Task
from benchmarks.records import OURS

from orthogrid.jobs.store import Store
from orthogrid.sections import judge


def weight_after(name: str, task: Task, steps: int) -> torch.Tensor:
    if name.startswith("JAX"):
        if importlib.util.find_spec("jax") is None:
            pytest.skip("no JAX here")
        # In a process of its own: other tests fork, which JAX's threads do not survive.
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
            return torch.tensor(pool.submit(weight_here, name, task, steps).result())
    if name in ("geotorch", "geoopt", "pogo-torch"):
        pytest.importorskip(name.removesuffix("-torch"))
    return torch.tensor(weight_here(name, task, steps))


def weight_here(name: str, task: Task, steps: int) -> list:
    advance = CONTENDERS[name](task)
    advance(steps)
    return advance.weight().tolist()


@pytest.mark.parametrize("name", [*BATCHED[2:], *SINGLE])
@pytest.mark.parametrize("penalty", ["fro2", "l1"])
def test_contenders_make_the_same_steps(name, penalty):
    """From one start, ten steps of each end at the same weight: they are timed on one task."""
    if name.startswith("JAX") and penalty == "l1":
        pytest.skip("the start is orthogonal, and the signs of S are those of its rounding")
    task = Task(dimension=8, samples=4, penalty=penalty, batch=2 if name in BATCHED else 1)
    expected = weight_after(OURS, task, 10)
    torch.testing.assert_close(weight_after(name, task, 10), expected, rtol=0, atol=2e-5)
    assert (weight_after(OURS, task, 9) - expected).abs().max() > 1e-4


@pytest.mark.slow
@pytest.mark.parametrize("name", METHODS)
def test_methods_keep_the_weight_orthogonal_and_move_it(name):
    weights = [weight_after(name, Task(6, 3, "none", 1), steps) for steps in (1, 5)]
    for weight in weights:
        torch.testing.assert_close(weight @ weight.mT, torch.eye(6), rtol=0, atol=1e-4)
    assert (weights[0] - weights[1]).abs().max() > 1e-4


def test_small_matrices_are_timed_beside_jax_in_every_run_and_alone():
    alone, every = list(steps.small_tasks("cpu", quick=False)), list(steps.step_tasks("cpu", quick=False))
    assert [(t.dimension, t.samples, t.batch) for t, _ in alone] == steps.SMALL
    assert all(pair in every and {OURS, "JAX jit + vmap + scan"} <= set(pair[1]) for pair in alone)


def test_steps_are_rounded_to_what_a_contender_can_make():
    def advance(steps):
        raise NotImplementedError

    assert contenders.rounded(advance, 0.2) == 1 and contenders.rounded(advance, 6.5) == 7
    advance.multiple = 10
    assert contenders.rounded(advance, 1) == 10 and contenders.rounded(advance, 11) == 20


@pytest.mark.slow
def test_rows_of_a_gpu_are_held_against_those_of_a_cpu(small_run, tmp_path):
    """A quarter of the rows are called a GPU's. As they are they agree; one that ends far away does not."""
    config, cells = small_run.config, small_run.cells
    rows, traces = Store(config.root).finished(config.cells)
    made = rows[rows["key"].isin(cells.loc[cells["status"] == "ok", "key"].iloc[::4])].assign(device="cuda (none)")
    counts = devices.SHAPE + ["cells", "same_rows", "same_outcomes", "ratio"]

    def table(made):
        Store(tmp_path / "gpu").put("made", made, traces[traces["key"].isin(made["key"])])
        return devices.held_together(config, tmp_path / "gpu")

    alike = table(made)
    assert list(alike["what"])[-1] == "claims' verdicts" and alike["cells"].sum() == len(made) + len(judge(small_run))
    assert (alike["same_outcomes"] == alike["cells"]).all() and (
        alike["same_rows"].dropna() == alike["cells"][:-1]
    ).all()
    moved = made.copy()
    moved.loc[moved.index[0], ["distance", "distance_seen", "orthogonality_fro"]] *= 100
    found = table(moved)
    assert found["same_rows"].sum() == len(made) - 1
    assert found[counts[:4]].equals(alike[counts[:4]])
