"""`make bench NAME=tokenizer`: training and encoding of byte-level BPE against the peers, with equal merges and ids.

All cut words by GPT-2's pattern, each in the way that is fastest for it (`tokenizers` has a pre-tokenizer of its own
for this pattern). Our tokenizer starts each repeat with an empty word cache, and all sides get the same list of
strings. A peer whose merges or ids differ is an error, and no row. Memory is that of a process that does the work once.
"""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks import tokenizer_peers as peers
from benchmarks.measure import Measurement, in_process, peer_in_process
from benchmarks.rows import Row, compare
from groundup.errors import GroundupError
from groundup.machine import usable_cores

VOCABULARIES = (8192, 32768)
MAX_BYTES = 40_000_000  # sentencepiece and tokenizers need most of a minute for more
CHECK_VOCABULARIES, CHECK_BYTES = (400, 500), 200_000
REPEATS = 3


def run(data: Path | None, check: bool = False) -> Iterator[Row]:
    """Rows for `data`, a file or folder of text; without it, for the Python documentation of this machine."""
    with tempfile.TemporaryDirectory() as folder:
        texts = str(Path(folder, "texts.json"))
        vocabularies, limit = (CHECK_VOCABULARIES, CHECK_BYTES) if check else (VOCABULARIES, MAX_BYTES)
        size: int = in_process(prepare, str(data.resolve()) if data else "", texts, limit).value
        for function in (train, encode):  # compiles the kernels, which is not measured
            in_process(function, texts, folder, 300, 1, 1)
        for vocabulary in vocabularies:
            yield from _training(texts, folder, vocabulary, f"{size / 1e6:.0f} MB")
        yield from _memory_of_training(texts, folder, vocabularies[-1], f"{size / 1e6:.0f} MB")
        yield from _encoding(texts, folder, vocabularies[-1], size)
        yield from _two_cores(texts, folder, vocabularies[-1], size)


def _training(texts: str, folder: str, vocabulary: int, size: str) -> Iterator[Row]:
    case = f"train {vocabulary:,} tokens, {size}"
    ours = in_process(train, texts, folder, vocabulary, REPEATS, 1)
    for name, peer in peers.TRAINERS.items():
        theirs = peer_in_process(peer, texts, folder, vocabulary, REPEATS, 1)
        if isinstance(theirs, Measurement) and theirs.value["result"] is not None:
            expected = ours.value["spelled"] if name == "tokenizers" else ours.value["result"]
            _same(theirs.value["result"], expected, f"the merges of {name} and ours", case)
        yield compare(case, "time", _seconds(ours), theirs.figure(_seconds), name, "s", "lower")


def _memory_of_training(texts: str, folder: str, vocabulary: int, size: str) -> Iterator[Row]:
    case = f"train {vocabulary:,} tokens, {size}"
    ours = _megabytes(in_process(train, texts, folder, vocabulary, 0, 1))
    for name in ("tokenizers", "rustbpe"):
        theirs = peer_in_process(peers.TRAINERS[name], texts, folder, vocabulary, 0, 1)
        yield compare(case, "peak memory", ours, theirs.figure(_megabytes), name, "MB", "lower")


def _encoding(texts: str, folder: str, vocabulary: int, size: int) -> Iterator[Row]:
    case = f"encode with {vocabulary:,} tokens, {size / 1e6:.0f} MB"
    ours = in_process(encode, texts, folder, vocabulary, REPEATS, 1)
    speed = size / 1e6 / _seconds(ours)
    for name, peer in peers.ENCODERS.items():
        theirs = peer_in_process(peer, texts, folder, vocabulary, REPEATS, 1)
        if isinstance(theirs, Measurement):
            _same(theirs.value["result"], ours.value["result"], f"the ids of {name} and ours", case)
        their_speed = theirs.figure(lambda it: size / 1e6 / _seconds(it))
        yield compare(case, "speed", speed, their_speed, name, "MB/s", "higher")
    peak = _megabytes(in_process(encode, texts, folder, vocabulary, 0, 1))
    for name in ("tokenizers", "tiktoken"):
        theirs = peer_in_process(peers.ENCODERS[name], texts, folder, vocabulary, 0, 1)
        yield compare(case, "peak memory", peak, theirs.figure(_megabytes), name, "MB", "lower")


def _two_cores(texts: str, folder: str, vocabulary: int, size: int) -> Iterator[Row]:
    if usable_cores() < 2:
        return
    for what, function in (("count words", count), ("encode", encode_array)):
        one, two = (
            in_process(function, texts, folder, vocabulary, REPEATS, cores, cores=cores).value for cores in (1, 2)
        )
        _same(two["result"], one["result"], "the outcomes on one core and on two", what)
        case, slow, fast = f"{what}, two cores, {size / 1e6:.0f} MB", one["seconds"], two["seconds"]
        yield compare(case, "speed", size / 1e6 / fast, size / 1e6 / slow, "groundup on one core", "MB/s", "higher")


def _seconds(measured: Measurement) -> float:
    seconds: float = measured.value["seconds"]
    return seconds


def _megabytes(measured: Measurement) -> float:
    return measured.peak_rss_bytes / 1e6


def _same(found: Any, expected: Any, what: str, case: str) -> None:
    if found != expected:
        raise GroundupError(f"{what} differ", where=case, do="report this: only equal results are compared")


def prepare(data: str, out: str, max_bytes: int) -> int:
    """Write the texts, about `max_bytes` of them, as a JSON list; returns their bytes in UTF-8."""
    import json

    from groundup.corpus.configuration import Files, PythonDocs, Source
    from groundup.corpus.documents import Document
    from groundup.corpus.sources import read_sources

    source: Source = Files(kind="files", path=Path(data)) if data else PythonDocs(kind="python-docs")
    texts: list[str] = []
    size = 0
    for item in read_sources([source], Path()):
        if isinstance(item, Document) and size < max_bytes:
            texts.append(item.text)
            size += item.size
    if not texts:
        raise GroundupError("there is no text to measure with", where=data)
    Path(out).write_text(json.dumps(texts), encoding="utf-8")
    return size


def train(texts: str, folder: str, vocabulary: int, repeats: int, threads: int) -> dict[str, Any]:
    """Our training; leaves the tokenizer in `folder` for the encoders."""
    import numpy as np

    from groundup.tokenizer.bpe import train_merges
    from groundup.tokenizer.interchange import CHARACTERS
    from groundup.tokenizer.tokenizer import Tokenizer
    from groundup.tokenizer.vocabulary import trained
    from groundup.tokenizer.word_counts import Words, count_words

    given = peers.read(texts)
    seconds, merges = peers.timed(
        lambda: train_merges(count_words(given, "gpt2", threads), vocabulary - 256).pairs, repeats
    )
    tokenizer = Tokenizer(trained(merges, "gpt2", special=()))
    found = {"seconds": seconds, "result": peers.digest(map(tokenizer.token_bytes, range(256 + len(merges))))}
    if repeats:
        tokenizer.save(Path(folder, f"{vocabulary}.json"))
        # `tokenizers` breaks ties by ids as we do, but numbers the bytes in the order of the characters that spell
        # them. With bytes renamed to that order, the merges must be the same to the last one.
        order = sorted(range(256), key=CHARACTERS.__getitem__)
        rows = count_words(given, "gpt2").rows()
        renamed = Words(np.argsort(order).astype(np.uint8)[rows.text], rows.offsets, rows.counts)
        spelled = [CHARACTERS[byte] for byte in order]
        for left, right in train_merges(renamed, vocabulary - 256).pairs.tolist():
            spelled.append(spelled[left] + spelled[right])
        found["spelled"] = peers.digest(token.encode() for token in spelled)
    return found


def count(texts: str, folder: str, vocabulary: int, repeats: int, threads: int) -> dict[str, Any]:
    """Our word counts, of texts in an Arrow array, as stages read them."""
    import pyarrow as pa

    from groundup.tokenizer.word_counts import count_words

    given = pa.array(peers.read(texts), pa.large_string())
    seconds, counts = peers.timed(lambda: count_words(given, "gpt2", threads), repeats)
    rows = counts.rows()
    return {"seconds": seconds, "result": peers.digest([rows.text.tobytes(), rows.counts.tobytes()])}


def encode(texts: str, folder: str, vocabulary: int, repeats: int, threads: int) -> dict[str, Any]:
    """Our encoding, with a tokenizer that has kept no words."""
    return _encode(peers.read(texts), Path(folder, f"{vocabulary}.json"), repeats, threads)


def encode_array(texts: str, folder: str, vocabulary: int, repeats: int, threads: int) -> dict[str, Any]:
    """Our encoding of texts in an Arrow array, as stages read them."""
    import pyarrow as pa

    given = pa.array(peers.read(texts), pa.large_string())
    return _encode(given, Path(folder, f"{vocabulary}.json"), repeats, threads)


def _encode(given: Any, path: Path, repeats: int, threads: int) -> dict[str, Any]:
    from groundup.tokenizer.tokenizer import Tokenizer

    fresh = [Tokenizer.load(path) for _ in range(1 + repeats)]
    seconds, (ids, _) = peers.timed(lambda: fresh.pop().encode_many(given, threads), repeats)
    return {"seconds": seconds, "result": peers.digest([ids.astype("<u4").tobytes()])}
