"""The `sft:`, `reward:`, `ppo:`, `grpo:` and `dpo:` sections."""

import re
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator

from groundup.section import Section
from groundup.training.configuration import LoopConfig, OptimizerConfig

# What plans must know of the stages besides their sections.
VALIDATIONS = 10  # in a training
VALIDATION_QUESTIONS = 256  # of SFT, about
POLICY_QUESTIONS = 96  # of the tune set, about, at each look at a policy's true score
SCALE_PAIRS = 1024  # at most, whose scores the reward model's scale is measured on
CONTROL_QUESTIONS, CONTROL_ANSWERS = 384, 4  # by which the reward model is judged, and the SFT model's answers to each


class SftConfig(LoopConfig):
    """Supervised fine-tuning: the loss is on answers and their stop token only."""

    incidental: ClassVar[frozenset[str]] = LoopConfig.incidental | {"data"}

    data: Path | None = None
    """Your own examples: JSON, JSONL, CSV or Parquet, as messages, Alpaca, ShareGPT or prompts with completions
    (docs/alignment.md). None: made from the documents (names, signatures and summaries; headings and paragraphs)."""
    train_turns: Literal["all", "last"] = "all"
    """Of a conversation with several answers, train every one or only the last."""
    too_long: Literal["cut", "skip", "refuse"] = "cut"
    """What happens to examples of `data` that are longer than the model's context."""
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
    """Your own pairs: JSON, JSONL, CSV or Parquet with `prompt`, `chosen` and `rejected`, as texts or messages; HH
    transcripts; `ranked` lists; or answers with a `label` (docs/alignment.md). None: made from the documents."""
    loss: Literal["bradley_terry", "plackett_luce"] = "bradley_terry"
    """Of lists of more than two: each of their pairs by itself, or each answer as the choice among those from it on."""
    pairs_per_subject: int = Field(default=6, ge=1)
    """Made up: the right answer against another, a cut, a repeated or an off-topic one."""
    samples_per_subject: int = Field(default=4, ge=0)
    """Answers of the SFT model to as many phrasings; each wrong one makes another pair with the right answer."""
    heldout: float = Field(default=0.1, gt=0, lt=1)
    """Fraction of the subjects whose pairs only measure the accuracy."""
    epochs: float = Field(default=1.0, gt=0)
    batch_pairs: int = Field(default=16, ge=1)
    centering: float = Field(default=0.01, ge=0)
    """Weight of (r_chosen + r_rejected)^2, which holds the scores around 0 (arXiv 2312.09244)."""


ANSWERS = OptimizerConfig(weight_decay=0.0, eps=1e-5)  # on-policy gradients are noisy, and weights should stay close


class PolicyConfig(LoopConfig):
    """A policy is trained on its own answers: sample, score, estimate advantages, update a few times.

    A `preset` is a set of values for the keys below; a key that the section gives overrules its preset.
    """

    preset: Literal["ppo", "grpo", "dr_grpo", "dapo", "rloo", "gspo", "reinforce++"] = "ppo"
    """`ppo` (arXiv 1707.06347), `grpo` (2402.03300), `dr_grpo` (2503.20783), `dapo` (2503.14476), `rloo` (2402.14740),
    `gspo` (2507.18071), `reinforce++` (2501.03262)."""
    optimizer: OptimizerConfig = ANSWERS
    weak_reward: Literal["refuse", "use"] = "refuse"
    """What happens where the reward model ranks the SFT model's own answers no better than that model's
    log-probability or the answers' length does."""
    iterations: int = Field(default=25, ge=1)
    rollouts: int = Field(default=256, ge=2)
    """Answers sampled per iteration."""
    group: int = Field(default=1, ge=1)
    """Answers to each prompt; it divides `rollouts`."""
    refill: int = Field(default=0, ge=0)
    """How often per iteration groups whose answers all have the same score are replaced by new ones (DAPO)."""
    epochs: int = Field(default=2, ge=1)
    """How often each iteration's answers are trained on."""
    minibatch: int = Field(default=64, ge=1)
    pack: bool = True
    """Put several of a minibatch's answers into a row, each to itself, instead of padding them to the longest."""
    max_answer_tokens: int = Field(default=40, ge=1)
    temperature: float = Field(default=0.7, gt=0)
    """Divides the logits in sampling and in training alike. At 1 a small model's answers are mostly noise."""
    advantage: Literal["gae", "group", "leave_one_out", "return"] = "gae"
    """`gae`: generalised estimates with a critic. `group`: against the mean of the prompt's other answers.
    `leave_one_out`: the same without the answer itself. `return`: the rewards that follow, without a baseline."""
    group_std: bool = True
    """Whether `group` divides by the group's standard deviation."""
    whiten: bool = True
    """Whether advantages get mean 0 and deviation 1 over an iteration's tokens (`gae` and `return`)."""
    whiten_rewards: bool = False
    """Whether the tokens' rewards get deviation 1 first, their mean kept (`gae` and `return`; arXiv 1909.08593)."""
    ratio: Literal["token", "sequence", "answer"] = "token"
    """Whether the policy's change is measured, and clipped, by token, by whole answer, or by the geometric mean over
    the answer's tokens (`sequence`)."""
    clip: float = Field(default=0.2, gt=0)
    clip_high: float | None = Field(default=None, gt=0)
    """The upper bound, where it differs from `clip`."""
    sampler_ratio: float | None = Field(default=None, gt=0)
    """Weigh each token by how much likelier the trainer's policy makes it than the sampler did, at most by this
    (truncated importance sampling): for samplers in lower precision. null: they are taken to agree."""
    kl_stop: float | None = Field(default=None, gt=0)
    """End an iteration's updates once the policy is so many nats a token (k3) from the one that sampled."""
    normaliser: Literal["token", "sequence", "constant"] = "token"
    """What every answer counts: as many tokens as it has, one, or its tokens over `max_answer_tokens`."""
    kl: float = Field(default=0.05, ge=0)
    """The weight of the KL penalty against the SFT model; adapted towards `kl_target` where one is given."""
    kl_in: Literal["reward", "loss"] = "reward"
    """In the reward of each token (estimator k1), or in the loss (k2 of whole answers)."""
    kl_target: float | None = Field(default=None, gt=0)
    """Nats per answer."""
    kl_horizon: int = Field(default=10_000, ge=1)
    missing_end_penalty: float = Field(default=1.0, ge=0)
    """Taken from the score of an answer that did not end in time."""
    critic: Literal["separate", "trunk"] = "separate"
    """Of `gae`: a model of its own, which starts as the reward model, or a head on the policy's features. That
    saves the second model's passes and memory, and the value's errors move the policy's features too."""
    critic_speed: float = Field(default=10.0, gt=0)
    """The critic's learning rate over the policy's (of `trunk`: its head's): it must keep up as the policy moves
    (verl: 10, OpenRLHF: 18)."""
    gamma: float = Field(default=1.0, gt=0, le=1)
    gae_lambda: float = Field(default=0.95, ge=0, le=1)
    value_clip: float = Field(default=0.2, gt=0)
    value_coefficient: float = Field(default=0.1, gt=0)

    @model_validator(mode="after")
    def _from_preset(self) -> Self:
        for name, value in PRESETS[self.preset].items():
            if name not in self.model_fields_set:
                object.__setattr__(self, name, value)
        return self

    @property
    def valued(self) -> bool:
        """Whether the policy has a value head."""
        return self.advantage == "gae" and self.critic == "trunk"

    @property
    def one_update(self) -> bool:
        """Whether an iteration's answers are trained on once and all together: the policy that is trained is then the
        one that sampled, and nothing but the update needs its log-probabilities."""
        once = self.epochs == 1 and self.minibatch >= self.rollouts
        return once and not self.valued and self.sampler_ratio is None and not (self.kl and self.kl_in == "reward")

    @model_validator(mode="after")
    def _groups(self) -> "PolicyConfig":
        if self.rollouts % self.group:
            raise ValueError(f"rollouts ({self.rollouts}) are whole groups of {self.group} answers")
        if self.advantage in ("group", "leave_one_out") and self.group < 2:
            raise ValueError(f"advantage {self.advantage} compares the answers of a group: set group to 2 or more")
        return self


PRESETS: dict[str, dict[str, Any]] = {
    "ppo": {},
    "grpo": {"advantage": "group", "group": 8, "normaliser": "sequence", "kl_in": "loss", "epochs": 1},
    "dr_grpo": {"advantage": "group", "group": 8, "group_std": False, "normaliser": "constant", "kl": 0.0, "epochs": 1},
    "dapo": {"advantage": "group", "group": 8, "clip_high": 0.28, "kl": 0.0, "refill": 3, "epochs": 1},
    "rloo": {"advantage": "leave_one_out", "group": 4, "ratio": "answer", "normaliser": "sequence", "epochs": 1},
    "gspo": {"advantage": "group", "group": 8, "ratio": "sequence", "normaliser": "sequence", "kl_in": "loss",
             "clip": 3e-4, "clip_high": 4e-4, "epochs": 1},
    "reinforce++": {"advantage": "return", "epochs": 1},
}  # fmt: skip


class PpoConfig(PolicyConfig):
    """Proximal policy optimisation against the reward model, with a critic (arXiv 1707.06347, 1909.08593)."""


class GrpoConfig(PolicyConfig):
    """Policy optimisation without a critic: answers to a prompt are compared with each other (arXiv 2402.03300)."""

    incidental: ClassVar[frozenset[str]] = PolicyConfig.incidental | {"data"}

    preset: Literal["grpo", "dr_grpo", "dapo", "rloo", "gspo", "reinforce++"] = "grpo"
    """`grpo` (arXiv 2402.03300), `dr_grpo` (2503.20783), `dapo` (2503.14476), `rloo` (2402.14740), `gspo` (2507.18071),
    `reinforce++` (2501.03262)."""
    data: Path | None = None
    """Your own tasks: JSON, JSONL, CSV or Parquet with `prompt`, `answer` and `verifier`, which scores the answers.
    None: the questions that SFT taught, scored by the reward model."""
    verifier: str = "exact"
    """Of tasks that name none: `exact` the same text, `number` the same last number, `regex` a pattern, `json` JSON,
    `tests` Python code that passes the task's assertions in a sandbox. Or a function of your own, which gets (task,
    answer) and returns a number: `module:function`, or `file.py:function` next to the blueprint."""

    @field_validator("verifier")
    @classmethod
    def _known(cls, verifier: str) -> str:
        names = ("exact", "number", "regex", "json", "tests")
        if verifier not in names and not re.fullmatch(r".+:\w+", verifier):
            raise ValueError(f"there is no verifier {verifier}: use {', '.join(names)}, or module:function")
        return verifier


PAIR_KEYS = ("data", "pairs_per_subject", "samples_per_subject", "heldout")


class OwnAnswersConfig(Section):
    """Answers that the SFT model gives itself, from which the reward model picks pairs."""

    answers: int = Field(default=4, ge=2)
    """To each question; the best and the worst are compared."""
    temperature: float = Field(default=0.7, gt=0)
    max_answer_tokens: int = Field(default=40, ge=1)


class DpoConfig(LoopConfig):
    """Learning from pairs without a reward model or sampling (DPO, arXiv 2305.18290)."""

    incidental: ClassVar[frozenset[str]] = LoopConfig.incidental | {"data"}

    data: Path | None = None
    """Your own pairs, in the forms of `reward.data`. None: those of `reward.data`, or made from the documents."""
    pairs_per_subject: int | None = Field(default=None, ge=1)
    """Null: as in `reward`."""
    samples_per_subject: int | None = Field(default=None, ge=0)
    """Null: as in `reward`."""
    heldout: float | None = Field(default=None, gt=0, lt=1)
    """Null: as in `reward`."""
    own: OwnAnswersConfig | None = None
    """Learn from pairs of the SFT model's own answers, as the reward model ranks them (on-policy DPO, arXiv
    2402.04792), to `pairs_per_subject` questions about each subject. null: from `data`."""

    loss: Literal[
        "sigmoid", "sigmoid_per_token", "robust", "ipo", "ipo_per_token", "hinge", "simpo", "orpo", "kto", "imitate"
    ] = "sigmoid"
    """`sigmoid` is DPO; `robust` and `sigmoid` read `label_smoothing`; `simpo` and `orpo` need no reference; `kto`
    takes single answers with a `label`, and the two answers of a pair as a good and a bad one. `imitate` reads the
    chosen answers alone: with `own` that is rejection sampling (arXiv 2304.06767)."""
    beta: float = Field(default=0.1, gt=0)
    label_smoothing: float = Field(default=0.0, ge=0, lt=0.5)
    """The fraction of the labels that is taken to be wrong."""
    nll: float = Field(default=0.0, ge=0)
    """Weight of the chosen answer's nats per token, which keeps it from becoming unlikely (arXiv 2404.19733)."""
    epochs: float = Field(default=1.0, gt=0)
    batch_pairs: int = Field(default=16, ge=1)

    @model_validator(mode="after")
    def _one_source(self) -> "DpoConfig":
        if self.own is not None and self.data is not None:
            raise ValueError("both data and own say which pairs are learnt from: give one of them")
        return self

    def with_pairs_of(self, reward: RewardConfig) -> "DpoConfig":
        """The section with the pairs of the `reward` section where it names none of its own."""
        missing = {name: getattr(reward, name) for name in PAIR_KEYS if getattr(self, name) is None}
        if self.own is not None:
            missing.pop("data", None)
        return self.model_copy(update=missing)
