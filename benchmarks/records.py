"""The benchmark's records: what a row is called."""

FLOOR, OURS, WHOLE, PART = "two products", "orthogrid", "orthogrid, whole training", "part: "
BATCH_DIMENSION = 100  # where batches of several sizes are timed
KEYS = ["dimension", "samples", "penalty", "batch"]
COLUMNS = (
    "what", *KEYS, "milliseconds", "ratio_to_floor", "ratio_low", "ratio_high", "rounds", "steps", "cells", "value", "unit", "cores",
    "device", "torch", "jax", "started",
)  # fmt: skip
