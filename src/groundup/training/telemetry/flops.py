"""The FLOPs that a batch's own tokens need, whatever was padded or computed twice."""

from collections import Counter
from collections.abc import Iterable

import torch
from torch import Tensor

from groundup.model.configuration import LLMConfig


def flops_of(config: LLMConfig, lengths: Iterable[int]) -> float:
    """FLOPs, forward and backward, of sequences of these lengths, each of which attends to itself alone.

    A run of documents that do not see each other is as many sequences: their attention costs less than one sequence's.
    """
    counted = Counter(lengths)
    return float(sum(count * length * config.flops_per_token(length) for length, count in counted.items()))


def run_lengths(documents_BT: Tensor, padding: int | None = None) -> list[int]:
    """The lengths of the runs of equal ids in each row of an int tensor [B, T]; runs of `padding` are skipped."""
    starts_BT = torch.ones_like(documents_BT, dtype=torch.bool)
    starts_BT[:, 1:] = documents_BT[:, 1:] != documents_BT[:, :-1]
    at = starts_BT.flatten().nonzero()[:, 0]
    lengths = torch.diff(at, append=at.new_tensor([documents_BT.numel()]))
    if padding is not None:
        lengths = lengths[documents_BT.flatten()[at] != padding]
    return [int(length) for length in lengths.tolist()]
