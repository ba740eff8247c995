"""Two kinds of made-up text that a classifier can distinguish, though not always."""

import random

import numpy as np
import pyarrow as pa

COMMON = "the of and to in is that it was for on are with as his they be at one have this from or had by".split()
PROSE = "because however therefore measured theory explains history evidence although described".split()
ADS = "buy cheap click offer free now deal discount subscribe sale".split()


def document(chance: random.Random, good: bool) -> str:
    own, other = (PROSE, ADS) if good else (ADS, PROSE)
    words = chance.choices(COMMON, k=chance.randint(20, 80))
    words += chance.choices(own, k=chance.randint(2, 9)) + chance.choices(other, k=chance.randint(0, 2))
    chance.shuffle(words)
    return " ".join(words) + "."


def documents(seed: int, count: int) -> tuple[pa.Array, np.ndarray]:
    """`(texts, whether each is good)`."""
    chance = random.Random(seed)
    good = np.array([chance.random() < 0.5 for _ in range(count)])
    return pa.array([document(chance, bool(one)) for one in good], pa.string()), good
