"""What every compiled loop of the project needs and no room owns.

    compilation.py   decorators that turn functions into machine code and keep it on disk for the next process
    sources.py       the files that machine code depends on, and their digest: an edit of any of them recompiles
    arrow.py         the bytes of Arrow texts as arrays, and back
    bits.py          loads by address or index, bit scans, prefetch: what numba lacks
    hashing.py       constants and steps of the hash functions

Kernels import no engine and no room above; the rooms keep their loops next to what these compute.
"""
