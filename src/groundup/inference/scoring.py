"""What a model makes of given texts: log-probabilities of their tokens, and their features."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from groundup.model.decoder import CustomLanguageModel
from groundup.model.inputs import DecoderInputs

ROWS_AT_ONCE = 128  # positions whose logits are held at a time


@dataclass(frozen=True)
class TokenLogprob:
    """A token, the logarithm of its probability under the model, and the likeliest tokens at that position."""

    token: int
    logprob: float | None  # None for a text's first token, which nothing predicts
    top: Sequence[tuple[int, float]] = ()


@torch.no_grad()
def prompt_logprobs(model: CustomLanguageModel, prompt: Sequence[int], top: int) -> list[TokenLogprob]:
    """The log-probability of each token of a text after those before it; the first has none."""
    device = model.lm_head.weight.device
    x_TD = model.features(DecoderInputs(torch.tensor([list(prompt)], device=device)))[0]
    found = [TokenLogprob(prompt[0], None)]
    for first in range(0, len(prompt) - 1, ROWS_AT_ONCE):
        last = min(first + ROWS_AT_ONCE, len(prompt) - 1)
        logits = model.head(x_TD[first:last]).cpu()
        found += [_logprob(row, prompt[first + at + 1], top) for at, row in enumerate(logits)]
    return found


@torch.no_grad()
def embedding(model: CustomLanguageModel, ids: Sequence[int]) -> list[float]:
    """The mean of the last layer's features over a text's tokens, scaled to length 1."""
    device = model.lm_head.weight.device
    x_TD = model.features(DecoderInputs(torch.tensor([list(ids)], device=device)))[0].float()
    mean_D = x_TD.mean(0)
    return [float(value) for value in mean_D / mean_D.norm().clamp_min(1e-12)]


def _logprob(logits_V: Tensor, token: int, top: int | None) -> TokenLogprob:
    """Under the model itself, whatever the sampling makes of it."""
    logprobs_V = torch.log_softmax(logits_V.float(), -1)
    values, ids = logprobs_V.topk(min(top or 0, len(logprobs_V)))
    return TokenLogprob(token, float(logprobs_V[token]), tuple(zip(ids.tolist(), values.tolist(), strict=True)))
