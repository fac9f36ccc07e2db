"""Batches of matrices whose every product is the same bits wherever in a batch a matrix stands."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

ALIGNMENT = 64  # bytes

# On a CPU, matrices from this dimension on are taken one at a time, so that a cell's weight, S and gradient stay in the
# caches between the passes of a step; smaller ones in stacks, which share the cost of a call.
ALONE_FROM = 384
# W Wᵀ is symmetric: its lower blocks of about so many rows are computed and mirrored, 60 % of the operations at n = 500.
BLOCK_ROWS = 100
# On a CPU, matrices below this dimension are decomposed a stack at a time: a call costs as much as the work, and the bits are
# the same. Batched LU of several matrices with n ≥ 200 can hang in MKL (seen with torch 2.13).
DECOMPOSED_STACKED = 128


def padded(count: int, *shape: int, dtype: torch.dtype, device: torch.device | str) -> Tensor:
    """`count` zero arrays of a shape, vectors or matrices, as the corners of slightly larger ones (`whole`).

    Dimensions are rounded up so that the larger ones are contiguous and each starts at a 64-byte boundary. Contiguous, since
    torch otherwise makes a product matrix by matrix. Aligned, since MKL's products depend, in their last bit, on how their
    operands lie in memory, and so does the vectorised tail of a fused update. The margin stays zero: whoever writes to
    the whole writes zeros there.
    """
    per_line = ALIGNMENT // dtype.itemsize
    multiple = per_line if len(shape) == 1 else next(m for m in (4, 8) if m * m % per_line == 0)
    larger = torch.zeros(count, *(-(-side // multiple) * multiple for side in shape), dtype=dtype, device=device)
    return larger[(slice(None), *map(slice, shape))]


def whole(x: Tensor) -> Tensor:
    """A padded batch with its margins. Elsewhere than in a product, use it where zeros do no harm."""
    if x.stride(0) * len(x) == x.numel():
        return x
    sides = (larger // smaller for larger, smaller in itertools.pairwise(x.stride()))
    return x.as_strided((len(x), *sides), x.stride())


def flat(x: Tensor) -> Tensor:
    """The storage of a padded batch in one piece: every array has an equal share."""
    return whole(x).view(-1)


def padded_copy(x: Tensor, dtype: torch.dtype) -> Tensor:
    """A padded copy of a batch, in another dtype."""
    return padded(*x.shape, dtype=dtype, device=x.device).copy_(x)


def product(a: Tensor, b: Tensor) -> Tensor:
    """Batched a @ b for padded (B, i, j) and (B, j, k), into a padded result (B, i, k)."""
    out = padded(a.shape[0], a.shape[1], b.shape[2], dtype=a.dtype, device=a.device)
    return torch.bmm(a, b, out=out)


def gram(w: Tensor, out: Tensor) -> Tensor:
    """out ← WWᵀ for padded (B, n, m): large ones on a CPU by their lower blocks alone."""
    n = w.shape[-2]
    if n < ALONE_FROM or w.device.type != "cpu":
        return torch.bmm(w, w.mT, out=out)
    count = round(n / BLOCK_ROWS)
    for top, bottom in itertools.pairwise(n * i // count for i in range(count + 1)):
        torch.bmm(w[:, top:bottom], w[:, :bottom].mT, out=out[:, top:bottom, :bottom])
        out[:, :top, top:bottom] = out[:, top:bottom, :top].mT
    return out


def gram_residual(w: Tensor) -> Tensor:
    """S = WWᵀ - I for a batch of weights (B, n, m)."""
    n = w.shape[-2]
    s = w @ w.mT if w.requires_grad else gram(w, padded(len(w), n, n, dtype=w.dtype, device=w.device))
    s.diagonal(dim1=-2, dim2=-1).sub_(1)
    return s


def total(x: Tensor) -> Tensor:
    """Sum over the two last axes, in two steps: the threads share one long sum differently than many short ones."""
    return x.sum(-1).sum(-1)


def norm(x: Tensor) -> Tensor:
    """Frobenius norms of matrices (B, n, m): (B,)."""
    return total(x.square()).sqrt()


def column(a: Tensor, v: Tensor) -> Tensor:
    """a @ v for matrices (B, n, m) and vectors (B, m): (B, n)."""
    return (a @ v[:, :, None])[:, :, 0]


def each(function: Callable[[Tensor], Tensor], batch: Tensor) -> Tensor:
    """A LAPACK-based function of every matrix of a stack (B, n, n); NaN where a matrix is not finite.

    `function` takes a matrix or a stack. It works in at least float32: LAPACK knows no lower precision. Decompositions raise on
    numbers that overflowed, and on one matrix that does not converge: such a cell would take its neighbours down.
    """
    batch = batch if batch.dtype.itemsize >= 4 else batch.float()
    finite = batch.isfinite().flatten(1).all(1)
    if not finite.all():
        # Laid out as the batch is: an LU takes a contiguous matrix transposed.
        mended = torch.empty_strided(batch.size(), batch.stride(), dtype=batch.dtype, device=batch.device)
        torch.where(finite[:, None, None], batch, torch.eye(batch.shape[-1]).to(batch), out=mended)
        result = each(function, mended)
        return torch.where(finite.view(-1, *[1] * (result.dim() - 1)), result, torch.nan)
    if batch.device.type != "cpu":
        return function(batch)
    if batch.shape[-1] < DECOMPOSED_STACKED:
        with contextlib.suppress(torch.linalg.LinAlgError):
            return function(batch)
    return torch.stack([function(matrix) for matrix in batch])


def decomposed(function: Callable[[Tensor], Tensor], batch: Tensor) -> Tensor:
    """`each` into a padded result of the batch's dtype."""
    return padded_copy(each(function, batch), batch.dtype)


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Torch on one thread: how several would share a product or a sum decides its last bit."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class Products:
    """Batched matrix products in a cell's precision.

    tf32 is float32 with operands rounded to ten bits of mantissa and float32 sums, as on NVIDIA's tensor cores: on a GPU they
    do it, elsewhere the operands are rounded here.
    """

    def __init__(self, dtype: str, device: torch.device):
        self.tf32 = dtype == "tf32"
        self.emulated = self.tf32 and device.type != "cuda"
        self.precision = _TensorCores(self.tf32) if device.type == "cuda" else contextlib.nullcontext()
        if device.type == "cpu" and not self.tf32:
            self.bmm, self.baddbmm = (  # type: ignore[method-assign]
                torch.bmm,  # type: ignore[assignment]
                torch.baddbmm,  # type: ignore[assignment]
            )  # nothing to add to them, and a step of small matrices is calls

    def bmm(self, a: Tensor, b: Tensor, out: Tensor) -> Tensor:
        """out ← a @ b."""
        with self.precision:
            return torch.bmm(*self._operands(a, b), out=out)

    def gram(self, w: Tensor, out: Tensor) -> Tensor:
        """out ← w wᵀ."""
        with self.precision:
            return gram(round_tf32(w) if self.emulated else w, out)

    def baddbmm(self, c: Tensor, a: Tensor, b: Tensor, out: Tensor, *, beta: float = 1, alpha: float = 1) -> Tensor:
        """out ← beta c + alpha a @ b."""
        with self.precision:
            return torch.baddbmm(c, *self._operands(a, b), beta=beta, alpha=alpha, out=out)

    def _operands(self, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        return (round_tf32(a), round_tf32(b)) if self.emulated else (a, b)


class GramResidual:
    """Room for S = WWᵀ - I of padded weights: `whole` with its margin, which stays zero, `corner` without."""

    def __init__(self, like: Tensor):
        self.corner = padded(*like.shape, dtype=like.dtype, device=like.device)
        self.whole = whole(self.corner)
        self.diagonal = self.corner.diagonal(dim1=1, dim2=2)
        self.one = torch.ones((), dtype=like.dtype, device=like.device)  # a Python number costs a call 2 µs

    def fill(self, weight: Tensor, products: Products) -> Tensor:
        """whole ← WWᵀ - I, from a weight with its margin."""
        products.gram(weight, out=self.whole)
        self.diagonal.sub_(self.one)
        return self.whole


class _TensorCores:
    """Whether a GPU's float32 products are in TF32, while entered."""

    def __init__(self, allowed: bool):
        self.allowed = allowed

    def __enter__(self) -> None:
        torch.backends.cuda.matmul.allow_tf32 = self.allowed

    def __exit__(self, *error: object) -> None:
        torch.backends.cuda.matmul.allow_tf32 = False


def round_tf32(x: Tensor) -> Tensor:
    """Float32 numbers rounded to TF32's ten explicit bits of mantissa, halves away from zero, laid out as x is."""
    rounded = torch.empty_strided(x.size(), x.stride(), dtype=x.dtype, device=x.device).copy_(x)
    bits = rounded.view(torch.int32)
    bits.add_(1 << 12).bitwise_and_(-(1 << 13))
    return torch.where(x.isfinite(), rounded, x, out=rounded)
