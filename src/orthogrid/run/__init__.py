"""The tables of one run."""
