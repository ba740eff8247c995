"""The engine of many processes in a mesh: what `SingleDevice` computes, spread over them.

Each kind of parallelism is a file of small functions that change a model from outside, and no-ops at degree 1. Their
order is that of `MeshEngine.__init__`:

    pipeline.split    leave this process's layers                                  [pp]
    tensor.apply      cut matrices and, between them, the sequence                  [tp]
    experts.apply     leave this process's experts                                  [ep]
    context.apply     cut sequences, attend over all of their parts                 [cp]
    data.apply        average gradients, shard weights                              [dp_replicate, dp_shard]

Activation checkpointing and compilation are in the model's blocks already when it comes here.

Two rules keep objectives free of all this. A loss sees plain tensors: what is cut is whole again before it, or hidden
in modules. And the loss of a global batch is the sum of what the losses of all processes of `layout.dp_cp` give; its
gradient is the sum of theirs, so both are divided by one number, the weight of the global batch.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from groundup.parallel.average import WeightAverage
from groundup.parallel.configuration import ParallelConfig
from groundup.parallel.device import Precision
from groundup.parallel.engine import Loss, Statistics
from groundup.parallel.mesh import context, data, experts, gather, pipeline, tensor
from groundup.parallel.mesh.clip import clip
from groundup.parallel.mesh.layout import Layout
from groundup.parallel.mesh.process_group import join, leave, own_device
from groundup.parallel.torch_engine import Sums, TorchEngine, add


class WithLoss(nn.Module):
    """A model with a loss as its forward pass, so that the hooks of data parallel run around both."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, loss: Loss, micro_batch: Any) -> tuple[Tensor, Statistics]:
        return loss(self.model, micro_batch)


class MeshEngine(TorchEngine):
    """A model over the processes of a layout, one of which this is."""

    def __init__(
        self,
        model: nn.Module,
        make_optimizer: Callable[[nn.Module], torch.optim.Optimizer],
        parallel: ParallelConfig,
        precision: Precision,
        ema_decay: float | None = None,
        layout: Layout | None = None,
    ) -> None:
        """Joins the job where that has not been done.

        Args:
            model: the same in every process; it is taken apart.
            ema_decay: keep an exponential moving average of the weights with this decay per step.
            layout: of `parallel`, where it had to be made before the model.

        Raises:
            GroundupError: there are not as many processes as the layout asks for, or the model doesn't fit it.
        """
        join(parallel)
        device = own_device()
        super().__init__(model, device, precision)
        self.layout = layout = layout or Layout(parallel, device)
        self.data_rank, self.leader = layout.data_rank, layout.leader
        self._skeleton = gather.skeleton(model)

        self.pipeline = pipeline.split(model, layout)
        tensor.apply(model, layout)
        experts.apply(model, layout)
        self.context = context.apply(model, layout)
        roots = self.pipeline.stages if self.pipeline else [WithLoss(model)]
        self.roots = [data.apply(root, layout, precision) for root in roots]
        if self.pipeline:
            self.pipeline.start(self.roots, self.autocast)

        self.optimizer = make_optimizer(model)
        gather.split_groups(self.optimizer)
        self.average = WeightAverage(model, ema_decay) if ema_decay else None

    def _total(self, weight: float) -> float:
        return self._summed([weight], self.layout.dp.get_group())[0]

    def _forward_backward(self, batch: Sequence[Any], loss: Loss, divisor: float) -> tuple[float, Sums]:
        with self.context.parts_of(batch) as (parts, times):
            # data parallel averages gradients over the processes whose losses are to be added up
            factor = self.layout.dp_cp.size() / (divisor * times)
            if self.pipeline:
                loss_sum, sums = self.pipeline.forward_backward(parts, loss, factor)
            else:
                loss_sum, sums = 0.0, Sums()
                for number, micro_batch in enumerate(parts, start=1):
                    with data.last_only(self.roots[0], number == len(parts)):
                        with self.autocast():
                            part, statistics = self.roots[0](loss, micro_batch)
                        (part * factor).backward()
                    loss_sum += part.item()
                    add(sums, statistics)
        return self._over_the_batch(loss_sum, sums, times)

    def _clip(self, norm: float) -> float:
        return clip(self.model, norm, self.layout, self.pipeline.shared if self.pipeline else None)

    @torch.no_grad()
    def evaluate(self, batch: Sequence[Any], loss: Loss) -> tuple[float, dict[str, float]]:
        """Data-parallel ranks take turns with the micro-batches; in a last round that is not full some compute one
        that isn't theirs, since gathering weights takes all of them."""
        data_rank, total, sums = self.data_rank, 0.0, Sums()
        turns = [(first, first + data_rank.rank) for first in range(0, len(batch), data_rank.size)]
        mine = [batch[turn if turn < len(batch) else first] for first, turn in turns]
        with self.context.parts_of(mine) as (parts, times):
            for (_, turn), (value, found) in zip(turns, self._evaluated(parts, loss), strict=True):
                counts = turn < len(batch)
                total += value * counts
                sums = {name: sums.get(name, 0.0) + number * counts for name, number in found.items()}
        for root in self.roots:
            data.reshard(root)
        return self._over_the_batch(total, sums, times)

    def _evaluated(self, batch: Sequence[Any], loss: Loss) -> list[tuple[float, Sums]]:
        if self.pipeline:
            return self.pipeline.evaluate(batch, loss)
        evaluated = []
        for micro_batch in batch:
            with self.autocast():
                part, statistics = self.roots[0](loss, micro_batch)
            sums = Sums()
            add(sums, statistics)
            evaluated.append((part.item(), sums))
        return evaluated

    def _over_the_batch(self, loss_sum: float, sums: Sums, times: int) -> tuple[float, Sums]:
        """Sums over the processes that read parts of the global batch, each of which `times` of them have computed."""
        names = list(sums)
        summed = self._summed([loss_sum, *sums.values()], self.layout.dp_cp.get_group())
        loss_sum, *values = [value / times for value in summed]
        return loss_sum, dict(zip(names, values, strict=True))

    def _summed(self, values: Sequence[float], group: dist.ProcessGroup) -> list[float]:
        """The sum of each value over the processes of a group."""
        tensor = torch.tensor(values, dtype=torch.float64, device=self.device)
        dist.all_reduce(tensor, group=group)
        summed: list[float] = tensor.tolist()
        return summed

    def any(self, flag: bool) -> bool:
        raised = torch.tensor(int(flag), device=self.device)
        dist.all_reduce(raised, dist.ReduceOp.MAX)
        return bool(raised)

    def state(self) -> dict[str, Tensor]:
        return gather.to_leader(self.tensors(), self.layout)

    def _received(self, tensors: Mapping[str, Tensor]) -> Iterable[tuple[str, Tensor]]:
        return gather.from_leader(tensors, self.layout)

    def _shard_of(self, whole: Tensor, like: Tensor) -> Tensor:
        return gather.shard_of(whole, like)

    @contextmanager
    def whole(self) -> Iterator[nn.Module]:
        """A second model on this process's device, gone afterwards. Every process has one."""
        weights = {name: parameter.detach() for name, parameter in self.model.named_parameters()}
        yield gather.filled(self._skeleton, gather.everywhere(weights, self.layout))

    def close(self) -> None:
        leave()
