"""Closed forms, what they say of each cell, and what a run's end is called by them."""
