"""Supervised fine-tuning: the objective and the stage. The loss is on answers and their stop token only."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from groundup.alignment.answers import Answer, AnswerBatch, answer_nats, collate
from groundup.alignment.by_length import WINDOW, SortedDraws
from groundup.alignment.configuration import VALIDATION_QUESTIONS, SftConfig
from groundup.alignment.data.data_reading import read_conversations
from groundup.alignment.data.examples import answer_ids, ask, encode_conversations
from groundup.alignment.data.questions import MAIN_ASPECTS, Item, choose, items_of, write_items
from groundup.alignment.packing import pack
from groundup.alignment.training import ITEMS, StageTraining
from groundup.artifacts import Artifact, Figures, Work
from groundup.corpus.documents import read_documents
from groundup.errors import GroundupError
from groundup.inference.continuation import continue_prompts
from groundup.model.decoder import CustomLanguageModel
from groundup.parallel.data_rank import SINGLE, DataRank
from groundup.parallel.engine import Engine, Statistics
from groundup.shards.order import sample_at
from groundup.tokenizer.tokenizer import Tokenizer
from groundup.training.objective import Objective

EVALUATED = 64  # rows at a time


class Lesson:
    """One thing to learn, put in one of several ways."""

    def __init__(self, variants: Sequence[Answer]) -> None:
        self.variants = list(variants)

    def example(self, turn: int) -> Answer:
        """How it is put at that turn (from 0): a function of the turn alone."""
        return self.variants[turn % len(self.variants)]


class ItemLesson(Lesson):
    """A fact from the documents, asked in a fresh phrasing at every turn."""

    def __init__(self, item: Item, tokenizer: Tokenizer, context: int, seed: int) -> None:
        self.item, self.tokenizer, self.context, self.seed = item, tokenizer, context, seed
        self.ids = answer_ids(item.answer, tokenizer)

    def example(self, turn: int) -> Answer:
        """In a phrasing that leaves room for the whole answer: where the drawn one does not, the plainest."""
        asked = ask(self.item.question("sft", turn, self.seed), self.tokenizer)
        if len(asked) + len(self.ids) > self.context:
            asked = ask(self.item.plain_question, self.tokenizer)
        return Answer(asked, self.ids)


class SftObjective(Objective):
    """Draws lessons in a fresh order per epoch, each in the phrasing of that turn.

    Draw k is lesson `sample_at(k)`; batches are sorted by length (`by_length`), packed ones are in the order of draws.
    So a step's batch is a function of the step alone.
    """

    unit = "tokens"

    def __init__(
        self,
        lessons: Sequence[Lesson],
        validation: Sequence[Answer],
        *,
        batch: int,
        accumulate: int,
        pad: int,
        seed: int,
        context: int | None = None,
    ) -> None:
        """`context`: pack examples into rows of so many tokens; None: a row each, padded to the longest."""
        self.lessons, self.validation = list(lessons), list(validation)
        self.batch, self.accumulate, self.pad, self.seed = batch, accumulate, pad, seed
        self.context = context
        self._sorted = SortedDraws(self._drawn, len, batch=batch, epoch=len(self.lessons), seed=seed)

    def example(self, draw: int) -> Answer:
        index = sample_at(draw, len(self.lessons), self.seed)
        return self.lessons[index].example(draw // len(self.lessons))

    def batches(self, step: int, data_rank: DataRank = SINGLE) -> list[AnswerBatch]:
        every = self.accumulate * data_rank.size
        parts = range(data_rank.rank, min(every, self.batch), data_rank.size)
        if self.context is not None:
            chosen = self._drawn(step * self.batch, self.batch)
            return [pack(chosen[i::every], self.context, self.pad) for i in parts]
        chosen = self._sorted.at(step)
        return [collate(chosen[i::every], self.pad) for i in parts]

    def _drawn(self, first: int, count: int) -> list[Answer]:
        return [self.example(draw) for draw in range(first, first + count)]

    def sizes(self, steps: int) -> tuple[int, int]:
        """(tokens of the examples, tokens of the batches that hold them) of the first `steps` steps."""
        batches = [batch for step in range(steps) for batch in self.batches(step)]
        examples = sum(len(self.example(draw)) for draw in range(steps * self.batch))
        return examples, sum(batch.ids_BT.numel() for batch in batches)

    def weight(self, batch: AnswerBatch) -> float:
        return batch.tokens

    def loss(self, model: nn.Module, batch: AnswerBatch) -> tuple[Tensor, Statistics]:
        batch = batch.to(next(model.parameters()).device)
        return answer_nats(model, batch), {}

    def validate(self, engine: Engine) -> dict[str, float]:
        """Mean nats per answer token on questions in phrasings that are not trained."""
        if not self.validation:
            return {}
        starts = range(0, len(self.validation), EVALUATED)
        batches = [collate(self.validation[start : start + EVALUATED], self.pad) for start in starts]
        total, _ = engine.evaluate(batches, self.loss)
        return {"heldout_loss": total / sum(map(self.weight, batches))}


def stage(config: SftConfig, inputs: Mapping[str, Artifact], work: Work) -> Figures:
    """Teach the pretrained model to answer; writes `model/` and `items.jsonl` (what was taught)."""
    training = StageTraining("sft", config, inputs, "pretrain", work)
    tokenizer, model = training.tokenizer, training.model()
    context = model.config.max_position_embeddings
    items: list[Item] = []
    lessons: Sequence[Lesson]
    given: dict[str, Any] = {}
    noted = ""
    if config.data is not None:
        file = read_conversations(work.base / config.data.expanduser())
        examples, too_long = encode_conversations(file, tokenizer, context, config.train_turns, config.too_long)
        lessons, validation = [Lesson([example]) for example in examples], []
        done = {"cut": "cut at", "skip": "skipped, longer than", "refuse": "longer than"}[config.too_long]
        given = {"data": file.figures() | {"longer_than_context": too_long, "too_long": config.too_long}}
        noted = f"; {file.summary}" + (f", {too_long:,} {done} the context of {context:,} tokens" if too_long else "")
    else:
        documents = read_documents(inputs["curate"].folder("documents"), split="train", columns=("id", "facts"))
        items = choose(items_of(documents), config.subjects, config.prefer, config.max_answer_characters)
        items = [item for item in items if fits(item, tokenizer, context)]
        lessons = lessons_of(items, tokenizer, config.other_questions, context, work.seed)
        validation = validation_answers(items, tokenizer)
    if not lessons:
        raise GroundupError(
            f"no question with its answer fits the {context} tokens that the model sees",
            where="sft",
            do="raise pretrain.model.context",
        )
    write_items(work.out / ITEMS, items)
    padded, packed = (
        SftObjective(
            lessons,
            validation,
            batch=config.batch_examples,
            accumulate=config.accumulate,
            pad=tokenizer.pad,
            seed=work.seed,
            context=length,
        )
        for length in (None, context)
    )
    steps = math.ceil(config.epochs * len(lessons) / config.batch_examples)
    engine = training.engine(model)
    figures = training.train(engine, packed if config.pack else padded, steps, model.config)
    tune = answered(engine, validation, tokenizer)
    training.save(engine)
    subjects = len({item.subject for item in items if item.aspect in MAIN_ASPECTS})
    about = f" about {subjects:,} subjects" if subjects else ""
    right = f"; {tune['exact_match']:.1%} exact in phrasings to tune by" if tune else ""
    return {
        "summary": f"{len(lessons):,} questions{about}, each asked {config.epochs:g} times{right}{noted}",
        "tune": tune,
        "examples": min(steps * config.batch_examples, len(lessons)) if config.data else steps * config.batch_examples,
        "questions": len(lessons),
        "subjects": subjects,
        "turns": max(
            (one.prompt + one.answer).count(tokenizer.user) for one in (lesson.example(0) for lesson in lessons)
        ),
        "made_from_documents": config.data is None,
        "steps": steps,
        "precision": engine.precision,
        "padding": padding({"padded": padded, "packed": packed}, min(steps, WINDOW)),
        **given,
        **figures,
    }


def answered(engine: Engine, asked: Sequence[Answer], tokenizer: Tokenizer) -> dict[str, float]:
    """How many of the prompts the model answers exactly so, at temperature 0; empty where there are none.

    Collective: every process calls it.
    """
    if not asked:
        return {}
    with engine.whole() as model:
        assert isinstance(model, CustomLanguageModel)
        given = continue_prompts(
            model,
            [one.prompt for one in asked],
            stop={tokenizer.end},
            max_tokens=max(len(one.answer) for one in asked),
            dtype=engine.dtype,
        )
    exact = sum(one.tokens == right.answer for one, right in zip(given, asked, strict=True))
    return {"questions": len(asked), "exact_match": exact / len(asked)}


def padding(objectives: Mapping[str, SftObjective], steps: int) -> dict[str, float]:
    """The fraction of padding in the first `steps` steps' batches, for each way to make them."""
    sizes = {name: objective.sizes(steps) for name, objective in objectives.items()}
    return {name: round(1 - examples / tokens, 4) for name, (examples, tokens) in sizes.items()}


def fits(item: Item, tokenizer: Tokenizer, context: int) -> bool:
    """Whether the item, in its plainest phrasing and in those written by hand, leaves room for its whole answer."""
    asked = [item.plain_question, *item.questions("tune"), *item.questions("evaluate")]
    longest = max(len(ask(question, tokenizer)) for question in asked)
    return longest + len(answer_ids(item.answer, tokenizer)) <= context


def lessons_of(items: Sequence[Item], tokenizer: Tokenizer, others: float, context: int, seed: int) -> list[ItemLesson]:
    """A lesson for each item; of the items of other aspects only for the fraction `others`."""
    kept = [item for item in items if item.aspect in MAIN_ASPECTS]
    rest = [item for item in items if item.aspect not in MAIN_ASPECTS]
    order = torch.randperm(len(rest), generator=torch.Generator().manual_seed(seed)).tolist()
    kept += [rest[index] for index in sorted(order[: round(len(rest) * others)])]
    return [ItemLesson(item, tokenizer, context, seed) for item in kept]


def validation_answers(items: Sequence[Item], tokenizer: Tokenizer) -> list[Answer]:
    """At most about `VALIDATION_QUESTIONS` of the main items, in the phrasings of `tune` in turn."""
    main = [item for item in items if item.aspect in MAIN_ASPECTS]
    answers = []
    for turn, item in enumerate(main[:: max(1, len(main) // VALIDATION_QUESTIONS)]):
        questions = item.questions("tune")
        answers.append(Answer(ask(questions[turn % len(questions)], tokenizer), answer_ids(item.answer, tokenizer)))
    return answers
