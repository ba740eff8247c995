"""Several processes that sample together draw what one draws; processes are threads here, which wait for each other."""

import threading
from collections.abc import Callable

import pytest
import torch

import tiny
from groundup.inference.generate import Continuation, Rows, Sampling, ShardedSampling, choose, generate

STOP = 60
PROMPTS = [[place, *range(place % 5)] for place in range(1, 14)]


def in_step(size: int, work: Callable[[int, Callable[[list[bool]], list[list[bool]]]], list[Continuation]]) -> list:
    """What each of `size` threads returns, in order; `gather` gives what all threads gave."""
    barrier, given, results = threading.Barrier(size), [None] * size, [None] * size

    def thread(rank: int) -> None:
        def gather(mine: list[bool]) -> list[list[bool]]:
            given[rank] = mine
            barrier.wait(10)
            everyone = list(given)
            barrier.wait(10)
            return everyone

        results[rank] = work(rank, gather)

    threads = [threading.Thread(target=thread, args=(rank,)) for rank in range(size)]
    for one in threads:
        one.start()
    for one in threads:
        one.join(30)
    return results


@pytest.mark.parametrize("size", [1, 2, 3, 16])
@pytest.mark.parametrize("sampling", [Sampling(1.0), Sampling(0.7, 0.9), Sampling()])
def test_the_samples_do_not_depend_on_how_many_draw_them(size: int, sampling: Sampling) -> None:
    """Also where some have no row at all, and rows end at different steps."""
    made = tiny.model(3, tie_word_embeddings=False, max_position_embeddings=32)
    with torch.no_grad():
        made.lm_head.weight[STOP] *= 2

    def sample(sharded: ShardedSampling | None = None) -> list[Continuation]:
        return generate(
            made, PROMPTS, stop=STOP, max_tokens=9, sampling=sampling, sharded=sharded,
            generator=torch.Generator().manual_seed(5),
        )  # fmt: skip

    def share(rank: int, gather: Callable[[list[bool]], list[list[bool]]]) -> list[Continuation]:
        return sample(ShardedSampling(range(rank * len(PROMPTS) // size, (rank + 1) * len(PROMPTS) // size), gather))

    alone = sample()
    assert 0 < sum(one.ended for one in alone) < len(alone)
    assert [one for part in in_step(size, share) for one in part] == alone


def test_randomness_for_a_batch_is_torch_s_own() -> None:
    """Rows of a batch get what torch.multinomial draws for them in the whole batch, bit for bit, and leave the
    generator where it does."""
    logits = torch.randn(7, 301, generator=torch.Generator().manual_seed(1))
    theirs, ours = torch.Generator().manual_seed(9), torch.Generator().manual_seed(9)
    whole = choose(logits, Sampling(0.8, 0.95), theirs)
    places = [1, 2, 5]
    part = choose(logits[places], Sampling(0.8, 0.95), ours, Rows(7, places))
    assert part.tolist() == whole[places].tolist()
    assert torch.equal(ours.get_state(), theirs.get_state())
