"""Ways to make a training step, all on the same task: the floor, ours, and what a user would otherwise write or take.

Each is a function of a `Task` that sets everything up and returns `advance`. `advance(steps)` makes so many steps of every cell of
the batch and returns when they are done. `advance.weight()` is the first cell's weight now.
"""

from __future__ import annotations

import math
import os
import unittest.mock as mock
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch

from benchmarks.records import BEST_FLOOR, FLOOR, NO_TRITON, OURS, PART
from orthogrid.cells.cell import Cell
from orthogrid.methods import make_method
from orthogrid.methods.batch import Batch
from orthogrid.numerics.graphs import Repeated
from orthogrid.numerics.linalg import padded, whole
from orthogrid.numerics.problem import Problem, draw_problem

REG, LR = 10.0, 1e-3


@dataclass(frozen=True)
class Task:
    """`batch` cells of one shape, on one device ('cpu' means one core)."""

    dimension: int
    samples: int
    penalty: str
    batch: int
    device: str = "cpu"

    @property
    def cells(self) -> list[Cell]:
        """Cells that differ in reg: they share a problem, as a grid's do."""
        return [
            Cell(dimension=self.dimension, samples=self.samples, penalty=self.penalty, reg=REG * (1 + i))
            for i in range(self.batch)
        ]

    def problem(self) -> Problem:
        return draw_problem(self.cells[0])

    def wait(self) -> None:
        if self.device == "cuda":
            torch.cuda.synchronize()


Advance = Callable[[int], None]
CONTENDERS: dict[str, Callable[[Task], Advance]] = {}


def contender(name: str):
    def wrap(make: Callable[[Task], Advance]):
        CONTENDERS[name] = make
        return make

    return wrap


@contender(FLOOR)
def two_products(task: Task) -> Advance:
    """The floor: S = WWᵀ and S W as two plain batched products, nothing else."""
    weight, s, out = torch.randn(3, task.batch, task.dimension, task.dimension, device=task.device)

    def advance(steps: int) -> None:
        for _ in range(steps):
            torch.bmm(weight, weight.mT, out=s)
            torch.bmm(s, weight, out=out)
        task.wait()

    return advance


@contender(BEST_FLOOR)
def two_products_at_best(task: Task) -> Advance:
    """The same on matrices padded as ours are, and on a GPU without a launch for each product."""
    n, device = task.dimension, torch.device(task.device)
    weight, s, out = (whole(padded(task.batch, n, n, dtype=torch.float32, device=device)) for _ in "wso")
    weight[:, :n, :n] = torch.randn(task.batch, n, n, device=device)

    def both() -> None:
        torch.bmm(weight, weight.mT, out=s)
        torch.bmm(s, weight, out=out)

    again = Repeated(both, device)

    def advance(steps: int) -> None:
        again(steps)
        task.wait()

    return advance


@contender(OURS)
def ours(task: Task, **change: str) -> Advance:
    """The trainer's own step, without metrics. On a CPU large cells are stepped one after another, as in training."""
    from orthogrid.training.train import _stacks

    cells, device = [replace(cell, **change) for cell in task.cells], torch.device(task.device)
    problem = task.problem()
    with torch.no_grad():
        batches = [Batch([cells[i] for i in stack], [problem] * len(stack), device) for stack in _stacks(cells, device)]
        methods = [make_method(batch) for batch in batches]

    @torch.no_grad()
    def advance(steps: int) -> None:
        for method in methods:
            method.run(0, steps)  # the rate is constant: which steps they are does not matter
        task.wait()

    advance.weight = lambda: batches[0].weight[0]
    return advance


@contender(NO_TRITON)
def ours_without_triton(task: Task) -> Advance:
    """The same on a GPU without kernels of ours."""
    with mock.patch("orthogrid.methods.batch.find_kernels", lambda device: None):
        return ours(task)


def _layer(task: Task, problem: Problem) -> torch.nn.Linear:
    layer = torch.nn.Linear(task.dimension, task.dimension).to(task.device)
    with torch.no_grad():
        layer.weight.copy_(problem.weight)
        layer.bias.copy_(problem.bias)
    return layer


def _loop(task: Task, layer: torch.nn.Module, penalty: str, optimizer, slogdet: bool = False) -> Advance:
    """A loop as in the thread: autograd, torch's own optimiser, one cell."""
    problem = task.problem()
    x = problem.x.to(task.device)
    y = x @ problem.rho.to(task.device)
    eye = torch.eye(task.dimension, device=task.device)
    loss_of = torch.nn.MSELoss(reduction="sum")

    def advance(steps: int) -> None:
        for _ in range(steps):
            loss = loss_of(layer(x), y)
            if penalty != "none":
                s = layer.weight @ layer.weight.t() - eye
                loss = loss + REG * (s.square().sum() if penalty == "fro2" else s.abs().sum())
            if slogdet:
                torch.slogdet(layer.weight.data)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        task.wait()

    advance.weight = lambda: layer.weight.detach()
    return advance


@contender("thread's loop")
def threads_loop(task: Task) -> Advance:
    """The thread's second script without its printing: one cell at a time."""
    layer = _layer(task, task.problem())
    return _loop(task, layer, task.penalty, torch.optim.Adam(layer.parameters(), lr=LR))


@contender("thread's loop, slogdet each step")
def threads_loop_slogdet(task: Task) -> Advance:
    """The same, with the determinant taken at every step instead of at the printed ones."""
    layer = _layer(task, task.problem())
    return _loop(task, layer, task.penalty, torch.optim.Adam(layer.parameters(), lr=LR), slogdet=True)


@contender("torch.func.vmap")
def vmapped(task: Task) -> Advance:
    """vmap of grad over stacked weights, and one fused Adam for all."""
    problem, count = task.problem(), task.batch
    x = problem.x.expand(count, -1, -1).to(task.device).contiguous()
    y = (problem.x @ problem.rho).expand(count, -1, -1).to(task.device).contiguous()
    reg = torch.tensor([cell.reg for cell in task.cells], device=task.device)
    weight, bias = (
        torch.nn.Parameter(t.expand(count, *t.shape).to(task.device).clone()) for t in (problem.weight, problem.bias)
    )
    eye = torch.eye(task.dimension, device=task.device)

    def loss(w, b, x, y, reg):
        s = w @ w.mT - eye
        return (x @ w.mT + b - y).square().sum() + reg * (s.square() if task.penalty == "fro2" else s.abs()).sum()

    gradient = torch.func.vmap(torch.func.grad(loss, argnums=(0, 1)))
    optimizer = torch.optim.Adam([weight, bias], lr=LR, fused=True)

    def advance(steps: int) -> None:
        for _ in range(steps):
            weight.grad, bias.grad = gradient(weight.detach(), bias.detach(), x, y, reg)
            optimizer.step()
        task.wait()

    advance.weight = lambda: weight[0].detach()
    return advance


@contender("JAX jit + vmap + scan")
def jax_scan(task: Task) -> Advance:
    """JAX: jit of a scan over steps, vmap over cells, Adam written out."""
    # One core, as for every other contender: XLA reads this at its first use.
    os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1")
    # On a GPU JAX would take most of the memory for itself, and multiply float32 matrices in TF32, as no other contender does.
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_default_matmul_precision", "highest")
    platform = "gpu" if task.device == "cuda" else "cpu"
    if jax.default_backend() != platform:
        raise ImportError(f"this JAX runs on {jax.default_backend()}, not {platform}")
    problem = task.problem()
    x = jnp.asarray(problem.x.numpy())
    y = jnp.asarray((problem.x @ problem.rho).numpy())
    regs = jnp.asarray([cell.reg for cell in task.cells])
    eye = jnp.eye(task.dimension)

    def loss(parameters, reg):
        w, b = parameters
        s = w @ w.T - eye
        return jnp.sum((x @ w.T + b - y) ** 2) + reg * jnp.sum(s**2 if task.penalty == "fro2" else jnp.abs(s))

    def step(state, _, reg):
        parameters, m, v, t = state
        g, t = jax.grad(loss)(parameters, reg), t + 1
        m = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, m, g)
        v = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, v, g)
        scale, root = LR / (1 - 0.9**t), jnp.sqrt(1 - 0.999**t)
        parameters = jax.tree.map(lambda p, m, v: p - scale * m / (jnp.sqrt(v) / root + 1e-8), parameters, m, v)
        return (parameters, m, v, t), None

    chunk = 10

    def many(state, reg):
        return jax.lax.scan(lambda s, i: step(s, i, reg), state, None, length=chunk)[0]

    run = jax.jit(jax.vmap(many))
    start = (jnp.asarray(problem.weight.numpy()), jnp.asarray(problem.bias.numpy()))
    stacked = jax.tree.map(lambda p: jnp.broadcast_to(p, (task.batch, *p.shape)), start)
    zeros = jax.tree.map(jnp.zeros_like, stacked)
    state = (stacked, zeros, zeros, jnp.zeros(task.batch))

    def advance(steps: int) -> None:
        nonlocal state
        for _ in range(max(1, round(steps / chunk))):
            state = run(state, regs)
        jax.block_until_ready(state)

    advance.multiple = chunk
    advance.weight = lambda: torch.tensor(state[0][0][0].tolist())
    return advance


def _parametrized(orthogonal_map: str):
    def make(task: Task) -> Advance:
        layer = _layer(task, task.problem())
        torch.nn.utils.parametrizations.orthogonal(layer, orthogonal_map=orthogonal_map)
        return _loop(task, layer, "none", torch.optim.Adam(layer.parameters(), lr=LR))

    return make


for _name in ("matrix_exp", "cayley", "householder"):
    contender(f"torch parametrization {_name}")(_parametrized(_name))


@contender("geotorch")
def geotorch_loop(task: Task) -> Advance:
    import geotorch

    problem = task.problem()
    layer = _layer(task, problem)
    geotorch.orthogonal(layer, "weight")
    layer.weight = problem.weight.to(task.device)
    return _loop(task, layer, "none", torch.optim.Adam(layer.parameters(), lr=LR))


@contender("geoopt")
def geoopt_loop(task: Task) -> Advance:
    import geoopt

    problem = task.problem()
    layer = _layer(task, problem)
    del layer.weight
    layer.weight = geoopt.ManifoldParameter(problem.weight.to(task.device), manifold=geoopt.EuclideanStiefel())
    return _loop(task, layer, "none", geoopt.optim.RiemannianAdam(layer.parameters(), lr=LR))


@contender("orthogrid's pogo")
def our_pogo(task: Task) -> Advance:
    """Adam entry by entry, made tangent, and one cubic correction."""
    return ours(task, method="pogo")


@contender("pogo-torch")
def pogo_torch(task: Task) -> Advance:
    """The authors' library: another algorithm, whose Adam scales by the norm of the whole gradient."""
    from pogo.base import VectorAdam
    from pogo.pogo import POGO

    problem = task.problem()
    layer = _layer(task, problem)
    bias = torch.optim.Adam([layer.bias], lr=LR)
    weight = POGO([layer.weight], VectorAdam(), lr=LR, flatten_fn=lambda weight: weight[None])

    class Both:
        def zero_grad(self) -> None:
            bias.zero_grad(), weight.zero_grad()

        def step(self) -> None:
            bias.step(), weight.step()

    return _loop(task, layer, "none", Both())


def _part(name: str, work: Callable[[Batch], object]):
    """A part of a step of ours, on one cell after another."""

    def make(task: Task) -> Advance:
        cells, problem = task.cells, task.problem()
        with torch.no_grad():
            batches = [Batch([cell], [problem], torch.device(task.device)) for cell in cells]
            for batch in batches:
                make_method(batch).step(0)

        @torch.no_grad()
        def advance(steps: int) -> None:
            for batch in batches:
                for _ in range(steps):
                    work(batch)
            task.wait()

        return advance

    return contender(PART + name)(make)


_part("symmetric product", lambda b: b.products.gram(b.whole.weight, out=b.s.whole))
_part("general product", lambda b: b.products.baddbmm(b.whole.grad, b.s.whole, b.whole.weight, out=b.whole.grad))
_part("data gradient", lambda b: b._data_gradient_by_gram() if b.by_gram else b._data_gradient_by_residuals())
_part("Adam", lambda b: b.apply_gradient())
_part("metrics of one logged step", lambda b: b.measure())

# Train with a penalty, in stacks of any size.
BATCHED = [FLOOR, OURS, "torch.func.vmap", "JAX jit + vmap + scan"]
# Train one cell at a time.
SINGLE = ["thread's loop", "thread's loop, slogdet each step"]
# Keep the weight orthogonal instead.
METHODS = [
    "torch parametrization cayley",
    "torch parametrization matrix_exp",
    "torch parametrization householder",
    "geotorch",
    "geoopt",
    "orthogrid's pogo",
    "pogo-torch",
]
PARTS = [name for name in CONTENDERS if name.startswith(PART)]


def rounded(advance: Advance, steps: float) -> int:
    """A number of steps that a contender can make: JAX's scans have a fixed length."""
    multiple = getattr(advance, "multiple", 1)
    return max(1, math.ceil(steps / multiple)) * multiple
