"""How numbers, tables, claims and figures are written and drawn, whatever they say."""
