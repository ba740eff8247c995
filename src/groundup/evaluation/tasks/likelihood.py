"""How likely a model finds given texts: the measure of choices, and of whole documents."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from groundup.inference.loading import LoadedModel
from groundup.inference.scoring import ROWS_AT_ONCE
from groundup.model.inputs import DecoderInputs

BATCH_TOKENS = 8192  # of a pass, padding counted


@dataclass(frozen=True)
class Likelihood:
    """Of a continuation after its context: nats, and whether greedy decoding would have written it."""

    logprob: float
    greedy: bool


def continuation_ids(loaded: LoadedModel, context: str, continuation: str) -> tuple[list[int], list[int]]:
    """(context, continuation) as ids: the whole text's, cut where the context's end.

    White space at the end of the context goes to the continuation, as tokenizers merge it with what follows. An empty
    context is the token at which documents begin.
    """
    stripped = context.rstrip()
    context, continuation = stripped, context[len(stripped) :] + continuation
    encode = loaded.tokenizer.encode
    if not context:
        return [beginning(loaded)], encode(continuation)
    before = encode(context)
    return before, encode(context + continuation)[len(before) :]


def beginning(loaded: LoadedModel) -> int:
    """The token at which documents begin."""
    return loaded.tokenizer.end_of_text


@torch.no_grad()
def likelihoods(loaded: LoadedModel, pairs: Sequence[tuple[list[int], list[int]]]) -> list[Likelihood]:
    """Of each (context, continuation); what doesn't fit the model's context loses its beginning."""
    rows = []
    for before, after in pairs:
        ids = (before + after)[-(loaded.context + 1) :]
        rows.append((ids, min(len(after), len(ids) - 1)))
    found: dict[int, Likelihood] = {}
    order = sorted(range(len(rows)), key=lambda index: -len(rows[index][0]))  # the longest first: little padding
    while order:
        size = max(1, BATCH_TOKENS // len(rows[order[0]][0]))
        batch, order = order[:size], order[size:]
        found |= dict(zip(batch, _batch(loaded, [rows[index] for index in batch]), strict=True))
    return [found[index] for index in range(len(rows))]


def _batch(loaded: LoadedModel, rows: Sequence[tuple[list[int], int]]) -> list[Likelihood]:
    """For rows of (ids, how many at the end are scored)."""
    device = loaded.model.lm_head.weight.device
    longest = max(len(ids) for ids, _ in rows) - 1
    idx_BT = torch.zeros(len(rows), longest, dtype=torch.long)
    for row, (ids, _) in enumerate(rows):
        idx_BT[row, : len(ids) - 1] = torch.tensor(ids[:-1])
    x_BTD = loaded.model.features(DecoderInputs(idx_BT.to(device)))  # causal: padding at the end changes nothing
    found = []
    for row, (ids, count) in enumerate(rows):
        total, greedy = 0.0, True
        for first in range(len(ids) - 1 - count, len(ids) - 1, ROWS_AT_ONCE):
            last = min(first + ROWS_AT_ONCE, len(ids) - 1)
            logprobs_NV = torch.log_softmax(loaded.model.head(x_BTD[row, first:last]).float(), -1)
            targets_N = torch.tensor(ids[first + 1 : last + 1], device=device)
            total += float(logprobs_NV.gather(1, targets_N[:, None]).sum(dtype=torch.float64))
            greedy = greedy and bool((logprobs_NV.argmax(-1) == targets_N).all())
        found.append(Likelihood(total, greedy))
    return found


def rolling_nats(loaded: LoadedModel, text: str) -> float:
    """Nats for a whole text: windows as long as the context, each after the last token of the one before."""
    ids = [beginning(loaded), *loaded.tokenizer.encode(text)]
    size = loaded.context
    windows = [(ids[first : first + 1], ids[first + 1 : first + 1 + size]) for first in range(0, len(ids) - 1, size)]
    return -sum(one.logprob for one in likelihoods(loaded, windows))
