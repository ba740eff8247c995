"""Every method trains from one model and is measured the same way; what is done is kept; the page shows all of it."""

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

import tiny
from groundup.alignment.answers import Answer
from groundup.alignment.configuration import DpoConfig, GrpoConfig, PpoConfig, SftConfig
from groundup.alignment.data.examples import answer_ids, ask
from groundup.alignment.data.records import Task, task_of
from groundup.errors import GroundupError
from groundup.evaluation.answering import Question
from groundup.evaluation.comparing.compare import COUNTS, compare, summary
from groundup.evaluation.comparing.measuring import Measuring
from groundup.evaluation.comparing.methods import METHODS, Ingredients, MethodTrainer, configurations
from groundup.model.decoder import CustomLanguageModel
from groundup.report.comparison import comparison_page
from groundup.tokenizer.tokenizer import Tokenizer

TOKENIZER = Tokenizer.train(["one two three four"], vocabulary=266)
WORDS = ("one", "two", "three", "four")
FAST = {"learning_rate": 1e-3}
PPO = {"iterations": 2, "rollouts": 8, "minibatch": 8, "max_answer_tokens": 5, "epochs": 1, **FAST}
CONFIGS = configurations(
    SftConfig(batch_examples=4, **FAST),
    DpoConfig(batch_pairs=2, **FAST),
    PpoConfig(**PPO),
    GrpoConfig(group=4, **PPO),
)
BETAS = {name: [None] if name == "sft" else [0.1] for name in METHODS}


class ShortReward:
    """The shorter the better."""

    def score(self, tasks: Sequence[Task], answers: Sequence[Answer]) -> torch.Tensor:
        return -torch.tensor([float(len(answer.answer) + answer.answer[0] / 1e3) for answer in answers])


def start() -> CustomLanguageModel:
    return tiny.model(3, spread=0.1, vocab_size=TOKENIZER.vocabulary_size)


def ingredients() -> Ingredients:
    pair = [Answer(ask("a?", TOKENIZER), answer_ids(word, TOKENIZER)) for word in WORDS[:2]]
    tasks = [task_of(f"{word}?", word) for word in WORDS]
    return Ingredients(start, start, TOKENIZER, ShortReward(), tasks, [(pair[0], pair[1])] * 4, CONFIGS, looks=2)


def measuring() -> Measuring:
    questions = [Question(f"what is {word}?", word, word) for word in WORDS]
    return Measuring(start(), TOKENIZER, ShortReward(), questions, temperature=1.0, max_tokens=5, seed=0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("compare")


@pytest.fixture(scope="module")
def found(folder: Path) -> dict:
    return compare(
        folder, MethodTrainer(ingredients()), measuring(), BETAS, 1, {"questions": 4, "temperature": 1.0, "seeds": 1}
    )


def test_all_methods_are_measured(found: dict) -> None:
    """Each training at a look and at its end, best-of-n at each n; time grows; the KL of best-of-n is its formula."""
    ends = [(one["method"], one["beta"]) for one in found["points"] if one["last"]]
    assert ends == [("best_of", count) for count in COUNTS] + [(name, BETAS[name][0]) for name in METHODS]
    for name in METHODS:
        of = [one for one in found["points"] if one["method"] == name]
        assert len(of) == 2 and of[0]["seconds"] < of[1]["seconds"] and of[0]["step"] < of[1]["step"]
    best = [one for one in found["points"] if one["method"] == "best_of"]
    assert best[0]["kl"] == pytest.approx(0.1931, abs=1e-4)  # ln 2 - 1/2
    assert best[-1]["proxy"] > best[0]["proxy"] > found["start"]["proxy"]


def test_the_start_is_its_own_equal(found: dict) -> None:
    """KL 0 from itself, wins half of the time, and the same answers each time."""
    own = measuring()
    again = own.policy(start())
    assert again["kl"] == pytest.approx(0.0, abs=1e-5) and again["wins"]["rate"]["mean"] == 0.5
    assert again["proxy"] == found["start"]["proxy"]


def test_what_is_done_is_not_done_again(found: dict, folder: Path) -> None:
    """Another call trains nothing; a training of which a kill left a part is done again; other settings are refused."""

    class Idle:
        def train(self, *arguments: object) -> None:
            raise AssertionError("trains again")

    given = (measuring(), BETAS, 1)
    same = {"questions": 4, "temperature": 1.0, "seeds": 1}
    assert compare(folder, Idle(), *given, same) == found  # type: ignore[arg-type]
    points = folder / "points.jsonl"
    whole = points.read_text()
    points.write_text("".join(whole.splitlines(keepends=True)[:-1]))  # the end of the last one is missing
    with pytest.raises(AssertionError, match="trains again"):
        compare(folder, Idle(), *given, same)  # type: ignore[arg-type]
    points.write_text(whole)
    with pytest.raises(GroundupError, match="was made with other settings"):
        compare(folder, Idle(), *given, same | {"seeds": 2})  # type: ignore[arg-type]


def test_scores_are_read_at_equal_kl_and_compute() -> None:
    """Linear between points: the slower method is read at the faster one's time, the farther at the nearer one's KL."""

    def point(method: str, kl: float, seconds: float, truth: float, seed: int = 0, last: bool = True) -> dict:
        return {"method": method, "beta": 0.1, "seed": seed, "last": last, "kl": kl, "seconds": seconds, "truth": truth}

    points = [
        point("ppo", 1.0, 50.0, 0.6, last=False),
        point("ppo", 2.0, 100.0, 0.8),
        point("ppo", 4.0, 100.0, 0.6, seed=1),
        point("dpo", 1.0, 25.0, 0.5),
    ]
    result = summary(points, 0.4, {"ppo": [0.1], "dpo": [0.1]})
    assert result["equal_kl"]["kl"] == 1.0 and result["equal_compute"]["seconds"] == 25.0
    assert result["equal_kl"]["scores"] == {"dpo": [0.5], "ppo": pytest.approx([0.6, 0.45])}
    assert result["equal_compute"]["scores"] == {"dpo": [0.5], "ppo": pytest.approx([0.5, 0.45])}


def test_page(found: dict) -> None:
    page = comparison_page(found, "mine <b>")
    assert "mine &lt;b&gt;: alignment compared" in page and page.count("<svg") == 1 + 2 * len(METHODS)
    assert all(f">{name}" in page for name in ("PPO", "GRPO", "best of n", "SFT on the same questions"))
    assert "http://" not in page.replace("http://www.w3.org", "") and "<script" not in page
