"""The choice between two ways of several threads: by what steps took, tried again now and then."""

from groundup.inference.compiled import AGAIN, APART, TOGETHER, Pace


def steps(pace: Pace, count: int, seconds: dict[int, float], rows: int = 4) -> list[int]:
    ways = []
    for _ in range(count):
        ways.append(pace.choice(rows))
        pace.record(rows, ways[-1], seconds[ways[-1]])
    return ways


def test_the_faster_way_is_taken_and_a_change_is_noticed() -> None:
    pace = Pace()
    idle, busy = {TOGETHER: 1.0, APART: 1.8}, {TOGETHER: 20.0, APART: 1.8}
    assert steps(pace, 2 + AGAIN, idle).count(APART) == 2
    assert steps(pace, 8, busy)[-1] == APART
    assert steps(pace, 20 * AGAIN, idle)[-5:].count(TOGETHER) >= 4


def test_numbers_of_rows_have_ways_of_their_own() -> None:
    pace = Pace()
    steps(pace, 8, {TOGETHER: 1.0, APART: 2.0}, rows=1)
    steps(pace, 8, {TOGETHER: 2.0, APART: 1.0}, rows=16)
    assert (pace.choice(1), pace.choice(16)) == (TOGETHER, APART)


def test_a_first_step_that_compiles_says_nothing() -> None:
    """Seen with float32: it took half a second, and one thread of two then worked for hundreds of steps."""
    pace, ways = Pace(), list[int]()
    for number in range(AGAIN):
        ways.append(pace.choice(1))
        pace.record(1, ways[-1], 500.0 if number == 0 else {TOGETHER: 1.0, APART: 1.8}[ways[-1]])
    assert ways.count(APART) == 2


def test_one_slow_step_does_not_last() -> None:
    pace = Pace()
    steps(pace, 8, {TOGETHER: 1.0, APART: 1.8})
    pace.record(4, TOGETHER, 1000.0)
    assert steps(pace, 2 * AGAIN, {TOGETHER: 1.0, APART: 1.8})[-1] == TOGETHER
