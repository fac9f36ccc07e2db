"""What a person asks of a run on the command line."""
