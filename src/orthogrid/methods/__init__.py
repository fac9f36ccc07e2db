"""Methods: how a batch of cells is stepped, one registered class each."""

from . import constraints, cures, libraries, optimizers  # noqa: F401 - each registers its methods
from .base import METHODS, Method, find_method, make_method, register

__all__ = ["METHODS", "Method", "find_method", "make_method", "register"]
