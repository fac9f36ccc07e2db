"""All that a row's numbers depend on, beside its penalty and its method: how a cell is drawn, stepped and measured."""
