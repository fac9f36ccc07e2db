"""Training as jobs: what is still to do, who does it, and what of it is on disk."""
