"""Shingles and MinHash signatures: the compiled inner loops.

    words of a text -> 64-bit hashes -> rolling polynomial over k words in a row -> 32-bit shingle hashes
    signature[f] = least value of (multiplier[f] * shingle + addend[f]) mod 2^32 over a text's shingles

For a random function of that kind the chance that two sets have the same least value is close to their Jaccard
similarity (Broder, 1997); the shingles are well mixed before, and the tests hold the estimate against exact values.
Two different shingles of one pair of texts fall together with a chance of one in 2^32, so that of two texts of n
shingles each about n / 2^32 of the shingles seem common that are not: one in 40,000 for books of 100,000 words.

Words are separated by the space byte. A word's bytes are taken eight at a time. The functions are the inner loop,
for eight shingles at once: so it becomes vector instructions, and a signature is loaded and stored an eighth as often.
"""

import numpy as np
from numpy.typing import NDArray

from groundup.kernels.arrow import Bytes, Offsets, longest_text
from groundup.kernels.bits import bytes_equal, load64_at, trailing_zeros
from groundup.kernels.compilation import Integer, helper, kernel
from groundup.kernels.hashing import BASE, GOLDEN, HALF, ONE, byte_masks, folded, power

Hashes = NDArray[np.uint32]
Words = NDArray[np.uint64]

NOTHING = np.uint32(0xFFFFFFFF)  # in the signature of a text without shingles
VECTOR = 16  # functions are made up to a multiple of so many

PADDING = 80  # bytes after a text that its words are read with

_SPACE = np.uint8(32)
_FIRST, _SECOND = byte_masks(16)
_SEED = 20_241_121  # of the random functions; another one finds other candidates among the least similar pairs


def random_functions(count: int) -> tuple[Hashes, Hashes]:
    """`(multipliers, addends)` of `count` functions, made up to a multiple of VECTOR; odd multipliers."""
    random = np.random.Generator(np.random.PCG64(_SEED))
    padded = -(-count // VECTOR) * VECTOR
    multipliers = random.integers(0, 2**32, padded, dtype=np.uint32) | np.uint32(1)
    return multipliers, random.integers(0, 2**32, padded, dtype=np.uint32)


@helper
def hash_words(text: Bytes, end: int, words: Words) -> int:
    """Write a hash of each word of `text[:end]` to `words`; returns how many there are.

    `text` has PADDING bytes after `end`, which are made spaces. Where words begin and end is read from the bits of 64
    bytes at a time, so that a word need not wait for the one before it.
    """
    text[end : end + 64] = _SPACE
    count = start = 0
    before = ONE  # whether the byte before the block is a space
    for block in range(0, end + 1, 64):
        spaces = bytes_equal(text, block, _SPACE)
        after_space = spaces << ONE | before
        begins, ends = ~spaces & after_space, spaces & ~after_space
        if before != 0:
            start = block + trailing_zeros(begins)
            begins &= begins - ONE
        before = spaces >> np.uint64(63)
        while ends != 0:
            at = block + trailing_zeros(ends)
            ends &= ends - ONE
            short = min(at - start, 16)
            first, second = load64_at(text, start), load64_at(text, start + 8)
            word = ((first & _FIRST[short]) ^ GOLDEN) * BASE
            word = (folded(word) ^ (second & _SECOND[short])) * BASE
            for more in range(start + 16, at):
                word = (folded(word) ^ np.uint64(text[more])) * BASE
            words[count] = folded(word)
            count += 1
            start = block + trailing_zeros(begins)
            begins &= begins - ONE
    return count


@helper
def hash_shingles(words: Words, count: int, size: int, shingles: Hashes, at: int) -> int:
    """Write a hash of every `size` words in a row to `shingles` from `at` on; returns where they end."""
    if count < size:
        return at
    leaving = power(BASE, size)  # what a word was multiplied by when it leaves
    rolling = np.uint64(0)
    for word in range(size):
        rolling = rolling * BASE + words[word]
    shingles[at] = _mixed(rolling)
    for word in range(size, count):
        rolling = rolling * BASE + words[word] - words[word - size] * leaving
        shingles[at + word - size + 1] = _mixed(rolling)
    return at + count - size + 1


@helper
def _mixed(rolling: Integer) -> Integer:
    rolling = folded(rolling) * GOLDEN
    return np.uint32((rolling ^ (rolling >> np.uint64(29))) * BASE >> HALF)


@helper
def sign(shingles: Hashes, start: int, end: int, multipliers: Hashes, addends: Hashes, signature: Hashes) -> None:
    """Make `signature` that of `shingles[start:end]`."""
    functions = multipliers.size
    for function in range(functions):
        signature[function] = NOTHING
    at = start
    while at + 8 <= end:
        s0, s1, s2, s3 = shingles[at], shingles[at + 1], shingles[at + 2], shingles[at + 3]
        s4, s5, s6, s7 = shingles[at + 4], shingles[at + 5], shingles[at + 6], shingles[at + 7]
        for function in range(functions):
            m, a, least = multipliers[function], addends[function], signature[function]
            least = min(least, np.uint32(m * s0 + a))
            least = min(least, np.uint32(m * s1 + a))
            least = min(least, np.uint32(m * s2 + a))
            least = min(least, np.uint32(m * s3 + a))
            least = min(least, np.uint32(m * s4 + a))
            least = min(least, np.uint32(m * s5 + a))
            least = min(least, np.uint32(m * s6 + a))
            least = min(least, np.uint32(m * s7 + a))
            signature[function] = least
        at += 8
    for rest in range(at, end):
        shingle = shingles[rest]
        for function in range(functions):
            value = np.uint32(multipliers[function] * shingle + addends[function])
            signature[function] = min(signature[function], value)


@kernel
def sign_texts(text: Bytes, offsets: Offsets, size: int, multipliers: Hashes, addends: Hashes) -> Hashes:
    """(texts, functions) the signatures of texts in their normal form."""
    texts = len(offsets) - 1
    longest = longest_text(offsets)
    padded = np.empty(longest + PADDING, dtype=np.uint8)
    words = np.empty(longest + 1, dtype=np.uint64)
    shingles = np.empty(longest + 1, dtype=np.uint32)
    signatures = np.empty((texts, multipliers.size), dtype=np.uint32)
    for one in range(texts):
        length = offsets[one + 1] - offsets[one]
        padded[:length] = text[offsets[one] : offsets[one + 1]]
        count = hash_words(padded, length, words)
        end = hash_shingles(words, count, size, shingles, 0)
        sign(shingles, 0, end, multipliers, addends, signatures[one])
    return signatures
