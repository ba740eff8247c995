"""What a blueprint comes to before anything runs: its derived values, and what they cost.

`size` turns the one dial into every value that was left open; `machine` measures where it will run; `estimate` joins
both into parameters, FLOPs, memory, disk and time; `advice` says what to change where that is too much.
"""
