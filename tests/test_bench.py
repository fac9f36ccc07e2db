"""The benchmark: its contenders do the same task, and the paper reads what it writes."""

from __future__ import annotations

import importlib.util
import multiprocessing
import re
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace

import pandas as pd
import pytest
import torch
from benchmarks import contenders, steps, workflow
from benchmarks.contenders import BATCHED, CONTENDERS, METHODS, PARTS, SINGLE, Task
from orthogrid.bench import COLUMNS, FLOOR, OURS, PART, WHOLE, read_bench, scaling, thread_size
from orthogrid.numbers.compute import bench_numbers
from orthogrid.tables import TABLES

from orthogrid.figures import FIGURES
from orthogrid.paper.format import MISSING
from orthogrid.store import write_table


@pytest.fixture
def bench(tmp_path) -> pd.DataFrame:
    """What a run of the benchmark writes, with times that were not measured."""
    timings = [
        steps.Timing(name, task, [2.0, 3.0], [1.0, 1.5])
        for task, names in steps.step_tasks("cpu", quick=False)
        for name in (FLOOR, *names)
    ]
    timings += [
        steps.Timing(WHOLE, Task(500, k, p, 8), [2.0, 3.0], [1.0, 1.5]) for k in (30, 1000) for p in ("fro2", "l1")
    ]
    growing = Task(100, 200, "fro2", 8)
    timings += [steps.Timing(WHOLE, growing, [2.0], [1.0], n) for n in (100, 1000)]
    records = [timing.record(2) for timing in timings]
    records += [
        workflow.record(what, 4.0, "s", 10)
        for what in ("10000 cells: dry run", "10000 cells: resume from the journal", "smoke: cells a minute, whole run",
                     "default: training jobs: share outside training", "default, one more reg: beyond its cells, until the rows are there",
                     "default, one more reg: beyond its cells, until the paper is there")
    ]  # fmt: skip
    table = (
        pd.DataFrame(records)
        .reindex(columns=list(COLUMNS))
        .assign(cores=2, device="cpu (X)", torch="2", jax="1", started="now")
    )
    write_table(table, tmp_path / "cpu-x.csv")
    return read_bench([tmp_path / "cpu-x.csv"])


def test_every_number_of_the_appendix_comes_from_the_benchmark(small_run, bench):
    values = bench_numbers(replace(small_run, bench=bench))
    assert {key: value for key, value in values.items() if MISSING in value} == {}
    assert (
        values["bench-step-few"] == "2.00" and values["bench-dimension"] == "500" and values["bench-more-rows"] == "4.0"
    )
    assert all(MISSING in value for value in bench_numbers(small_run).values())


@pytest.mark.parametrize("name", ["bench_peers", "bench_parts", "bench_workflow"])
def test_its_tables_hold_every_record_once(small_run, bench, name):
    table = TABLES[name](replace(small_run, bench=bench), pd.DataFrame())
    assert len(re.findall(r"\\\\\n", table)) > 5 and "nan" not in table
    if name == "bench_peers":
        # Batches of 1, 8 and 64 by both penalties; of 4 by one.
        assert table.count(r"\texttt{fro2}") == 8 and table.count(r"\texttt{l1}") == 6
        # Ratios of step, vmap and JAX everywhere, of whole trainings at one batch, of the two loops where one cell is trained.
        assert table.count("2.00") == 14 * 3 + 4 * 1 + 4 * 2
    if name == "bench_parts":
        assert all(part.removeprefix(PART) in table for part in PARTS) and all(
            method.split()[-1].split("_")[0] in table for method in METHODS
        )


def test_its_figure_has_a_point_for_every_size(small_run, bench):
    figure = FIGURES["cost"](replace(small_run, bench=bench))
    counts = [len(ax.containers[0].lines[0].get_xdata()) for ax in figure.axes]
    assert counts == [6, 8, 7, 2]
    assert sorted(scaling(bench, "samples")["samples"]) == [10, 30, 100, 500, 550, 600, 1000, 2000]
    assert set(thread_size(bench)["dimension"]) == {500}


def weight_after(name: str, task: Task, steps: int) -> torch.Tensor:
    if name.startswith("JAX"):
        if importlib.util.find_spec("jax") is None:
            pytest.skip("no JAX here")
        # In a process of its own: other tests fork, which JAX's threads do not survive.
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
            return torch.tensor(pool.submit(weight_here, name, task, steps).result())
    if name in ("geotorch", "geoopt"):
        pytest.importorskip(name)
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
