"""The engine over Megatron-core: tensor, sequence, pipeline, context and data parallelism by its own machinery.

A step: every stage of the pipeline runs Megatron's schedule over the micro-batches; in the last one the objective's
loss meets `LastStage`, which looks to it like any language model. Gradients are those of the sum of losses over the
weight of the global batch; Megatron sums them over data-parallel processes, over the copies of a tied head and, under
sequence parallelism, over the norms' ranks.

Weights are float32; under bf16 matmuls run in bf16 by autocast, as in every other engine, and the residual
stream and what passes between stages stay float32.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from megatron.core import parallel_state
from megatron.core.distributed import DistributedDataParallel, DistributedDataParallelConfig, finalize_model_grads
from megatron.core.pipeline_parallel import get_forward_backward_func
from torch import Tensor, nn

from groundup.errors import GroundupError
from groundup.model.decoder import CustomLanguageModel
from groundup.parallel.average import WeightAverage
from groundup.parallel.checkpointing.files import TensorFiles
from groundup.parallel.checkpointing.part import Snapshot, below, snapshot
from groundup.parallel.configuration import ParallelConfig
from groundup.parallel.data_rank import DataRank
from groundup.parallel.device import Precision
from groundup.parallel.engine import Accept, DivergedError, Engine, Loss, StepResult
from groundup.parallel.megatron import layout, native, torch_dist
from groundup.parallel.megatron.batch import Padded, pad
from groundup.parallel.megatron.canonical import Canonical
from groundup.parallel.megatron.context import token_indices
from groundup.parallel.megatron.last_stage import LastStage
from groundup.parallel.megatron.model import build_stages
from groundup.parallel.megatron.optimizer import ADAM_STATE, Optimizer
from groundup.parallel.recompute import ActivationCheckpointing
from groundup.training.configuration import OptimizerConfig

Sums = dict[str, float]
LOSS = "loss"
WEIGHTS, AVERAGES = "model.", "average.weight."
PREFIXES = (WEIGHTS, *(f"optimizer.{key}." for key in ADAM_STATE), AVERAGES)


class MegatronEngine(Engine):
    """Trains a language model under a layout with dp_replicate, dp_shard (the distributed optimizer), cp, tp and pp."""

    def __init__(
        self,
        model: nn.Module,
        optimizer: OptimizerConfig,
        parallel: ParallelConfig,
        device: torch.device,
        precision: Precision,
        *,
        ema_decay: float | None = None,
        recompute: ActivationCheckpointing = "none",
    ) -> None:
        """Collective: every process of the job makes one, of the same model.

        Args:
            model: gives the weights, and receives them again in `whole`.
        """
        assert isinstance(model, CustomLanguageModel)
        config = model.config
        self.model, self.config = model, config
        self.device, self.precision, self.parallel = device, precision, parallel
        layout.enter(parallel, device)
        stages = build_stages(config, parallel, layout.virtual_stages(parallel), recompute)
        weights = {name: parameter.detach() for name, parameter in model.named_parameters()}
        self._canonical = Canonical(stages, config, {name: weight.shape for name, weight in weights.items()})
        self._put(self._canonical.own(weights))
        sharded = parallel.dp_shard > 1
        settings = DistributedDataParallelConfig(grad_reduce_in_fp32=True, use_distributed_optimizer=sharded)
        self._chunks = [
            DistributedDataParallel(stage.config, settings, stage.to(device), disable_bucketing=index > 0)
            for index, stage in enumerate(stages)
        ]
        stages[0].config.finalize_model_grads_func = _finalize
        self._optimizer = Optimizer(self._chunks, optimizer, sharded, 1 / config.width_multiplier)
        self.optimizer = self._optimizer.torch
        self._last = LastStage(config, stages[-1]) if stages[-1].post_process else None
        self._run = get_forward_backward_func()
        named = _NamedParameters(self._canonical.parameters)
        self.average = WeightAverage(named, ema_decay) if ema_decay else None
        self._dp = parallel_state.get_data_parallel_group()
        self._pp = parallel_state.get_pipeline_model_parallel_group()
        self.data_rank = DataRank(self._dp.rank(), self._dp.size())
        self.leader = dist.get_rank() == 0

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
        total = self._summed(sum(weights))
        self._clear()
        found = self._run_pipeline(batch, loss, total, train=True)
        sums = self._from_last_stage({name: self._summed(value) for name, value in found.items()})
        mean, norm = sums.pop(LOSS) / total, self._optimizer.norm()
        means = {name: value / total for name, value in sums.items()}
        if not (abs(mean) < float("inf") and norm < float("inf")):
            self._clear()
            raise DivergedError(
                f"the loss is {mean} and the gradient's norm {norm}: training has diverged",
                where=where or None,
                do="lower learning_rate, or look at the documents of this step; the last checkpoint is kept",
            )
        if accept is not None and not accept(mean, norm):
            return StepResult(mean, norm, means, total, taken=False)
        self._optimizer.step(learning_rate, clip_norm, norm)
        if self.average:
            self.average.update()
        return StepResult(mean, norm, means, total)

    @torch.no_grad()
    def evaluate(self, batch: Sequence[Any], loss: Loss) -> tuple[float, Sums]:
        if not batch:
            return 0.0, {}
        whole = list(batch)
        if layout.virtual_stages(self.parallel):  # the schedule takes multiples of pp
            whole += [batch[-1]] * (-len(batch) % self.parallel.pp)
        found = self._run_pipeline(whole, loss, 1.0, train=False, counted=len(batch))
        sums = self._from_last_stage(found)
        return sums.pop(LOSS), sums

    def _run_pipeline(
        self, batch: Sequence[Any], loss: Loss, total: float, train: bool, counted: int | None = None
    ) -> Sums:
        """Send micro-batches through the pipeline: in the last stage sums over the first `counted`, elsewhere nothing.

        Gradients, where they are wanted, are those of the sum of losses over `total`.
        """
        parallel = self.parallel
        multiple = parallel.tp * (2 * parallel.cp if parallel.cp > 1 else 1)
        padded = pad(batch, multiple, self.config.max_position_embeddings, self.device)
        shape = padded[0].idx_BT.shape
        results: list[dict[str, Tensor]] = self._run(
            forward_step_func=partial(self._forward, loss=loss, total=total),
            data_iterator=[iter(padded) for _ in self._chunks],
            model=self._chunks,
            num_microbatches=len(padded),
            seq_length=shape[1],
            micro_batch_size=shape[0],
            forward_only=not train,
        )
        sums: Sums = {}
        for result in results[:counted]:
            for name, value in result.items():
                sums[name] = sums.get(name, 0.0) + float(value)
        return sums

    def _forward(
        self, batches: Iterator[Padded], chunk: DistributedDataParallel, *, loss: Loss, total: float
    ) -> tuple[Tensor, Callable[[Tensor], Any]]:
        """Megatron's "forward step": a stage's output, and what makes a loss of the last one's."""
        padded = next(batches)
        here = self._here(padded)
        with self.autocast():
            output = chunk(*here)
        return output, partial(self._loss, padded=padded, loss=loss, total=total)

    def _here(self, padded: Padded) -> tuple[Tensor, Tensor, Tensor | None]:
        """(ids, positions, documents) of this process's part of the rows; documents of all of them."""
        group = parallel_state.get_context_parallel_group()
        here_S = token_indices(padded.idx_BT.shape[1], group.rank(), group.size(), self.device)
        return padded.idx_BT[:, here_S], padded.positions_BT[:, here_S], padded.documents_BT

    def _loss(
        self, output: Tensor, *, padded: Padded, loss: Loss, total: float
    ) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        assert self._last is not None
        with self.autocast():
            part, statistics = loss(self._last.served(output, padded.rows, padded.tokens), padded.batch)
        # every context-parallel rank has the whole loss, and Megatron adds their gradients up
        scaled = part / (total * self.parallel.cp)
        none = torch.zeros((), dtype=torch.int, device=self.device)  # Megatron would divide by a number of tokens
        return scaled, none, {LOSS: part.detach().clone(), **statistics}

    def _clear(self) -> None:
        for chunk in self._chunks:
            chunk.zero_grad_buffer()
        self._optimizer.megatron.zero_grad()

    def _summed(self, value: float) -> float:
        """Over the data-parallel processes."""
        tensor = torch.tensor(value, dtype=torch.float64)
        dist.all_reduce(tensor, group=self._dp)
        return tensor.item()

    def _from_last_stage(self, sums: Sums) -> Sums:
        """What the pipeline's last process found, in all of them."""
        found = [sums]
        if self._pp.size() > 1:
            dist.broadcast_object_list(found, dist.get_global_rank(self._pp, self._pp.size() - 1), group=self._pp)
        return found[0]

    def any(self, flag: bool) -> bool:
        tensor = torch.tensor(int(flag))
        dist.all_reduce(tensor, dist.ReduceOp.MAX)
        return bool(tensor)

    @contextmanager
    def whole(self) -> Iterator[nn.Module]:
        parameters = dict(self.model.named_parameters())
        with torch.no_grad():
            for name, weight in self._canonical.gathered(self._canonical.parameters):
                parameters[name].copy_(weight)
        self.model.to(self.device)
        try:
            yield self.model
        finally:
            self.model.to("cpu")

    def state(self) -> dict[str, Tensor]:
        """All of it in the process that leads, nothing in the others."""
        found = self._counters()
        for prefix, own in self._tensors().items():
            for name, whole in self._canonical.gathered(own):
                if self.leader:
                    found[prefix + name] = whole
        return found if self.leader else {}

    def snapshot(self) -> Snapshot:
        found: Snapshot = {}
        for prefix, own in self._tensors().items():
            found |= below(prefix, self._canonical.parts(own))
        return found | snapshot(self._counters())

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        kinds: dict[str, dict[str, Tensor]] = {}
        counters: dict[str, Tensor] = {}
        for key, tensor in self._received(tensors):
            if _counts(key):
                counters[key] = tensor
            for prefix in PREFIXES:
                if key.startswith(prefix):
                    kinds.setdefault(prefix, {})[key.removeprefix(prefix)] = tensor
        self._restore({prefix: self._canonical.own(wholes) for prefix, wholes in kinds.items()}, counters)

    def load(self, files: TensorFiles) -> None:
        prefixes = [prefix for prefix in PREFIXES if any(key.startswith(prefix) for key in files)]
        counters = {key: files.tensor(key) for key in files if _counts(key)}
        self._restore({prefix: self._canonical.read(files, prefix) for prefix in prefixes}, counters)

    def save_native(self, folder: Path) -> None:
        """Write weights, optimizer state and steps as Megatron-core's own checkpoint, for its own tools. Collective.

        Raises:
            GroundupError: there is an average of the weights, which it can't hold.
        """
        self._has_no_average(folder)
        native.save(folder, self._chunks, self._optimizer)

    def load_native(self, folder: Path) -> None:
        """Restore what `save_native` wrote, under this layout or another."""
        self._has_no_average(folder)
        if self._optimizer.sharded or torch_dist.from_distributed_optimizer(folder):
            self.restore(torch_dist.read(folder, self.config) if self.leader else {})
        else:
            native.load(folder, self._chunks, self._optimizer)

    def _has_no_average(self, folder: Path) -> None:
        if self.average:
            raise GroundupError(
                "Megatron's checkpoints hold no average of the weights", where=str(folder), do="use ours"
            )

    def _tensors(self) -> dict[str, Mapping[str, Tensor]]:
        """Prefixes of the state's names to this process's tensors, by Megatron's names. Collective."""
        parameters = self._canonical.parameters
        found: dict[str, Mapping[str, Tensor]] = {WEIGHTS: parameters}
        if self._steps():
            found |= {f"optimizer.{key}.": own for key, own in self._optimizer.adam_state(parameters).items()}
        return found | ({AVERAGES: self.average.weights} if self.average else {})

    def _counters(self) -> dict[str, Tensor]:
        steps = self._steps()
        found = {f"optimizer.step.{name}": torch.tensor(steps) for name in self._canonical.shapes} if steps else {}
        return found | ({"average.steps": torch.tensor(self.average.steps)} if self.average else {})

    def _restore(self, own: Mapping[str, Mapping[str, Tensor]], counters: Mapping[str, Tensor]) -> None:
        """Restore this process's tensors, as `_tensors` returns them, and what `_counters` returns.

        Raises:
            GroundupError: the optimizer that kept the state is not an AdamW that took all steps at once.
        """
        steps = {float(value) for key, value in counters.items() if key.startswith("optimizer.step.")}
        strange = sorted(key for key in counters if not key.startswith(("optimizer.step.", "average.")))
        if strange or len(steps) > 1:
            what = f"it keeps {strange[0]}" if strange else "its parameters have taken different numbers of steps"
            raise GroundupError(
                f"the checkpoint is not of an AdamW as Megatron has it: {what}",
                do="resume under the engine and the optimizer it was made with",
            )
        self._put(own[WEIGHTS])
        self._optimizer.clear_state()
        if steps:
            state = {key: own[f"optimizer.{key}."] for key in ADAM_STATE}
            self._optimizer.set_adam_state(self._canonical.parameters, state, steps.pop())
        if self.average:
            averages = {f"weight.{name}": tensor for name, tensor in own[AVERAGES].items()}
            self.average.restore({"steps": counters["average.steps"], **averages})

    def _received(self, tensors: Mapping[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
        """What the leader was given, in every process, one tensor after the other."""
        listed = [[(name, tensor.shape, tensor.dtype) for name, tensor in tensors.items()]]
        dist.broadcast_object_list(listed)
        for name, shape, dtype in listed[0]:
            tensor = tensors[name].detach().cpu().contiguous() if self.leader else torch.empty(shape, dtype=dtype)
            dist.broadcast(tensor, 0)
            yield name, tensor

    @torch.no_grad()
    def _put(self, own: Mapping[str, Tensor]) -> None:
        for name, parameter in self._canonical.parameters.items():
            parameter.copy_(own[name])

    def _steps(self) -> float:
        """Of the optimizer; a process may hold no part of any tensor. Collective."""
        tensor = torch.tensor(self._optimizer.steps, dtype=torch.float64)
        dist.all_reduce(tensor, dist.ReduceOp.MAX)
        return tensor.item()

    def close(self) -> None:
        layout.leave()


class _NamedParameters(nn.Module):
    """Parameters under names of ours."""

    def __init__(self, parameters: Mapping[str, nn.Parameter]) -> None:
        super().__init__()
        self._named = parameters

    def named_parameters(self, *_: Any, **__: Any) -> Iterator[tuple[str, nn.Parameter]]:
        yield from self._named.items()


def _counts(key: str) -> bool:
    """Whether a tensor of a state belongs to no weight; another optimizer's state is among them."""
    return key.startswith(("optimizer.", "average.")) and not key.startswith(PREFIXES)


def _finalize(model: Any, tokens: Tensor | None, **groups: Any) -> None:
    """Megatron's sums of gradients over processes, without its division by a number of tokens."""
    finalize_model_grads(model, None, **groups)
