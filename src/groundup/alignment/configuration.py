"""The `sft:`, `reward:`, `ppo:` and `dpo:` sections."""

from pathlib import Path
from typing import ClassVar

from pydantic import Field

from groundup.training.configuration import LoopConfig


class SftConfig(LoopConfig):
    """Supervised fine-tuning: the loss is on answers and their stop token only."""

    incidental: ClassVar[frozenset[str]] = LoopConfig.incidental | {"data"}

    data: Path | None = None
    """Your own examples: jsonl or json with `instruction` (and `input`), `output`; or `messages`. None: made from
    the documents (names, signatures and summaries; titles, headings and paragraphs)."""
    subjects: int = Field(default=1200, ge=1)
    """How many subjects (symbols, headings) are taught when examples are made from the documents."""
    prefer: tuple[str, ...] = ()
    """Patterns (`os.path.*`) of the subjects to teach first, in this order."""
    max_answer_characters: int = Field(default=100, ge=8)
    """Subjects with a longer answer are not taught."""
    other_questions: float = Field(default=0.25, ge=0, le=1)
    """Fraction of the other things known of the taught subjects (parameters; which function does this) to teach."""
    epochs: float = Field(default=25.0, gt=0)
    """How often each question is asked, in all its phrasings together."""
    batch_examples: int = Field(default=32, ge=1)
    pack: bool = False
    """Put several examples into a row, each to itself, instead of padding: worth it where lengths differ much."""


class RewardConfig(LoopConfig):
    """A reward model on ranked pairs: -log sigmoid(r_chosen - r_rejected) (Bradley-Terry; arXiv 2203.02155)."""

    incidental: ClassVar[frozenset[str]] = LoopConfig.incidental | {"data"}

    data: Path | None = None
    """Your own pairs: jsonl or json with `prompt` (or `instruction`, `input`), `chosen`, `rejected`. None: made."""
    pairs_per_subject: int = Field(default=6, ge=1)
    heldout: float = Field(default=0.1, gt=0, lt=1)
    """Fraction of the subjects whose pairs only measure the accuracy."""
    epochs: float = Field(default=1.0, gt=0)
    batch_pairs: int = Field(default=16, ge=1)
    centering: float = Field(default=0.01, ge=0)
    """Weight of (r_chosen + r_rejected)^2, which holds the scores around 0 (arXiv 2312.09244)."""


class PpoConfig(LoopConfig):
    """Proximal policy optimisation against the reward model (arXiv 1707.06347, 1909.08593)."""

    iterations: int = Field(default=25, ge=1)
    rollouts: int = Field(default=256, ge=2)
    """Answers sampled per iteration."""
    epochs: int = Field(default=2, ge=1)
    """How often each iteration's answers are trained on."""
    minibatch: int = Field(default=64, ge=1)
    max_answer_tokens: int = Field(default=40, ge=1)
    temperature: float = Field(default=0.7, gt=0)
    """Divides the logits in sampling and in training alike. At 1 a small model's answers are mostly noise."""
    kl: float = Field(default=0.05, ge=0)
    """The first weight of the KL penalty against the SFT model; adapted towards `kl_target` where one is given."""
    kl_target: float | None = Field(default=None, gt=0)
    """Nats per answer."""
    kl_horizon: int = Field(default=10_000, ge=1)
    critic_speed: float = Field(default=10.0, gt=0)
    """The critic's learning rate over the policy's: it must keep up as the policy moves (verl: 10, OpenRLHF: 18)."""
    gamma: float = Field(default=1.0, gt=0, le=1)
    gae_lambda: float = Field(default=0.95, ge=0, le=1)
    clip: float = Field(default=0.2, gt=0)
    value_clip: float = Field(default=0.2, gt=0)
    value_coefficient: float = Field(default=0.1, gt=0)
    missing_end_penalty: float = Field(default=1.0, ge=0)
    """Taken from the score of an answer that did not end in time."""


class DpoConfig(LoopConfig):
    """Direct preference optimisation on the reward stage's pairs (arXiv 2305.18290)."""

    beta: float = Field(default=0.1, gt=0)
    label_smoothing: float = Field(default=0.0, ge=0, lt=0.5)
    epochs: float = Field(default=1.0, gt=0)
    batch_pairs: int = Field(default=16, ge=1)
