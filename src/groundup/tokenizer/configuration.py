"""The `tokenizer:` section."""

from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from groundup.section import Section

BYTES_ONLY = 262  # the 256 bytes and the special tokens


class TokenizerConfig(Section):
    """A byte-level BPE trained on the kept documents."""

    incidental: ClassVar[frozenset[str]] = frozenset({"compare"})

    kind: Literal["bpe", "character", "byte"] = "bpe"
    """For study: `character` makes a token of each character that occurs, most frequent first (the others are spelled
    in bytes), and `byte` has no tokens but the 256 bytes."""
    vocabulary: int = Field(default=4096, ge=BYTES_ONLY, le=1_000_000)
    """Words in all, the 256 bytes and the special tokens counted in."""
    pattern: Literal["gpt2", "llama3", "qwen2"] = "qwen2"
    """The pre-tokenizer's pattern; no merge crosses the cuts it makes."""
    min_frequency: int = Field(default=2, ge=1)
    """A pair of tokens seen less often than this is never merged."""
    min_word_count: int = Field(default=1, ge=1)
    """Words that occur less often in the whole corpus are not trained on. Most words of a very large corpus occur
    once or twice: 2 or 3 saves most of the memory and changes few merges."""
    compare: Path | None = None
    """A `tokenizer.json`, or a folder with GPT-2's two files: the report then says how many tokens that tokenizer needs
    for the same text."""

    @model_validator(mode="before")
    @classmethod
    def _bytes_only(cls, values: Any) -> Any:
        """A byte tokenizer's vocabulary needs not be said."""
        if isinstance(values, dict) and values.get("kind") == "byte":
            return {"vocabulary": BYTES_ONLY} | values
        return values

    @model_validator(mode="after")
    def _fits_the_kind(self) -> "TokenizerConfig":
        if self.kind == "byte" and self.vocabulary != BYTES_ONLY:
            raise ValueError(f"a tokenizer of kind byte has a vocabulary of {BYTES_ONLY}: leave it out")
        if self.kind != "bpe" and self.pattern != type(self).model_fields["pattern"].default:
            raise ValueError(f"a tokenizer of kind {self.kind} cuts no words: leave the pattern out")
        return self
