"""What is for networks of one's own works where of all packages only torch and numpy are installed."""

import subprocess
import sys

SCRIPT = """
import sys
from importlib.machinery import PathFinder

import orthogrid

assert "torch" not in sys.modules and not hasattr(orthogrid, "orthogonal")  # a plan imports it and need not wait for torch

# With torch come the packages that it imports itself; threadpoolctl is one file without dependencies.
INSTALLED = {"torch", "torchgen", "functorch", "numpy", "typing_extensions", "sympy", "mpmath", "networkx", "filelock", "fsspec",
             "jinja2", "markupsafe", "setuptools", "threadpoolctl"}


class OnlyThese(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        found = PathFinder.find_spec(name, path, target)
        place = found and str(found.origin or list(found.submodule_search_locations or []))
        return found if name.partition(".")[0] in INSTALLED or "site-packages" not in str(place) else None


sys.meta_path = [OnlyThese if finder is PathFinder else finder for finder in sys.meta_path]
for package in ("pandas", "yaml", "scipy", "matplotlib", "seaborn", "snakemake"):
    try:
        __import__(package)
    except ModuleNotFoundError:
        pass
    else:
        raise AssertionError(package)

import torch
from orthogrid import diagnose, extra_row, orthogonality, suggest_reg

assert orthogonality is orthogrid.practice.orthogonality.orthogonality
torch.manual_seed(0)
layer, x = torch.nn.Linear(4, 4), torch.randn(20, 4)
row = extra_row(layer)
(row(x).square().mean() + row.row_loss() + orthogonality(row.weight, "logdet")).backward()
row.finish()
print(suggest_reg(x, x), diagnose(layer, x, x, "vonneumann", reg=1.0))
try:
    diagnose(layer, x, x, reg=1.0).plot()
except ImportError as error:
    print(error)
"""


def test_with_torch_and_numpy_alone():
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "obstacle" in done.stdout and "plot needs matplotlib: pip install matplotlib" in done.stdout
