"""A healthy run gets no finding; of each broken one the right sentence comes first, with its evidence."""

from copy import deepcopy
from typing import Any

import pytest

from groundup.pipeline.diagnosis import Diagnosis, RunFigures, diagnoses

HEALTHY: dict[str, dict[str, Any]] = {  # as the default run measured them
    "curate": {
        "documents": 10638,
        "bytes": 5_094_040,
        "dropped": {"min_words": 373, "near-duplicate": 242, "min_alphabetic_words": 25},
        "sources": {"python-docs": {"documents": 10638, "read_documents": 11300}},
        "languages": {"und": 6031, "en": 5269},
    },
    "tokenizer": {"vocabulary": 4096, "vocabulary_asked": 4096, "never_used": 0.0267, "rare": 0.055},
    "tokens": {"train": {"languages": {"en": {}, "und": {}}}},
    "pretrain": {"epochs": 1.0145, "heldout_loss": 4.3074},
    "reward": {"heldout_accuracy": 0.9972, "heldout_pairs": 715},
    "evaluate": {
        "bits_per_byte": {"model": 1.69, "xz": 2.82},
        "answers": {"sft": {"taught": {"questions": 1200, "exact_match": 0.998}, "unseen": {"exact_match": 0.97}}},
    },
}
LEARNT_NOTHING = "pretrain: the model has learnt nothing"
FALLING = [8.3 - 4.4 * min(1.0, step / 150) for step in range(200)]
CURVES: dict[str, dict[str, list[float]]] = {
    "pretrain": {"loss": FALLING},
    "ppo": {"kl": [0.0, 0.9, 1.8], "entropy": [0.6, 0.4, 0.3], "answer_tokens": [17.0, 16.0, 15.0]},
}


def found(figures: dict[str, Any] | None = None, curves: dict[str, Any] | None = None) -> list[str]:
    return [str(one) for one in diagnosed(figures, curves)]


def diagnosed(figures: dict[str, Any] | None = None, curves: dict[str, Any] | None = None) -> list[Diagnosis]:
    """The findings of the healthy run with some values replaced, given by their dotted paths."""
    all_figures, all_curves = deepcopy(HEALTHY), deepcopy(CURVES)
    for into, changes in ((all_figures, figures), (all_curves, curves)):
        for path, value in (changes or {}).items():
            *parents, last = path.split(".")
            section: Any = into
            for part in parents:
                section = section[part]
            section[last] = value
    metrics = {
        stage: [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
        for stage, columns in all_curves.items()
    }
    return diagnoses(RunFigures(all_figures, metrics))


def test_the_healthy_run_gets_none() -> None:
    assert found() == []
    assert diagnoses(RunFigures({}, {})) == []  # nor one of which nothing has run


@pytest.mark.parametrize(
    ("figures", "curves", "first"),
    [
        (
            {"curate.dropped": {"min_words": 9000}},
            {},
            "curate: the rule min_words drops 46% of the documents (9,000 of 19,638 documents)",
        ),
        (
            {"curate.sources.python-docs.documents": 30},
            {},
            "curate: few documents are left of the source python-docs (30 of 11,300)",
        ),
        ({"curate.languages": {"en": 5000, "de": 900}}, {}, "curate: no document in de is left (900 were read)"),
        ({"tokenizer.rare": 0.4}, {}, "tokenizer: the vocabulary is too large for the corpus (40% of 4,096 tokens"),
        (
            {"curate.bytes": 2_000_000_000},
            {},
            "tokenizer: the vocabulary is too small for the corpus (4,096 tokens for 2.0 GB",
        ),
        (
            {},
            {"pretrain.loss": [*FALLING[:170], *[9.0] * 10, *FALLING[180:]]},
            "pretrain: the loss spikes (2.3 times the loss before it at step 179)",
        ),
        (
            {},
            {"pretrain.loss": [8.3, *[9.5] * 199]},
            f"{LEARNT_NOTHING} (loss 9.50 at the end, 8.32 for guessing among 4,096 tokens); lower pretrain.",
        ),
        (
            {},
            {"pretrain.loss": [8.3 - step / 1000 for step in range(20)]},
            f"{LEARNT_NOTHING} (loss 8.28 at the end, 8.32 for guessing among 4,096 tokens); raise pretrain.",
        ),
        (
            {"pretrain.epochs": 0.3},
            {"pretrain.loss": [8.3 - step / 50 for step in range(200)]},
            "pretrain: training ended while the loss was still falling (4.91 to 4.51 over the last tenth, at 0.30",
        ),
        (
            {"pretrain.epochs": 12.0, "pretrain.heldout_loss": 5.5},
            {},
            "pretrain: the model learns its training text by heart (validation loss 5.50, training loss 3.90",
        ),
        (
            {"evaluate.bits_per_byte.model": 3.4},
            {},
            "pretrain: the model predicts held-out text worse than xz (3.40 bits per byte, xz 2.82)",
        ),
        (
            {"evaluate.answers.sft.taught.exact_match": 0.0},
            {},
            "sft: the answers that were taught are not learnt (0.0% of 1,200 taught questions answered exactly); "
            "raise sft.epochs",
        ),
        (
            {"reward.heldout_accuracy": 0.48},
            {},
            "reward: the reward model ranks hardly better than chance (48.0% of 715 held-out pairs right)",
        ),
        (
            {
                "reward.own_answers": {
                    "pairs": 120,
                    "better": False,
                    "reward": {"accuracy": 0.6, "high": 0.69},
                    "free": {"longer": {"accuracy": 0.5}, "mean_log_probability": {"accuracy": 0.8}},
                }
            },
            {},
            "reward: the reward model judges the SFT model's own answers worse than what costs nothing (60.0% of "
            "120 pairs, mean log probability 80.0%)",
        ),
        ({}, {"ppo.kl": [0.0, 9.0, 31.0]}, "ppo: the policy runs away from the SFT model (KL 31.0 nats at the end)"),
        ({}, {"ppo.entropy": [0.6, 0.1, 0.01]}, "ppo: the answers' entropy collapses (0.60 to 0.010 nats a token)"),
        ({}, {"ppo.answer_tokens": [10.0, 20.0, 40.0]}, "ppo: answers grow longer and longer (10 to 40 tokens)"),
        (
            {"evaluate.method": "ppo", "evaluate.true_score_gain": {"mean": -0.1, "low": -0.12, "high": -0.08}},
            {},
            "ppo: alignment made the answers worse (F1 -0.100 [-0.120, -0.080], 97.0% exact before)",
        ),
    ],
)
def test_the_right_sentence_comes_first(figures: dict[str, Any], curves: dict[str, Any], first: str) -> None:
    assert found(figures, curves)[0].startswith(first)


def test_what_is_no_problem_is_a_note_and_comes_last() -> None:
    """A judge that can't be distinguished from its baselines, and an alignment with nothing left to gain: true of the
    default run, in which nothing is broken."""
    own = {
        "pairs": 105,
        "better": False,
        "reward": {"accuracy": 0.933, "high": 0.967},
        "free": {"longer": {"accuracy": 0.486}, "log_probability": {"accuracy": 0.952}},
    }
    gain = {"evaluate.method": "ppo", "evaluate.true_score_gain": {"mean": -0.0001, "low": -0.0017, "high": 0.0012}}
    healthy, broken = (
        {"reward.own_answers": own, **gain, **more}
        for more in ({}, {"pretrain.epochs": 12.0, "pretrain.heldout_loss": 5.5})
    )
    assert [(one.kind, one.stage) for one in diagnosed(healthy)] == [("note", "reward"), ("note", "ppo")]
    assert "little was left to gain (F1 0.000 [-0.002, +0.001]" in found(healthy)[1]
    assert [one.kind for one in diagnosed(broken)] == ["problem", "note", "note"]


def test_bytes_that_a_small_vocabulary_does_not_use_are_no_fault_of_its_size() -> None:
    """Forty pages of English use few of the 256 bytes, and a vocabulary of 400 has all of them."""
    assert found({"tokenizer": {"vocabulary": 400, "vocabulary_asked": 400, "never_used": 0.55, "rare": 0.62}}) == []


def test_an_early_cause_comes_before_what_follows_from_it() -> None:
    lines = found({"reward.heldout_accuracy": 0.5, "tokenizer.rare": 0.5}, {"ppo.kl": [0.0, 9.0, 31.0]})
    assert [line.split(":")[0] for line in lines] == ["tokenizer", "reward", "ppo"]
