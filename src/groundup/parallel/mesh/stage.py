"""A stage of a pipeline: some neighbouring layers of a model, with what comes before the first or behind the last."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from groundup.errors import GroundupError
from groundup.model.attention import KeyValueCache
from groundup.model.decoder import CustomLanguageModel
from groundup.parallel.compilation import is_compiled
from groundup.parallel.engine import Loss, Statistics
from groundup.parallel.recompute import RECOMPUTED

Inputs = tuple[Tensor, Tensor | None]  # token ids [B, T], documents [B, T]
Stream = tuple[Tensor, ...]  # what is sent: the stream [B, T, D], and of a mixture the sums of its routing [3, E]
PADDING_DOCUMENT = -1
HALVES_SINCE = "2.13"  # PyTorch's


@dataclass
class Work:
    """Micro-batches that a pipeline has in hand. Every process has them whole; only activations are sent."""

    batch: Sequence[Any]
    inputs: list[Inputs]  # of each, padded to one shape where a schedule needs that
    loss: Loss
    factor: float = 1.0  # what a loss is multiplied by before its backward pass
    found: list[tuple[Tensor, Statistics]] = field(default_factory=list)  # by the last stage, of each


class Stage(nn.Module):
    """Micro-batches go through it in their order, beginning with the first one after each `begin`.

    The modules are the model's own, which go on to name the weights; they are registered here as well, so that data
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
            decoder.forward = self.arrived  # type: ignore[method-assign]
        self.model = (model,)  # in a tuple, so that it is not registered
        self.autocast: Callable[[], AbstractContextManager[Any]] = nullcontext
        self.work, self.next = Work([], [], _no_loss), 0
        self.mixture = model.config.num_experts > 0
        self.came: Stream | None = None  # through the last stage, for the loss

    def begin(self, work: Work) -> None:
        """Expect the first micro-batch of `work`."""
        self.work, self.next = work, 0

    def forward(self, x: Tensor, sums_3E: Tensor | None = None) -> Stream | Tensor:
        """What the next stage is given; in the last one the loss, ready for its backward pass.

        Args:
            x: the stream [B, T, D] behind the layers before; in the first stage token ids [B, T].
            sums_3E: of a mixture the `routing_sums` of the layers before, which its load-balancing loss is made of.
        """
        number, self.next = self.next, self.next + 1
        idx_BT, documents_BT = self.work.inputs[number]
        (model,) = self.model
        decoder, routing = model.model, [] if sums_3E is None else [sums_3E]
        with self.autocast():
            positions_BT, masks = decoder.positions_and_masks(idx_BT, None, documents_BT)
            x_BTD = decoder.embed(x, positions_BT) if self.first else x
            blocks = zip(self.blocks, self.windows, strict=True)
            x_BTD = decoder.through(blocks, x_BTD, positions_BT, masks, None, routing, self._valid(number))
            if self.last:
                x_BTD = self.norm(x_BTD)
            stream: Stream = (x_BTD,)
            if self.mixture:
                none = torch.zeros(3, model.config.num_experts, device=x_BTD.device)
                stream += (torch.stack([none, *routing]).sum(0),)
            if not self.last:
                return stream
            self.came = stream
            loss_sum, statistics = self.work.loss(model, self.work.batch[number])
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

    def arrived(
        self,
        idx_BT: Tensor,
        cache: KeyValueCache | None = None,
        documents_BT: Tensor | None = None,
        routing: list[Tensor] | None = None,
        valid_BT: Tensor | None = None,
    ) -> Tensor:
        """In the place of `Decoder.forward` in the last stage: the features [B, T, D] that came through the pipe.

        Raises:
            GroundupError: a loss wants the features of other tokens than its micro-batch's `decoder_inputs`, or twice.
        """
        assert valid_BT is None, "the stages know what they have padded"
        came, self.came = self.came, None
        expected = self.work.batch[self.next - 1].decoder_inputs()[0].shape
        if came is None or idx_BT.shape != expected or cache is not None:
            raise GroundupError(
                "this loss computes features of its own, beside those that come through the pipeline",
                where="parallel.pp",
                do="set it to 1",
            )
        if routing is not None and self.mixture:
            routing.append(came[1])
        B, T = expected
        return came[0][:B, :T]  # without what the micro-batch was padded with


def check_halves(model: nn.Module) -> None:
    """Raises GroundupError where a model's backward pass can't be taken in two halves, gradients of inputs and those of
    weights: both halves would go through what is compiled (wrong gradients, silently, in PyTorch 2.13) or selectively
    recomputed (an error); and before PyTorch 2.13 no function with a backward pass of its own can be halved."""
    if torch.__version__ < HALVES_SINCE:
        raise GroundupError(
            f"the schedule zero_bubble needs PyTorch {HALVES_SINCE}, this is {torch.__version__}",
            where="parallel.schedule",
            do="take 1f1b",
        )
    for module in model.modules():
        selective = getattr(module, RECOMPUTED, None) == "selective"
        if selective or is_compiled(module):
            raise GroundupError(
                f"the schedule zero_bubble doesn't go with {'selective recomputing' if selective else 'compilation'}",
                where="parallel.schedule",
                do=f"take 1f1b, or {'activation_checkpointing: full' if selective else 'do not compile'}",
            )


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
        (whole(idx_BT, 0), None if documents_BT is None else whole(documents_BT, PADDING_DOCUMENT))
        for idx_BT, documents_BT in inputs
    ]


def _no_loss(model: nn.Module, micro_batch: Any) -> tuple[Tensor, Statistics]:
    raise AssertionError("the stage has no work")
