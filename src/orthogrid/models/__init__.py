"""Models, one file each: what a cell trains, how it is drawn, and what is measured of it."""

import importlib

from ..cells.components import component_files
from .base import MODELS, Model, Result, log_steps, make_model, register

# As tables list them. A file that is not named here comes after.
ORDER = ("linear", "relu2", "recurrent", "rectangular")

for file in component_files("model"):
    importlib.import_module(f".{file.stem}", __name__)

__all__ = ["MODELS", "Model", "Result", "log_steps", "make_model", "register"]
