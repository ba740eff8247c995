"""A stage of a pipeline: some neighbouring layers of a model, with what comes before the first or after the last."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from groundup.errors import GroundupError
from groundup.model.decoder import CustomLanguageModel
from groundup.model.inputs import NO_DOCUMENT, DecoderInputs
from groundup.parallel.engine import Loss, Statistics

Inputs = tuple[Tensor, Tensor | None]  # token ids [B, T], documents [B, T]
Stream = tuple[Tensor, ...]  # what is sent: the stream [B, T, D], and of a mixture the sums of its routing [3, E]


@dataclass
class StageBatch:
    """Micro-batches that a pipeline has in hand. Every process has them whole; only activations are sent."""

    batch: Sequence[Any]
    inputs: list[Inputs]  # of each, padded to one shape where a schedule needs that
    loss: Loss
    factor: float = 1.0  # what a loss is multiplied by before its backward pass
    found: list[tuple[Tensor, Statistics]] = field(default_factory=list)  # by the last stage, of each


class LayerStage(nn.Module):
    """Micro-batches go through it in their order, beginning with the first one after each `begin`.

    The modules are the model's own, whose names the weights keep; they are registered here as well, so that data
    parallel finds what is computed together.
    """

    def __init__(self, model: CustomLanguageModel, number: int, count: int, layers: range) -> None:
        """Stage `number` of `count`."""
        super().__init__()
        decoder = model.model
        self.number, self.first, self.last = number, number == 0, number == count - 1
        self.blocks = nn.ModuleList(decoder.layers[i] for i in layers)
        self.windows = [decoder.windows[i] for i in layers]
        if self.first:
            self.embed_tokens, self.embed_positions = decoder.embed_tokens, decoder.embed_positions
        if self.last:
            self.norm, self.lm_head = decoder.norm, model.lm_head
            if model.config.tie_word_embeddings:
                self.embed_tokens = decoder.embed_tokens
        self.model = (model,)  # in a tuple, so that it is not registered
        self.served: ServedModel | None = None  # in the last stage, by `Pipeline.start`
        self.autocast: Callable[[], AbstractContextManager[Any]] = nullcontext
        self.work, self.next = StageBatch([], [], _no_loss), 0
        self.mixture = model.config.num_experts > 0

    def serve(self, model: CustomLanguageModel) -> None:
        """Let losses see the last stage's output as features of `model`, whose head and loss are final now."""
        self.served = ServedModel(model)

    def begin(self, work: StageBatch) -> None:
        """Expect the first micro-batch of `work`."""
        self.work, self.next = work, 0

    def forward(self, x: Tensor, sums_3E: Tensor | None = None) -> Stream | Tensor:
        """What the next stage is given; in the last one the loss, ready for its backward pass.

        Args:
            x: the stream [B, T, D] after the layers before; in the first stage token ids [B, T].
            sums_3E: of a mixture the `routing_sums` of the layers before, which its load-balancing loss is made of.
        """
        number, self.next = self.next, self.next + 1
        idx_BT, documents_BT = self.work.inputs[number]
        (model,) = self.model
        decoder, routing = model.model, [] if sums_3E is None else [sums_3E]
        inputs = DecoderInputs(idx_BT, documents_BT, routing=routing, valid_BT=self._valid(number))
        with self.autocast():
            prepared = decoder.seams.prepare(decoder, inputs)
            x_BTD = decoder.embed(prepared) if self.first else x
            x_BTD = decoder.run_blocks(zip(self.blocks, self.windows, strict=True), x_BTD, prepared)
            if self.last:
                x_BTD = decoder.seams.finish(decoder, x_BTD, inputs)
            stream: Stream = (x_BTD,)
            if self.mixture:
                none = torch.zeros(3, model.config.num_experts, device=x_BTD.device)
                stream += (torch.stack([none, *routing]).sum(0),)
            if self.served is None:
                return stream
            micro_batch = self.work.batch[number]
            self.served.take(stream, micro_batch.decoder_inputs()[0].shape)
            loss_sum, statistics = self.work.loss(self.served, micro_batch)
        self.work.found.append((loss_sum.detach(), statistics))
        return loss_sum * self.work.factor

    def _valid(self, number: int) -> Tensor | None:
        """Which tokens of a mixture's micro-batch are not padding, bool [B, T]; None: all."""
        padded, own = self.work.inputs[number][0], self.work.batch[number].decoder_inputs()[0]
        if not self.mixture or padded.shape == own.shape:
            return None
        sides = zip(padded.shape, own.shape, strict=True)
        added_rows, added_tokens = (longer - length for longer, length in sides)
        return F.pad(torch.ones_like(own, dtype=torch.bool), (0, added_tokens, 0, added_rows))


class ServedModel(CustomLanguageModel):
    """The model that a loss sees in the last stage: its features are those that came through the pipeline."""

    def __init__(self, model: CustomLanguageModel) -> None:
        """`model`: with the last stage's weights; they are shared."""
        nn.Module.__init__(self)
        self.config, self.lm_head = model.config, model.lm_head
        self.cross_entropy, self.sum_routing = model.cross_entropy, model.sum_routing
        self._stream: Stream | None = None
        self._shape = torch.Size()

    def take(self, stream: Stream, shape: torch.Size) -> None:
        """Expect one request for the features of a micro-batch of this shape [B, T]."""
        self._stream, self._shape = stream, shape

    def features(self, inputs: DecoderInputs) -> Tensor:
        """Those of the stream, without what the micro-batch was padded with.

        Raises:
            GroundupError: a loss wants the features of other tokens than its micro-batch's `decoder_inputs`, or twice.
        """
        stream, self._stream = self._stream, None
        if stream is None or inputs.ids_BT.shape != self._shape or inputs.cache is not None:
            raise GroundupError(
                "this loss computes features of its own besides those that come through the pipeline",
                where="parallel.pp",
                do="set it to 1",
            )
        if inputs.routing is not None and self.config.num_experts:
            inputs.routing.append(stream[1])
        B, T = self._shape
        return stream[0][:B, :T]


def inputs_of(batch: Sequence[Any]) -> list[Inputs]:
    """What each micro-batch gives the decoder.

    Raises:
        GroundupError: a micro-batch doesn't know.
    """
    for micro_batch in batch:
        if not hasattr(micro_batch, "decoder_inputs"):
            raise GroundupError(
                f"a pipeline can't take a {type(micro_batch).__name__}, which has no decoder_inputs()",
                where="parallel.pp",
                do="set it to 1",
            )
    return [micro_batch.decoder_inputs() for micro_batch in batch]


def padded(inputs: Sequence[Inputs], multiple: int = 1) -> list[Inputs]:
    """The same with rows and tokens added until all have one shape, that of the largest, with rows of a multiple of
    so many tokens.

    Tokens on the right are seen by none before them, and no row sees another, so features of the rest stay the same.
    """
    rows, tokens = (max(idx_BT.shape[side] for idx_BT, _ in inputs) for side in (0, 1))
    tokens += -tokens % multiple

    def whole(x_BT: Tensor, value: int) -> Tensor:
        return F.pad(x_BT, (0, tokens - x_BT.shape[1], 0, rows - x_BT.shape[0]), value=value)

    return [
        (whole(idx_BT, 0), None if documents_BT is None else whole(documents_BT, NO_DOCUMENT))
        for idx_BT, documents_BT in inputs
    ]


def _no_loss(model: nn.Module, micro_batch: Any) -> tuple[Tensor, Statistics]:
    raise AssertionError("the stage has no work")
