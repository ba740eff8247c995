"""A tokenizer for each pattern, trained on text that every Python has."""

import pydoc_data.topics

import pytest

from groundup.tokenizer.bpe import train_merges
from groundup.tokenizer.pretokenizer import PATTERNS
from groundup.tokenizer.tokenizer import Tokenizer
from groundup.tokenizer.word_counts import count_words


@pytest.fixture(scope="session")
def text() -> str:
    """About 700 kB of English with code."""
    return "\n\n".join(pydoc_data.topics.topics[name] for name in sorted(pydoc_data.topics.topics))


@pytest.fixture(scope="session")
def tokenizers_of(text: str) -> dict[str, Tokenizer]:
    mixed = [text, "Größe naïve façade über Ελληνικά кириллица 漢字かな 한국어 العربية 🙂🙃 don't WE'LL 12345 " * 9]
    return {name: Tokenizer(train_merges(count_words(mixed, name), 2000).pairs, name) for name in PATTERNS}


@pytest.fixture(scope="session")
def tokenizer(tokenizers_of: dict[str, Tokenizer]) -> Tokenizer:
    return tokenizers_of["qwen2"]
