"""Learning from single answers that are labelled good or bad: KTO (arXiv 2402.01306), which needs no pairs."""

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from groundup.alignment.answers import Answer, AnswerBatch, collate, summed_log_probabilities
from groundup.alignment.configuration import DpoConfig
from groundup.alignment.data.data_reading import read_labelled
from groundup.alignment.data.examples import answer_ids, fitted, prompt_ids, skip_long_prompts
from groundup.alignment.data.pairs import heldout_names
from groundup.alignment.losses import kto
from groundup.alignment.pair_objective import EncodedPair, PairObjective
from groundup.alignment.training import StageTraining
from groundup.model.lora import adapters_off
from groundup.parallel.engine import Statistics

EncodedLabel = tuple[Answer, bool]  # (answer with its prompt, whether it is good)


@dataclass(frozen=True)
class LabelledBatch:
    """Answers, and each prompt again with the answer to another one."""

    answers: AnswerBatch
    mismatched: AnswerBatch
    good_B: Tensor  # bool

    def __len__(self) -> int:
        return len(self.answers)

    @property
    def lengths(self) -> list[int]:
        return self.answers.lengths


class LabelledObjective(PairObjective):
    """The policy against the frozen reference on each answer: good ones become likelier, bad ones less likely.

    How far the policy has moved in general is measured on prompts with the answers to other prompts of the batch. Good
    and bad answers weigh the same in total, however many there are of each.
    """

    unit = "answers"

    def __init__(
        self,
        examples: Sequence[EncodedLabel],
        validation: Sequence[EncodedLabel],
        reference: nn.Module | None,
        *,
        beta: float = 0.1,
        **drawing: int,
    ) -> None:
        """
        Args:
            reference: None: the policy with its adapters switched off.
            drawing: `batch`, `accumulate`, `pad` and `seed` of `PairObjective`.
        """
        super().__init__(examples, validation, **drawing)
        self.reference, self.beta = reference, beta
        good = sum(is_good for _, is_good in examples)
        self.weights = tuple(len(examples) / (2 * max(1, count)) for count in (len(examples) - good, good))

    def collated(self, pairs: Sequence[EncodedLabel]) -> LabelledBatch:
        answers = [answer for answer, _ in pairs]
        others = [*answers[1:], *answers[:1]]
        mismatched = [Answer(one.prompt, other.answer, other.mask) for one, other in zip(answers, others, strict=True)]
        good_B = torch.tensor([good for _, good in pairs])
        return LabelledBatch(collate(answers, self.pad), collate(mismatched, self.pad), good_B)

    def length(self, pair: EncodedLabel) -> int:
        return len(pair[0])

    def weight(self, batch: Any) -> float:
        """Answers."""
        return len(batch)

    def loss(self, model: nn.Module, batch: LabelledBatch) -> tuple[Tensor, Statistics]:
        """An answer counts as right where it has gained more than others if it is good, and less if it is bad."""
        device = next(model.parameters()).device
        good_B = batch.good_B.to(device)
        gain_B = self._gain(model, batch.answers.to(device))
        with torch.no_grad():
            baseline = self._gain(model, batch.mismatched.to(device)).mean().clamp(min=0)
        losses_B = kto(gain_B, good_B, baseline, self.beta, "none")
        weights_B = torch.where(good_B, self.weights[1], self.weights[0])
        gained_B = gain_B.detach()
        statistics = {
            "accuracy": ((gained_B > baseline) == good_B).sum(),
            "chosen_gain": 2 * (gained_B * weights_B * good_B).sum(),  # means over the good and over the bad
            "rejected_gain": 2 * (gained_B * weights_B * ~good_B).sum(),
            "baseline": baseline * len(batch),
        }
        return (losses_B * weights_B).sum(), statistics

    def _gain(self, model: nn.Module, batch: AnswerBatch) -> Tensor:
        """By how much each answer has become likelier than under the reference, [B]."""
        with torch.no_grad(), adapters_off(model):
            reference_B = summed_log_probabilities(self.reference or model, batch)
        return summed_log_probabilities(model, batch) - reference_B


@dataclass(frozen=True)
class StageLabels:
    """Labelled answers by their split, and what there is to report of them."""

    train: list[EncodedLabel]
    heldout: list[EncodedLabel]
    figures: dict[str, Any] = field(default_factory=dict)
    noted: str = ""
    """For the summary."""


def labels_of(pairs: Sequence[EncodedPair]) -> list[EncodedLabel]:
    """The two answers of each pair, as a good and a bad one."""
    return [(answer, good) for pair in pairs for answer, good in zip(pair, (True, False), strict=True)]


def label_objective(
    config: DpoConfig,
    examples: Sequence[EncodedLabel],
    heldout: Sequence[EncodedLabel],
    reference: nn.Module | None,
    *,
    pad: int,
    seed: int,
) -> LabelledObjective:
    """What the section trains by on labels; a step has as many answers as `batch_pairs` pairs have."""
    drawing = {"batch": 2 * config.batch_pairs, "accumulate": config.accumulate, "pad": pad, "seed": seed}
    return LabelledObjective(examples, heldout, reference, beta=config.beta, **drawing)


def stage_labels(training: StageTraining, context: int, data: Path, heldout: float) -> StageLabels:
    """Read a person's labelled answers, and write them to the artifact's `labels.jsonl`.

    Args:
        context: the model's; longer answers are cut.
        heldout: the fraction of the questions whose answers only measure.

    Raises:
        GroundupError: the file can't be used.
    """
    tokenizer, work = training.tokenizer, training.work
    file = read_labelled(work.base / data.expanduser())
    skip_long_prompts(file, tokenizer, context)
    rows = [one for _, one in file.records]
    kept = heldout_names({one.prompt[-1]["content"] for one in rows}, heldout, random.Random(work.seed))
    found = StageLabels([], [], {"made_from_documents": False, "data": file.figures()}, f"; {file.summary}")
    with (work.out / "labels.jsonl").open("w", encoding="utf-8") as written:
        for one in rows:
            question = one.prompt[-1]["content"]
            split = "heldout" if question in kept else "train"
            ids, where = prompt_ids(one.prompt, tokenizer), f"the answer to {question[:60]!r}"
            answer = fitted(ids, answer_ids(one.answer, tokenizer), context, where)
            (found.heldout if split == "heldout" else found.train).append((answer, one.good))
            row = {"prompt": one.prompt, "answer": one.answer, "label": one.good, "split": split}
            written.write(json.dumps(row, ensure_ascii=False) + "\n")
    return found
