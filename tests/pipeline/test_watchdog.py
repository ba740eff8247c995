"""How long a step may take, and who is blamed for one that doesn't end. Hangs of real processes: test_several.py."""

import threading

from groundup.pipeline.watchdog import FIRST, TIMES, RankReport, Watchdog, Watched, accused, main_thread_at
from groundup.progress import Silent


def report(at: str = "loop.py:1 (f)", **begun: int) -> RankReport:
    """Group `world` is of ranks 0 to 2, `pair` of 0 and 1."""
    members = {"world": [0, 1, 2], "pair": [0, 1]}
    return RankReport(at, begun, {name: members[name] for name in begun})


def test_who_has_begun_fewer_collectives_is_waited_for() -> None:
    found = {0: report(world=7), 1: report("data.py:9 (read)", world=6), 2: report(world=7)}
    assert accused(found) == "rank 1 did not arrive, it is at data.py:9 (read)"


def test_every_group_is_looked_at() -> None:
    """All three are as far in one group; in the other, the pair's, rank 0 has begun fewer."""
    found = {0: report("a.py:1 (g)", world=7, pair=3), 1: report(world=7, pair=4), 2: report(world=7)}
    assert accused(found) == "rank 0 did not arrive, it is at a.py:1 (g)"


def test_a_rank_that_says_nothing_is_named() -> None:
    said = accused({0: report(world=7), 1: None, 2: report(world=7)})
    assert said == "rank 1 does not answer (stopped, or its machine is gone)"


def test_where_all_are_as_far_no_rank_is_blamed() -> None:
    said = accused({0: report(world=7), 1: report(world=7), 2: report(world=7)})
    assert said == "all ranks have begun the same collectives, so the network or a device hangs"


def test_patience_follows_the_longest_step(monkeypatch) -> None:
    now = 0.0
    monkeypatch.setattr("groundup.pipeline.watchdog.time.monotonic", lambda: now)
    dog = Watchdog(10.0, lambda what: None)
    dog.begin()
    assert dog.patience == FIRST * 10.0  # the first step compiles
    now = 0.5
    dog.step()
    assert dog.patience == 10.0
    now = 5.5
    dog.step()
    assert dog.patience == TIMES * 5.0
    now = 6.0
    dog.step()
    assert dog.patience == TIMES * 5.0
    dog.begin()  # another row of steps, of which nothing is known
    assert dog.patience == FIRST * 10.0


def test_only_steps_under_way_are_watched() -> None:
    """Between tasks, and once all is done, it may take as long as it will."""
    barked = threading.Event()
    with Watchdog(0.05, lambda what: barked.set()) as dog:
        assert not barked.wait(0.4)
        with Watched(Silent(), dog).task("t", 2) as task:
            task.advance()
        assert not barked.wait(0.4)
    assert not barked.wait(0.2)


def test_where_the_main_thread_is() -> None:
    """Its own code's line, not the library's in which it waits."""
    found = []
    thread = threading.Thread(target=lambda: found.append(main_thread_at()))
    thread.start()
    thread.join()
    assert found[0].startswith("test_watchdog.py:") and found[0].endswith("(test_where_the_main_thread_is)")
