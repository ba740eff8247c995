"""Which documents are held out: decided by the hash in their id, so that no run and no machine decides otherwise."""

from collections.abc import Iterable

_HASH_DIGITS = 16


def heldout_ids(ids: Iterable[str], share: float) -> frozenset[str]:
    """The ids whose first 64 bits, read as a fraction, lie below `share`.

    Of two or more documents at least one is held out where `share` is above 0, and at least one is not: the one with
    the smallest, or the largest, hash.
    """
    everything = sorted(ids)
    chosen = [one for one in everything if int(one[:_HASH_DIGITS], 16) < share * 16**_HASH_DIGITS]
    if share > 0 and not chosen and len(everything) > 1:
        chosen = everything[:1]
    if len(chosen) == len(everything):
        chosen = chosen[:-1]
    return frozenset(chosen)
