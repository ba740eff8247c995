"""The model card is written from the run's figures, and documents can't put markup into it."""

from groundup.export.card import model_card
from groundup.model.configuration import LLMConfig

CONFIG = LLMConfig(
    vocab_size=300,
    hidden_size=64,
    intermediate_size=96,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    max_position_embeddings=128,
)
FIGURES = {
    "curate": {
        "documents": 90,
        "bytes": 2_000_000,
        "heldout_documents": 4,
        "dropped": {"min_words": 7, "near-duplicate": 3},
        "languages": {"und": 3, "en": 80, "de": 10},
        "sources": {"docs | <b>x</b>": {"documents": 90, "licences": {"MIT": 80, "": 10}}},
    },
    "pretrain": {"tokens": 800_000, "epochs": 1.5},
    "sft": {"examples": 500, "made_from_documents": True},
    "reward": {"pairs": 300},
    "ppo": {},
    "evaluate": {
        "method": "ppo",
        "bits_per_byte": {"model": 2.0371, "xz": 3.1},
        "answers": {"sft": {"unseen": {"questions": 400, "exact_match": 0.5}}},
        "true_score_gain": {"mean": 0.0131, "low": 0.0042, "high": 0.0218},
    },
    "export": {"subjects": 120},
}


def test_a_card_names_data_scores_and_limits() -> None:
    card = model_card("my model", CONFIG, FIGURES, ["model.safetensors"])
    for expected in (
        "language: [en, de]",
        "aligned with PPO",
        "| docs \\| \\<b\\>x\\</b\\> | MIT | 80 |",
        "| not stated | 10 |",
        "| min\\_words | 7 |",
        "4 documents are a held-out set",
        "| pretraining | 800,000 tokens, 1.50 epochs |",
        "2.037 (xz -9: 3.100)",
        "(n = 400) | 50.0 % ± 4.9 |",
        "+1.3 points, 95 % interval +0.4 to +2.2",
        "answer about 120 subjects",
    ):
        assert expected in card, expected


def test_stages_that_have_not_run_are_not_mentioned() -> None:
    card = model_card("base", CONFIG, {"pretrain": FIGURES["pretrain"]}, ["base-q8_0.gguf"])
    assert "`base-q8_0.gguf`" in card and "## Training" in card
    assert not any(
        heading in card for heading in ("## Scores", "## Training data", "## What curation dropped", "aligned")
    )
