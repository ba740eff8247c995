"""Best-fit packing: examples of different lengths into as few windows of one length as they go.

Padded batches of chat examples are mostly padding where lengths differ. Best-fit-decreasing takes the examples from
the longest to the shortest and puts each into the fullest window that still has room for it; it needs at most 11/9 of
the fewest windows possible, and one (Johnson 1974), and on real lengths nearly no more (arXiv 2404.10830). No example
is cut, and nothing is drawn at random: equal lengths go in their order, into that of equally full windows which was
so full first.

    windows = best_fit([len(example) for example in examples], capacity=512)
    windows[0]      # the examples of the first window: [17, 4, 240]
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from groundup.kernels.compilation import kernel


def best_fit(lengths: Sequence[int] | NDArray[np.integer], capacity: int) -> list[list[int]]:
    """The numbers of the examples in each window, windows in the order in which they were begun.

    >>> best_fit([5, 3, 4, 2], capacity=7)
    [[0, 3], [2, 1]]

    Time is about proportional to the examples.

    Raises:
        ValueError: an example is longer than a window, or shorter than one token.
    """
    sizes = np.asarray(lengths, dtype=np.int64)
    if sizes.size and not 1 <= sizes.min() <= sizes.max() <= capacity:
        raise ValueError(f"examples of {sizes.min()} to {sizes.max()} tokens don't go into windows of {capacity}")
    order = np.argsort(-sizes, kind="stable")
    window_of = _windows_of(sizes[order], capacity)
    windows: list[list[int]] = [[] for _ in range(int(window_of.max(initial=-1)) + 1)]
    for example, window in zip(order.tolist(), window_of.tolist(), strict=True):
        windows[window].append(example)
    return windows


@kernel
def _windows_of(sizes: NDArray[np.int64], capacity: int) -> NDArray[np.int64]:
    """The window of each example. Windows with the same room are a queue; which rooms there are is a tree of bits.

    `first[room]` and `last[room]` are the ends of a queue, `following` links it; node n of the tree is above 2 n and
    2 n + 1, and holds whether any room below it has a window.
    """
    leaves = 1
    while leaves <= capacity:
        leaves *= 2
    some = np.zeros(2 * leaves, dtype=np.bool_)
    first, last = np.full(capacity + 1, -1), np.full(capacity + 1, -1)
    following, window_of = np.full(len(sizes), -1), np.empty(len(sizes), dtype=np.int64)
    windows = 0
    for example in range(len(sizes)):
        size = sizes[example]
        room = _smallest_room(some, leaves, size)
        if room < 0:
            window, room = windows, capacity
            windows += 1
        else:
            window = first[room]
            first[room] = following[window]
            following[window] = -1
            if first[room] < 0:
                last[room] = -1
                _mark(some, leaves + room, False)
        window_of[example] = window
        left = room - size
        if left > 0:
            if first[left] < 0:
                first[left] = window
                _mark(some, leaves + left, True)
            else:
                following[last[left]] = window
            last[left] = window
    return window_of


@kernel
def _smallest_room(some: NDArray[np.bool_], leaves: int, size: int) -> int:
    """The smallest room of at least `size` that a window has; -1 where none has."""
    node = leaves + size
    if some[node]:
        return size
    while node > 1:
        if node % 2 == 0 and some[node + 1]:  # to the right of the way up: all of it is more room
            node += 1
            while node < leaves:
                node = 2 * node if some[2 * node] else 2 * node + 1
            return node - leaves
        node //= 2
    return -1


@kernel
def _mark(some: NDArray[np.bool_], node: int, value: bool) -> None:
    some[node] = value
    while node > 1:
        node //= 2
        some[node] = some[2 * node] or some[2 * node + 1]
