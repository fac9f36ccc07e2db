"""Batches of matrices whose every product is the same bits wherever in a batch a matrix stands."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
import torch
from threadpoolctl import ThreadpoolController
from torch import Tensor

ALIGNMENT = 64  # bytes

# On a CPU, matrices from this dimension on are taken one at a time, so that a cell's weight, S and gradient stay in the
# caches between the passes of a step; smaller ones in stacks, which share the cost of a call.
ALONE_FROM = 384
# From this dimension on NumPy's symmetric product W Wᵀ is faster on a CPU than a general one.
SYMMETRIC_FROM = 96
NUMPY_FROM = 28  # and from this one its general product: on AMD's processors OpenBLAS is faster than PyTorch's MKL
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


def prepared(a: Tensor, b: Tensor, out: Tensor) -> Callable[[], object]:
    """A call that makes out ← a @ b for stacks of matrices, whose storage stays."""
    if not by_numpy(a) or (b.stride(-1) != 1 and b.shape[-1] > 1):  # where b is transposed, OpenBLAS is slower
        return partial(torch.bmm, a, b, out=out)
    return partial(np.matmul, a.numpy(), b.numpy(), out=out.numpy())


def multiply(a: Tensor, b: Tensor, out: Tensor) -> Tensor:
    """out ← a @ b for stacks of matrices."""
    prepared(a, b, out)()
    return out


def by_numpy(a: Tensor) -> bool:
    """Whether products of these matrices are NumPy's."""
    return a.shape[-2] >= NUMPY_FROM and a.dtype in (torch.float32, torch.float64) and a.device.type == "cpu"


def product(a: Tensor, b: Tensor) -> Tensor:
    """Batched a @ b for padded (B, i, j) and (B, j, k), into a padded result (B, i, k)."""
    return multiply(a, b, out=padded(a.shape[0], a.shape[1], b.shape[2], dtype=a.dtype, device=a.device))


def gram(w: Tensor, out: Tensor) -> Tensor:
    """out ← WWᵀ for padded (B, n, m)."""
    if w.shape[-2] < SYMMETRIC_FROM or not by_numpy(w):
        return torch.bmm(w, w.mT, out=out)
    np.matmul(w.numpy(), w.mT.numpy(), out=out.numpy())
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
    """PyTorch and NumPy on one thread: how several would share a product or a sum decides its last bit. TF32 as before, after."""
    threads, tf32 = torch.get_num_threads(), torch.backends.cuda.matmul.allow_tf32
    torch.set_num_threads(1)
    try:
        with ThreadpoolController().limit(limits=1, user_api="blas"):
            yield
    finally:
        torch.set_num_threads(threads)
        torch.backends.cuda.matmul.allow_tf32 = tf32


class Products:
    """Batched matrix products in a cell's precision.

    tf32 is float32 with operands rounded to ten bits of mantissa and float32 sums, as on NVIDIA's tensor cores: on a GPU they
    do it, elsewhere the operands are rounded here.
    """

    def __init__(self, dtype: str, device: torch.device):
        self.emulated = dtype == "tf32" and device.type != "cuda"
        if device.type == "cuda":
            torch.backends.cuda.matmul.allow_tf32 = dtype == "tf32"

    def bmm(self, a: Tensor, b: Tensor, out: Tensor) -> Tensor:
        """out ← a @ b."""
        return multiply(*self._operands(a, b), out=out)

    def prepared(self, a: Tensor, b: Tensor, out: Tensor) -> Callable[[], object]:
        """A call that makes out ← a @ b, for storage that stays."""
        return partial(self.bmm, a, b, out=out) if self.emulated else prepared(a, b, out)

    def gram(self, w: Tensor, out: Tensor) -> Tensor:
        """out ← w wᵀ."""
        return gram(round_tf32(w) if self.emulated else w, out)

    def baddbmm(self, c: Tensor, a: Tensor, b: Tensor, out: Tensor, *, beta: float = 1, alpha: float = 1) -> Tensor:
        """out ← beta c + alpha a @ b."""
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


def round_tf32(x: Tensor) -> Tensor:
    """Float32 numbers rounded to TF32's ten explicit bits of mantissa, halves away from zero, laid out as x is."""
    rounded = torch.empty_strided(x.size(), x.stride(), dtype=x.dtype, device=x.device).copy_(x)
    bits = rounded.view(torch.int32)
    bits.add_(1 << 12).bitwise_and_(-(1 << 13))
    return torch.where(x.isfinite(), rounded, x, out=rounded)
