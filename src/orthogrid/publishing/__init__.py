"""From a run's tables to files that people open: figures, LaTeX, PDFs, the explorer."""
