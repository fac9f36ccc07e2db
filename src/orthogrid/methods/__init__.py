"""Methods, one file each: how a batch of cells is stepped."""

import importlib

from ..cells.components import component_files
from .base import METHODS, Method, find_method, make_method, register

# As tables list them and figures colour them. A file that is not named here comes after.
ORDER = (
    "adam", "sgd", "newton_schulz", "parseval", "landing", "pogo", "riemannian_qr", "riemannian_polar", "polar", "procrustes",
    "procrustes_side", "reg_ramp", "reflection", "lifted", "torch_exp", "torch_cayley",
    "torch_householder", "geotorch", "geoopt",
)  # fmt: skip

for file in component_files("method"):
    importlib.import_module(f".{file.stem}", __name__)

__all__ = ["METHODS", "Method", "find_method", "make_method", "register"]
