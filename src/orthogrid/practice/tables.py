"""Tables of numbers in files: what `python -m orthogrid diagnose` is given."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..cells.inputs import read

ENDINGS = (".pt", ".pth", ".npy", ".npz", ".csv")


def read_matrix(path: str, what: str) -> np.ndarray:
    """The one matrix in a file: a tensor or a state dict of torch's, a numpy array or archive, a CSV with or without a line of names.

    Raises ValueError that names the file and what it holds.
    """
    file = Path(path)
    if file.suffix not in ENDINGS:
        raise ValueError(f"{what} {path}: its ending must be one of {', '.join(ENDINGS)}")
    if not file.is_file():
        raise ValueError(f"{what} {path}: there is no such file")
    try:
        found = _read(file)
    except Exception as error:
        raise ValueError(f"{what} {path} cannot be read: {error}") from None
    matrices = {name: np.asarray(value) for name, value in found.items() if np.ndim(value) == 2}
    if len(matrices) != 1:
        names = ", ".join(f"{name} {np.shape(value)}" for name, value in found.items()) or "nothing"
        raise ValueError(f"{what} {path} must hold one matrix; it holds {names}")
    return next(iter(matrices.values()))


def _read(file: Path) -> dict[str, Any]:
    if file.suffix in (".pt", ".pth"):
        loaded = torch.load(file, map_location="cpu", weights_only=True)
        tensors = loaded if isinstance(loaded, dict) else {"the tensor": loaded}
        return {name: value.detach().numpy() for name, value in tensors.items() if isinstance(value, torch.Tensor)}
    if file.suffix == ".npz":
        with np.load(file) as archive:
            return dict(archive)
    return {"the table": read(str(file))}
