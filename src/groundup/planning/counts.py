"""How many questions, pairs and validations the later stages have, as the blueprint says or as earlier runs found."""

import math
from collections.abc import Mapping
from typing import Any

from groundup.alignment.configuration import (
    CONTROL_ANSWERS,
    CONTROL_QUESTIONS,
    POLICY_QUESTIONS,
    VALIDATION_QUESTIONS,
    VALIDATIONS,
    SftConfig,
)
from groundup.planning.size import Sections

QUESTION_TOKENS, ANSWER_TOKENS = 20, 14  # of questions made from documents, with a vocabulary of 4,096
WRONG = ((8, 1.0), (16, 0.26))  # how often SFT asks, and which fraction of its own answers is then wrong, as measured
QUESTIONS_PER_SUBJECT = 2  # other than the main one: parameters, which function does this


def questions(sft: SftConfig) -> int:
    """Questions of an epoch: the main one of each subject, and some of the others."""
    return round(sft.subjects * (1 + QUESTIONS_PER_SUBJECT * sft.other_questions))


def pairs(blueprint: Sections, figures: Mapping[str, Mapping[str, Any]]) -> int:
    """Pairs to train on; those that a stage has found already, where one has."""
    for stage in ("reward", "dpo"):
        if "pairs" in figures.get(stage, {}):
            return int(figures[stage]["pairs"])
    config = blueprint.reward
    made = blueprint.sft.subjects * config.pairs_per_subject + wrong(blueprint.sft) * own_answers(blueprint)
    return round(made * (1 - config.heldout))


def wrong(sft: SftConfig) -> float:
    """The fraction of the SFT model's own answers that are wrong, each of which makes a pair."""
    (few, at_first), (many, in_the_end) = WRONG
    between = math.log(min(max(sft.epochs, few), many) / few) / math.log(many / few)
    return at_first + between * (in_the_end - at_first)


def looks(steps: int) -> int:
    """How often a stage measures what it does not train on: every so many steps, and at its end."""
    return math.ceil(steps / max(1, steps // VALIDATIONS))


def validated(subjects: int) -> int:
    """Questions of each validation in SFT."""
    return _spread(subjects, VALIDATION_QUESTIONS)


def looked_at(subjects: int) -> int:
    """Questions that a policy answers at each look at its true score."""
    return _spread(subjects, POLICY_QUESTIONS)


def controls(blueprint: Sections) -> int:
    """Answers that the SFT model gives for the reward model to judge."""
    return 0 if blueprint.reward.data else CONTROL_ANSWERS * _spread(blueprint.sft.subjects, CONTROL_QUESTIONS)


def own_answers(blueprint: Sections) -> int:
    """Answers that the SFT model gives for pairs of its own."""
    return 0 if blueprint.reward.data else blueprint.sft.subjects * blueprint.reward.samples_per_subject


def answers_for_dpo(blueprint: Sections) -> int:
    """Answers that the SFT model gives before DPO, to pick or to add pairs."""
    own = blueprint.dpo.own
    if own is None:
        return own_answers(blueprint)
    per_subject = blueprint.dpo.pairs_per_subject or blueprint.reward.pairs_per_subject
    return blueprint.sft.subjects * per_subject * own.answers


def _spread(subjects: int, wanted: int) -> int:
    """How many are every n-th subject, n the smallest that leaves less than twice as many as are wanted."""
    return -(-subjects // max(1, subjects // wanted))
