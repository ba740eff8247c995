"""The model that a loss sees in the pipeline's last stage: what came through the pipe, and the real head.

Objectives call `features`, `head`, `loss_sum` or the model itself, as they do with any `CustomLanguageModel`, so no
objective knows of Megatron. Suffixes: B rows, T tokens, D width, V vocabulary, N tokens in any order.
"""

import torch.nn.functional as F
from megatron.core.tensor_parallel import (
    copy_to_tensor_model_parallel_region,
    gather_from_sequence_parallel_region,
    gather_from_tensor_model_parallel_region,
    vocab_parallel_cross_entropy,
)
from torch import Tensor, nn

from groundup.model.configuration import LLMConfig
from groundup.model.cross_entropy import IGNORED
from groundup.model.decoder import CustomLanguageModel
from groundup.model.inputs import DecoderInputs
from groundup.model.linear import Linear
from groundup.parallel.megatron.context import in_order
from groundup.parallel.megatron.model import MegatronStage


class LastStage(CustomLanguageModel):
    """Give it the stage's output with `served`, then let the loss use it."""

    def __init__(self, config: LLMConfig, stage: MegatronStage) -> None:
        nn.Module.__init__(self)  # the weights are the stage's
        self.config, self.stage = config, stage
        self.lm_head = Linear(1, 1, bias=False, device="meta")
        self.lm_head.weight = stage.head_weight  # this rank's rows
        self._served: Tensor | None = None

    def served(self, output: Tensor, rows: int, tokens: int) -> "LastStage":
        """Take the stage's output, [T / cp / tp, B, D] under sequence parallelism, for a batch of `rows` x `tokens`."""
        if self.stage.config.sequence_parallel:
            output = gather_from_sequence_parallel_region(output, tensor_parallel_output_grad=False)
        x_TBD = in_order(output, self.stage.pg_collection.cp)
        self._served = x_TBD.transpose(0, 1)[:rows, :tokens]
        return self

    def features(self, inputs: DecoderInputs) -> Tensor:
        """[B, T, D], the same on all tensor-parallel ranks."""
        assert self._served is not None and self._served.shape[:2] == inputs.ids_BT.shape, "the batch of this pass"
        return self._served

    def head(self, x_ND: Tensor) -> Tensor:
        """Float32 logits [..., V], all of them on every rank."""
        logits = gather_from_tensor_model_parallel_region(self._own_logits(x_ND))
        return logits[..., : self.config.vocab_size]

    def nats(self, x_ND: Tensor, targets_N: Tensor, z_loss: float = 0.0) -> Tensor:
        """Each rank computes the softmax over its own part of the vocabulary; no rank holds all logits."""
        logits_NV = self._own_logits(x_ND)
        losses_N = vocab_parallel_cross_entropy(logits_NV.clone(), targets_N.clamp_min(0))  # it writes into its input
        if z_loss:
            sums_N = gather_from_tensor_model_parallel_region(logits_NV).logsumexp(-1)
            losses_N = losses_N + z_loss * sums_N.square()
        return losses_N.masked_fill(targets_N == IGNORED, 0).sum()

    def _own_logits(self, x_ND: Tensor) -> Tensor:
        """Float32 [..., padded vocabulary / tp], -inf past the vocabulary's end."""
        config, weight = self.config, self.lm_head.weight
        logits = F.linear(copy_to_tensor_model_parallel_region(x_ND), weight).float()
        if config.mup_base_width:
            logits = logits / config.width_multiplier
        if config.final_logit_softcapping is not None:
            logits = config.final_logit_softcapping * (logits / config.final_logit_softcapping).tanh()
        rows = len(weight)
        real = min(max(config.vocab_size - self.stage.pg_collection.tp.rank() * rows, 0), rows)
        return logits if real == rows else F.pad(logits[..., :real], (0, rows - real), value=float("-inf"))
