"""The `evaluate` stage: how good each model is, against simpler methods."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from groundup.alignment.data.data_reading import read_tasks
from groundup.alignment.data.questions import MAIN_ASPECTS, Item, read_items
from groundup.artifacts import Artifact, Figures, Work
from groundup.corpus.documents import read_documents
from groundup.evaluation.answering import Marked, Question, answer_all, rates
from groundup.evaluation.bits import (
    ByteNgrams,
    bits_per_byte,
    document_nats,
    grouped_bits,
    xz_bits_per_byte,
    xz_primed_bits_per_byte,
)
from groundup.evaluation.checker import bootstrap
from groundup.evaluation.configuration import EvaluateConfig
from groundup.model.weights import load_model
from groundup.parallel.device import best_device, settle
from groundup.parallel.engine import ModelOnDevice
from groundup.shards.token_file import TokenShard
from groundup.tokenizer.of_run import tokenizer_file
from groundup.tokenizer.tokenizer import Tokenizer

ITEMS = "items.jsonl"
UNSEEN_PHRASINGS = 2  # of each subject
SEQUENCE = 128  # tokens at a time where no pretraining says how many


def stage(config: EvaluateConfig, inputs: Mapping[str, Artifact], work: Work) -> Figures:
    """Figures under `bits_per_byte`, `answers`, `true_score_gain`; `answers.jsonl` holds every marked answer."""
    settle()
    tokenizer = Tokenizer.load(tokenizer_file(inputs))
    method = next((name for name in ("ppo", "grpo", "dpo") if name in inputs), None)
    before = "sft" if "sft" in inputs else "start"
    figures: Figures = {"method": method, "before": before, "bits_per_byte": _bits(config, inputs, tokenizer, work)}

    read = read_items(inputs["sft"].file(ITEMS)) if "sft" in inputs else []
    items = [item for item in read if item.aspect in MAIN_ASPECTS]
    if config.data is not None:
        file = read_tasks(work.base / config.data.expanduser(), answered=True)
        figures["data"] = file.figures()
        asked = {
            "given": [Question(one.question, one.answer, one.question, one.prompt[:-1]) for _, one in file.records]
        }
    else:
        asked = {"taught": _plain_phrasing(items), "unseen": _unseen_phrasings(items)}
    asked = {name: questions for name, questions in asked.items() if questions}

    marked: dict[str, dict[str, list[Marked]]] = {}
    for model in (before, *([method] if method else [])):
        on_device = _on_device(inputs, model)
        marked[model] = {
            name: answer_all(
                on_device, tokenizer, questions, config.max_answer_tokens, f"{model}: {name}", work.progress
            )
            for name, questions in asked.items()
        }
    figures["answers"] = {
        model: {name: rates(answers) for name, answers in by_set.items()} for model, by_set in marked.items()
    }
    if asked and method:
        last = list(asked)[-1]  # the phrasings that no training has seen, or the user's own questions
        gain = [b.f1 - a.f1 for a, b in zip(marked[before][last], marked[method][last], strict=True)]
        groups = [question.group for question in asked[last]]
        figures["true_score_gain"] = asdict(bootstrap(gain, groups, config.bootstrap, work.seed))
        figures["true_score_set"] = last
        better, worse = sum(g > 0 for g in gain), sum(g < 0 for g in gain)
        figures["true_score_better"], figures["true_score_worse"] = better / len(gain), worse / len(gain)
    figures["summary"] = _summary(figures)
    _write_answers(asked, marked, work)
    figures["samples"] = _samples(config, inputs, asked, marked, tokenizer, work)
    return figures


def _summary(figures: Figures) -> str:
    parts = []
    if (bits := figures["bits_per_byte"])["model"] is not None:
        parts.append(f"{bits['model']:.2f} bits per byte (xz {bits['xz']:.2f})")
    before = figures["before"]
    for name, of_set in figures["answers"][before].items():
        parts.append(f"{before} {of_set['exact_match']:.1%} exact on {name} questions")
    if gain := figures.get("true_score_gain"):
        parts.append(f"{figures['method']} {gain['mean']:+.3f} F1 ({gain['low']:+.3f} to {gain['high']:+.3f})")
    return ", ".join(parts) or "nothing to ask"


def _on_device(inputs: Mapping[str, Artifact], stage_name: str) -> ModelOnDevice:
    model = load_model(inputs[stage_name].path / "model").requires_grad_(False)
    precision = inputs["sft" if "sft" in inputs else "start"].figures["precision"]
    return ModelOnDevice(model, best_device(), precision)


def first_model(inputs: Mapping[str, Artifact]) -> str:
    """The stage whose model was the first: `start` where pretraining is skipped."""
    return "pretrain" if "pretrain" in inputs else "start"


def _bits(config: EvaluateConfig, inputs: Mapping[str, Artifact], tokenizer: Tokenizer, work: Work) -> dict[str, Any]:
    """Bits per byte of the held-out documents, where there are any: the pretrained model, xz, xz that has read the
    corpus, n-grams; and the model's by source, language and length."""
    nothing: dict[str, Any] = {
        "documents": 0,
        "bytes": 0,
        "model": None,
        "xz": None,
        "xz_primed": None,
        "ngram": None,
    }
    if "curate" not in inputs:
        return nothing
    path = inputs["curate"].folder("documents")
    heldout = list(read_documents(path, split="heldout", columns=("id", "text", "source", "language")))
    train = [d.text.encode() for d in read_documents(path, split="train", columns=("text",))]
    texts = {"train": train, "heldout": [d.text.encode() for d in heldout]}
    size = sum(map(len, texts["heldout"]))
    if size == 0:
        return nothing
    on_device = _on_device(inputs, first_model(inputs))
    shard = TokenShard.open(inputs["tokens"].path, "heldout", tokenizer)
    context = inputs[first_model(inputs)].manifest.key.configuration.get("sequence", SEQUENCE)
    nats = document_nats(on_device, shard, context, tokenizer.end_of_text, work.progress)
    by_id = dict(zip(shard.ids.astype(str).tolist(), nats.tolist(), strict=True))
    with work.progress.task("baselines: xz, n-grams", 3, "baselines") as task:
        xz = xz_bits_per_byte(texts["heldout"])
        task.advance()
        primed = xz_primed_bits_per_byte(texts["train"], texts["heldout"])
        task.advance()
        ngrams = ByteNgrams(config.ngram_order)
        ngrams.train(texts["train"])
        ngram = ngrams.bits(texts["heldout"]) / size
        task.advance()
    return {
        "documents": len(texts["heldout"]),
        "bytes": size,
        "model": bits_per_byte(float(nats.sum()), size),
        "xz": xz,
        "xz_primed": primed,
        "ngram": ngram,
        "by": grouped_bits(heldout, [by_id[document.id] for document in heldout]),
    }


def _plain_phrasing(items: Sequence[Item]) -> list[Question]:
    return [Question(item.plain_question, item.answer, item.subject) for item in items]


def _unseen_phrasings(items: Sequence[Item]) -> list[Question]:
    """Each item in `UNSEEN_PHRASINGS` of the ways of `evaluate`, which all come equally often."""
    asked = []
    for index, item in enumerate(items):
        ways = item.questions("evaluate")
        first = index * UNSEEN_PHRASINGS
        asked += [ways[way % len(ways)] for way in range(first, first + UNSEEN_PHRASINGS)]
    return [
        Question(text, item.answer, item.subject)
        for text, item in zip(asked, (item for item in items for _ in range(UNSEEN_PHRASINGS)), strict=True)
    ]


def _write_answers(
    asked: Mapping[str, Sequence[Question]], marked: Mapping[str, Mapping[str, Sequence[Marked]]], work: Work
) -> None:
    with (work.out / "answers.jsonl").open("w", encoding="utf-8") as file:
        for model, by_set in marked.items():
            for name, answers in by_set.items():
                for question, one in zip(asked[name], answers, strict=True):
                    row = {"model": model, "set": name, "question": question.text, "truth": question.truth}
                    file.write(json.dumps(row | asdict(one), ensure_ascii=False) + "\n")


def _samples(
    config: EvaluateConfig,
    inputs: Mapping[str, Artifact],
    asked: Mapping[str, Sequence[Question]],
    marked: Mapping[str, Mapping[str, Sequence[Marked]]],
    tokenizer: Tokenizer,
    work: Work,
) -> list[dict[str, str]]:
    """A few questions with the answer of each stage, the pretrained model's too (it has not been taught to answer)."""
    asked_indices = [(name, index) for name, questions in asked.items() for index in range(len(questions))]
    step = max(1, len(asked_indices) // max(1, config.samples))
    chosen = asked_indices[::step][: config.samples]
    if not chosen:
        return []
    questions = [asked[name][index] for name, index in chosen]
    raw = answer_all(
        _on_device(inputs, first_model(inputs)),
        tokenizer,
        questions,
        config.max_answer_tokens,
        "samples",
        work.progress,
    )
    rows = []
    for (name, index), question, first in zip(chosen, questions, raw, strict=True):
        answers = {model: by_set[name][index].answer for model, by_set in marked.items()}
        rows.append(
            {"question": question.text, "truth": question.truth, "set": name, "pretrain": first.answer} | answers
        )
    return rows
