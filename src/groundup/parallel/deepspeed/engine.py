"""The engine that trains under DeepSpeed ZeRO.

DeepSpeed owns what lies between a backward pass and the next weights: it reduces gradients into the shards, clips them,
steps AdamW on each shard and spreads the new weights. The engine gives it each micro-batch's loss, already divided by
the weight of the global batch, and marks the last one:

    micro-batches -> loss sum / global weight x processes -> backward -> ZeRO: mean over processes, norm, clip
        -> `StepGate`: finite? accepted? -> AdamW on float32 shards (`Masters`) -> weights

So the only division is ours; DeepSpeed's own, by the number of processes, is undone, and that by the number of
micro-batches is switched off.
"""

import copy
import gc
import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch._C._distributed_c10d import HashStore

from groundup.errors import GroundupError
from groundup.parallel.checkpointing.files import TensorFiles
from groundup.parallel.checkpointing.part import Part, Snapshot
from groundup.parallel.data_rank import DataRank
from groundup.parallel.deepspeed.average import MasterAverage
from groundup.parallel.deepspeed.gate import StepGate
from groundup.parallel.deepspeed.library import load, quiet
from groundup.parallel.deepspeed.masters import ADAM_STATE, Masters
from groundup.parallel.deepspeed.settings import WHERE, shown
from groundup.parallel.deepspeed.universal import export, read
from groundup.parallel.device import Precision
from groundup.parallel.engine import Accept, DivergedError, Engine, Loss, Statistics, StepResult
from groundup.parallel.mesh.process_group import backend_of


class _LossOf(nn.Module):
    """A model whose forward pass is a loss, so that all of it runs inside of DeepSpeed's hooks.

    Parameters go by the model's own names here too, and so in all that DeepSpeed writes.
    """

    def __init__(self, model: nn.Module, autocast: Callable[[], torch.autocast]) -> None:
        super().__init__()
        self.model, self.autocast = model, autocast

    def forward(self, loss: Loss, micro_batch: Any) -> tuple[Tensor, Statistics]:
        with self.autocast():
            return loss(self.model, micro_batch)

    def named_parameters(self, *choice: Any, **choices: Any) -> Iterator[tuple[str, nn.Parameter]]:
        return self.model.named_parameters(*choice, **choices)

    def state_dict(self, *choice: Any, **choices: Any) -> Any:
        return self.model.state_dict(*choice, **choices)


class DeepSpeedEngine(Engine):
    """A model under ZeRO stage 1, 2 or 3, over all processes of the job."""

    def __init__(
        self,
        model: nn.Module,
        make_optimizer: Callable[[nn.Module], torch.optim.Optimizer],
        device: torch.device,
        precision: Precision,
        settings: dict[str, Any],
        ema_decay: float | None = None,
    ) -> None:
        """
        Args:
            model: the same in every process.
            make_optimizer: of an AdamW.
            settings: DeepSpeed's (`settings.settings`).
            ema_decay: keep an exponential moving average of the weights with this decay per step.

        Raises:
            GroundupError: DeepSpeed is not installed, or doesn't take the settings.
        """
        super().__init__(model, device, precision)
        self._deepspeed = deepspeed = load(device)
        self._alone = not dist.is_initialized()
        if self._alone:  # DeepSpeed wants a group of one process, and looks LOCAL_RANK up repeatedly
            os.environ.setdefault("LOCAL_RANK", "0")
            dist.init_process_group(backend_of(device), store=HashStore(), rank=0, world_size=1)
        self.data_rank = DataRank(dist.get_rank(), dist.get_world_size())
        self.leader = self.data_rank.rank == 0
        self.settings = settings
        if self.leader:
            deepspeed.utils.logger.warning("DeepSpeed's settings, from the blueprint:\n%s", shown(settings))
        self._bare = _without_weights(model)
        rounded = precision == "bf16"  # by DeepSpeed, before it makes the masters
        exact = {n: p.detach().cpu().clone() for n, p in model.named_parameters() if rounded or not p.requires_grad}
        optimizer = make_optimizer(model)
        self._groups = optimizer.param_groups
        try:
            with quiet():
                self._engine, self._zero, _, _ = deepspeed.initialize(
                    model=_LossOf(model, self.autocast), optimizer=optimizer, config=settings
                )
        except (AssertionError, ValueError, RuntimeError) as error:
            what = str(error).strip().splitlines() or [type(error).__name__]
            raise GroundupError(
                f"DeepSpeed does not start: {what[0]}", where=WHERE, do="the log of the first process has its settings"
            ) from error
        self._parameters = dict(model.named_parameters())
        self._masters = Masters(deepspeed, self._zero, self._parameters)
        for name, weight in exact.items():
            self._masters.set_weight(name, weight)
        self._masters.publish()
        self._gate = StepGate(self._zero)
        self.model.eval()
        self.average: MasterAverage | None = MasterAverage(self._masters, ema_decay) if ema_decay else None

    def train_step(
        self,
        batch: Sequence[Any],
        weights: Sequence[float],
        loss: Loss,
        learning_rate: float,
        clip_norm: float,
        where: str = "",
        accept: Accept | None = None,
    ) -> StepResult:
        total = self._sum({"": sum(weights)})[""]
        sums = {"": 0.0}
        self.model.train(self.dropout)
        for index, micro_batch in enumerate(batch):
            self._engine.set_gradient_accumulation_boundary(index == len(batch) - 1)
            part, statistics = self._engine(loss, micro_batch)
            self._engine.backward(part * (self.data_rank.size / total), scale_wrt_gas=False)
            _add(sums, {"": part.detach(), **statistics})
        self.model.eval()
        means = {name: value / total for name, value in self._sum(sums).items()}
        mean = means.pop("")

        for group in self._groups:
            group["lr"] = learning_rate * group.get("scale", 1.0)
        self._zero.clip_grad = clip_norm
        self._gate.begin(mean, accept)
        self._engine.step()
        norm = self._gate.norm
        if not self._gate.finite:
            raise DivergedError(
                f"the loss is {mean} and the gradient's norm {norm}: training has diverged",
                where=where or None,
                do="lower learning_rate, or look at the documents of this step; the last checkpoint is kept",
            )
        if self.average and self._gate.taken:
            self.average.update()
        return StepResult(mean, norm, means, total, self._gate.taken)

    @torch.no_grad()
    def evaluate(self, batch: Sequence[Any], loss: Loss) -> tuple[float, dict[str, float]]:
        sums = {"": 0.0}
        for micro_batch in batch:
            part, statistics = self._engine(loss, micro_batch)
            _add(sums, {"": part, **statistics})
        return sums.pop(""), sums

    @contextmanager
    def whole(self) -> Iterator[nn.Module]:
        """In float32 in any case: where the model itself has less, or a part of it, its masters fill a second one."""
        if self.precision == "fp32" and not self._masters.sharded:
            yield self.model
            return
        weights: dict[int, Any] = {
            id(bare): nn.Parameter(self._masters.weight(name).to(self.device), bare.requires_grad)
            for name, bare in self._bare.named_parameters()
        }
        yield copy.deepcopy(self._bare, weights)

    def any(self, flag: bool) -> bool:
        return self._sum({"": float(flag)})[""] > 0

    def state(self) -> dict[str, Tensor]:
        """All of it in the process that leads, nothing in the others."""
        return {key: tensor.cpu() for key, tensor in self._whole_tensors() if self.leader}

    def snapshot(self) -> Snapshot:
        """Whole tensors, dealt out to the processes one by one, so that each keeps and writes about as many."""
        rank, size = self.data_rank.rank, self.data_rank.size
        dealt = enumerate(self._whole_tensors())
        return {key: Part.of(tensor) for index, (key, tensor) in dealt if index % size == rank}

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Restore a state that at least the leading process has.

        Raises:
            GroundupError: it is of another model, or its optimizer is no AdamW that moved all parameters together.
        """
        held = [{key: (tensor.shape, tensor.dtype) for key, tensor in tensors.items()}]
        dist.broadcast_object_list(held)
        self._restore(held[0], lambda key: self._from_leader(tensors.get(key), *held[0][key]))

    def load(self, files: TensorFiles) -> None:
        """Tensor by tensor, so that no process needs memory for the whole model.

        Raises:
            GroundupError: as `restore`.
        """
        self._restore(files, files.tensor)

    def export_universal(self, folder: Path) -> None:
        """Write DeepSpeed's universal checkpoint, which it loads under any stage and number of processes.

        Raises:
            GroundupError: there is something in the folder.
        """
        export(self._engine, folder, self.leader)

    def import_universal(self, folder: Path) -> None:
        """Restore weights and optimizer state from a universal checkpoint.

        Raises:
            GroundupError: it is not whole, or of another model.
        """
        state = read(folder, self._bare)
        self._restore(state, state.__getitem__)

    def _whole_tensors(self) -> Iterator[tuple[str, Tensor]]:
        """The state, tensor by tensor, each gathered as it is asked for: all processes ask for all."""
        trained, steps = set(self._masters.trained), self._masters.steps
        for name in self._parameters:
            yield f"model.{name}", self._masters.weight(name)
            if name in trained and steps:
                for moment in ADAM_STATE:
                    yield f"optimizer.{moment}.{name}", self._masters.moment(name, moment)
                yield f"optimizer.step.{name}", torch.tensor(float(steps))
        if self.average:
            for name, tensor in self.average.whole_tensors():
                yield f"average.{name}", tensor

    @torch.no_grad()
    def _restore(self, names: Collection[str], whole: Callable[[str], Tensor]) -> None:
        """Restore a state: the names of its tensors, the same in every process, and what returns each of them."""
        self._check(names)
        steps: set[int] = set()
        for name in self._parameters:
            self._masters.set_weight(name, whole(f"model.{name}"))
        for name in self._masters.trained:
            for moment in ADAM_STATE:
                key = f"optimizer.{moment}.{name}"
                value = whole(key) if key in names else torch.zeros(self._masters.shape(name))
                self._masters.set_moment(name, moment, value)
            if (key := f"optimizer.step.{name}") in names:
                steps.add(int(whole(key)))
        if len(steps) > 1:
            raise _foreign("some of its weights have taken fewer steps than others, which DeepSpeed counts together")
        self._masters.steps = max(steps, default=0)
        self._masters.publish()
        if self.average:
            self.average.restore_from(lambda name: whole(f"average.{name}"))

    def _check(self, names: Collection[str]) -> None:
        wanted = {f"model.{name}" for name in self._parameters}
        if self.average:
            wanted |= {"average.steps", *(f"average.weight.{name}" for name in self._masters.trained)}
        if missing := wanted.difference(names):
            raise _foreign(f"it has no {min(missing)}")
        for moment in {name.split(".")[1] for name in names if name.startswith("optimizer.")}:
            if moment not in ("step", *ADAM_STATE):
                raise _foreign(f"its optimizer keeps {moment} of each weight, which AdamW does not")

    def close(self) -> None:
        with quiet():
            self._engine.destroy()
        if dist.is_initialized():
            dist.barrier()
            gc.collect()  # as `process_group.leave`, but DeepSpeed forgets its groups too
            self._deepspeed.comm.destroy_process_group()
        if self._alone:
            os.environ.pop("LOCAL_RANK", None)

    def _sum(self, values: Mapping[str, float]) -> dict[str, float]:
        """Sums over all processes, which name the same ones."""
        names = sorted(values)
        held = torch.tensor([values[name] for name in names], dtype=torch.float64)
        dist.all_reduce(held)
        return dict(zip(names, held.tolist(), strict=True))

    def _from_leader(self, tensor: Tensor | None, shape: torch.Size, dtype: torch.dtype) -> Tensor:
        held = torch.empty(shape, dtype=dtype) if tensor is None or not self.leader else tensor.contiguous()
        dist.broadcast(held, 0)
        return held


def _add(sums: dict[str, float], values: Mapping[str, Tensor]) -> None:
    for name, value in values.items():
        sums[name] = sums.get(name, 0.0) + float(value)


def _without_weights(model: nn.Module) -> nn.Module:
    """A copy whose parameters are on the meta device; buffers are real.

    What was put around a module's `forward` (activation checkpointing) refers to the original and is dropped.
    """
    empty: dict[int, Any] = {
        id(p): nn.Parameter(torch.empty_like(p, device="meta"), p.requires_grad) for p in model.parameters()
    }
    bare = copy.deepcopy(model, empty)
    for module in bare.modules():
        module.__dict__.pop("forward", None)
    return bare


def _foreign(what: str) -> GroundupError:
    return GroundupError(
        f"this checkpoint can't be resumed under DeepSpeed: {what}",
        do="resume it under the engine that wrote it",
    )
