"""How many questions, pairs and validations the later stages have, as the blueprint says or as earlier runs found."""

from collections.abc import Mapping
from typing import Any

from groundup.alignment.configuration import CONTROL_ANSWERS, CONTROL_QUESTIONS, VALIDATION_QUESTIONS, SftConfig
from groundup.planning.size import Sections

QUESTION_TOKENS, ANSWER_TOKENS = 20, 14  # of questions made from documents, with a vocabulary of 4,096
WRONG = 0.3  # of the answers that the SFT model gives for pairs of its own (default run: .26, hardly trained: .9)
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
    made = blueprint.sft.subjects * config.pairs_per_subject + WRONG * own_answers(blueprint)
    return round(made * (1 - config.heldout))


def validated(subjects: int) -> int:
    """Questions of each validation in SFT."""
    return _spread(subjects, VALIDATION_QUESTIONS)


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
