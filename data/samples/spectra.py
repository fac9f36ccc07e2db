"""Makes spectra.csv: the smallest and the largest eigenvalue of XᵀX for eight sets of real samples.

Each set is prepared as is usual for it: tables are standardised, column by column, with mean 0 and deviation 1. Images of
digits are projected on their 32 leading principal components, for some of their pixels are always zero. Patches are the
8 x 8 tiles of a photograph in grey, from 0 to 1. The hidden units are those of a random layer of 32 with a rectifier, whose
inputs are the wines.

`python data/samples/spectra.py` writes the file beside itself. It needs scikit-learn and pillow, and words.npy of make.py.
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path

SCIKIT_LEARN = "1.9.1"
HERE = Path(__file__).parent

try:
    import numpy as np
    import sklearn
    from sklearn import datasets
except ImportError as error:
    sys.exit(f"{error}. Install what is missing: python -m pip install scikit-learn=={SCIKIT_LEARN} pillow==12.0.0")


def standardised(x: np.ndarray) -> np.ndarray:
    return (x - x.mean(axis=0)) / x.std(axis=0)


def leading(x: np.ndarray, components: int) -> np.ndarray:
    centred = x - x.mean(axis=0)
    return centred @ np.linalg.svd(centred, full_matrices=False)[2][:components].T


def patches(side: int = 8) -> np.ndarray:
    photo = datasets.load_sample_image("china.jpg").mean(axis=2) / 255
    height, width = (size // side * side for size in photo.shape)
    tiles = photo[:height, :width].reshape(height // side, side, width // side, side)
    return tiles.swapaxes(1, 2).reshape(-1, side * side)


def hidden_units(x: np.ndarray, units: int = 32) -> np.ndarray:
    weight = np.random.default_rng(0).standard_normal((x.shape[1], units)) * np.sqrt(2 / x.shape[1])
    return np.maximum(x @ weight, 0)


def sets() -> dict[str, np.ndarray]:
    wine = standardised(datasets.load_wine().data)
    return {
        "iris": standardised(datasets.load_iris().data),
        "diabetes": standardised(datasets.load_diabetes().data),
        "wine": wine,
        "breast cancer": standardised(datasets.load_breast_cancer().data),
        "digits": leading(datasets.load_digits().data / 16, 32),
        "image patches": patches(),
        "word vectors": np.load(HERE / "words.npy").astype(np.float64),
        "hidden units": hidden_units(wine),
    }


if __name__ == "__main__":
    if sklearn.__version__ != SCIKIT_LEARN:
        sys.exit(f"scikit-learn is {sklearn.__version__}: python -m pip install scikit-learn=={SCIKIT_LEARN}")
    with open(HERE / "spectra.csv", "w", newline="") as file:
        write = csv.writer(file, lineterminator="\n").writerow
        write(["name", "samples", "dimension", "lambda_min", "lambda_max"])
        for name, x in sets().items():
            eigenvalues = np.linalg.eigvalsh(x.T @ x)
            write([name, *x.shape, f"{eigenvalues[0]:.6g}", f"{eigenvalues[-1]:.6g}"])
