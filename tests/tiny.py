"""Models, tokenizers and artifacts so small that a test can afford many of them. One thread: sums then round alike."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from groundup.alignment.pair_objective import EncodedPair
from groundup.alignment.reference import ReferredPair, reference_of, with_reference
from groundup.artifacts import Artifact, Manifest, Measured, StageKey
from groundup.model.configuration import LLMConfig
from groundup.model.decoder import CustomLanguageModel
from groundup.parallel.engine import ModelOnDevice
from groundup.parallel.single_device import SingleDevice
from groundup.shards.token_file import TokenWriter
from groundup.tokenizer.tokenizer import Tokenizer
from groundup.training.configuration import OptimizerConfig
from groundup.training.optimizer import make_optimizer

torch.set_num_threads(1)
os.environ["GROUNDUP_THREADS"] = "1"  # stages set the number again

MERGES = [(116, 104), (256, 101), (105, 110), (32, 257), (111, 117), (101, 114), (258, 103), (32, 97)]


def shape(**changes: Any) -> LLMConfig:
    """Two layers, width 32, four query heads on two key-value heads."""
    values = {
        "vocab_size": 61,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 64,
    }
    return LLMConfig(**(values | changes))


def model(seed: int = 0, spread: float = 0.2, **changes: Any) -> CustomLanguageModel:
    """Every weight random and large enough to matter, norms too: a mistake anywhere shows in the logits."""
    made = CustomLanguageModel(shape(**changes), seed=None)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in made.named_parameters():
            mean = 1.0 if "norm.weight" in name else 0.0
            parameter.copy_(mean + spread * torch.randn(parameter.shape, generator=generator))
    return made


def ids(rows: int, length: int, seed: int = 0, vocabulary: int = 61) -> torch.Tensor:
    return torch.randint(vocabulary, (rows, length), generator=torch.Generator().manual_seed(seed))


def tokenizer() -> Tokenizer:
    """Bytes and eight merges."""
    return Tokenizer(MERGES)


def token_artifacts(root: Path, ids_by_split: Mapping[str, NDArray[np.int64]]) -> dict[str, Artifact]:
    """What the stage `pretrain` takes: that tokenizer, and a document of these tokens for each split."""
    (root / "tokenizer").mkdir()
    (root / "tokens").mkdir()
    cut = tokenizer()
    cut.save(root / "tokenizer" / "tokenizer.json")
    for split, some in ids_by_split.items():
        with TokenWriter(root / "tokens", split, cut) as writer:
            writer.append(split, some)
    return {name: artifact(root / name, name, {}) for name in ("tokenizer", "tokens")}


def engine(of: torch.nn.Module, weight_decay: float = 0.1) -> SingleDevice:
    return SingleDevice(of, make_optimizer(OptimizerConfig(weight_decay=weight_decay)), torch.device("cpu"), "fp32")


def referred(pairs: Sequence[EncodedPair], reference: CustomLanguageModel, pad: int = 0) -> list[ReferredPair]:
    """Pairs with what a model on the CPU gives them."""
    return with_reference(pairs, reference_of(pairs, ModelOnDevice(reference, torch.device("cpu"), "fp32"), pad))


def artifact(
    folder: Path, stage: str, figures: dict[str, Any], configuration: dict[str, Any] | None = None
) -> Artifact:
    """What `folder` holds, published in place."""
    key = StageKey(stage, 1, configuration or {}, 0)
    return Artifact(folder, Manifest.of_folder(folder, key, figures, Measured(0, 0), {}))


def gradients(of: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: parameter.grad.clone() for name, parameter in of.named_parameters() if parameter.grad is not None}


def same_gradients(of: torch.nn.Module, other: torch.nn.Module, tolerance: float = 1e-4) -> bool:
    """Whether both have gradients at the same parameters, equal but for rounding; and that there are some."""
    ours, theirs = gradients(of), gradients(other)
    near = [(ours[name] - theirs[name]).norm() <= tolerance * theirs[name].norm() for name in ours]
    return ours.keys() == theirs.keys() and all(near) and any(gradient.any() for gradient in ours.values())


def largest_difference(a: Sequence[torch.Tensor], b: Sequence[torch.Tensor]) -> float:
    return max(float((x - y).abs().max()) for x, y in zip(a, b, strict=True))
