"""What the frozen reference gives the answers of pairs: computed once, kept by digest, and no model in memory after."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from groundup.alignment.answers import Answer, AnswerBatch, collate, summed_log_probabilities
from groundup.alignment.pair_objective import EncodedPair
from groundup.artifacts.durable import write_text
from groundup.model.weights import read_tensors
from groundup.parallel.checkpointing.crew import Crew
from groundup.parallel.data_rank import DataRank
from groundup.parallel.engine import ModelOnDevice

FILE, DIGESTS = "reference.safetensors", "reference.json"
FORWARD_TOKENS = 4096  # in a batch


@dataclass(frozen=True)
class ReferredPair:
    """A pair with the summed log-probabilities that the reference gives its answers."""

    chosen: Answer
    rejected: Answer
    reference_2: Tensor


@dataclass(frozen=True, kw_only=True)
class PreferenceBatch(AnswerBatch):
    """Chosen answers in the first half of the rows, rejected ones in the second."""

    reference_B: Tensor
    """Log-probability of each answer under the reference."""

    def to(self, device: torch.device) -> "PreferenceBatch":
        return PreferenceBatch(**vars(super().to(device)), reference_B=self.reference_B.to(device))


def referred(pairs: Sequence[EncodedPair], reference: ModelOnDevice, pad: int) -> list[ReferredPair]:
    """The pairs with what the reference gives them. Collective."""
    return with_reference(pairs, reference_of(pairs, reference, pad))


def with_reference(pairs: Sequence[EncodedPair], known_P2: Tensor) -> list[ReferredPair]:
    """The pairs with what `reference_of` found."""
    return [ReferredPair(*pair, known_2) for pair, known_2 in zip(pairs, known_P2, strict=True)]


@torch.no_grad()
def reference_of(pairs: Sequence[EncodedPair], reference: ModelOnDevice, pad: int) -> Tensor:
    """Summed log-probabilities of the chosen and the rejected answers, [P, 2] on the CPU. Collective: every process
    computes a part, in batches of about equally long answers."""
    answers = [answer for pair in pairs for answer in pair]
    by_length = sorted(range(len(answers)), key=lambda index: len(answers[index]))
    crew = Crew()
    mine = [by_length[index] for index in DataRank(crew.rank, crew.size).of(len(by_length))]
    found, first = [], 0
    while first < len(mine):
        width = len(answers[mine[min(len(mine), first + FORWARD_TOKENS) - 1]])
        some = mine[first : first + max(1, FORWARD_TOKENS // width)]
        batch = collate([answers[index] for index in some], pad, reference.device)
        with reference.autocast():
            found.append(summed_log_probabilities(reference.model, batch).cpu())
        first += len(some)
    computed = torch.cat(crew.together(lambda: torch.cat(found) if found else torch.empty(0)))
    return computed[torch.tensor(by_length, dtype=torch.long).argsort()].view(-1, 2)


def digests(model: str, precision: str, pairs: Sequence[EncodedPair]) -> dict[str, str]:
    """What the log-probabilities follow from: the reference's digest, its precision, and the tokens of all pairs."""
    tokens = hashlib.sha256()
    for pair in pairs:
        for answer in pair:
            tokens.update(json.dumps([answer.prompt, answer.answer, answer.trained]).encode())
    return {"model": model, "precision": precision, "pairs": tokens.hexdigest()}


def read_reference(folder: Path, wanted: Mapping[str, str]) -> Tensor | None:
    """What `write_reference` left, [P, 2]; None where that is nothing, or of other digests."""
    try:
        found = json.loads((folder / DIGESTS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return read_tensors(folder / FILE)["log_probabilities"] if found == dict(wanted) else None


def write_reference(folder: Path, known_P2: Tensor, of: Mapping[str, str]) -> None:
    """The digests come last, so that a file that a kill has cut short is not read."""
    save_file({"log_probabilities": known_P2.contiguous()}, folder / FILE)
    write_text(folder / DIGESTS, json.dumps(dict(of)) + "\n")
