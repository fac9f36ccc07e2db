"""What a cell is, and what of it is known without training: axes, keys, configs, penalties and methods by their text. No torch."""
