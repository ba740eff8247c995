"""The `tokenizer:` section."""

from typing import Literal

from pydantic import Field

from groundup.section import Section


class TokenizerConfig(Section):
    """A byte-level BPE trained on the kept documents."""

    vocabulary: int = Field(default=4096, ge=300, le=1_000_000)
    """Words in all, the 256 bytes and the special tokens counted in."""
    pattern: Literal["gpt2", "llama3", "qwen2"] = "qwen2"
    """The pre-tokenizer's pattern; no merge crosses the cuts it makes."""
    min_frequency: int = Field(default=2, ge=1)
    """A pair of tokens seen less often than this is never merged."""
