"""Training under DeepSpeed ZeRO, which shards optimizer state, gradients and weights (arXiv 1910.02054)."""
