"""Bits per byte: of a model that knows nothing, one that is read token by token, and a plain-Python n-gram model."""

import lzma
import math
from collections import defaultdict
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import tiny
from groundup.corpus.documents import Document
from groundup.evaluation.bits import (
    ByteNgrams,
    bits_per_byte,
    document_nats,
    grouped_bits,
    xz_bits_per_byte,
    xz_primed_bits_per_byte,
)
from groundup.model.decoder import CustomLanguageModel
from groundup.parallel.engine import ModelOnDevice
from groundup.progress import Silent
from groundup.shards.token_file import TokenShard, TokenWriter

END = 60
documents_ = st.lists(st.lists(st.integers(0, 59), max_size=45), min_size=1, max_size=5)


def shard(documents: list[list[int]]) -> TokenShard:
    return TokenShard.of([[*document, END] for document in documents])


def on_device(model: CustomLanguageModel) -> ModelOnDevice:
    return ModelOnDevice(model.requires_grad_(False), torch.device("cpu"), "fp32")


@given(documents_, st.integers(2, 20))
@settings(max_examples=30, deadline=None)
def test_a_uniform_model_needs_log_v_for_each_token(documents: list[list[int]], context: int) -> None:
    """Each token once, however the windows lie; documents' ends don't count."""
    made = CustomLanguageModel(tiny.shape(), seed=None)
    with torch.no_grad():
        made.lm_head.weight.zero_()
    nats = document_nats(on_device(made), shard(documents), context, END, Silent()).sum()
    assert nats == pytest.approx(sum(map(len, documents)) * math.log(61), rel=1e-5)


@given(documents_, st.integers(2, 20))
@settings(max_examples=15, deadline=None)
def test_windows_against_one_token_at_a_time(documents: list[list[int]], context: int) -> None:
    """Token t is predicted from the window that the text says: all before it within the window in which it is new."""
    made = tiny.model()
    expected = 0.0
    with torch.no_grad():
        for document in documents:
            row = [END, *document]
            for position in range(1, len(row)):
                first = 0
                while position > first + context:  # the first window that reaches it
                    first += context // 2
                logits = made(torch.tensor([row[first:position]]))[0][0, -1]
                expected -= float(logits.log_softmax(-1)[row[position]])
    nats = document_nats(on_device(made), shard(documents), context, END, Silent()).sum()
    assert nats == pytest.approx(expected, rel=1e-4, abs=1e-4)


def test_a_whole_document_in_one_window_is_its_log_probability() -> None:
    made, document = tiny.model(), tiny.ids(1, 40)[0].tolist()
    with torch.no_grad():
        logp = made(torch.tensor([[END, *document]]))[0][0].log_softmax(-1)
    expected = -sum(float(logp[position, token]) for position, token in enumerate(document))
    assert document_nats(on_device(made), shard([document]), 64, END, Silent())[0] == pytest.approx(expected, rel=1e-5)


def test_from_files(tmp_path: Path) -> None:
    with TokenWriter(tmp_path, "heldout", tiny.tokenizer()) as writer:
        for name in ("a", "b", "c"):
            writer.append(name, [] if name == "b" else tiny.ids(1, 30)[0].numpy())
    made = CustomLanguageModel(tiny.shape(), seed=None)
    with torch.no_grad():
        made.lm_head.weight.zero_()
    opened = TokenShard.open(tmp_path, "heldout", tiny.tokenizer())
    assert document_nats(on_device(made), opened, 16, END, Silent()).sum() == pytest.approx(60 * math.log(61), rel=1e-5)


def test_bits_by_source_language_and_length() -> None:
    """Weighted by bytes: the groups of each kind add up to the whole."""
    texts = ["a" * 500, "b" * 2000, "ü" * 300, "c" * 20_000]
    documents = [Document(text=t, source="xy"[n % 2], language="en" if n else "") for n, t in enumerate(texts)]
    nats = [100.0, 900.0, 50.0, 3000.0]
    found = grouped_bits(documents, nats)
    assert found["source"]["x"] == {"documents": 2, "bytes": 1100, "model": pytest.approx(150 / 1100 / math.log(2))}
    assert found["language"]["und"]["bytes"] == 500 and found["language"]["en"]["documents"] == 3
    assert list(found["length"]) == ["below 1 kB", "1 to 4 kB", "16 kB and more"]
    for groups in found.values():
        assert sum(one["model"] * one["bytes"] for one in groups.values()) * math.log(2) == pytest.approx(sum(nats))


def test_bits_per_byte() -> None:
    assert bits_per_byte(800 * math.log(2), 100) == pytest.approx(8)
    assert bits_per_byte(math.log(256), 1) == pytest.approx(8)


class Dictionary:
    """The n-gram model as its formula reads, with dictionaries and one byte at a time."""

    def __init__(self, order: int, texts: list[bytes]) -> None:
        self.order = order
        self.counts: dict[bytes, dict[int, int]] = defaultdict(lambda: defaultdict(int))
        for text in texts:
            padded = bytes(order - 1) + text
            for position in range(len(text)):
                before, byte = padded[position : position + order - 1], padded[position + order - 1]
                for n in range(order):
                    self.counts[before[len(before) - n :]][byte] += 1

    def p(self, before: bytes, byte: int) -> float:
        p = 1 / 256
        for n in range(self.order):
            followed = self.counts.get(before[len(before) - n :])
            if followed:
                total, kinds = sum(followed.values()), len(followed)
                p = (followed.get(byte, 0) + kinds * p) / (total + kinds)
        return p

    def bits(self, texts: list[bytes]) -> float:
        total = 0.0
        for text in texts:
            padded = bytes(self.order - 1) + text
            for position in range(len(text)):
                total -= math.log2(
                    self.p(padded[position : position + self.order - 1], padded[position + self.order - 1])
                )
        return total


texts_ = st.lists(st.text("abc\x00\xff", min_size=1, max_size=30).map(lambda text: text.encode("latin-1")), min_size=1)


@settings(max_examples=60, deadline=None)
@given(texts_, texts_, st.integers(1, 8))
def test_ngrams_against_dictionaries(train: list[bytes], heldout: list[bytes], order: int) -> None:
    made = ByteNgrams(order)
    made.train(train)
    assert made.bits(heldout) == pytest.approx(Dictionary(order, train).bits(heldout), rel=1e-9)


@pytest.mark.parametrize("order", [1, 2, 5, 8])
def test_ngram_probabilities_sum_to_1(order: int) -> None:
    """After contexts that were seen, seen in part, and never seen."""
    made = ByteNgrams(order)
    made.train([b"the cat sat on the mat", b"\xff\xff\xff"])
    for before in (b"", b"the ca", b"xyz th", b"\xff\xff", b"zzzzzzzz"):
        so_far = made.bits([before]) if before else 0.0
        p = [2 ** -(made.bits([before + bytes([byte])]) - so_far) for byte in range(256)]
        assert sum(p) == pytest.approx(1, abs=1e-9)
        assert min(p) > 0


def test_ngrams_of_an_untrained_byte() -> None:
    """One byte seen once: (1 + 1/256) / 2 for it, (1/256) / 2 for any other."""
    made = ByteNgrams(1)
    made.train([b"a"])
    assert made.bits([b"a"]) == pytest.approx(-math.log2((1 + 1 / 256) / 2))
    assert made.bits([b"b"]) == pytest.approx(-math.log2(1 / 512))


def test_xz() -> None:
    train, heldout = [b"the cat sat on the mat " * 50], [b"the cat sat ", b"on the mat"]
    alone = 8 * len(lzma.compress(b"".join(heldout), preset=9)) / 22
    assert xz_bits_per_byte(heldout) == pytest.approx(alone)
    assert xz_primed_bits_per_byte(train, heldout) < alone / 3
