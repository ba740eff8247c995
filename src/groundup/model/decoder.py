"""The decoder, top to bottom in the order in which data flows.

    token ids -> embedding -> L x [norm, attention, +, norm, SwiGLU, +] -> norm -> logits over the vocabulary

- RMSNorm before each sub-layer, no biases anywhere (Llama, arXiv 2302.13971)
- rotary positions in Hugging Face's half-split layout (arXiv 2104.09864)
- grouped-query attention through PyTorch's fused kernels (arXiv 2305.13245)
- parameters carry Hugging Face's names, so that an exported model is these tensors as they are

Suffixes name shapes: B batch, T tokens, D width, H query heads, G key-value heads, K head size, V vocabulary.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from groundup.model.configuration import LLMConfig

PADDING = 8  # positions behind the context at which a batch may hold padding, which nothing attends
SHORT = 256  # tokens up to which a CPU attends without the flash kernel


class KeyValueCache:
    """Keys and values of the tokens that each row has seen, in room set aside once.

    Rows may have different lengths: row b holds `lengths_B[b]` tokens, and what lies behind them is never attended.
    """

    def __init__(self, config: LLMConfig, batch: int, room: int, dtype: torch.dtype, device: torch.device) -> None:
        """`room`: most tokens per row, prompt and answer together."""
        shape = (config.num_hidden_layers, batch, config.num_key_value_heads, room, config.head_dim)
        self.keys = torch.zeros(shape, dtype=dtype, device=device)
        self.values = torch.zeros(shape, dtype=dtype, device=device)
        self.lengths_B = torch.zeros(batch, dtype=torch.long, device=device)
        self.longest = 0

    @property
    def empty(self) -> bool:
        return self.longest == 0

    def move(self, lengths_B: Tensor) -> None:
        """Say how many tokens each row holds now."""
        self.lengths_B, self.longest = lengths_B, int(lengths_B.max())

    def fill(self, layer: int, k_BGTK: Tensor, v_BGTK: Tensor) -> None:
        """Put in the keys and values of whole prompts, position 0 first."""
        T = k_BGTK.shape[2]
        self.keys[layer, :, :, :T], self.values[layer, :, :, :T] = k_BGTK, v_BGTK

    def add(self, layer: int, k_BG1K: Tensor, v_BG1K: Tensor) -> None:
        """Put each row's new key and value behind those that it has."""
        rows = torch.arange(len(self.lengths_B), device=self.lengths_B.device)
        self.keys[layer][rows, :, self.lengths_B] = k_BG1K[:, :, 0].to(self.keys.dtype)
        self.values[layer][rows, :, self.lengths_B] = v_BG1K[:, :, 0].to(self.values.dtype)

    def keep(self, rows: Tensor) -> None:
        """Keep only these rows (indices), in this order."""
        self.keys, self.values = self.keys[:, rows], self.values[:, rows]
        self.move(self.lengths_B[rows])


class Rotary(nn.Module):
    """Cosines and sines of every position's angles, float32, made once."""

    cos_TK: Tensor
    sin_TK: Tensor

    def __init__(self, config: LLMConfig) -> None:
        super().__init__()
        exponents = torch.arange(0, config.head_dim, 2, dtype=torch.float64) / config.head_dim
        angles = torch.outer(torch.arange(config.max_position_embeddings + PADDING), config.rope_theta**-exponents)
        angles = torch.cat((angles, angles), dim=-1)  # the half-split layout: dimension i turns with i + K/2
        self.register_buffer("cos_TK", angles.cos().float(), persistent=False)
        self.register_buffer("sin_TK", angles.sin().float(), persistent=False)

    def forward(self, positions_BT: Tensor) -> tuple[Tensor, Tensor]:
        """(cos, sin), each [B, 1, T, K]."""
        return self.cos_TK[positions_BT][:, None], self.sin_TK[positions_BT][:, None]


def rotate(x_BHTK: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turn each pair (i, i + K/2) of a head by its position's angle, in float32; the result has `x`'s dtype."""
    x = x_BHTK.float()
    first, second = x.chunk(2, dim=-1)
    return (x * cos + torch.cat((-second, first), dim=-1) * sin).to(x_BHTK.dtype)


def attend(q_BHTK: Tensor, k_BGTK: Tensor, v_BGTK: Tensor) -> Tensor:
    """Causal attention over whole sequences, [B, H, T, K].

    PyTorch's flash kernels, but for short sequences on a CPU: there its backward costs more than the scores' memory
    is worth (1.1x to 1.5x a whole training step at 128 tokens; docs/experiments.md).
    """
    T = q_BHTK.shape[2]
    if q_BHTK.device.type == "cpu" and T <= SHORT:
        return attend_short(q_BHTK, k_BGTK, v_BGTK)
    return F.scaled_dot_product_attention(q_BHTK, k_BGTK, v_BGTK, is_causal=True, enable_gqa=True)


def attend_short(q_BHTK: Tensor, k_BGTK: Tensor, v_BGTK: Tensor) -> Tensor:
    """The same with all scores held at once. Query heads of one group are stacked, so no key or value is copied."""
    B, H, T, K = q_BHTK.shape
    G = k_BGTK.shape[1]
    scores = q_BHTK.reshape(B, G, H // G * T, K) @ k_BGTK.transpose(-1, -2)
    scores_BHTT = scores.view(B, H, T, T).float() * K**-0.5
    future_TT = torch.ones(T, T, dtype=torch.bool, device=scores.device).triu(1)
    weights = scores_BHTT.masked_fill(future_TT, float("-inf")).softmax(-1).to(v_BGTK.dtype)
    return (weights.view(B, G, H // G * T, T) @ v_BGTK).view(B, H, T, K)


def attend_one(q_BH1K: Tensor, k_BGSK: Tensor, v_BGSK: Tensor, visible_BS: Tensor) -> Tensor:
    """Attention of one new token per row over its row's cached keys, [B, H, 1, K]."""
    B, H, _, K = q_BH1K.shape
    G = k_BGSK.shape[1]
    scores_BGHS = (q_BH1K.reshape(B, G, H // G, K) @ k_BGSK.transpose(-1, -2)).float() * K**-0.5
    weights = scores_BGHS.masked_fill(~visible_BS[:, None, None], float("-inf")).softmax(-1)
    return (weights.to(v_BGSK.dtype) @ v_BGSK).view(B, H, 1, K)


class Attention(nn.Module):
    """Causal self-attention in which several query heads share one key-value head."""

    def __init__(self, config: LLMConfig, layer: int) -> None:
        super().__init__()
        self.layer, self.head_dim = layer, config.head_dim
        d, kv = config.hidden_size, config.num_key_value_heads * config.head_dim
        self.q_proj = nn.Linear(d, d, bias=False)
        self.k_proj = nn.Linear(d, kv, bias=False)
        self.v_proj = nn.Linear(d, kv, bias=False)
        self.o_proj = nn.Linear(d, d, bias=False)

    def forward(self, x_BTD: Tensor, rotary: tuple[Tensor, Tensor], cache: KeyValueCache | None) -> Tensor:
        B, T, D = x_BTD.shape
        q_BHTK = self.q_proj(x_BTD).view(B, T, -1, self.head_dim).transpose(1, 2)
        k_BGTK = self.k_proj(x_BTD).view(B, T, -1, self.head_dim).transpose(1, 2)
        v_BGTK = self.v_proj(x_BTD).view(B, T, -1, self.head_dim).transpose(1, 2)
        q_BHTK, k_BGTK = rotate(q_BHTK, *rotary), rotate(k_BGTK, *rotary)
        if cache is None or cache.empty:
            y_BHTK = attend(q_BHTK, k_BGTK, v_BGTK)
            if cache is not None:
                cache.fill(self.layer, k_BGTK, v_BGTK)
        else:
            cache.add(self.layer, k_BGTK, v_BGTK)
            seen = cache.longest + 1
            visible_BS = torch.arange(seen, device=x_BTD.device) <= cache.lengths_B[:, None]
            keys, values = cache.keys[self.layer, :, :, :seen], cache.values[self.layer, :, :, :seen]
            y_BHTK = attend_one(q_BHTK, keys.to(q_BHTK.dtype), values.to(q_BHTK.dtype), visible_BS)
        out: Tensor = self.o_proj(y_BHTK.transpose(1, 2).reshape(B, T, D))
        return out


class SwiGLU(nn.Module):
    """down(silu(gate(x)) * up(x)) (arXiv 2002.05202)."""

    def __init__(self, config: LLMConfig) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.up_proj = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.down_proj = nn.Linear(config.intermediate_size, config.hidden_size, bias=False)

    def forward(self, x_BTD: Tensor) -> Tensor:
        out: Tensor = self.down_proj(F.silu(self.gate_proj(x_BTD)) * self.up_proj(x_BTD))
        return out


class Block(nn.Module):
    def __init__(self, config: LLMConfig, layer: int) -> None:
        super().__init__()
        self.input_layernorm = nn.RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.self_attn = Attention(config, layer)
        self.post_attention_layernorm = nn.RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.mlp = SwiGLU(config)

    def forward(self, x_BTD: Tensor, rotary: tuple[Tensor, Tensor], cache: KeyValueCache | None) -> Tensor:
        x_BTD = x_BTD + self.self_attn(self.input_layernorm(x_BTD), rotary, cache)
        out: Tensor = x_BTD + self.mlp(self.post_attention_layernorm(x_BTD))
        return out


class Decoder(nn.Module):
    """Everything below the head: token ids to features. Named `model` in Hugging Face's files."""

    def __init__(self, config: LLMConfig) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(Block(config, layer) for layer in range(config.num_hidden_layers))
        self.norm = nn.RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.rotary = Rotary(config)

    def forward(self, idx_BT: Tensor, cache: KeyValueCache | None = None) -> Tensor:
        B, T = idx_BT.shape
        positions_BT = torch.arange(T, device=idx_BT.device).expand(B, T)
        if cache is not None:
            positions_BT = positions_BT + cache.lengths_B[:, None]
        rotary = self.rotary(positions_BT)
        x_BTD = self.embed_tokens(idx_BT)
        for block in self.layers:
            x_BTD = block(x_BTD, rotary, cache)
        out: Tensor = self.norm(x_BTD)
        return out


class CustomLanguageModel(nn.Module):
    """A decoder with its head: `logits, loss = model(idx, targets)`.

    `idx` and `targets` are int64 [B, T]; targets of -100 are left out of the loss. Logits are float32 [B, T, V].
    """

    def __init__(self, config: LLMConfig, seed: int | None = 0) -> None:
        """Weights are drawn on the CPU from `seed`, so that every device starts from the same ones; None: not drawn."""
        super().__init__()
        self.config = config
        self.model = Decoder(config)
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        if config.tie_word_embeddings:
            self.lm_head.weight = self.model.embed_tokens.weight
        if seed is not None:
            self._initialise(torch.Generator().manual_seed(seed))

    def _initialise(self, generator: torch.Generator) -> None:
        """N(0, .02), and what writes into the residual stream by sqrt(2 L) less (GPT-2)."""
        residual = 0.02 / (2 * self.config.num_hidden_layers) ** 0.5
        for name, parameter in self.named_parameters():
            if parameter.dim() < 2:
                nn.init.ones_(parameter)
            else:
                into_stream = name.endswith(("o_proj.weight", "down_proj.weight"))
                nn.init.normal_(parameter, std=residual if into_stream else 0.02, generator=generator)

    def features(self, idx_BT: Tensor, cache: KeyValueCache | None = None) -> Tensor:
        """[B, T, D] after the last norm.

        With an empty cache `idx` holds the rows' prompts, padded on the right; with one that is in use, one new token
        for each row. The caller then calls `cache.move`.
        """
        out: Tensor = self.model(idx_BT, cache)
        return out

    def head(self, x_ND: Tensor) -> Tensor:
        """Float32 logits [..., V] of features [..., D]."""
        logits: Tensor = self.lm_head(x_ND).float()
        return logits

    def forward(self, idx_BT: Tensor, targets_BT: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        logits_BTV = self.head(self.features(idx_BT))
        if targets_BT is None:
            return logits_BTV, None
        return logits_BTV, F.cross_entropy(logits_BTV.flatten(0, 1), targets_BT.flatten())
