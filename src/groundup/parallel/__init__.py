"""One training step over any number of processes: engines, and parallelism applied to a model from outside."""
