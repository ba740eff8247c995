"""The project's benchmarks against installed peers, as ratios measured in one run: `make bench NAME=...`.

Each benchmark is a module with `run(data, check) -> Iterator[Row]`: `data` is a file or folder of real text or None,
and `check` asks for toy sizes that show that every side still works. Peers are imported only in the processes that
measure them (`measure.peer_in_process`); one that is missing or fails becomes a row that says why.
"""
