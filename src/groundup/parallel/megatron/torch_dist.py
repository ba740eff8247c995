"""Megatron-core's checkpoints of the form `torch_dist`, read and written with PyTorch alone.

They are folders of torch.distributed.checkpoint. Tensors lie whole, as one tensor-parallel rank would have them, and
those of all layers are stacked into one:

    embedding.word_embeddings.weight                [V, D]
    decoder.layers.self_attention.linear_qkv.weight [L, (H + 2 G) K, D]
    optimizer.state.exp_avg.<name of a weight>      the same shapes

The index of such a folder is a pickle; here it may only contain what an index is made of.
"""

import pickle
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.distributed.checkpoint.default_planner import DefaultSavePlanner
from torch.distributed.checkpoint.filesystem import FileSystemReader, FileSystemWriter
from torch.distributed.checkpoint.metadata import Metadata, TensorStorageMetadata
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.checkpoint.state_dict_saver import save

from groundup.errors import GroundupError
from groundup.model.configuration import LLMConfig
from groundup.parallel.megatron.converter import entries, from_megatron, tied

# Transformer Engine's layers contain the norm before them, and all others are stored as if they did.
STORED = {
    "input_layernorm.": "self_attention.linear_qkv.layer_norm_",
    "pre_mlp_layernorm.": "mlp.linear_fc1.layer_norm_",
}
NAMED = "name the folder with .metadata and metadata.json, and the model that it is of"
LAYERS = "decoder.layers."
LINEARS = ("self_attention.linear_qkv", "self_attention.linear_proj", "mlp.linear_fc1", "mlp.linear_fc2")
ADAM_STATE = {f"optimizer.{key}.": f"optimizer.state.{key}." for key in ("exp_avg", "exp_avg_sq")}
INDEX = {
    *(
        f"torch.distributed.checkpoint.metadata.{name}"
        for name in (
            "BytesStorageMetadata ChunkStorageMetadata Metadata MetadataIndex StorageMeta TensorProperties "
            "TensorStorageMetadata _MEM_FORMAT_ENCODING"
        ).split()
    ),
    *(
        f"torch.distributed.checkpoint.planner.{name}"
        for name in "SavePlan TensorWriteData WriteItem WriteItemType".split()
    ),
    "torch.distributed.checkpoint.filesystem._StorageInfo",
    "torch.serialization._get_layout",
    "torch.Size",
    "pathlib.PosixPath",
}


def stored_name(name: str) -> tuple[str, int | None]:
    """(the name under which a tensor of Megatron's is stored, its index in the stack or None)."""
    if not name.startswith(LAYERS):
        return name, None
    layer, _, rest = name.removeprefix(LAYERS).partition(".")
    for inside, outside in STORED.items():
        rest = rest.replace(inside, outside)
    return LAYERS + rest, int(layer)


def stacked(theirs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Whole tensors by Megatron's names, as they are stored."""
    rows: dict[str, dict[int, Tensor]] = {}
    found = {}
    for name, tensor in theirs.items():
        key, layer = stored_name(name)
        if layer is None:
            found[key] = tensor
        else:
            rows.setdefault(key, {})[layer] = tensor
    return found | {key: torch.stack([tensors[layer] for layer in sorted(tensors)]) for key, tensors in rows.items()}


def write(folder: Path, theirs: Mapping[str, Tensor]) -> None:
    """Write whole weights by Megatron's names into a folder: the index and the tensors, and of each linear layer the
    empty "extra state" that Megatron looks for."""
    found: dict[str, Any] = dict(stacked(theirs))
    layers = max(layer for layer in (stored_name(name)[1] for name in theirs) if layer is not None) + 1
    for linear in LINEARS:
        found |= {f"{LAYERS}{linear}._extra_state/shard_{layer}_{layers}": [None] for layer in range(layers)}
    planner = DefaultSavePlanner(flatten_state_dict=False)  # a list is one value to Megatron
    with _alone():
        save(found, storage_writer=FileSystemWriter(folder), planner=planner, no_dist=True)


def read(folder: Path, config: LLMConfig) -> dict[str, Tensor]:
    """All of a checkpoint under our names: `model.NAME`, and `optimizer.KEY.NAME` where it has optimizer state, with
    `optimizer.step.NAME`. Needs no other process, and no Megatron.

    Raises:
        GroundupError: it is no such folder, or of another model.
    """
    shapes, names = _shapes(folder), [entry.name for entry in entries(config) if not tied(entry, config)]
    found = _read(folder, shapes, names, "", config, "model.")
    if any(key.startswith(tuple(ADAM_STATE.values())) for key in shapes):
        steps = torch.tensor(_steps(folder))
        found |= {f"optimizer.step.{name.removeprefix('model.')}": steps.clone() for name in list(found)}
        for ours, theirs in ADAM_STATE.items():
            found |= _read(folder, shapes, names, theirs, config, ours)
    return found


def read_weights(folder: Path, config: LLMConfig) -> dict[str, Tensor]:
    """The weights alone, by our names."""
    names = [entry.name for entry in entries(config) if not tied(entry, config)]
    return _read(folder, _shapes(folder), names, "", config, "")


def from_distributed_optimizer(folder: Path) -> bool:
    """Whether the optimizer state is of Megatron's distributed optimizer, which the other one can't load."""
    return any(key.startswith("optimizer.state.param.") for key in _shapes(folder))


def _shapes(folder: Path) -> dict[str, torch.Size]:
    """Of all tensors, by stored names."""
    try:
        index = _Reader(folder).read_metadata().state_dict_metadata
    except (OSError, pickle.UnpicklingError, EOFError, AttributeError) as error:
        raise GroundupError(f"is no checkpoint of Megatron's ({error})", where=str(folder), do=NAMED) from error
    return {key: stored.size for key, stored in index.items() if isinstance(stored, TensorStorageMetadata)}


def _read(
    folder: Path, shapes: Mapping[str, torch.Size], names: Sequence[str], prefix: str, config: LLMConfig, ours: str
) -> dict[str, Tensor]:
    """Tensors that are stored under `prefix` and Megatron's names, under `ours` and our names."""
    indices = {name: stored_name(name) for name in names}
    for key, layer in indices.values():
        if prefix + key not in shapes:
            raise GroundupError(f"has no tensor {prefix}{key}", where=str(folder), do=NAMED)
        if layer is not None and shapes[prefix + key][0] != config.num_hidden_layers:
            raise GroundupError(
                f"has {shapes[prefix + key][0]} layers, the model {config.num_hidden_layers}",
                where=str(folder),
                do=NAMED,
            )
    stored = {prefix + key: torch.empty(shapes[prefix + key]) for key, _ in indices.values()}
    with _alone():
        load(stored, storage_reader=_Reader(folder), no_dist=True)
    theirs = {}
    for name, (key, layer) in indices.items():
        theirs[name] = stored[prefix + key] if layer is None else stored[prefix + key][layer]
    return {ours + name: tensor for name, tensor in from_megatron([theirs], config).items()}


@contextmanager
def _alone() -> Iterator[None]:
    """That no other process takes part is meant."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "torch.distributed is disabled")
        yield


def _steps(folder: Path) -> float:
    """How many the optimizer had taken. The file is a pickle, of which PyTorch lets only plain values through."""
    common = torch.load(folder / "common.pt", weights_only=True)["optimizer"]
    inner = common.get("optimizer", common)  # the distributed optimizer's lies one deeper
    step = inner["state"]["common_step"] if "state" in inner else inner["param_groups"][0]["step"]
    return float(step)


class _Reader(FileSystemReader):
    def read_metadata(self, *_: Any, **__: Any) -> Metadata:
        with (Path(self.path) / ".metadata").open("rb") as file:
            found = _Index(file).load()
        if not isinstance(found, Metadata):
            raise pickle.UnpicklingError("its index is none")
        return found


class _Index(pickle.Unpickler):
    """Unpickles what an index is made of, and nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        if f"{module}.{name}" in INDEX or (module == "torch" and isinstance(getattr(torch, name, None), torch.dtype)):
            return super().find_class(module, name)
        raise pickle.UnpicklingError(f"its index names {module}.{name}")
