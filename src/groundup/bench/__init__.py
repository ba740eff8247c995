"""The project's benchmarks against installed peers, as ratios measured in one run.

Each benchmark is a module with `run(data) -> Iterator[Row]`; its peers are imported in the processes that measure them.
"""
