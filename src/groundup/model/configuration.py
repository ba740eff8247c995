"""The shape of a decoder. The fields carry Hugging Face's names, so that an exported `config.json` reads the same.

`LLMConfig(...)` is a Llama, and three numbers are enough: `LLMConfig(vocab_size=4096, hidden_size=256,
num_hidden_layers=4)`. Other families are a few fields away, and `LLMConfig.like` sets those:

    LLMConfig.like("gpt2", vocab_size=50_257, hidden_size=768, intermediate_size=3072, num_hidden_layers=12,
                   num_attention_heads=12, num_key_value_heads=12, max_position_embeddings=1024)

The fields are independent of each other where the mathematics allows it, so a model of one's own (RoPE with QK-norm and
squared ReLU, say) needs no new code; whether Hugging Face has a name for the result is `huggingface_config`'s business.
"""

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, model_validator

from groundup.errors import GroundupError
from groundup.section import Section

Family = Literal["llama", "mistral", "qwen2", "qwen3", "gpt2", "mixtral", "qwen3_moe"]
Activation = Literal["silu", "gelu", "gelu_new", "gelu_pytorch_tanh", "relu", "relu2"]
LayerType = Literal["full_attention", "sliding_attention"]

# What makes a family: the fields in which it differs from Llama.
FAMILIES: dict[Family, dict[str, Any]] = {
    "llama": {},
    "mistral": {"sliding_window": 4096},
    "qwen2": {"qkv_bias": True, "rms_norm_eps": 1e-6},
    "qwen3": {"qk_norm": True, "rms_norm_eps": 1e-6},
    "gpt2": {
        "position_embedding": "learned",
        "norm": "layer_norm",
        "hidden_act": "gelu_new",
        "gated_mlp": False,
        "attention_bias": True,
        "mlp_bias": True,
    },
    "mixtral": {"num_experts": 8, "num_experts_per_tok": 2},
    "qwen3_moe": {"qk_norm": True, "rms_norm_eps": 1e-6, "num_experts": 128, "num_experts_per_tok": 8},
}


SHORTCUTS = ("smear", "stream_scalars", "value_embeddings", "backout")  # see shortcuts.py

# A start at unit scale, for Muon and a head of its own: what a layer reads has a root mean square of 1 from the first
# step on, and what it writes begins at 0 (modded-nanogpt, nanochat).
UNIT_START: dict[str, Any] = {
    "embedding_norm": True,
    "embedding_std": 0.8,
    "head_std": 0.001,
    "fan_in": True,
    "zero_init_outputs": True,
    "qk_gain": 1.2,
}
# A model for speed of learning alone, which has no name in other programs.
FAST: dict[str, Any] = {
    "qk_norm": True,
    "rms_norm_eps": 1e-6,
    "hidden_act": "relu2",
    "gated_mlp": False,
    **dict.fromkeys(SHORTCUTS, True),
    **UNIT_START,
}

REMAKE = "name another folder, or make this one again with the stage or the program that wrote it"

# The sizes that a model's file must name, though defaults exist for some.
SIZES = (
    "vocab_size",
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "max_position_embeddings",
)


def feed_forward_for(width: int, gated: bool = True) -> int:
    """8/3 of the width: SwiGLU's three matrices then cost what a plain MLP's two do at 4 times the width (Llama,
    arXiv 2302.13971; GPT-2). From a width of 4,096 on 7/2 of it: grouped-query attention left room for that (Llama 2
    70B, Mistral, Llama 3). Rounded up to a multiple of 64, of 256 from a width of 1,024 on."""
    if not gated:
        return 4 * width
    times, by = (7, 2) if width >= 4096 else (8, 3)
    multiple = 256 if width >= 1024 else 64
    return -(-times * width // (by * multiple)) * multiple


def head_size_for(width: int) -> int:
    """What a head's size should be: 64 (GPT-2, Llama 3.2 1B), 32 below a width of 128, 128 from 3,072 on (Llama 3)."""
    return 32 if width < 128 else 64 if width < 3072 else 128


def heads_for(width: int, kv_heads: int | None = None) -> int:
    """Query heads: the divisor of `width` whose head size is even (RoPE turns pairs) and nearest to what it should be.

    Where `kv_heads` is given, a multiple of it. A width that allows none gets `kv_heads` or 1.
    """
    wanted = head_size_for(width)
    for size in sorted(range(2, min(width, 256) + 1, 2), key=lambda size: (abs(size - wanted), size)):
        if width % size == 0 and (width // size) % (kv_heads or 1) == 0:
            return width // size
    return kv_heads or 1


class RopeScaling(Section):
    """Rotary angles stretched beyond the context that a model was trained for; the keys of Hugging Face's entry."""

    rope_type: Literal["linear", "llama3", "yarn"]
    """All angles divided by `factor`; Llama 3.1's smooth cut between slow and fast ones; YaRN (arXiv 2309.00071)."""
    factor: float = Field(ge=1)
    original_max_position_embeddings: int | None = Field(default=None, ge=1)
    """The context before; null: `max_position_embeddings`."""
    low_freq_factor: float = Field(default=1.0, gt=0)
    high_freq_factor: float = Field(default=4.0, gt=0)
    beta_fast: float = Field(default=32.0, gt=0)
    beta_slow: float = Field(default=1.0, gt=0)
    attention_factor: float | None = Field(default=None, gt=0)
    """What YaRN multiplies cosines and sines by; null: .1 ln(factor) + 1."""
    mscale: float | None = None
    mscale_all_dim: float | None = None
    truncate: bool = True

    @model_validator(mode="after")
    def _in_order(self) -> "RopeScaling":
        if self.high_freq_factor <= self.low_freq_factor:
            raise ValueError(f"high_freq_factor {self.high_freq_factor:g} must be above low_freq_factor")
        return self


class LLMConfig(Section):
    """A decoder: Llama's by default (arXiv 2302.13971, 2305.13245).

    >>> from groundup.model import LLMConfig
    >>> config = LLMConfig(vocab_size=4096, hidden_size=256, num_hidden_layers=4)
    >>> config.num_attention_heads, config.head_dim, config.intermediate_size, config.num_parameters
    (4, 64, 704, 4262144)
    >>> LLMConfig.like("qwen3", vocab_size=4096, hidden_size=256, num_hidden_layers=4).qk_norm
    True
    """

    vocab_size: int = Field(ge=1)
    hidden_size: int = Field(ge=2)
    intermediate_size: int = Field(default_factory=lambda given: feed_forward_for(given["hidden_size"]), ge=1)
    num_hidden_layers: int = Field(ge=1)
    num_attention_heads: int = Field(default_factory=lambda given: heads_for(given["hidden_size"]), ge=1)
    """Of 64 each in usual widths; see `heads_for`."""
    num_key_value_heads: int = Field(default_factory=lambda given: given["num_attention_heads"], ge=1)
    """As many as query heads where it is not given."""
    max_position_embeddings: int = Field(default=1024, ge=1)
    """The context, in tokens."""
    head_dim: int = Field(default_factory=lambda given: given["hidden_size"] // given["num_attention_heads"], ge=1)
    """Size of a head; `hidden_size` over the heads where it is not given."""
    tie_word_embeddings: bool = True

    position_embedding: Literal["rope", "learned"] = "rope"
    rope_theta: float = Field(default=10_000.0, gt=0)
    rope_scaling: RopeScaling | None = None
    sliding_window: int | None = Field(default=None, ge=1)
    """How many tokens a token sees, itself counted in (Mistral, arXiv 2310.06825); null: all before it."""
    layer_types: tuple[LayerType, ...] | None = None
    """Which layers slide where not all do."""

    norm: Literal["rms_norm", "layer_norm"] = "rms_norm"
    rms_norm_eps: float = Field(default=1e-5, gt=0)
    layer_norm_epsilon: float = Field(default=1e-5, gt=0)
    norm_bias: bool = True
    """Whether LayerNorm has one; RMSNorm never has."""
    attention_bias: bool = False
    """Biases in all four projections."""
    qkv_bias: bool = False
    """Biases in those of queries, keys and values alone (Qwen2)."""
    qk_norm: bool = False
    """RMSNorm over each head of queries and keys, before RoPE (Qwen3, arXiv 2302.05442)."""
    qk_gain: float = Field(default=1.0, gt=0)
    """Where the gains of these norms start: above 1, attention is sharper from the first step on (nanochat)."""
    embedding_norm: bool = False
    """RMSNorm without gains right after the embedding. An exported embedding has it applied."""
    hidden_act: Activation = "silu"
    gated_mlp: bool = True
    """down(act(gate(x)) * up(x)) (arXiv 2002.05202), else down(act(up(x)))."""
    mlp_bias: bool = False

    num_experts: int = Field(default=0, ge=0)
    """Experts per layer, of which each token uses `num_experts_per_tok`; 0: a dense model."""
    num_experts_per_tok: int = Field(default=2, ge=1)
    moe_intermediate_size: int = Field(default_factory=lambda given: given["intermediate_size"], ge=1)
    norm_topk_prob: bool = True
    """Whether the weights of a token's experts add up to 1."""
    router_aux_loss_coef: float = Field(default=0.001, ge=0)
    """Weight of the load-balancing loss (Switch Transformer, arXiv 2101.03961)."""
    decoder_sparse_step: int = Field(default=1, ge=1)
    """Every how many layers has experts."""
    mlp_only_layers: tuple[int, ...] = ()
    """Layers that have none all the same."""

    attention_dropout: float = Field(default=0.0, ge=0, lt=1)
    resid_pdrop: float = Field(default=0.0, ge=0, lt=1)
    embd_pdrop: float = Field(default=0.0, ge=0, lt=1)
    final_logit_softcapping: float | None = Field(default=None, gt=0)
    """c: logits become c tanh(logits / c) (Gemma 2, arXiv 2408.00118)."""
    z_loss_coef: float = Field(default=0.0, ge=0)
    """Weight of the mean squared logarithm of the softmax's normaliser (PaLM, arXiv 2204.02311)."""
    initializer_range: float = Field(default=0.02, gt=0)
    fan_in: bool = False
    """Matrices inside the layers start with 1 / sqrt(their inputs) in place of `initializer_range`."""
    embedding_std: float | None = Field(default=None, gt=0)
    """The embedding's at the start; null: `initializer_range`."""
    head_std: float | None = Field(default=None, gt=0)
    """An untied head's at the start; null: `initializer_range`."""
    zero_init_outputs: bool = False
    """What writes into the residual stream, and an untied head whose `head_std` is not set, starts at 0."""

    smear: bool = False
    """This and the next three are `shortcuts.py`'s: each embedding with a gated part of the one before it,"""
    stream_scalars: bool = False
    """two learnt factors for each layer, of the stream and of the first layer's input,"""
    value_embeddings: bool = False
    """tables of values in every second layer,"""
    backout: bool = False
    """and the middle layer's output subtracted, by a learnt factor, before the last norm."""
    mup_base_width: int | None = Field(default=None, ge=1)
    """The width at which the learning rate was found; other widths are scaled from it (muP, arXiv 2203.03466)."""

    @classmethod
    def like(cls, family: Family, **fields: Any) -> "LLMConfig":
        """A model of a family; `fields` overrule what the family sets."""
        return cls.model_validate({**FAMILIES[family], **fields})

    @model_validator(mode="after")
    def _fits(self) -> "LLMConfig":
        heads, kv_heads = self.num_attention_heads, self.num_key_value_heads
        if "head_dim" not in self.model_fields_set and self.hidden_size % heads:
            raise ValueError(f"hidden_size {self.hidden_size} is no multiple of {heads} heads")
        if self.position_embedding == "rope" and self.head_dim % 2:
            raise ValueError(f"RoPE needs an even head size, not {self.head_dim}")
        if heads % kv_heads:
            raise ValueError(f"{heads} query heads is no multiple of {kv_heads} key-value heads")
        if self.position_embedding == "learned" and self.rope_scaling:
            raise ValueError("rope_scaling has nothing to scale: position_embedding is learned")
        if self.layer_types is not None:
            if len(self.layer_types) != self.num_hidden_layers:
                raise ValueError(f"layer_types has {len(self.layer_types)} entries, not {self.num_hidden_layers}")
            if "sliding_attention" in self.layer_types and self.sliding_window is None:
                raise ValueError("layer_types has sliding layers, but sliding_window is not set")
        if self.num_experts:
            if self.num_experts_per_tok > self.num_experts:
                raise ValueError(f"num_experts_per_tok {self.num_experts_per_tok} is above {self.num_experts} experts")
            if not self.gated_mlp or self.mlp_bias:
                raise ValueError("experts are gated and have no biases: set gated_mlp to true and mlp_bias to false")
        if self.embedding_norm and (self.tie_word_embeddings or self.position_embedding == "learned"):
            raise ValueError("embedding_norm needs a head of its own and RoPE: set tie_word_embeddings to false")
        return self

    @property
    def shortcuts(self) -> tuple[str, ...]:
        """The names of the fields by which the model has ways around its layers."""
        return tuple(name for name in SHORTCUTS if getattr(self, name))

    def window(self, layer: int) -> int | None:
        """How many tokens a token of this layer sees; None: all before it."""
        if self.layer_types is not None and self.layer_types[layer] == "full_attention":
            return None
        return self.sliding_window

    def sparse(self, layer: int) -> bool:
        """Whether this layer has experts."""
        chosen = (layer + 1) % self.decoder_sparse_step == 0 and layer not in self.mlp_only_layers
        return self.num_experts > 0 and chosen

    @property
    def width_multiplier(self) -> float:
        """How many times wider than muP's base; 1 without muP."""
        return self.hidden_size / self.mup_base_width if self.mup_base_width else 1.0

    @property
    def parts(self) -> dict[str, int]:
        """Trainable numbers by part of the model; a tied head has none of its own."""
        return self._parts(self.num_experts)

    @property
    def num_parameters(self) -> int:
        """Trainable numbers, the embedding counted once when the head is tied to it."""
        return sum(self.parts.values())

    @property
    def num_active_parameters(self) -> int:
        """Those that one token goes through; all but the experts that it does not use."""
        return sum(self._parts(min(self.num_experts, self.num_experts_per_tok)).values())

    def flops_per_token(self, context: int) -> int:
        """Forward and backward: 6 N + 12 L H Q T (PaLM, arXiv 2204.02311, appendix B).

        N counts the weights of matrix products: the head's matrix, but neither norms nor what is only looked up (an
        untied embedding, learned positions), and only the experts that a token uses. T is at most a layer's window.
        """
        parts = self._parts(min(self.num_experts, self.num_experts_per_tok))
        looked_up = {"positions", "norms", "shortcuts"} | (set() if self.tie_word_embeddings else {"embedding"})
        multiplied = sum(count for part, count in parts.items() if part not in looked_up)
        seen = [min(context, self.window(layer) or context) for layer in range(self.num_hidden_layers)]
        return 6 * multiplied + 12 * self.num_attention_heads * self.head_dim * sum(seen)

    def _parts(self, experts: int) -> dict[str, int]:
        d, layers = self.hidden_size, self.num_hidden_layers
        queries, kv = self.num_attention_heads * self.head_dim, self.num_key_value_heads * self.head_dim
        attention = 2 * d * queries + 2 * d * kv
        attention += queries + 2 * kv if self.attention_bias or self.qkv_bias else 0
        attention += d if self.attention_bias else 0
        attention += 2 * self.head_dim if self.qk_norm else 0
        inner = 2 if self.gated_mlp else 1
        dense = (inner + 1) * d * self.intermediate_size
        dense += inner * self.intermediate_size + d if self.mlp_bias else 0
        sparse = d * self.num_experts + experts * 3 * d * self.moe_intermediate_size
        with_experts = sum(map(self.sparse, range(layers)))
        norm = 2 * d if self.norm == "layer_norm" and self.norm_bias else d
        found = {"embedding": self.vocab_size * d}
        if self.position_embedding == "learned":
            found["positions"] = self.max_position_embeddings * d
        if not self.tie_word_embeddings:
            found["head"] = self.vocab_size * d
        if self.shortcuts:
            found["shortcuts"] = self._shortcut_parameters(kv)
        return found | {
            "attention": layers * attention,
            "feed-forward": with_experts * sparse + (layers - with_experts) * dense,
            "norms": (2 * layers + 1) * norm,
        }

    def _shortcut_parameters(self, kv: int) -> int:
        tables = (self.num_hidden_layers + 1) // 2 if self.value_embeddings else 0
        gates = min(12, self.hidden_size) * self.num_key_value_heads
        smear = min(24, self.hidden_size) + 1 if self.smear else 0
        scalars = 2 * self.num_hidden_layers if self.stream_scalars else 0
        return tables * (self.vocab_size * kv + gates) + smear + scalars + int(self.backout)


def config_of(values: Any, where: Path) -> LLMConfig:
    """The shape that the content of a `config.json` describes; raises GroundupError where it describes none."""
    if missing := [name for name in SIZES if isinstance(values, dict) and name not in values]:
        raise GroundupError(f"is no model's shape (no {', '.join(missing)})", where=str(where), do=REMAKE)
    try:
        return LLMConfig.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        what = ": ".join([*map(str, first["loc"]), first["msg"]])
        raise GroundupError(f"is no model's shape ({what})", where=str(where), do=REMAKE) from error
