"""How the paper looks at rows: settings of the analysis, selections and pairings, estimates with their intervals.

Each estimate that the text quotes, a table shows or a claim judges is one function here, or the claim's own.
"""
