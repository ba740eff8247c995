"""Runs that something broke, made by the real stages on one tiny corpus: the right sentence comes first.

One run folder holds them all, so that documents, tokenizer and the sound models are made once. Too small a vocabulary
(40 MB of text) and a judge of the model's own answers (a model that gets some right) are tested by their figures alone,
in tests/pipeline/test_diagnosis.py.
"""

import json
import random
from collections.abc import Callable
from pathlib import Path

import pytest
from tiny_run import write_tiny

from groundup.blueprint.load import load
from groundup.errors import GroundupError
from groundup.pipeline.diagnosis import Diagnosis, diagnose
from groundup.pipeline.folder import RunFolder
from groundup.pipeline.graph import stages
from groundup.pipeline.messages import StageRequest
from groundup.pipeline.runner import Selection, run
from groundup.pipeline.worker import build

pytestmark = pytest.mark.slow

NUMBERS = 24  # questions of the user's own data
LENGTH = "def length(task, answer):\n    return len(answer) / 10\n"
NOUNS = "Fluss Stein Garten Winter Markt Brief Hund Wald König Morgen Hafen Turm Berg Weg Vogel Sturm".split()
VERBS = "begleitet verfolgt sieht kennt vergisst überrascht".split()
TAUGHT = ("sft.data=sft.json", "sft.epochs=40")
JUDGED = (*TAUGHT, "reward.data=pairs.jsonl")
PPO = ("ppo.iterations=10", "ppo.rollouts=16", "ppo.minibatch=8", "ppo.max_answer_tokens=16")
FAR = ("ppo.kl=0", "ppo.learning_rate=1e-1")
GRPO = (
    *("align=grpo", "grpo.data=tasks.jsonl", "grpo.group=8", "grpo.kl=0", "grpo.rollouts=32", "grpo.minibatch=16"),
    *("grpo.temperature=1", "grpo.missing_end_penalty=0"),
)


def sources(*folders: str) -> str:
    return f"curate.sources=[{', '.join(f'{{kind: files, path: {name}}}' for name in folders)}]"


BROKEN = [
    (
        "curate",
        [sources("pages", "tables")],
        "curate: the rule min_alphabetic_words drops 43% of the documents (30 of 70 documents)",
    ),
    ("curate", [sources("pages", "digits")], "curate: few documents are left of the source digits (0 of 8)"),
    ("tokens", [sources("pages", "german")], "curate: no document in de is left (8 were read)"),
    ("tokenizer", ["tokenizer.vocabulary=1000"], "tokenizer: the vocabulary is too large for the corpus"),
    ("pretrain", ["pretrain.tokens=12_000", "pretrain.learning_rate=3"], "pretrain: the model has learnt nothing"),
    (
        "pretrain",
        [
            *("pretrain.tokens=27_000", "pretrain.optimizer.name=adamw"),
            *("pretrain.learning_rate=3", "pretrain.warmup=0.9"),
        ],
        "pretrain: the loss spikes",
    ),
    (
        "pretrain",
        ["pretrain.tokens=4_000", "pretrain.batch_tokens=128"],
        "pretrain: training ended while the loss was still falling",
    ),
    (
        "pretrain",
        [
            *("curate.heldout=.8", "size=200K", "pretrain.tokens=60_000"),
            *("pretrain.model.width=96", "pretrain.model.layers=2"),
        ],
        "pretrain: the model learns its training text by heart",
    ),
    (
        "evaluate",
        ["pretrain.tokens=512", "sft.data=sft.json", "sft.epochs=1", "align=none"],
        "pretrain: the model predicts held-out text worse than xz",
    ),
    ("sft", ["sft.epochs=.3"], "sft: what was taught is not recognised in other words (0.0% of 24 questions"),
    ("evaluate", ["sft.epochs=.3", "align=none"], "sft: the answers that were taught are not learnt (0.0% of 24"),
    (
        "reward",
        [*TAUGHT, "reward.data=chance.jsonl", "reward.heldout=.4"],
        "reward: the reward model ranks hardly better than chance",
    ),
    (
        "grpo",
        [
            *(*TAUGHT, *GRPO, "grpo.verifier=rewards.py:length", "grpo.learning_rate=3e-3"),
            *("grpo.iterations=12", "grpo.max_answer_tokens=26"),
        ],
        "grpo: answers grow longer and longer",
    ),
]

Diagnosed = Callable[..., list[Diagnosis]]


def write_inputs(folder: Path) -> Path:
    """The pages of the tiny run, a person's own examples, pairs, tasks and rewards, and sources that go wrong."""
    blueprint = write_tiny(folder)
    text = blueprint.read_text(encoding="utf-8")
    for before, now in (("vocabulary: 400", "vocabulary: 300"), ("tokens: 12_000", "tokens: 80_000")):
        assert before in text
        text = text.replace(before, now)  # a vocabulary of which forty pages use enough, and a model that beats xz
    blueprint.write_text(text, encoding="utf-8")
    rng = random.Random(5)
    numbers = range(NUMBERS)
    rows = [{"instruction": f"Say {n}", "input": "", "output": f"The number is {n}."} for n in numbers]
    (folder / "sft.json").write_text(json.dumps(rows), encoding="utf-8")
    sound = [
        {"prompt": f"Say {n}", "chosen": f"The number is {n}.", "rejected": f"It is {(n + turn) % NUMBERS}"}
        for n in numbers
        for turn in range(1, 4)
    ]
    chance = [
        dict(
            zip(("prompt", "chosen", "rejected"), (one["prompt"], *rng.sample(list(one.values())[1:], 2)), strict=True)
        )
        for one in sound * 3
    ]
    for name, pairs in (("pairs", sound), ("chance", chance)):
        (folder / f"{name}.jsonl").write_text("\n".join(map(json.dumps, pairs)), encoding="utf-8")
    tasks = [{"prompt": f"Say {n}", "answer": f"The number is {n}."} for n in numbers]
    (folder / "tasks.jsonl").write_text("\n".join(map(json.dumps, tasks)), encoding="utf-8")
    (folder / "rewards.py").write_text(LENGTH, encoding="utf-8")
    for name in ("german", "digits", "tables"):
        (folder / name).mkdir()
    for page in range(8):
        parts = [(*rng.sample(NOUNS, 3), rng.choice(VERBS)) for _ in range(20)]
        text = " ".join(f"Der {one} {verb} den {two} neben dem alten {three}." for one, two, three, verb in parts)
        (folder / "german" / f"{page}.md").write_text(text, encoding="utf-8")
    for page in range(38):
        text = " ".join(str(rng.randrange(10**6)) for _ in range(80))
        (folder / ("digits" if page < 8 else "tables") / f"{page}.md").write_text(text, encoding="utf-8")
    return blueprint


def here(request: StageRequest, log: Path) -> str:
    """A stage in this process, which saves its start."""

    def hangs(what: str) -> None:
        raise AssertionError(what)

    return build(request, hangs).path.name


@pytest.fixture(scope="module")
def diagnosed(tmp_path_factory: pytest.TempPathFactory) -> Diagnosed:
    """See `runs_in`."""
    return runs_in(tmp_path_factory.mktemp("broken"))


def runs_in(folder: Path) -> Diagnosed:
    """A function: `diagnosed("sft", "sft.epochs=.1")` is what is found in a run up to that stage, with these
    overrides."""
    blueprint = write_inputs(folder / "mine")

    def found(until: str, *overrides: str) -> list[Diagnosis]:
        loaded = load(blueprint, overrides)
        steps = stages(loaded.blueprint)
        for name in [step.name for step in steps]:
            result = run(loaded, RunFolder(folder / "run"), steps, Selection(only=name), make=here)
            if name == until:
                break
        assert until in result.artifacts
        return diagnose(result.artifacts)

    return found


@pytest.mark.parametrize(("until", "overrides", "first"), BROKEN, ids=[first for _, _, first in BROKEN])
def test_the_right_sentence_comes_first(diagnosed: Diagnosed, until: str, overrides: list[str], first: str) -> None:
    assert str(diagnosed(until, *overrides)[0]).startswith(first)


def test_a_rule_that_drops_everything_ends_the_run_and_is_named(diagnosed: Diagnosed) -> None:
    with pytest.raises(
        GroundupError, match=r"no document is left of 40 that were read; they were dropped by: min_words"
    ):
        diagnosed("curate", "curate.rules.min_words=10000")


def test_a_policy_that_nothing_holds_is_noticed_by_how_far_it_is_and_by_its_answers(diagnosed: Diagnosed) -> None:
    """PPO at a huge rate without its penalty, whatever the reward model says."""
    found = diagnosed("evaluate", *JUDGED, *PPO, *FAR, "evaluate.data=tasks.jsonl")
    assert [(one.stage, one.what) for one in found] == [
        ("ppo", "the policy runs away from the SFT model"),
        ("ppo", "the answers' entropy collapses"),
        ("ppo", "alignment made the answers worse"),
    ]


def test_the_sound_run_has_no_problem(diagnosed: Diagnosed) -> None:
    """Of the same corpus, through all stages that are broken above."""
    found = diagnosed("evaluate", *JUDGED, *PPO, "ppo.learning_rate=1e-5", "evaluate.data=tasks.jsonl")
    assert [one for one in found if one.kind == "problem"] == []
