"""How prompts are laid out for a pass of the decoder."""

from collections.abc import Sequence

import torch
from torch import Tensor

from groundup.model.cache import Appended, KeyValueCache

ROWS, COLUMNS = 4, 8  # on a CPU a pass has multiples of these: for each shape a library makes code, and keeps it


def prompt_pass(
    cache: KeyValueCache, prompts: Sequence[Sequence[int]], starts: Sequence[int], first: int
) -> tuple[Tensor, Appended]:
    """Token ids [B, T] of parts of prompts, and how a pass appends them to the slots from `first` on.

    Args:
        starts: how many tokens each slot holds already.
    """
    device, slots = cache.keys.device, cache.keys.shape[1]
    rows, width, before = len(prompts), max(map(len, prompts)), 0
    if device.type == "cpu":
        rows = min(rows + -rows % ROWS, slots)
        width += -width % COLUMNS
        before = max(0, first + rows - slots)  # rows more, in front where the slots end
    ids_BT = torch.zeros(rows, width, dtype=torch.long)
    counts, held = [0] * rows, [0] * rows
    for row, (prompt, start) in enumerate(zip(prompts, starts, strict=True), before):
        ids_BT[row, : len(prompt)] = torch.tensor(prompt)
        counts[row], held[row] = len(prompt), start
    return ids_BT.to(device), Appended(cache, held, counts, first - before, width)
