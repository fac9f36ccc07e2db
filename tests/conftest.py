"""Shared by the tests: a tiny config, and a run of it, trained once."""

from __future__ import annotations

import fcntl
import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml

if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"  # before anything imports Triton, as a compiled penalty does

from orthogrid import offer_to_child_processes
from orthogrid.cells import components
from orthogrid.cells.config import Config, check_config
from orthogrid.jobs import own
from orthogrid.jobs.files import read_table, write_table
from orthogrid.jobs.runner import train_cells
from orthogrid.jobs.store import shard_name
from orthogrid.methods import METHODS
from orthogrid.penalties import PENALTIES, register
from orthogrid.run.collect import collect
from orthogrid.run.run import Run
from orthogrid.sections import CLAIMS, FIGURES
from orthogrid.theory.predictions import predict_cells
from orthogrid.training.train import train_batch

ROOT = Path(__file__).parents[1]
THREAD = ROOT / "data" / "thread"
offer_to_child_processes()
torch.set_num_threads(1)  # as the trainer does; threads that wait for each other stall on a busy machine


def tiny_config(**changes) -> dict:
    """Every block of the smoke config with a quarter of its steps."""
    raw = yaml.safe_load((ROOT / "config" / "smoke.yaml").read_text())
    raw["run"] = "tiny"
    for axes in (raw["defaults"], *(block["axes"] for block in raw["blocks"])):
        steps = axes.get("steps", [])
        few = [max(3, number // 4) for number in (steps if isinstance(steps, list) else [steps])]
        axes |= {"steps": few if isinstance(steps, list) else few[0]} if steps else {}
    return raw | changes


def once(factory: pytest.TempPathFactory, name: str, build: Callable[[Path], object]) -> Path:
    """A folder that is built once for all workers of a session; the others wait for it. Only to be read."""
    base = factory.getbasetemp()
    base = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    folder, done = base / name, base / f"{name}.done"
    with (base / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            build(folder)
            done.touch()
    return folder


def make_run(config: Config, folder: Path) -> Run:
    """Train a config without Snakemake and read it as the paper does."""
    config = replace(config, results=str(folder))
    root, names = config.root, [shard_name(config.cells)]
    train_cells(config.cells, root, device="cpu")
    predictions = predict_cells(config)
    write_table(predictions, root / "predictions.csv")
    collect(config, names, predictions, (read_table(THREAD / "log_a.csv"), read_table(THREAD / "log_b.csv")))
    return Run.read(config, root, THREAD)


@pytest.fixture
def alone(tmp_path):
    """What a test registers, and the modules that it imports from its folder, are not there for the next one."""
    registers = (PENALTIES, METHODS, FIGURES, CLAIMS, own._ran)
    before, path = [dict(held) for held in registers], list(sys.path)
    yield
    for held, kept in zip(registers, before, strict=True):
        for name in set(held) - set(kept):
            del held[name]
        held.update(kept)
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[name]
    sys.path[:] = path
    components.forget_code()


@pytest.fixture
def fresh_catalog():
    """Nothing is known yet of any source, nor afterwards."""
    components.forget_code()
    yield
    components.forget_code()


@pytest.fixture(scope="session")
def small_run(tmp_path_factory) -> Run:
    """A finished run of every block in miniature; copy its tables before changing them."""
    config = check_config(tiny_config())
    results = once(tmp_path_factory, "small_run", lambda folder: make_run(config, folder))
    config = replace(config, results=str(results))
    return Run.read(config, config.root, THREAD)


@pytest.fixture
def cubic(monkeypatch):
    """A penalty registered by its value alone."""
    monkeypatch.setattr("orthogrid.penalties.PENALTIES", {})

    @register()
    def cubic(s, *, scale: float = 1.0):
        return scale * (s.abs() ** 3).sum((-2, -1))

    monkeypatch.setitem(PENALTIES, "cubic", cubic)
    return cubic


@pytest.fixture(autouse=True)
def no_entries_of_other_tests():
    """What a test registers is gone after it."""
    yield
    if components._run_time or components._user_files:
        components.forget_code()
        for register, known in ((PENALTIES, components.penalties()), (METHODS, components.methods())):
            for name in set(register) - set(known):
                del register[name]


@pytest.fixture
def trained(monkeypatch):
    """The cells handed to the trainer, in order."""
    seen, real = [], train_batch

    def spy(cells, *arguments):
        seen.extend(cells)
        return real(cells, *arguments)

    monkeypatch.setattr("orthogrid.jobs.runner.train_batch", spy)
    return seen


@pytest.fixture
def with_workers(monkeypatch):
    """Small work goes to workers too, a few cells a batch."""
    monkeypatch.setattr("orthogrid.jobs.runner.WORTH_WORKERS", {"cpu": 0, "cuda": 0})
    monkeypatch.setattr("orthogrid.jobs.plan.CPU_MOST", 2)


# Files whose tests call Snakemake. With several workers they come first: begun last, one would run on alone.
LONG = ("test_workflow", "test_faults", "test_recipes", "test_own")


def pytest_collection_modifyitems(items) -> None:
    items.sort(key=lambda item: LONG.index(item.module.__name__) if item.module.__name__ in LONG else len(LONG))


@pytest.fixture(scope="module")
def calm(tmp_path_factory):
    """A finished run that nothing disturbs: copy it before changing it."""
    from training import CELLS, train  # which takes from here

    root = tmp_path_factory.mktemp("calm") / "x"
    train(CELLS, root)
    return root


@pytest.fixture
def run(calm, tmp_path):
    """A copy of it."""
    return Path(shutil.copytree(calm, tmp_path / "x"))
