"""The shape of a decoder. The fields carry Hugging Face's names, so that the exported `config.json` reads the same."""

from pydantic import Field, model_validator

from groundup.section import Section


class LLMConfig(Section):
    """A Llama-style decoder: RoPE, RMSNorm, SwiGLU, grouped-query attention (arXiv 2302.13971, 2305.13245)."""

    vocab_size: int = Field(ge=1)
    hidden_size: int = Field(ge=2)
    intermediate_size: int = Field(ge=1)
    num_hidden_layers: int = Field(ge=1)
    num_attention_heads: int = Field(ge=1)
    num_key_value_heads: int = Field(ge=1)
    max_position_embeddings: int = Field(ge=1)
    rope_theta: float = Field(default=10_000.0, gt=0)
    rms_norm_eps: float = Field(default=1e-5, gt=0)
    tie_word_embeddings: bool = True

    @model_validator(mode="after")
    def _heads_fit(self) -> "LLMConfig":
        if self.hidden_size % self.num_attention_heads:
            raise ValueError(f"hidden_size {self.hidden_size} is no multiple of {self.num_attention_heads} heads")
        if self.head_dim % 2:
            raise ValueError(f"RoPE needs an even head size, not {self.head_dim}")
        if self.num_attention_heads % self.num_key_value_heads:
            raise ValueError(
                f"{self.num_attention_heads} query heads can't share {self.num_key_value_heads} key-value heads evenly"
            )
        return self

    @property
    def head_dim(self) -> int:
        return self.hidden_size // self.num_attention_heads

    @property
    def num_parameters(self) -> int:
        """Trainable numbers, the embedding counted once when the head is tied to it."""
        d, kv = self.hidden_size, self.num_key_value_heads * self.head_dim
        attention = 2 * d * d + 2 * d * kv
        layer = attention + 3 * d * self.intermediate_size + 2 * d
        embeddings = self.vocab_size * d * (1 if self.tie_word_embeddings else 2)
        return self.num_hidden_layers * layer + embeddings + d

    def flops_per_token(self, context: int) -> int:
        """Forward and backward: 6 N + 12 L H Q T (PaLM, arXiv 2204.02311, appendix B); N counts the head's matrix."""
        return 6 * self.num_parameters + 12 * self.num_hidden_layers * self.hidden_size * context
