"""Our own GPU kernels: run by Triton's interpreter, against the trainer's steps on a CPU; compiled for a GPU without one."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap

import pytest
import torch

if torch.cuda.is_available():
    pytest.skip("where there is a GPU, test_gpu runs them on it", allow_module_level=True)
pytest.importorskip("triton", reason="Triton is not installed")

from stepping import assert_same_state, cells_with_rates, run_with

from orthogrid.cells.cell import Cell
from orthogrid.methods.batch import Batch
from orthogrid.numerics import kernels

GRAM, RESIDUALS = {"samples": 24}, {"samples": 6}


def cells_of(**settings) -> list[Cell]:
    return cells_with_rates(**{"dimension": 12, "steps": 40} | settings)


def trained(cells: list[Cell], with_kernels: bool, monkeypatch, **how):
    return run_with(kernels if with_kernels else None, cells, "cpu", monkeypatch, **how)


def assert_same(a: Batch, b: Batch, tolerance: float) -> None:
    assert_same_state(a, b, tolerance)
    for name in ("weight", "target", "grad"):  # margins stay zero: S counts on it
        whole = getattr(a.whole, name).clone()
        whole[:, : a.weight.shape[1], : a.weight.shape[2]] = 0
        assert not whole.any()


@pytest.mark.parametrize("penalty", ["fro2", "l1", "fro", "none", "fro2_detached"])
@pytest.mark.parametrize(
    "data", [GRAM, RESIDUALS, RESIDUALS | {"noise": 0.1}, GRAM | {"bias": False}, RESIDUALS | {"bias": False}]
)
def test_many_steps_on_the_chip_are_the_trainers(penalty, data, monkeypatch):
    cells = cells_of(penalty=penalty, **data)
    ours, method = trained(cells, True, monkeypatch)
    assert method.on_chip
    theirs, _ = trained(cells, False, monkeypatch)
    assert_same(ours, theirs, 2e-6)


@pytest.mark.parametrize("n, k", [(3, 2), (16, 40), (17, 8), (33, 66), (64, 128)])
def test_whatever_the_dimension(n, k, monkeypatch):
    cells = cells_of(dimension=n, samples=k)[:2]
    ours, method = trained(cells, True, monkeypatch, steps=(5,))
    assert method.on_chip
    assert_same(ours, trained(cells, False, monkeypatch, steps=(5,))[0], 2e-6)


def test_cells_with_other_numbers_of_samples_share_a_launch(monkeypatch):
    cells = [*cells_of(samples=20), *cells_of(samples=50)]
    assert_same(trained(cells, True, monkeypatch)[0], trained(cells, False, monkeypatch)[0], 2e-6)


@pytest.mark.parametrize(
    "settings",
    [{}, {"bias": False}, {"dtype": "float64"}, {"method": "adam(beta1=0)"}, {"penalty": "l1"}, {"penalty": "huber"}],
)
@pytest.mark.parametrize("data", [GRAM, RESIDUALS])
def test_adam_with_the_rest_of_the_gradient_is_the_trainers(settings, data, monkeypatch):
    """As large matrices are stepped: products by PyTorch, all else in one kernel."""
    monkeypatch.setattr(kernels, "ON_CHIP", 8)
    cells = cells_of(**settings, **data)
    ours, method = trained(cells, True, monkeypatch)
    assert not method.on_chip and method.follows
    assert ours.rank_one_left == (data == GRAM)
    assert_same(ours, trained(cells, False, monkeypatch)[0], 1e-6)


@pytest.mark.parametrize("dtype, tolerance", [("tf32", 1e-3), ("bfloat16", 1e-2)])
def test_in_other_number_formats(dtype, tolerance, monkeypatch):
    """Products and moments are PyTorch's, which round as the format asks."""
    cells = cells_of(dtype=dtype, **GRAM)
    ours, method = trained(cells, True, monkeypatch)
    assert not method.on_chip and not ours.rank_one_left
    assert isinstance(ours.optimizer, kernels.Adam) == (dtype == "tf32")
    assert_same(ours, trained(cells, False, monkeypatch)[0], tolerance)


@pytest.mark.parametrize("method", ["reg_ramp", "lifted", "landing", "pogo", "polar", "torch_cayley"])
def test_methods_that_step_in_their_own_way(method, monkeypatch):
    """They set the rates themselves."""
    cells = cells_of(method=method, dtype="float64", steps=20, **GRAM)
    ours, theirs = (trained(cells, which, monkeypatch, steps=(7, 13), away=0.0)[0] for which in (True, False))
    assert isinstance(ours.optimizer, kernels.Adam)
    assert_same(ours, theirs, 1e-7)


def test_fresh_samples_are_drawn_between_steps(monkeypatch):
    cells = cells_of(sampling="fresh", samples=20, dtype="float64")
    ours, method = trained(cells, True, monkeypatch)
    assert not method.follows
    assert_same(ours, trained(cells, False, monkeypatch)[0], 1e-7)


def test_they_compile_for_a_gpu():
    """Without a card: to an H100's machine code, with every way through them."""
    code = """
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource, compile
    from orthogrid.numerics import kernels

    beta = {"BETA1": 0.9, "BETA2": 0.999, "LOG1": -0.1, "LOG2": -1e-3, "EPS": 1e-8}
    INTEGERS = {"last", "runs", "size", "n", "k", "side", "rows", "line", "steps"}

    def build(kernel, types, constants, **options):
        signature = {
            name: "constexpr" if name in constants else "i32" if name in INTEGERS else types.get(name, "*fp32")
            for name in kernel.arg_names
        }
        made = compile(ASTSource(kernel, signature, constants), GPUTarget("cuda", 90, 32), options)
        assert made.asm["ptx"]
        print(kernel.__name__, len(made.asm["ptx"]))

    run_of = {"run_of": "*i32"}
    for wide, word in ((kernels.tl.float32, "*fp32"), (kernels.tl.float64, "*fp64")):
        data = ("weight", "gradient", "mean", "square", "offset", "sample_mean", "twice_ks", "bias", "bias_mean", "bias_square")
        for rank_one in (False, True):
            constants = beta | {"RANK_ONE": rank_one, "BIAS": rank_one, "BLOCK": 1024, "LINE": 128, "WIDE": wide}
            build(kernels._adam, run_of | dict.fromkeys(data, word), constants)
    for gram in (False, True):
        for formula in ("none", "itself", "sign", "over norm"):
            shape = {"N": 32, "K": 16 if gram else 64, "GRAM": gram, "FORMULA": formula, "FACTOR": 4.0}
            more = beta | shape | {"BIAS": True, "PRECISION": "ieee"}
            build(kernels._many_steps, run_of, more, num_warps=4, num_stages=1)
    """
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count("\n") == 12
