"""What is spread over Megatron's processes, whole and under our names; and back."""

from collections.abc import Iterator, Mapping, Sequence

import torch
import torch.distributed as dist
from megatron.core import parallel_state
from torch import Tensor, nn

from groundup.model.configuration import LLMConfig
from groundup.parallel.checkpointing.files import TensorFiles
from groundup.parallel.checkpointing.part import Part, Snapshot
from groundup.parallel.megatron.converter import WeightMapping, entries, in_model, tied
from groundup.parallel.megatron.model import MegatronStage


class Canonical:
    """Knows which process of a pipeline holds what. Making one is collective, and so is `gathered`."""

    def __init__(self, stages: Sequence[MegatronStage], config: LLMConfig, shapes: Mapping[str, torch.Size]) -> None:
        """`shapes`: of the whole tensors, by our names."""
        self.config, self.shapes = config, shapes
        self.parameters: dict[str, nn.Parameter] = {
            in_model(name, stage.first_layer): parameter
            for stage in stages
            for name, parameter in stage.named_parameters()
        }
        """This process's, by Megatron's names with layers numbered as in the whole model."""
        self.tp, self.pp = (
            parallel_state.get_tensor_model_parallel_group(),
            parallel_state.get_pipeline_model_parallel_group(),
        )
        names: list[list[str]] = [[] for _ in range(self.pp.size())]
        dist.all_gather_object(names, list(self.parameters), group=self.pp)
        self._owners = {name: rank for rank, of_rank in reversed(list(enumerate(names))) for name in of_rank}
        self.entries: list[WeightMapping] = [entry for entry in entries(config) if not tied(entry, config)]

    def gathered(self, own: Mapping[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
        """Our names and whole tensors on the CPU, one after the other, in every process.

        Args:
            own: this process's tensors by the names of `parameters`.
        """
        for entry in self.entries:
            owner, merged = self._owners[entry.name], dict[str, Tensor]()
            if owner == self.pp.rank():
                shard = own[entry.name].detach().cpu().contiguous()
                shards = [torch.empty_like(shard) for _ in range(self.tp.size())]
                dist.all_gather(shards, shard, group=self.tp)
                merged = entry.merge(shards, self.config)
            for name in entry.ours:
                whole = merged[name].contiguous() if merged else torch.empty(self.shapes[name])
                dist.broadcast(whole, dist.get_global_rank(self.pp, owner), group=self.pp)
                yield name, whole

    def parts(self, own: Mapping[str, Tensor]) -> Snapshot:
        """Copies of what this process holds of our tensors, by our names.

        Args:
            own: this process's tensors by the names of `parameters`.
        """
        found: Snapshot = {}
        for entry in self.entries:
            if entry.name not in own:
                continue
            for name, part in zip(entry.ours, entry.parts(own[entry.name].detach(), self.config), strict=True):
                shape, offsets = self.shapes[name], [0] * part.dim()
                if entry.dimension is not None:
                    offsets[entry.dimension] = self.tp.rank() * part.shape[entry.dimension]
                    # a padded vocabulary extends past the whole tensor's end
                    begin, end = (min(at, shape[0]) for at in (offsets[0], offsets[0] + len(part)))
                    part, offsets[0] = part[: end - begin], begin
                found[name] = Part(torch.empty(part.shape).copy_(part), tuple(offsets), shape)
        return found

    def read(self, files: TensorFiles, prefix: str) -> dict[str, Tensor]:
        """This process's parts of tensors in files, by the names of `parameters`; `prefix` precedes our names."""
        found = {}
        for entry in entries(self.config):
            if entry.name in self.parameters:
                wholes = {name: files.tensor(prefix + name) for name in entry.ours}
                found[entry.name] = entry.split(wholes, self.config, self.tp.rank(), self.tp.size())
        return found

    def own(self, wholes: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """This process's parts of whole tensors, by the names of `parameters`; a tied head's copy is among them."""
        return {
            entry.name: entry.split(wholes, self.config, self.tp.rank(), self.tp.size())
            for entry in entries(self.config)
            if entry.name in self.parameters
        }
