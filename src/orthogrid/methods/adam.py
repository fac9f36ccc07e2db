"""Adam."""

from __future__ import annotations

from ..numerics.descent import Adam
from ..numerics.linalg import flat, whole
from .base import register
from .batch import Batch
from .optimised import Optimised


@register(networks=True, uses_penalty=True, matrices=0)
class adam(Optimised):
    """Adam on the data loss plus the penalty (Kingma and Ba, ICLR 2015), with PyTorch's defaults."""

    def __init__(self, batch: Batch, *, beta1: float = 0.9, beta2: float = 0.999):
        kernels, dtype = batch.kernels, batch.cells[0].dtype
        # Moments in bfloat16 depend on how they are rounded to it: there PyTorch's kernel is the definition.
        optimizer = kernels.Adam if kernels and dtype != "bfloat16" else Adam
        super().__init__(batch, optimizer, beta1=beta1, beta2=beta2)
        n, k = batch.weight.shape[-1], 0 if batch.by_gram else batch.x.shape[1]
        known = batch.penalty.formula is not None or not batch.penalty.attached
        self.on_chip = self.follows and dtype == "float32" and known and max(n, k / 2) <= kernels.ON_CHIP  # type: ignore[union-attr]
        if self.follows and not self.on_chip and batch.by_gram and dtype in ("float32", "float64"):
            batch.rank_one_left = True
            batch.optimizer.complete(batch.offset, whole(batch.mean), batch.twice_k)  # type: ignore[union-attr]

    def run(self, first: int, last: int) -> None:
        """On a GPU many steps of small matrices are one launch."""
        batch = self.batch
        if not self.on_chip:
            super().run(first, last)
            return
        penalty, w, nothing = batch.penalty, batch.whole, batch.weight
        gram = (w.twice_gram, batch.mean, batch.twice_k) if batch.by_gram else (nothing,) * 3
        samples = (nothing,) * 2 if batch.by_gram else (batch.x, batch.y)
        k, rows = (0, 0) if batch.by_gram else (batch.x.shape[1], w.x.shape[1])
        sizes = (batch.weight.shape[-1], k, w.weight.shape[-1], rows, batch.bias.stride(0))
        data = (w.target, *gram, *samples, batch.reg)
        formula = penalty.formula if penalty.attached else "none"
        batch.kernels.many_steps(  # type: ignore[union-attr]
            batch.optimizer, flat(batch.bias), last - first, data, sizes,
            FORMULA=formula, FACTOR=penalty.factor, GRAM=batch.by_gram,
        )  # fmt: skip
