"""How many sequences each step takes: always the same number, or fewer at first.

Early gradients point about the same way from few tokens as from many (the critical batch size grows with training:
arXiv 1812.06162, 2505.23971), so a small batch makes more of the first tokens; later a large one does, as a falling
learning rate would (arXiv 1711.00489). The order of what is read does not change: it is only cut into other steps.

With micro-batches that end at 16 sequences, `start: 0.25` and `fraction: 0.5` of 96 sequences, they read:

    step        0  1  2  3  4  5 |  6  7  8 |  9 10 11 ...
    sequences   4  4  4  4  4  4 |  8  8  8 | 16 16 16
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class BatchSizes:
    """The sequences of each of a step's micro-batches; a step's size follows from its number alone."""

    rows: int
    """In the end."""
    rising: tuple[tuple[int, int], ...] = ()
    """(steps, sequences) before."""

    def at(self, step: int) -> int:
        """The sequences of a micro-batch of a step, counted from 0."""
        for steps, rows in self.rising:
            if step < steps:
                return rows
            step -= steps
        return self.rows

    def before(self, step: int) -> int:
        """The sequences that one micro-batch of each step before `step` adds up to."""
        read = 0
        for steps, rows in self.rising:
            if step < steps:
                return read + step * rows
            read, step = read + steps * rows, step - steps
        return read + step * self.rows

    def steps(self, rows: int) -> int:
        """The fewest steps in which a micro-batch of each adds up to at least `rows`."""
        taken = 0
        for steps, at_a_time in self.rising:
            if rows <= steps * at_a_time:
                return taken - (-rows // at_a_time)
            rows, taken = rows - steps * at_a_time, taken + steps
        return taken - (-rows // self.rows)


def rows_of(batch_tokens: int, length: int, accumulate: int) -> int:
    """The sequences of each of `accumulate` micro-batches that together are about `batch_tokens`, at least one."""
    return max(1, round(batch_tokens / length / accumulate))


def first_rows(rows: int, start: float) -> int:
    """The sequences of the first micro-batch where it begins with the fraction `start` of `rows`."""
    return max(1, round(rows * start))


def rising(rows: int, total: int, start: float, fraction: float) -> BatchSizes:
    """Sizes that double from `start * rows` up to `rows`, each for an equal part of what is read meanwhile.

    Args:
        total: sequences that one micro-batch of every step adds up to.
        fraction: of `total`, in which the batch is smaller.
    """
    sizes = [first_rows(rows, start)]
    while 2 * sizes[-1] < rows:
        sizes.append(2 * sizes[-1])
    if sizes[0] >= rows:
        return BatchSizes(rows)
    part = fraction * total / len(sizes)
    return BatchSizes(rows, tuple((max(1, round(part / size)), size) for size in sizes))
