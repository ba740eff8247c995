"""Two curations or mixtures compared by models that were trained on them: bits per byte of the same documents.

Both sides keep their own held-out documents. Those that both have, letter by letter (an id is a text's digest), are
scored by both models, each with its own tokenizer; special tokens and documents' ends count in neither.
"""

import math
from collections.abc import Container, Mapping
from dataclasses import dataclass

import numpy as np

from groundup.artifacts import Artifact
from groundup.corpus.documents import read_documents
from groundup.errors import GroundupError
from groundup.evaluation.bits import document_nats
from groundup.evaluation.checker import Interval
from groundup.model.weights import load_model
from groundup.parallel.device import best_device, settle
from groundup.parallel.engine import ModelOnDevice
from groundup.progress import Progress
from groundup.shards.token_file import TokenShard
from groundup.tokenizer.tokenizer import Tokenizer

RESAMPLES = 1000
MIN_DOCUMENTS = 20  # that both sides keep: of fewer no interval is worth reading


@dataclass(frozen=True)
class CorpusDifference:
    """The second side less the first: below 0, its text teaches more about the same documents."""

    bits: tuple[float, float]
    """Bits per byte of the first and of the second side."""
    difference: Interval
    documents: int


def heldout_sizes(curate: Artifact) -> dict[str, int]:
    """Bytes of each held-out document, by id."""
    documents = read_documents(curate.folder("documents"), split="heldout", columns=("id", "text"))
    return {one.id: len(one.text.encode()) for one in documents}


def heldout_nats(artifacts: Mapping[str, Artifact], progress: Progress) -> dict[str, float]:
    """Nats of each held-out document, by id, under the model of `pretrain`.

    Args:
        artifacts: of `tokenizer`, `tokens` and `pretrain`.
    """
    settle()
    tokenizer = Tokenizer.load(artifacts["tokenizer"].file("tokenizer.json"))
    shard = TokenShard.open(artifacts["tokens"].path, "heldout", tokenizer)
    trained = artifacts["pretrain"]
    model = load_model(trained.path / "model").requires_grad_(False)
    on_device = ModelOnDevice(model, best_device(), trained.figures["precision"])
    context = int(trained.manifest.key.configuration["sequence"])
    nats = document_nats(on_device, shard, context, tokenizer.end_of_text, progress)
    return {shard.document_id(document): float(nats[document]) for document in range(shard.documents)}


def common_documents(sizes: Mapping[str, int], first: Container[str], second: Container[str]) -> list[str]:
    """The ids of documents in both sides' held-out sets, those without text excepted.

    Raises:
        GroundupError: they are too few.
    """
    common = [name for name, size in sizes.items() if size and name in first and name in second]
    if len(common) < MIN_DOCUMENTS:
        raise GroundupError(
            f"only {len(common)} held-out documents are in both sides",
            where="curate.heldout",
            do=f"raise it, so that at least {MIN_DOCUMENTS} are; a step that changes every text leaves none",
        )
    return common


def compare_corpora(
    sizes: Mapping[str, int], first: Mapping[str, float], second: Mapping[str, float], seed: int
) -> CorpusDifference:
    """Bits per byte of the documents in both sides' held-out sets, with a paired bootstrap over them.

    Args:
        sizes: bytes of the documents; nats of each under `first` and `second`.

    Raises:
        GroundupError: too few documents are in both.
    """
    common = common_documents(sizes, first, second)
    bits = np.array([[side[name] for name in common] for side in (first, second)]) / math.log(2)
    size = np.array([sizes[name] for name in common], dtype=np.float64)
    drawn = np.random.default_rng(seed).integers(0, len(common), (RESAMPLES, len(common)))
    between = bits[1] - bits[0]
    resampled = between[drawn].sum(1) / size[drawn].sum(1)
    low, high = np.percentile(resampled, [2.5, 97.5])
    a, b = (bits.sum(1) / size.sum()).tolist()
    return CorpusDifference((a, b), Interval(b - a, float(low), float(high)), len(common))
