"""Values found by trying: how much of a batch fits at a time, and how fast a model can learn."""
