"""Cells in, rows out: a batch is drawn, stepped and measured."""
