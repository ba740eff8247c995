"""One section of the report a function: a run in, HTML out, None where the run has nothing to show there."""
