"""One figure per function: arrays and tables in, a matplotlib ``Figure`` out. Nothing here draws to a screen."""
