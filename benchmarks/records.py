"""The benchmark's records: what a row is called."""

FLOOR, OURS, WHOLE, PART = "two products", "orthogrid", "orthogrid, whole training", "part: "
NO_TRITON = "orthogrid, PyTorch's kernels alone"
BEST_FLOOR = "two products, padded; on a GPU captured"  # as ours are
BATCH_DIMENSION = 100  # where batches of several sizes are timed
KEYS = ["dimension", "samples", "penalty", "batch"]
COLUMNS = (
    "what", *KEYS, "milliseconds", "ratio_to_floor", "ratio_low", "ratio_high", "ratio_to_best_floor", "rounds", "steps", "cells", "value", "unit", "cores",
    "device", "torch", "jax", "started",
)  # fmt: skip
