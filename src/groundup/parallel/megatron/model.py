"""Megatron-core's GPTModel from our configuration, cut into the stages and ranks of this process."""

from functools import partial
from typing import Any

import torch
from megatron.core import parallel_state
from megatron.core.models.gpt import GPTModel
from megatron.core.tensor_parallel import (
    ColumnParallelLinear,
    RowParallelLinear,
    set_tensor_model_parallel_attributes,
)
from megatron.core.transformer import TransformerConfig
from megatron.core.transformer.attention import SelfAttention, SelfAttentionSubmodules
from megatron.core.transformer.enums import AttnMaskType
from megatron.core.transformer.identity_op import IdentityOp
from megatron.core.transformer.mlp import MLP, MLPSubmodules
from megatron.core.transformer.spec_utils import ModuleSpec
from megatron.core.transformer.transformer_block import TransformerBlockSubmodules, get_num_layers_to_build
from megatron.core.transformer.transformer_layer import (
    TransformerLayer,
    TransformerLayerSubmodules,
    get_transformer_layer_offset,
)
from torch import Tensor

from groundup.model.configuration import LLMConfig
from groundup.model.feed_forward import activation
from groundup.model.rotary import Rotary
from groundup.parallel.configuration import ParallelConfig
from groundup.parallel.megatron.converter import entries, in_model, padded_vocabulary
from groundup.parallel.megatron.layers import CoreAttention, HeadNorm, MegatronLayerNorm, MegatronRMSNorm, add_to_stream
from groundup.parallel.megatron.torch_dist import STORED
from groundup.parallel.recompute import ActivationCheckpointing


class MegatronStage(GPTModel):  # type: ignore[misc]
    """A stage of the pipeline, or all of the model. The last one ends with features, not logits: the loss decides which
    of them go through the head."""

    def _postprocess(self, hidden_states: Tensor, **_: Any) -> Tensor:
        return hidden_states

    @property
    def first_layer(self) -> int:
        """Its number in the whole model, from 0."""
        first: int = get_transformer_layer_offset(self.config, self.vp_stage, self.pg_collection.pp.rank())
        return first

    @property
    def head_weight(self) -> Tensor:
        """This rank's rows of the head, [padded vocabulary / tp, D]; of the last stage."""
        weight: Tensor = (
            self.shared_embedding_or_output_weight()
            if self.share_embeddings_and_output_weights
            else self.output_layer.weight
        )
        return weight


def transformer_config(
    config: LLMConfig,
    parallel: ParallelConfig,
    virtual: int | None = None,
    recompute: ActivationCheckpointing = "none",
) -> TransformerConfig:
    """Our configuration as Megatron's: float32 weights, nothing fused that needs Apex or Transformer Engine."""
    recomputed: dict[str, Any] = {}
    if recompute == "full":
        recomputed = {"recompute_granularity": "full", "recompute_method": "uniform", "recompute_num_layers": 1}
    elif recompute == "selective":
        recomputed = {"recompute_granularity": "selective", "recompute_modules": ["core_attn"]}
    return TransformerConfig(
        num_layers=config.num_hidden_layers,
        hidden_size=config.hidden_size,
        ffn_hidden_size=config.intermediate_size,
        num_attention_heads=config.num_attention_heads,
        num_query_groups=config.num_key_value_heads,
        kv_channels=config.head_dim,
        normalization="LayerNorm" if config.norm == "layer_norm" else "RMSNorm",
        layernorm_epsilon=config.layer_norm_epsilon if config.norm == "layer_norm" else config.rms_norm_eps,
        qk_layernorm=config.qk_norm,
        gated_linear_unit=config.gated_mlp,
        activation_func=activation(config.hidden_act).forward,  # a module would be saved as one
        add_bias_linear=config.mlp_bias,
        add_qkv_bias=config.qkv_bias or config.attention_bias,
        hidden_dropout=0.0,
        attention_dropout=0.0,
        fp32_residual_connection=True,
        tensor_model_parallel_size=parallel.tp,
        sequence_parallel=parallel.sequence_parallel and parallel.tp > 1,
        context_parallel_size=parallel.cp,
        pipeline_model_parallel_size=parallel.pp,
        virtual_pipeline_model_parallel_size=virtual,
        pipeline_dtype=torch.float32,
        # batched sends mixed up the order of messages on gloo with virtual stages
        batch_p2p_comm=False,
        deallocate_pipeline_outputs=True,
        calculate_per_token_loss=True,  # sums: what they are divided by is known before
        params_dtype=torch.float32,
        use_cpu_initialization=True,
        perform_initialization=False,  # weights are copied in
        gradient_accumulation_fusion=False,
        masked_softmax_fusion=False,
        bias_activation_fusion=False,
        bias_dropout_fusion=False,
        apply_rope_fusion=False,
        persist_layer_norm=False,
        **recomputed,
    )


def block_spec(config: LLMConfig, layers: int) -> TransformerBlockSubmodules:
    """What `layers` layers are made of."""
    if config.norm == "layer_norm":
        norm = ModuleSpec(MegatronLayerNorm, params={"bias": config.norm_bias})
    else:
        norm = ModuleSpec(MegatronRMSNorm)
    head_norm = ModuleSpec(HeadNorm, params={"epsilon": config.rms_norm_eps}) if config.qk_norm else IdentityOp
    rotary = Rotary(config) if config.position_embedding == "rope" else None
    attention = SelfAttentionSubmodules(
        linear_qkv=ColumnParallelLinear,
        core_attention=partial(CoreAttention, shape=config, rotary=rotary),
        linear_proj=RowParallelLinear,
        q_layernorm=head_norm,
        k_layernorm=head_norm,
    )
    mlp = MLPSubmodules(linear_fc1=ColumnParallelLinear, linear_fc2=RowParallelLinear)
    layer = ModuleSpec(
        TransformerLayer,
        submodules=TransformerLayerSubmodules(
            input_layernorm=norm,
            self_attention=ModuleSpec(SelfAttention, {"attn_mask_type": AttnMaskType.causal}, attention),
            self_attn_bda=add_to_stream,
            pre_mlp_layernorm=norm,
            mlp=ModuleSpec(MLP, submodules=mlp),
            mlp_bda=add_to_stream,
            sharded_state_dict_keys_map=STORED,
        ),
    )
    return TransformerBlockSubmodules(layer_specs=[layer] * layers, layer_norm=norm)


def build_stages(
    config: LLMConfig, parallel: ParallelConfig, virtual: int | None = None, recompute: ActivationCheckpointing = "none"
) -> list[MegatronStage]:
    """This process's stages, one for each virtual rank in the pipeline, weights not set. Needs `parallel_state`."""
    megatron = transformer_config(config, parallel, virtual, recompute)
    return [_stage(config, megatron, parallel, index if virtual else None) for index in range(virtual or 1)]


def _stage(
    config: LLMConfig, megatron: TransformerConfig, parallel: ParallelConfig, virtual: int | None
) -> MegatronStage:
    first = parallel_state.is_pipeline_first_stage(ignore_virtual=False, vp_stage=virtual)
    last = parallel_state.is_pipeline_last_stage(ignore_virtual=False, vp_stage=virtual)
    stage = MegatronStage(
        config=megatron,
        transformer_layer_spec=block_spec(config, get_num_layers_to_build(megatron, vp_stage=virtual)),
        vocab_size=padded_vocabulary(config, parallel.tp),
        max_sequence_length=config.max_position_embeddings,
        pre_process=first,
        post_process=last,
        share_embeddings_and_output_weights=config.tie_word_embeddings,
        # rotary positions are applied by our own attention, since they restart in each document
        position_embedding_type="learned_absolute" if config.position_embedding == "learned" else "none",
        vp_stage=virtual,
    )
    cuts = {entry.name: entry.cut for entry in entries(config)}
    for name, parameter in stage.named_parameters():
        # Megatron marks what it draws; without a mark it would count a cut tensor once and not on every rank
        if (cut := cuts[in_model(name, stage.first_layer)]) != "none" and not hasattr(parameter, "partition_dim"):
            stride = 2 if cut == "gate_up" else 1
            set_tensor_model_parallel_attributes(parameter, True, 1 if cut == "columns" else 0, stride)
    return stage
