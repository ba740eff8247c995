"""The peers of the benchmark `tokenizer`, each in the way that its own documentation shows for speed."""

import hashlib
import json
from array import array
from collections.abc import Callable, Iterable
from importlib import import_module
from itertools import chain
from pathlib import Path
from time import perf_counter
from typing import Any

PATTERN = r"""'(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s"""  # tiktoken's gpt2


def read(texts: str) -> list[str]:
    """The texts that were prepared."""
    found: list[str] = json.loads(Path(texts).read_text(encoding="utf-8"))
    return found


def timed(work: Callable[[], Any], repeats: int) -> tuple[float, Any]:
    """Least seconds of `repeats` calls after one that is not counted (0 repeats: of that one), and the outcome."""
    seconds = []
    for _ in range(1 + repeats):
        outcome = None  # two are not held at once
        start = perf_counter()
        outcome = work()
        seconds.append(perf_counter() - start)
    return min(seconds[1:] or seconds), outcome


def digest(parts: Iterable[bytes]) -> str:
    """SHA-256 of byte strings and their lengths."""
    found = hashlib.sha256()
    for part in parts:
        found.update(len(part).to_bytes(8, "little") + part)
    return found.hexdigest()


def digest_of_ids(ids: Iterable[list[int]]) -> str:
    """As ours of the same ids."""
    return digest([array("I", chain.from_iterable(ids)).tobytes()])


def train_tokenizers(texts: str, folder: str, vocabulary: int, repeats: int, threads: int) -> dict[str, Any]:
    """Hugging Face's `tokenizers`, with its own pre-tokenizer for GPT-2's pattern."""
    library: Any = import_module("tokenizers")
    given = read(texts)

    def work() -> Any:
        found = library.Tokenizer(library.models.BPE())
        found.pre_tokenizer = library.pre_tokenizers.ByteLevel(add_prefix_space=False)
        alphabet = library.pre_tokenizers.ByteLevel.alphabet()
        found.train_from_iterator(
            given,
            library.trainers.BpeTrainer(
                vocab_size=vocabulary, initial_alphabet=alphabet, min_frequency=2, show_progress=False
            ),
        )
        return found

    seconds, found = timed(work, repeats)
    ids = found.get_vocab()
    return {"seconds": seconds, "result": digest(token.encode() for token in sorted(ids, key=ids.__getitem__))}


def train_rustbpe(texts: str, folder: str, vocabulary: int, repeats: int, threads: int) -> dict[str, Any]:
    """The trainer of nanochat, which has no minimum frequency: it would continue with pairs that occur once."""
    given = read(texts)
    seconds, found = timed(lambda: _rustbpe(given, vocabulary), repeats)
    return {"seconds": seconds, "result": digest(token for token, _ in found.get_mergeable_ranks())}


def train_sentencepiece(texts: str, folder: str, vocabulary: int, repeats: int, threads: int) -> dict[str, Any]:
    """Its BPE, on a file of lines: other words and so other merges, which are not compared."""
    library: Any = import_module("sentencepiece")
    lines = Path(folder, "lines.txt")
    lines.write_text("\n".join(read(texts)), encoding="utf-8")

    def work() -> None:
        library.SentencePieceTrainer.train(
            input=str(lines),
            model_prefix=str(Path(folder, "sentencepiece")),
            vocab_size=vocabulary,
            model_type="bpe",
            byte_fallback=True,
            normalization_rule_name="identity",
            remove_extra_whitespaces=False,
            num_threads=threads,
            max_sentence_length=1 << 20,
            minloglevel=2,
        )

    seconds, _ = timed(work, repeats)
    return {"seconds": seconds, "result": None}


def encode_tokenizers(texts: str, folder: str, vocabulary: int, repeats: int, threads: int) -> dict[str, Any]:
    """Hugging Face's `encode_batch_fast`, with its own pre-tokenizer for GPT-2's pattern."""
    library: Any = import_module("tokenizers")
    given = read(texts)
    found = library.Tokenizer.from_file(str(Path(folder, f"{vocabulary}.json")))
    found.pre_tokenizer = library.pre_tokenizers.ByteLevel(add_prefix_space=False)
    seconds, encodings = timed(lambda: found.encode_batch_fast(given, add_special_tokens=False), repeats)
    return {"seconds": seconds, "result": digest_of_ids(one.ids for one in encodings)}


def encode_tiktoken(texts: str, folder: str, vocabulary: int, repeats: int, threads: int) -> dict[str, Any]:
    """OpenAI's `encode_ordinary_batch` with our merges as ranks."""
    library: Any = import_module("tiktoken")
    given = read(texts)
    found = library.Encoding("ours", pat_str=PATTERN, mergeable_ranks=_ranks(folder, vocabulary), special_tokens={})
    seconds, ids = timed(lambda: found.encode_ordinary_batch(given, num_threads=threads), repeats)
    return {"seconds": seconds, "result": digest_of_ids(ids)}


def encode_rustbpe(texts: str, folder: str, vocabulary: int, repeats: int, threads: int) -> dict[str, Any]:
    """It reads no vocabulary: it is trained on the same texts first, which is not measured."""
    given = read(texts)
    found = _rustbpe(given, vocabulary)
    seconds, ids = timed(lambda: found.batch_encode(given), repeats)
    return {"seconds": seconds, "result": digest_of_ids(ids)}


def encode_fastokens(texts: str, folder: str, vocabulary: int, repeats: int, threads: int) -> dict[str, Any]:
    """Its `encode_batch_flat`, from our `tokenizer.json`."""
    library: Any = import_module("fastokens")
    given = read(texts)
    found = library.Tokenizer.from_file(str(Path(folder, f"{vocabulary}.json")))
    seconds, (ids, _) = timed(lambda: found.encode_batch_flat(given), repeats)
    return {"seconds": seconds, "result": digest([bytes(ids)])}


def _rustbpe(given: list[str], vocabulary: int) -> Any:
    found = import_module("rustbpe").Tokenizer()
    found.train_from_iterator(given, vocabulary, pattern=PATTERN)
    return found


def _ranks(folder: str, vocabulary: int) -> dict[bytes, int]:
    from groundup.tokenizer.tokenizer import Tokenizer

    tokens = Tokenizer.load(Path(folder, f"{vocabulary}.json")).vocabulary.tokens
    return {token: at for at, token in tokens.items()}


Side = Callable[[str, str, int, int, int], dict[str, Any]]
TRAINERS: dict[str, Side] = {
    "tokenizers": train_tokenizers,
    "rustbpe": train_rustbpe,
    "sentencepiece": train_sentencepiece,
}
ENCODERS: dict[str, Side] = {
    "tiktoken": encode_tiktoken,
    "tokenizers": encode_tokenizers,
    "rustbpe": encode_rustbpe,
    "fastokens": encode_fastokens,
}
