"""Continuing prompts, many rows at once, with a key-value cache.

Prompts of different lengths are padded on the right and each row keeps its own position, so nothing is shifted and
no attention mask is needed for padding: what stands behind a row's last token is overwritten before it is looked at.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from groundup.model.attention import KeyValueCache
from groundup.model.decoder import CustomLanguageModel
from groundup.model.inputs import DecoderInputs

# Rows that have finished are carried along until no more than this share goes on: dropping each at once would give
# every step a shape of its own, and on a CPU a new shape costs more than the rows.
CARRIED = 0.7


@dataclass(frozen=True)
class Sampling:
    """How the next token is chosen. Temperature 0 takes the likeliest."""

    temperature: float = 0.0
    top_p: float = 1.0


@dataclass(frozen=True)
class Continuation:
    """One answer: its tokens, the stop token included if it came."""

    tokens: list[int]
    ended: bool


@dataclass(frozen=True)
class Rows:
    """Some rows of a batch."""

    count: int  # of the batch
    places: list[int]


@dataclass(frozen=True)
class ShardedSampling:
    """Several processes that continue the prompts of one batch together, with the same samples as one would draw.

    They go through the batch in step: each draws the randomness of all rows and keeps its own rows' part, which takes
    knowing which rows of the others go on.
    """

    mine: range
    """The rows that this process continues; those of all processes in order are all rows."""
    gather: Callable[[list[bool]], list[list[bool]]]
    """Gives what each process gave, in that order."""


class Decoding:
    """The rows that are being continued. `start` gives their first next-token logits, `advance` each further ones."""

    def __init__(self, model: CustomLanguageModel, rows: int, room: int, dtype: torch.dtype) -> None:
        self.model = model
        device = model.lm_head.weight.device
        self.cache = KeyValueCache(model.config, rows, room, dtype, device)

    def start(self, prompts: Sequence[Sequence[int]]) -> Tensor:
        """Read the prompts; float32 logits [B, V] of the token after each."""
        device = self.cache.lengths_B.device
        lengths = torch.tensor([len(prompt) for prompt in prompts], device=device)
        idx_BT = torch.zeros(len(prompts), int(lengths.max()), dtype=torch.long, device=device)
        for row, prompt in enumerate(prompts):
            idx_BT[row, : len(prompt)] = torch.tensor(prompt, device=device)
        x_BTD = self.model.features(DecoderInputs(idx_BT, cache=self.cache))
        self.cache.move(lengths)
        return self.model.head(x_BTD[torch.arange(len(prompts), device=device), lengths - 1])

    def advance(self, tokens_B: Tensor) -> Tensor:
        """Add one token to each row; float32 logits [B, V] of the next."""
        x_B1D = self.model.features(DecoderInputs(tokens_B[:, None], cache=self.cache))
        self.cache.move(self.cache.lengths_B + 1)
        return self.model.head(x_B1D[:, 0])


def choose(
    logits_BV: Tensor, sampling: Sampling, generator: torch.Generator | None, rows: Rows | None = None
) -> Tensor:
    """The next token of each row, int64 [B]; ties of the greedy choice go to the smaller id.

    `top_p` keeps the likeliest tokens that together hold that probability (nucleus sampling, arXiv 1904.09751).

    Args:
        rows: which rows of a larger batch these are; the randomness is then drawn for that batch.
    """
    if sampling.temperature == 0:
        return logits_BV.argmax(-1)
    probabilities = torch.softmax(logits_BV / sampling.temperature, -1)
    if sampling.top_p < 1:
        ordered, ids = probabilities.sort(dim=-1, descending=True, stable=True)
        before = ordered.cumsum(-1) - ordered
        ordered = ordered.masked_fill(before >= sampling.top_p, 0.0)
        probabilities = torch.zeros_like(probabilities).scatter_(1, ids, ordered)
    if rows is None:
        return torch.multinomial(probabilities, 1, generator=generator)[:, 0]
    # as torch.multinomial draws a single sample: the largest of p / q with q from the exponential distribution
    noise_AV = torch.empty(rows.count, logits_BV.shape[1]).exponential_(1, generator=generator)
    return (probabilities / noise_AV[rows.places]).argmax(-1)


@torch.no_grad()
def generate(
    model: CustomLanguageModel,
    prompts: Sequence[Sequence[int]],
    *,
    stop: int,
    max_tokens: int,
    sampling: Sampling = Sampling(),
    generator: torch.Generator | None = None,
    dtype: torch.dtype = torch.float32,
    sharded: ShardedSampling | None = None,
) -> list[Continuation]:
    """Continue each prompt until `stop` or `max_tokens`, or the end of the model's context.

    Args:
        prompts: token ids, none empty. Prompts longer than the context less one lose their beginning.
        generator: randomness for temperatures above 0, on the CPU.
        dtype: of the products and the cache; float32, bfloat16 or float16.
        sharded: the processes that do this together, each with all prompts; each continues its own and returns those.
    """
    context = model.config.max_position_embeddings
    prompts = [list(prompt[-(context - 1) :]) for prompt in prompts]
    room = min(context, max(map(len, prompts)) + max_tokens)
    mine = sharded.mine if sharded else range(len(prompts))
    answers: list[list[int]] = [[] for _ in prompts]
    finished, ended = [False] * len(prompts), [False] * len(prompts)
    active, own = list(range(len(prompts))), list(mine)  # rows that are carried along; those of them that are here
    device_type = model.lm_head.weight.device.type
    with torch.autocast(device_type, dtype, enabled=dtype != torch.float32):
        decoding = Decoding(model, len(own), room, dtype)
        logits_BV = decoding.start([prompts[row] for row in own]) if own else torch.empty(0, model.config.vocab_size)
        while True:
            place_of = {row: place for place, row in enumerate(active)}
            rows = Rows(len(active), [place_of[row] for row in own]) if sharded else None
            tokens_B = choose(logits_BV.cpu(), sampling, generator, rows)
            for row, token in zip(own, tokens_B.tolist(), strict=True):
                if not finished[row]:
                    answers[row].append(token)
                    ended[row] = token == stop
                    full = len(answers[row]) == max_tokens or len(prompts[row]) + len(answers[row]) == context
                    finished[row] = ended[row] or full
            if sharded:
                flags = sharded.gather([finished[row] for row in mine])
                finished = [flag for part in flags for flag in part]
            going = [row for row in active if not finished[row]]
            if not going:
                break
            # where the context cuts the room short, a finished row must not be carried along: it would outgrow it
            if len(going) <= CARRIED * len(active) or (room == context and len(going) < len(active)):
                kept = torch.tensor([place for place, row in enumerate(own) if not finished[row]], dtype=torch.long)
                active, own = going, [row for row in own if not finished[row]]
                tokens_B = tokens_B[kept]
                if own:
                    decoding.cache.keep(kept.to(decoding.cache.lengths_B.device))
            logits_BV = decoding.advance(tokens_B.to(decoding.cache.lengths_B.device)) if own else logits_BV[:0]
    return [Continuation(answers[row], ended[row]) for row in mine]


@torch.no_grad()
def stream(
    model: CustomLanguageModel,
    prompt: Sequence[int],
    *,
    stop: int,
    max_tokens: int,
    sampling: Sampling = Sampling(),
    generator: torch.Generator | None = None,
) -> Iterator[int]:
    """The tokens of one answer as they come, the stop token included. Arguments as in `generate`."""
    context = model.config.max_position_embeddings
    prompt = list(prompt[-(context - 1) :])
    decoding = Decoding(model, 1, min(context, len(prompt) + max_tokens), torch.float32)
    device = model.lm_head.weight.device
    token_B = choose(decoding.start([prompt]).cpu(), sampling, generator)
    yield int(token_B)
    for _ in range(min(max_tokens, context - len(prompt)) - 1):
        if int(token_B) == stop:
            return
        token_B = choose(decoding.advance(token_B.to(device)).cpu(), sampling, generator)
        yield int(token_B)
