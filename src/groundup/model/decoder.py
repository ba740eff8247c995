"""The decoder, top to bottom in the order in which data flows.

    token ids -> embedding -> L x [norm, attention, +, norm, feed-forward, +] -> norm -> logits over the vocabulary

By the configuration alone this is Llama, Mistral, Qwen2, Qwen3, GPT-2, Mixtral, Qwen3-MoE, or something of your own:

- positions: rotary in Hugging Face's half-split layout (arXiv 2104.09864), or learned and added (GPT-2)
- RMSNorm or LayerNorm before each sub-layer
- grouped-query attention (arXiv 2305.13245) with or without biases, a norm of queries and keys, a sliding window
- a feed-forward part with or without a gate, or a mixture of experts
- several documents in a row that do not see each other
- one set of parameter names whatever the family, Llama's; `huggingface.py` translates those of the others

Kernels, masks and the key-value cache are in `attention.py`, positions in `rotary.py`, experts in `experts.py`.
Suffixes name shapes: B batch, T tokens, D width, H query heads, G key-value heads, K head size, V vocabulary, N tokens
in any order.
"""

from collections.abc import Callable, Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from groundup.model.attention import Mask, attend, flex_fits, mask_of, runs_of
from groundup.model.cache import Appended
from groundup.model.configuration import LLMConfig
from groundup.model.cross_entropy import IGNORED, linear_cross_entropy
from groundup.model.experts import SparseMLP, load_balancing_loss, routing_sums
from groundup.model.feed_forward import MLP, GatedMLP, activation
from groundup.model.inputs import DecoderInputs, LayerInputs, check_length, tokens_before
from groundup.model.linear import Linear
from groundup.model.norm import RMSNorm
from groundup.model.rotary import Rotary, rotate
from groundup.model.shortcuts import (
    BACKOUT,
    FirstInput,
    Smear,
    StreamScalars,
    ValueEmbedding,
    has_value_embedding,
    initialise,
)

INTO_STREAM = ("o_proj.weight", "mlp.down_proj.weight", "experts.down_proj")  # what writes into the residual stream


def make_norm(config: LLMConfig) -> nn.Module:
    """A norm over the width."""
    if config.norm == "layer_norm":
        return nn.LayerNorm(config.hidden_size, config.layer_norm_epsilon, bias=config.norm_bias)
    return RMSNorm(config.hidden_size, config.rms_norm_eps)


def make_dropout(fraction: float) -> nn.Module:
    """Nothing at all where nothing is dropped."""
    return nn.Dropout(fraction) if fraction else nn.Identity()


class Attention(nn.Module):
    """Causal self-attention in which several query heads share one key-value head."""

    def __init__(self, config: LLMConfig, layer: int) -> None:
        super().__init__()
        self.layer, self.head_dim, self.window = layer, config.head_dim, config.window(layer)
        self.rope, self.dropout = config.position_embedding == "rope", config.attention_dropout
        d, queries = config.hidden_size, config.num_attention_heads * config.head_dim
        kv, bias = config.num_key_value_heads * config.head_dim, config.attention_bias
        self.q_proj = Linear(d, queries, bias=bias or config.qkv_bias)
        self.k_proj = Linear(d, kv, bias=bias or config.qkv_bias)
        self.v_proj = Linear(d, kv, bias=bias or config.qkv_bias)
        self.o_proj = Linear(queries, d, bias=bias)
        self.q_norm = RMSNorm(config.head_dim, config.rms_norm_eps) if config.qk_norm else None
        self.k_norm = RMSNorm(config.head_dim, config.rms_norm_eps) if config.qk_norm else None
        self.value_embedding = ValueEmbedding(config) if has_value_embedding(config, layer) else None

    def forward(
        self,
        x_BTD: Tensor,
        rotary: tuple[Tensor, Tensor] | None,
        mask: Mask,
        cache: Appended | None,
        first: FirstInput | None = None,
    ) -> Tensor:
        B, T, _ = x_BTD.shape
        q_BTHK = self.q_proj(x_BTD).view(B, T, -1, self.head_dim)
        k_BTGK = self.k_proj(x_BTD).view(B, T, -1, self.head_dim)
        v_BTGK = self.v_proj(x_BTD).view(B, T, -1, self.head_dim)
        if self.value_embedding is not None:
            assert first is not None
            v_BTGK = self.value_embedding(v_BTGK, x_BTD, first.ids_BT)
        v_BGTK = v_BTGK.transpose(1, 2)
        if self.q_norm is not None and self.k_norm is not None:
            q_BTHK, k_BTGK = self.q_norm(q_BTHK), self.k_norm(k_BTGK)
        q_BHTK, k_BGTK = q_BTHK.transpose(1, 2), k_BTGK.transpose(1, 2)
        if rotary is not None:
            q_BHTK, k_BGTK = rotate(q_BHTK, *rotary), rotate(k_BGTK, *rotary)
        if cache is None:
            y_BHTK = attend(q_BHTK, k_BGTK, v_BGTK, mask, self.dropout if self.training else 0.0)
        else:
            y_BHTK = cache.attend(self.layer, q_BHTK, k_BGTK, v_BGTK, self.window, mask)
        out: Tensor = self.o_proj(y_BHTK.transpose(1, 2).reshape(B, T, -1))
        return out


class Block(nn.Module):
    """One layer: attention, then the feed-forward part, each with a norm before it, and added to the stream."""

    def __init__(self, config: LLMConfig, layer: int) -> None:
        super().__init__()
        self.scalars = StreamScalars(layer, config.num_hidden_layers) if config.stream_scalars else None
        self.input_layernorm = make_norm(config)
        self.self_attn = Attention(config, layer)
        self.post_attention_layernorm = make_norm(config)
        self.mlp: nn.Module
        if config.sparse(layer):
            self.mlp = SparseMLP(config, activation(config.hidden_act))
        else:
            self.mlp = GatedMLP(config) if config.gated_mlp else MLP(config)
        self.dropout = make_dropout(config.resid_pdrop)

    def forward(
        self,
        x_BTD: Tensor,
        rotary: tuple[Tensor, Tensor] | None,
        mask: Mask = None,
        cache: Appended | None = None,
        first: FirstInput | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        """(stream [B, T, D], the router's logits [N, E] where the layer has experts)."""
        if self.scalars is not None:
            assert first is not None
            x_BTD = self.scalars(x_BTD, first.x_BTD)
        more = () if first is None else (first,)  # tensor parallelism counts the arguments
        x_BTD = x_BTD + self.dropout(self.self_attn(self.input_layernorm(x_BTD), rotary, mask, cache, *more))
        y_BTD, routing_NE = self.mlp(self.post_attention_layernorm(x_BTD)), None
        if isinstance(self.mlp, SparseMLP):
            y_BTD, routing_NE = y_BTD
        return x_BTD + self.dropout(y_BTD), routing_NE


class DecoderSeams:
    """What happens to a batch before the layers and after them. These are one process's; those of parallelism are
    subclasses, which a decoder is given from outside (`decoder.seams = ...`). They hold no weights."""

    def prepare(self, decoder: "Decoder", inputs: DecoderInputs) -> LayerInputs:
        """Positions and masks of the tokens that this process computes; a subclass may pad or cut the sequences.

        Raises:
            GroundupError: the sequences are longer than the context.
        """
        config, device, T = decoder.config, inputs.ids_BT.device, inputs.ids_BT.shape[1]
        check_length(T, config)
        positions_BT, runs_BT = torch.arange(T, device=device)[None], None
        if inputs.documents_BT is not None:
            assert inputs.cache is None, "a cache's slot is one document"
            runs_BT, positions_BT = runs_of(inputs.documents_BT)
        if inputs.cache is not None:
            positions_BT = inputs.cache.positions_BT
        flex = flex_fits(device, config.head_dim, config.attention_dropout if decoder.training else 0.0)
        masks = {window: mask_of(T, window, runs_BT, device, flex) for window in set(decoder.windows)}
        return LayerInputs(**vars(inputs), positions_BT=positions_BT, masks=masks)

    def finish(self, decoder: "Decoder", x_BTD: Tensor, inputs: DecoderInputs) -> Tensor:
        """Features [B, T, D] of the tokens of `inputs`, as `prepare` was given them, from the last layer's output."""
        features_BTD: Tensor = decoder.norm(x_BTD)
        return features_BTD


class Decoder(nn.Module):
    """Everything below the head: token ids to features. Named `model` in Hugging Face's files."""

    def __init__(self, config: LLMConfig) -> None:
        super().__init__()
        self.config = config
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        learned = config.position_embedding == "learned"
        self.embed_positions = nn.Embedding(config.max_position_embeddings, config.hidden_size) if learned else None
        self.smear = Smear(config) if config.smear else None
        self.dropout = make_dropout(config.embd_pdrop)
        self.layers = nn.ModuleList(Block(config, layer) for layer in range(config.num_hidden_layers))
        self.backout = nn.Parameter(torch.full((1,), BACKOUT)) if config.backout else None
        self.norm = make_norm(config)
        self.rotary = None if learned else Rotary(config)
        self.windows = [config.window(layer) for layer in range(config.num_hidden_layers)]
        self.seams = DecoderSeams()

    def forward(self, inputs: DecoderInputs) -> Tensor:
        """Features [B, T, D] after the last norm.

        Raises:
            GroundupError: the sequences are longer than the context.
        """
        prepared = self.seams.prepare(self, inputs)
        x_BTD = self.run_blocks(zip(self.layers, self.windows, strict=True), self.embed(prepared), prepared)
        return self.seams.finish(self, x_BTD, inputs)

    def embed(self, inputs: LayerInputs) -> Tensor:
        """The first layer's input, [B, T, D]."""
        x_BTD = self.normed(self.embed_tokens(inputs.ids_BT))
        if self.smear is not None:
            before_BT, has_before_BT = tokens_before(inputs)
            x_BTD = self.smear(x_BTD, self.normed(self.embed_tokens(before_BT)), has_before_BT)
        if self.embed_positions is not None:
            T, context = inputs.ids_BT.shape[1], self.config.max_position_embeddings
            positions_BT = inputs.positions_BT  # padding may reach beyond the context (see PADDING), which has no row
            x_BTD = x_BTD + self.embed_positions(positions_BT.clamp(max=context - 1) if context < T else positions_BT)
        out: Tensor = self.dropout(x_BTD)
        return out

    def normed(self, embedded: Tensor) -> Tensor:
        """Embeddings [..., D] as the layers read them."""
        if not self.config.embedding_norm:
            return embedded
        return F.rms_norm(embedded, embedded.shape[-1:], eps=self.config.rms_norm_eps)

    def run_blocks(self, blocks: Iterable[tuple[nn.Module, int | None]], x_BTD: Tensor, inputs: LayerInputs) -> Tensor:
        """The residual stream [B, T, D] after some consecutive layers, each given with its window."""
        rotary = None if self.rotary is None else self.rotary(inputs.positions_BT)
        valid_N = None if inputs.valid_BT is None else inputs.valid_BT.flatten()
        first = FirstInput(x_BTD, inputs.ids_BT) if self.config.shortcuts else None
        more = () if first is None else (first,)
        middle_BTD, middle = x_BTD, self.config.num_hidden_layers // 2
        for layer, (block, window) in enumerate(blocks):
            x_BTD, routing_NE = block(x_BTD, rotary, inputs.masks[window], inputs.cache, *more)
            if layer == middle:
                middle_BTD = x_BTD
            if inputs.routing is not None and routing_NE is not None:
                inputs.routing.append(routing_sums(routing_NE, self.config.num_experts_per_tok, valid_N))
        return x_BTD if self.backout is None else x_BTD - self.backout * middle_BTD


def _of_one_process(sums_3E: Tensor) -> Tensor:
    return sums_3E


class CustomLanguageModel(nn.Module):
    """A decoder with its head: `logits, loss = model(idx, targets)`.

        >>> import torch
        >>> from groundup.model import CustomLanguageModel, LLMConfig
        >>> model = CustomLanguageModel(LLMConfig(vocab_size=512, hidden_size=128, num_hidden_layers=2))
        >>> logits, loss = model(torch.tensor([[3, 1, 4, 1, 5]]))
        >>> logits.shape, loss
        (torch.Size([1, 5, 512]), None)

    `idx` and `targets` are int64 [B, T]; targets of -100 are ignored. Logits are float32 [B, T, V].
    """

    # Two functions for which parallelism sets others: the loss where the vocabulary is sharded, and the sum of routing
    # statistics [3, E] over all processes that hold tokens of a micro-batch.
    cross_entropy: Callable[..., Tensor] = staticmethod(linear_cross_entropy)
    sum_routing: Callable[[Tensor], Tensor] = staticmethod(_of_one_process)

    def __init__(self, config: LLMConfig, seed: int | None = 0) -> None:
        """Weights are drawn on the CPU from `seed`, so that every device starts from the same ones; None: not drawn."""
        super().__init__()
        self.config = config
        self.model = Decoder(config)
        self.lm_head = Linear(config.hidden_size, config.vocab_size, bias=False)
        if config.tie_word_embeddings:
            self.lm_head.weight = self.model.embed_tokens.weight
        if seed is not None:
            self._initialise(torch.Generator().manual_seed(seed))

    def _initialise(self, generator: torch.Generator) -> None:
        """Matrices N(0, .02), those that write into the residual stream by sqrt(2 L) less (GPT-2); gains 1, biases 0,
        where the configuration says nothing else.

        Under muP those inside the layers are narrower by the root of the width multiplier.
        """
        config = self.config
        stds = {"lm_head.weight": config.head_std, "model.embed_tokens.weight": config.embedding_std}
        residual = (2 * config.num_hidden_layers) ** 0.5
        for name, parameter in self.named_parameters():
            if name.endswith("bias"):
                nn.init.zeros_(parameter)
            elif parameter.dim() < 2:
                nn.init.constant_(parameter, config.qk_gain if name.endswith(("q_norm.weight", "k_norm.weight")) else 1)
            elif config.zero_init_outputs and name.endswith((*INTO_STREAM, "lm_head.weight")) and not stds.get(name):
                nn.init.zeros_(parameter)
            else:
                std = config.initializer_range / (residual if name.endswith(INTO_STREAM) else 1)
                if self._hidden(name):
                    std = parameter.shape[-1] ** -0.5 if config.fan_in else std / config.width_multiplier**0.5
                nn.init.normal_(parameter, std=stds.get(name) or std, generator=generator)
        for module in self.modules():
            initialise(module, config.hidden_size**-0.5, generator)
        if self.model.backout is not None:
            nn.init.constant_(self.model.backout, BACKOUT)

    def learning_rate_multipliers(self) -> dict[str, float]:
        """What each parameter's learning rate is multiplied by under Adam: 1 but for matrices inside the layers.

        Table 8 of arXiv 2203.03466: with initialisation and logits scaled as here, the best rate of a narrow model is
        that of a wide one. Heads keep their size with the width here, so attention's own scale stays 1 / sqrt(K).
        """
        one = 1 / self.config.width_multiplier
        return {name: one if p.dim() > 1 and self._hidden(name) else 1.0 for name, p in self.named_parameters()}

    @staticmethod
    def _hidden(name: str) -> bool:
        return name.startswith("model.layers.")

    def features(self, inputs: DecoderInputs) -> Tensor:
        """[B, T, D] after the last norm."""
        out: Tensor = self.model(inputs)
        return out

    def head(self, x_ND: Tensor) -> Tensor:
        """Float32 logits [..., V] of features [..., D]."""
        return self.scale_logits(self.lm_head(x_ND).float())

    def scale_logits(self, logits: Tensor) -> Tensor:
        """What comes after the head's matmul: muP's multiplier and the soft cap, where the model has them."""
        if self.config.mup_base_width:
            logits = logits / self.config.width_multiplier
        if (cap := self.config.final_logit_softcapping) is not None:
            logits = cap * torch.tanh(logits / cap)
        return logits

    def loss_sum(
        self, idx_BT: Tensor, targets_BT: Tensor, documents_BT: Tensor | None = None, auxiliary: bool = True
    ) -> Tensor:
        """What training minimises, summed over the targets that count, without ever holding all logits.

        Args:
            auxiliary: whether the z-loss and the load-balancing loss are part of it; without them it is nats.
        """
        routing: list[Tensor] = []
        x_ND = self.features(DecoderInputs(idx_BT, documents_BT, routing=routing)).flatten(0, 1)
        targets_N = targets_BT.flatten()
        loss = self.nats(x_ND, targets_N, self.config.z_loss_coef if auxiliary else 0.0)
        if auxiliary and routing:
            loss = loss + self.balance(routing) * (targets_N != IGNORED).sum()
        return loss

    def nats(self, x_ND: Tensor, targets_N: Tensor, z_loss: float = 0.0) -> Tensor:
        """The cross-entropy of what the head makes of features, summed over the targets that count, and the z-loss of
        that weight, without ever holding all logits."""
        config = self.config
        if config.mup_base_width:
            x_ND = x_ND / config.width_multiplier
        return self.cross_entropy(
            x_ND, self.lm_head.weight, targets_N, softcap=config.final_logit_softcapping, z_loss=z_loss
        )

    def balance(self, routing: list[Tensor]) -> Tensor:
        """The load-balancing loss of a batch, as part of the mean loss of its tokens."""
        sums_3E = self.sum_routing(torch.stack(routing).sum(0))
        return self.config.router_aux_loss_coef * load_balancing_loss(sums_3E)

    def forward(
        self, idx_BT: Tensor, targets_BT: Tensor | None = None, documents_BT: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """(logits, the mean over targets of what `loss_sum` sums)."""
        routing: list[Tensor] = []
        logits_BTV = self.head(self.features(DecoderInputs(idx_BT, documents_BT, routing=routing)))
        if targets_BT is None:
            return logits_BTV, None
        logits_NV, targets_N = logits_BTV.flatten(0, 1), targets_BT.flatten()
        loss = F.cross_entropy(logits_NV, targets_N)
        if self.config.z_loss_coef:
            squares_N = logits_NV.logsumexp(-1).square()
            counted_N = targets_N != IGNORED  # as factors: picking rows would make a GPU wait for their number
            loss = loss + self.config.z_loss_coef * (squares_N * counted_N).sum() / counted_N.sum()
        return logits_BTV, loss + self.balance(routing) if routing else loss
