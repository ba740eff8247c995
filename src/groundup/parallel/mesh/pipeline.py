"""Pipeline parallel: each process holds some of the layers, and micro-batches pass through them (arXiv 1811.06965).

With `pp: 2` and six layers, one stage per process:

    process 0    embedding, layers 0 1 2   -- stream [B, T, D] -->   process 1    layers 3 4 5, norm, head, loss
                                           <-- its gradient -----

Layers keep their names (`model.layers.3...` in process 1), so that weights and states of all stages together are those
of the whole model. The stages are balanced by the parameters that a token passes, the head among them. Every process
has the micro-batches whole, so only the stream is sent: positions, masks and documents are rebuilt in every stage.
The last one computes the loss with the model that it has left, whose features are those that came through the pipe.

Where the head is tied to the embedding, the first and the last stage both hold the matrix; they add up its gradients
after every step, so that both stay the same number for number.

In what order the stages work is up to the schedule (`schedules.py`), carried out by torch.distributed.pipelining.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule
from torch.distributed.pipelining import (
    PipelineStage,
    Schedule1F1B,
    ScheduleGPipe,
    ScheduleInterleaved1F1B,
    ScheduleInterleavedZeroBubble,
)

from groundup.errors import GroundupError
from groundup.model.decoder import CustomLanguageModel
from groundup.parallel.engine import Loss
from groundup.parallel.mesh.clip import settled
from groundup.parallel.mesh.layout import Layout
from groundup.parallel.mesh.schedules import assign, stages_per_process, suits, too_few
from groundup.parallel.mesh.stage import Inputs, LayerStage, StageBatch, Stream, inputs_of, padded
from groundup.parallel.torch_engine import Sums, add


def split(model: nn.Module, layout: Layout) -> "Pipeline | None":
    """Leave this process's layers; None, and nothing done, where there is a single stage."""
    parallel = layout.parallel
    if parallel.pp == 1:
        return None
    assert isinstance(model, CustomLanguageModel)
    config = model.config
    count = parallel.pp * stages_per_process(parallel)
    costs = [_passed(block) for block in model.model.layers]
    layers = assign(costs, count, head=config.vocab_size * config.hidden_size)
    mine = range(layout.coordinate("pp"), count, parallel.pp)
    stages = [LayerStage(model, number, count, layers[number]) for number in mine]
    _drop(model, {layer for number in mine for layer in layers[number]}, stages[0].first, stages[-1].last)
    return Pipeline(model, stages, layout)


def _passed(block: Any) -> float:
    """Parameters that a token is multiplied by: of a mixture, those of the experts that it is sent to."""
    total = 0.0
    for name, parameter in block.named_parameters():
        used = block.mlp.per_token / len(parameter) if ".experts." in name else 1.0
        total += parameter.numel() * used
    return total


def _drop(model: CustomLanguageModel, layers: set[int], first: bool, last: bool) -> None:
    """Leave these layers, under their numbers, and what comes before the first or after the last."""
    decoder, tied = model.model, model.config.tie_word_embeddings
    for name, _ in list(decoder.layers.named_children()):
        if int(name) not in layers:
            delattr(decoder.layers, name)
    if not first:
        decoder.embed_positions = None
        if not (last and tied):
            decoder.embed_tokens = None  # type: ignore[assignment]
    if not last:
        decoder.norm = None  # type: ignore[assignment]
        model.lm_head = None  # type: ignore[assignment]


class Pipeline:
    """This process's part of a pipeline. Its methods are collective over the processes of `pp`."""

    def __init__(self, model: CustomLanguageModel, stages: list[LayerStage], layout: Layout) -> None:
        self.model, self.stages, self.layout, self.device = model, stages, layout, layout.device
        self.group, self.rank, self.size = layout.group("pp"), layout.coordinate("pp"), layout.degree("pp")
        self.count = self.size * len(stages)
        self.parts = layout.degree("tp") if layout.parallel.sequence_parallel else 1  # that rows are sent in
        self.roots: list[nn.Module] = list(stages)
        self._made_for: tuple[int, torch.Size] | None = None

    @property
    def shared(self) -> nn.Parameter | None:
        """What another stage holds as well: the embedding that is the head, at either end."""
        if not self.model.config.tie_word_embeddings or not (self.stages[0].first or self.stages[-1].last):
            return None
        weight = self.model.model.embed_tokens.weight
        assert isinstance(weight, nn.Parameter)
        return weight

    def start(self, roots: Sequence[nn.Module], autocast: Callable[[], AbstractContextManager[Any]]) -> None:
        """Take the stages as data parallel has wrapped them, when nothing else will change the model.

        What is sharded of a stage is gathered once for all micro-batches of a step, and its gradients are given away
        once: with a gathering for each of them, a pipeline would send more than it saves.
        """
        self.roots = list(roots)
        for stage in self.stages:
            stage.autocast = autocast
        if self.stages[-1].last:
            self.stages[-1].serve(self.model)
        for root in self.roots:
            if isinstance(root, FSDPModule):
                root.set_reshard_after_forward(False)

    def forward_backward(self, batch: Sequence[Any], loss: Loss, factor: float) -> tuple[float, Sums]:
        """(sum of losses, sums of statistics) of the micro-batches; gradients are those of the sum times `factor`.

        Raises:
            GroundupError: the schedule can't work through so many micro-batches, or a pipeline through such ones.
        """
        parallel = self.layout.parallel
        if not suits(parallel, len(batch)):
            raise GroundupError(too_few(parallel, len(batch)), where="parallel.pp")
        inputs = self._inputs(batch)
        if self.layout.degree("cp") > 1 and len({idx_BT.shape[1] for idx_BT, _ in inputs}) > 1:
            raise GroundupError(  # padding would lie between the parts of a row
                "cp within a pipeline takes micro-batches with rows of one length",
                where="parallel",
                do="set pp or cp to 1",
            )
        work = self._begin(StageBatch(batch, padded(inputs, self.parts), loss, factor))
        shape = (len(batch), work.inputs[0][0].shape)
        if shape != self._made_for:
            self._schedule, self._made_for = self._scheduled(*shape), shape
        ids = torch.cat([idx_BT for idx_BT, _ in work.inputs])  # torch cuts them again, and wants targets
        given, target = (ids,) if self.stages[0].first else (), ids if self.stages[-1].last else None
        try:
            self._schedule.step(*given, target=target, return_outputs=False)
        except RuntimeError as error:  # as which torch raises whatever was raised in a forward pass
            if isinstance(error.__cause__, GroundupError):
                raise error.__cause__ from None
            raise
        if self.shared is not None:
            self._add_up_ends()
        loss_sum, sums = 0.0, Sums()
        for value, found in self._shared(work):
            loss_sum += value
            for name, number in found.items():
                sums[name] = sums.get(name, 0.0) + number
        return loss_sum, sums

    @torch.no_grad()
    def evaluate(self, batch: Sequence[Any], loss: Loss) -> list[tuple[float, Sums]]:
        """(loss, statistics) of each micro-batch, without a backward pass; they may be of any shapes."""
        inputs = [padded([one], self.parts)[0] for one in self._inputs(batch)]
        work = self._begin(StageBatch(batch, inputs, loss))
        before, after = (self.rank - 1) % self.size, (self.rank + 1) % self.size
        sent: list[dist.Work] = []
        for idx_BT, _ in inputs:
            for stage, root in zip(self.stages, self.roots, strict=True):
                given: Stream = (idx_BT,)
                if not stage.first:
                    given = tuple(torch.empty(shape, device=self.device) for shape in self._stream(idx_BT.shape))
                    for tensor in given:
                        dist.recv(tensor, group=self.group, group_src=before)
                made = root(*given)
                if not stage.last:
                    sent += [_sent(tensor.contiguous(), self.group, after) for tensor in made]
        for one in sent:
            one.wait()
        return self._shared(work)

    def _inputs(self, batch: Sequence[Any]) -> list[Inputs]:
        return [
            (idx_BT.to(self.device), None if documents_BT is None else documents_BT.to(self.device))
            for idx_BT, documents_BT in inputs_of(batch)
        ]

    def _begin(self, work: StageBatch) -> StageBatch:
        for stage in self.stages:
            stage.begin(work)
        return work

    def _stream(self, shape: torch.Size) -> list[tuple[int, ...]]:
        """The shapes of what is sent between stages for token ids of this shape."""
        (B, T), config = shape, self.model.config
        shapes: list[tuple[int, ...]] = [(B, T // self.parts, config.hidden_size)]
        return [*shapes, (3, config.num_experts)] if config.num_experts else shapes

    def _scheduled(self, count: int, shape: torch.Size) -> Any:
        """The schedule for `count` micro-batches of token ids of this shape, as one of torch's."""
        ids = torch.empty(shape, dtype=torch.long, device="meta")
        stream = tuple(torch.empty(sent, device="meta", requires_grad=True) for sent in self._stream(shape))
        loss = torch.empty((), device="meta", requires_grad=True)
        stages: list[Any] = [
            PipelineStage(
                root,
                stage.number,
                self.count,
                self.device,
                input_args=ids if stage.first else stream,
                output_args=loss if stage.last else stream,
                group=self.group,
            )
            for stage, root in zip(self.stages, self.roots, strict=True)
        ]
        options: dict[str, Any] = {"loss_fn": _itself, "scale_grads": False}
        match self.layout.parallel.schedule:
            case "gpipe":
                return ScheduleGPipe(stages[0], count, **options)
            case "1f1b":
                return Schedule1F1B(stages[0], count, **options)
            case "interleaved":
                return ScheduleInterleaved1F1B(stages, count, **options)
            case "zero_bubble":
                return ScheduleInterleavedZeroBubble(stages, count, **options)

    def _add_up_ends(self) -> None:
        """Give both ends of the pipeline the sum of their gradients of the matrix that both hold."""
        assert self.shared is not None
        mine = settled(self.shared)
        theirs, other = torch.empty_like(mine), (self.size - 1) - self.rank
        operations = [
            dist.P2POp(dist.isend, mine, group=self.group, group_peer=other),
            dist.P2POp(dist.irecv, theirs, group=self.group, group_peer=other),
        ]
        for work in dist.batch_isend_irecv(operations):
            work.wait()
        mine += theirs

    def _shared(self, work: StageBatch) -> list[tuple[float, Sums]]:
        """What the last stage has found of each micro-batch, in every stage."""
        found = []
        for loss, statistics in work.found:
            sums = Sums()
            add(sums, statistics)
            found.append((loss.item(), sums))
        if dist.get_backend(self.group) == "fake":
            return found  # a dry run: nobody else is there
        shared = [found]
        last = dist.get_global_rank(self.group, self.size - 1)
        dist.broadcast_object_list(shared, last, group=self.group, device=torch.device("cpu"))
        return shared[0]


def _itself(loss: Tensor, _target: Tensor) -> Tensor:
    """Torch's schedules ask for a function of output and target, and the last stage's output is the loss."""
    return loss


def _sent(x: Tensor, group: dist.ProcessGroup, to: int) -> dist.Work:
    work = dist.isend(x, group=group, group_dst=to)
    assert work is not None, "this process is one of the group"
    return work
