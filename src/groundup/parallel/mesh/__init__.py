"""Training over a mesh of processes: `engine.py` applies each kind of parallelism, in one visible order."""
