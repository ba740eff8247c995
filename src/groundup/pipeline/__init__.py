"""The stage graph: what is stale and why, what runs next, each stage in a process of its own."""
