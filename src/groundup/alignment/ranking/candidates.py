"""Answers to compare: sampled from one or several models, distinct, in an order that names no model."""

import hashlib
import json
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from groundup.alignment.data.data_reading import read_tasks
from groundup.alignment.data.records import Message
from groundup.alignment.ranking.journal import RankingItem, RankingSession, SampledAnswer
from groundup.corpus.clean import clean
from groundup.errors import GroundupError

if TYPE_CHECKING:  # it brings torch
    from groundup.inference.loading import LoadedModel

SPARE = 3  # answers drawn for each one that is shown, since samples repeat

Prompt = tuple[Message, ...]


def read_prompts(path: Path) -> list[Prompt]:
    """The distinct prompts of a data file (`prompt` or `messages`), or the lines of a `.txt`.

    Raises:
        GroundupError: the file can't be read, or too many of its rows can't be used.
    """
    if path.suffix == ".txt":
        try:
            lines = path.read_text(encoding="utf-8-sig").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise GroundupError(f"can't be read ({error})", where=str(path), do="name a file of prompts") from error
        found: list[Prompt] = [({"role": "user", "content": clean(line.strip())},) for line in lines if line.strip()]
    else:
        found = [task.prompt for _, task in read_tasks(path).records]
    if not found:
        raise GroundupError("holds no prompt", where=str(path), do="write one prompt a line")
    return list({json.dumps(prompt): prompt for prompt in found}.values())


def digest_of(prompts: Sequence[Prompt]) -> str:
    """SHA-256 in hex, by which a session knows its prompts again."""
    return hashlib.sha256(json.dumps(prompts, ensure_ascii=False).encode()).hexdigest()


def sample_items(
    models: Sequence[tuple[str, "Callable[[], LoadedModel]"]],
    prompts: Sequence[Prompt],
    session: RankingSession,
    note: Callable[[str], None] = lambda text: None,
) -> list[RankingItem]:
    """An item for each prompt to which there are at least two distinct answers, in the order of the prompts.

    Each of several models gives its part of an item's answers, as far as their texts differ; where the answers can't be
    divided evenly, the models take turns.

    Args:
        models: names and how to load them; one is in memory at a time.
        note: is given a line before each model.

    Raises:
        GroundupError: no prompt has two distinct answers, a prompt fills a model's context, or a model can't be loaded.
    """
    names = [name for name, _ in models]
    drawn: list[dict[str, list[str]]] = [{} for _ in prompts]  # of each prompt, by model
    parts = [_parts(names, session, index) for index in range(len(prompts))]
    for name, load in models:
        note(f"{name}: sampling answers to {len(prompts):,} prompts")
        counts = [SPARE * part.count(name) for part in parts]
        for index, texts in enumerate(_answers(load(), prompts, counts, session)):
            drawn[index][name] = texts
    items: list[RankingItem] = []
    for index, prompt in enumerate(prompts):
        answers = _distinct(drawn[index], parts[index], session.answers)
        if len(answers) > 1:
            random.Random(f"{session.seed} order {index}").shuffle(answers)
            items.append(RankingItem(id=len(items), prompt=tuple(map(dict, prompt)), answers=tuple(answers)))
    if not items:
        raise GroundupError(
            "no prompt has two answers that differ", where="rank", do="raise --temperature, or name another model too"
        )
    return items


def _parts(names: Sequence[str], session: RankingSession, index: int) -> list[str]:
    """Which model gives each answer to a prompt."""
    turn = list(names)
    random.Random(f"{session.seed} models {index}").shuffle(turn)
    return [turn[answer % len(turn)] for answer in range(session.answers)]


def _answers(
    loaded: "LoadedModel", prompts: Sequence[Prompt], counts: Sequence[int], session: RankingSession
) -> list[list[str]]:
    """So many sampled answers to each prompt; empty ones are skipped."""
    from groundup.inference.continuation import continue_prompts
    from groundup.inference.sampling import Sampling

    encoded = [loaded.chat_prompt(prompt) if count else [] for prompt, count in zip(prompts, counts, strict=True)]
    for index, ids in enumerate(encoded):
        if len(ids) >= loaded.context:
            what = f"it takes {len(ids):,} tokens, and the context of {loaded.name} has {loaded.context:,}"
            raise GroundupError(what, where=f"prompt {index + 1}", do="shorten or remove it")
    rows = [index for index, count in enumerate(counts) for _ in range(count)]
    continuations = continue_prompts(
        loaded.model,
        [encoded[index] for index in rows],
        stop=loaded.stop,
        max_tokens=session.max_tokens,
        sampling=Sampling(session.temperature),
        seeds=[(session.seed << 32) + row for row in range(len(rows))],
    )
    texts: list[list[str]] = [[] for _ in prompts]
    known = loaded.tokenizer.vocabulary_size
    for index, one in zip(rows, continuations, strict=True):
        ids = [token for token in one.tokens if token not in loaded.stop and token < known]
        if text := clean(loaded.tokenizer.decode(ids)).strip():
            texts[index].append(text)
    return texts


def _distinct(by_model: dict[str, list[str]], part: Sequence[str], count: int) -> list[SampledAnswer]:
    """Answers that differ: each model's part first, then whatever else was drawn."""
    left = {name: list(dict.fromkeys(texts)) for name, texts in by_model.items()}
    chosen: dict[str, str] = {}  # text -> model
    spare = [name for name, texts in left.items() for _ in texts]
    for name in (*part, *spare):
        text = next((text for text in left[name] if text not in chosen), None)
        if text is not None and len(chosen) < count:
            chosen[text] = name
    return [SampledAnswer(text=text, model=name) for text, name in chosen.items()]
