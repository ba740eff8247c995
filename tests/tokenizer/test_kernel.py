"""Each kernel of the tokenizer is compiled once, for whatever arrays it is called with."""

from pathlib import Path

import pyarrow as pa
from numba.core.dispatcher import Dispatcher

from groundup.tokenizer import bpe, encoding, pretokenizer, word_table
from groundup.tokenizer.bpe import train_merges
from groundup.tokenizer.interchange import ranks, read_tiktoken, write_tiktoken
from groundup.tokenizer.pretokenizer import split
from groundup.tokenizer.tokenizer import Tokenizer
from groundup.tokenizer.word_counts import count_words
from groundup.tokenizer.word_files import load_counts, save_counts


def test_each_kernel_is_compiled_once(text: str, tmp_path: Path) -> None:
    """Compiling takes seconds. Arrays that may be written and those that may not are different types to numba."""
    words = count_words([text[:3000], "ü" * 40], "gpt2", threads=2)
    words.add(pa.array([text[:1000]]))
    words.add_words(words.rows())
    save_counts(words, tmp_path / "words.parquet")
    words = load_counts(tmp_path / "words.parquet")
    for some in (words, words.rows(), {"ab": 3, "x" * 20: 2}):
        tokenizer = Tokenizer(train_merges(some, 50).pairs, "gpt2")
    tokenizer.save(tmp_path / "tokenizer.json")
    write_tiktoken(tokenizer, tmp_path / "ranks")
    for one in (tokenizer, read_tiktoken(tmp_path / "ranks", "gpt2", {}), Tokenizer.load(tmp_path / "tokenizer.json")):
        one.encode_many(pa.array([text[:1000], "x"]), threads=2)
        one.encode("x" * 5000, special=True)
        one.encode_words(words.rows())
        one.encode_words(["ab", b"c"])
    split(b"ab", "gpt2")
    kernels = [
        value
        for module in (bpe, encoding, pretokenizer, ranks, word_table)
        for value in vars(module).values()
        if isinstance(value, Dispatcher) and "no_cpython_wrapper" not in value.targetoptions  # not a helper
    ]
    assert len(kernels) > 9
    assert {kernel.__name__: len(kernel.signatures) for kernel in kernels if len(kernel.signatures) > 1} == {}
