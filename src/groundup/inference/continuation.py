"""Many prompts continued at once: by token ids, and as text in one call."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import torch

from groundup.inference.engine import InferenceEngine
from groundup.inference.sampling import GREEDY, Sampling
from groundup.inference.text import TextAnswer
from groundup.model.decoder import CustomLanguageModel
from groundup.tokenizer.tokenizer import Tokenizer

MAX_SLOTS = 128  # rows of a decoding step: of more, matmuls get no faster, and the cache grows


@dataclass(frozen=True)
class Continuation:
    """One answer: its tokens, the stop token included if it came."""

    tokens: list[int]
    ended: bool
    chances: list[float]
    """Log-probability of each token, in nats, under the distribution that it was drawn from; empty if greedy."""


def continue_prompts(
    model: CustomLanguageModel,
    prompts: Sequence[Sequence[int]],
    *,
    stop: Collection[int],
    max_tokens: int,
    sampling: Sampling = GREEDY,
    seeds: Sequence[int] | None = None,
    dtype: torch.dtype = torch.float32,
) -> list[Continuation]:
    """Continue each prompt until a stop token, `max_tokens`, or the end of the model's context.

    Args:
        prompts: token ids, none empty. Prompts longer than the context less one lose their beginning.
        seeds: of each prompt's random numbers; an answer is a function of prompt, weights and seed, up to rounding.
        dtype: of matmuls and the cache; float32, bfloat16 or float16.
    """
    if not prompts:
        return []
    context = model.config.max_position_embeddings
    cut = [list(prompt[-(context - 1) :]) for prompt in prompts]
    capacity = max(map(len, cut)) + max_tokens
    engine = InferenceEngine(model, slots=min(MAX_SLOTS, len(cut)), capacity=capacity, dtype=dtype)
    samplings = [sampling] * len(cut) if seeds is None else [replace(sampling, seed=seed) for seed in seeds]
    requests = [
        engine.add(prompt, max_tokens=max_tokens, stop=stop, sampling=one)
        for prompt, one in zip(cut, samplings, strict=True)
    ]
    if not sampling.greedy:
        for request in requests:
            request.chances = []
    engine.run()
    return [Continuation(request.tokens, request.finish == "stop", request.chances or []) for request in requests]


def generate(
    model: CustomLanguageModel,
    tokenizer: Tokenizer,
    prompts: str | Sequence[str],
    *,
    max_tokens: int = 64,
    stop: Sequence[str] = (),
    sampling: Sampling = GREEDY,
    n: int = 1,
    best_of: int | None = None,
) -> list[str]:
    """Continuations of texts, each until the tokenizer's end of text or of a turn, a stop string, or `max_tokens`.

        >>> from groundup.inference import Sampling, generate
        >>> from groundup.model import CustomLanguageModel, LLMConfig
        >>> from groundup.tokenizer import Tokenizer
        >>> tokenizer = Tokenizer.train(["the cat sat on the mat"] * 10, vocabulary=280)
        >>> config = LLMConfig(vocab_size=tokenizer.vocabulary_size, hidden_size=128, num_hidden_layers=2)
        >>> texts = generate(CustomLanguageModel(config), tokenizer, ["the cat", "on"], max_tokens=5)
        >>> len(texts)
        2

    Args:
        stop: strings; the text ends before the first that comes.
        sampling: greedy by default. Of a seed, each text gets one of its own.
        n: texts for each prompt, one after the other.
        best_of: draw so many and return the `n` with the highest mean log-probability, best first.

    Returns:
        What follows the prompts, `n` texts for each of them.

    Raises:
        GroundupError: a prompt is empty or fills the model's context.
    """
    texts = [prompts] if isinstance(prompts, str) else list(prompts)
    drawn = max(n, best_of or n)
    engine = InferenceEngine(model, slots=min(MAX_SLOTS, max(1, len(texts) * drawn)), words=tokenizer.vocabulary_size)
    answers = []
    for number, text in enumerate(texts):
        ids = tokenizer.encode(text)
        for sample in range(drawn):
            seed = None if sampling.seed is None else sampling.seed + number * drawn + sample
            answers.append(
                TextAnswer(
                    engine,
                    tokenizer,
                    ids,
                    max_tokens=max_tokens,
                    stop=stop,
                    sampling=replace(sampling, seed=seed),
                    top=None if best_of is None else 0,
                )
            )
    engine.run()
    found = []
    for first in range(0, len(answers), drawn):
        group = answers[first : first + drawn]
        if best_of is not None:
            group.sort(key=lambda answer: answer.mean_logprob, reverse=True)
        found += [answer.take() for answer in group[:n]]
    return found
