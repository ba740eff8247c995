"""Tensor parallel: the processes of `tp` each compute a part of every matrix (Megatron-LM, arXiv 1909.08053).

    embedding           each process has some words' rows, and the sum over processes is the embedding
    q, k, v, gate, up   cut by output: each process has some heads, some of the inner width
    o, down             cut by input: the sum over processes is the output
    head                each process has some words' logits; `vocabulary.py` computes the loss from those

With `sequence_parallel` the stream between these, and with it norms and activations, is cut along the sequence (arXiv
2205.05198): the sum that ends a sub-layer then leaves each process its part, and the next one gathers what it needs,
which sends as much as a sum and keeps 1 / tp of the stream. Rows are padded to a multiple of tp tokens.

What is not cut (norms without `sequence_parallel`, a reward model's score, a mixture's experts) is computed by every
process alike, with the same gradient. Suffixes as in `model/decoder.py`.
"""

from dataclasses import dataclass

from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import DTensor, Placement, Replicate, Shard, distribute_module
from torch.distributed.tensor.parallel import (
    ColwiseParallel,
    ParallelStyle,
    PrepareModuleInput,
    PrepareModuleInputOutput,
    PrepareModuleOutput,
    RowwiseParallel,
    SequenceParallel,
    parallelize_module,
)

from groundup.model.decoder import Block, CustomLanguageModel, Decoder, DecoderSeams
from groundup.model.experts import SparseMLP
from groundup.model.inputs import DecoderInputs, LayerInputs
from groundup.parallel.mesh.layout import Layout
from groundup.parallel.mesh.vocabulary import sharded_cross_entropy

ParallelStyles = dict[str, ParallelStyle]


def apply(model: nn.Module, layout: Layout) -> None:
    """Leave this process's part of every matrix; a no-op at degree 1."""
    tp = layout.degree("tp")
    if tp == 1:
        return
    mesh, sequence = layout.mesh["tp"], layout.parallel.sequence_parallel
    for decoder in [module for module in model.modules() if isinstance(module, Decoder)]:
        for block in decoder.layers.children():
            assert isinstance(block, Block)
            _cut(block, mesh, _plan(block, sequence))
        _cut_ends(decoder, mesh, sequence)
        if sequence and layout.degree("pp") == layout.degree("cp") == 1:  # those pad rows themselves
            decoder.seams = PaddedSequences(tp)
    for language in [module for module in model.modules() if isinstance(module, CustomLanguageModel)]:
        _cut_head(language, mesh)


def _plan(block: Block, sequence: bool) -> ParallelStyles:
    """How each part of a layer is cut. The stream comes, and is left, whole or as a part of the sequence."""
    stream: Placement = Shard(1) if sequence else Replicate()
    whole = (Replicate(), None, None, None)
    plan: ParallelStyles = {
        "self_attn": PrepareModuleInput(input_layouts=(stream, None, None, None), desired_input_layouts=whole),
        "self_attn.q_proj": ColwiseParallel(),
        "self_attn.k_proj": ColwiseParallel(),
        "self_attn.v_proj": ColwiseParallel(),
        "self_attn.o_proj": RowwiseParallel(output_layouts=stream),
    }
    if block.self_attn.q_norm is not None:  # norms of [B, T, heads, K]; each process has some of the heads
        plan["self_attn.q_norm"] = SequenceParallel(sequence_dim=2, use_local_output=True)
        plan["self_attn.k_norm"] = SequenceParallel(sequence_dim=2, use_local_output=True)
    if sequence:
        plan["input_layernorm"] = SequenceParallel()
        plan["post_attention_layernorm"] = SequenceParallel()
    if isinstance(block.mlp, SparseMLP):
        plan["mlp"] = PrepareModuleInputOutput(
            input_layouts=stream,
            desired_input_layouts=Replicate(),
            use_local_input=True,
            output_layouts=(Replicate(), None),
            desired_output_layouts=(stream, None),  # type: ignore[arg-type]  # the second output is left as it is
        )
        return plan
    plan["mlp"] = PrepareModuleInput(input_layouts=stream, desired_input_layouts=Replicate())
    for name, _ in block.mlp.named_children():
        if name in ("gate_proj", "up_proj"):
            plan[f"mlp.{name}"] = ColwiseParallel()
    plan["mlp.down_proj"] = RowwiseParallel(output_layouts=stream)
    return plan


def _cut(module: nn.Module, mesh: DeviceMesh, plan: ParallelStyle | ParallelStyles) -> None:
    # every process has made the same model, so none waits for another's weights
    parallelize_module(module, mesh, plan, src_data_rank=None)


def _cut_ends(decoder: Decoder, mesh: DeviceMesh, sequence: bool) -> None:
    """What comes before the first layer and after the last; a pipeline stage may have either or none."""
    if decoder.embed_tokens is not None:
        layouts = Shard(1) if sequence else Replicate()
        _cut(decoder.embed_tokens, mesh, RowwiseParallel(input_layouts=Replicate(), output_layouts=layouts))
    if sequence and decoder.embed_positions is not None:
        distribute_module(
            decoder.embed_positions,
            mesh,
            _replicate,
            _own_positions,  # type: ignore[arg-type]  # whose result counts, other than its annotation says
            _local,  # type: ignore[arg-type]
        )
    if sequence and decoder.norm is not None:
        _cut(decoder.norm, mesh, SequenceParallel())
        whole = PrepareModuleOutput(output_layouts=Shard(1), desired_output_layouts=Replicate())
        _cut(decoder.norm, mesh, whole)


def _cut_head(model: CustomLanguageModel, mesh: DeviceMesh) -> None:
    """Logits that are asked for are gathered; the loss of `loss_sum` is computed from each process's own."""
    if model.lm_head is None:
        return
    _cut(model.lm_head, mesh, ColwiseParallel(output_layouts=Replicate()))
    if model.config.tie_word_embeddings:
        model.lm_head.weight = model.model.embed_tokens.weight
    model.cross_entropy = sharded_cross_entropy


def _replicate(name: str, module: nn.Module, mesh: DeviceMesh) -> None:
    for key, parameter in list(module.named_parameters(recurse=False)):
        whole = DTensor.from_local(parameter.detach(), mesh, [Replicate()], run_check=False)
        module.register_parameter(key, nn.Parameter(whole, requires_grad=parameter.requires_grad))


def _own_positions(module: nn.Module, inputs: tuple[Tensor, ...], mesh: DeviceMesh) -> tuple[Tensor, ...]:
    positions_BT = DTensor.from_local(inputs[0], mesh, [Replicate()], run_check=False)
    return (positions_BT.redistribute(placements=[Shard(1)]),)


def _local(module: nn.Module, output: DTensor, mesh: DeviceMesh) -> Tensor:
    return output.to_local()


@dataclass(frozen=True)
class PaddedSequences(DecoderSeams):
    """Pads rows to a multiple of tokens, as many as there are processes that share them."""

    multiple: int

    def prepare(self, decoder: Decoder, inputs: DecoderInputs) -> LayerInputs:
        return super().prepare(decoder, inputs.padded(-inputs.ids_BT.shape[1] % self.multiple))

    def finish(self, decoder: Decoder, x_BTD: Tensor, inputs: DecoderInputs) -> Tensor:
        return super().finish(decoder, x_BTD, inputs)[:, : inputs.ids_BT.shape[1]]
