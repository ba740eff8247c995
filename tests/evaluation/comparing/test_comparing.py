"""Every method trains from one model and is measured the same way; what is done is kept; the page shows all of it."""

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

import tiny
from groundup.alignment.answers import Answer
from groundup.alignment.configuration import DpoConfig, GrpoConfig, PpoConfig, SftConfig
from groundup.alignment.data.examples import answer_ids, ask
from groundup.alignment.data.pairs import Pair, write_pairs
from groundup.alignment.data.records import Task, task_of
from groundup.errors import GroundupError
from groundup.evaluation.answering import Question
from groundup.evaluation.comparing.asked import asked_questions
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
SETTINGS = {"questions": 4, "truth": "documents", "temperature": 1.0, "seeds": 1}
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
    return compare(folder, MethodTrainer(ingredients()), measuring(), BETAS, 1, SETTINGS)


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
    assert again["kl"] == pytest.approx(0.0, abs=1e-5) and again["better"] == [0.5] * 4
    assert again["proxy"] == found["start"]["proxy"]


def test_kl_is_that_of_the_definition() -> None:
    """Of one-token answers it is the sum over the vocabulary of p log(p / q), whichever token was drawn."""
    own, other = measuring(), tiny.model(4, spread=0.1, vocab_size=TOKENIZER.vocabulary_size)
    prompt = torch.tensor([own.prompts[0]])
    with torch.no_grad():
        p_V, q_V = (model(prompt)[0][0, -1].log_softmax(-1) for model in (other, start()))
    expected = float((p_V.exp() * (p_V - q_V)).sum())
    for token in (5, 77):
        assert own.kl(other, [Answer(own.prompts[0], [token])]) == pytest.approx(expected, rel=1e-4)
    assert expected > 0


def test_what_is_done_is_not_done_again(found: dict, folder: Path) -> None:
    """Another call trains nothing; a training of which a kill left a part is done again; other settings are refused."""

    class Idle:
        def train(self, *arguments: object) -> None:
            raise AssertionError("trains again")

    given = (measuring(), BETAS, 1)
    assert compare(folder, Idle(), *given, SETTINGS) == found  # type: ignore[arg-type]
    points = folder / "points.jsonl"
    whole = points.read_text()
    points.write_text("".join(whole.splitlines(keepends=True)[:-1]))  # the end of the last one is missing
    with pytest.raises(AssertionError, match="trains again"):
        compare(folder, Idle(), *given, SETTINGS)  # type: ignore[arg-type]
    points.write_text(whole)
    with pytest.raises(GroundupError, match="was made with other settings"):
        compare(folder, Idle(), *given, SETTINGS | {"seeds": 2})  # type: ignore[arg-type]


def test_scores_are_read_at_equal_kl_and_compute() -> None:
    """Linear between points: the slower method is read at the faster one's time, the farther at the nearer one's KL."""

    def point(method: str, kl: float, seconds: float, truth: float, seed: int = 0, last: bool = True) -> dict:
        return {"method": method, "beta": 0.1, "seed": seed, "last": last, "kl": kl, "seconds": seconds, "truth": truth}

    points = [
        point("ppo", 1.0, 50.0, 0.6, last=False),
        point("ppo", 2.0, 100.0, 0.8),
        point("ppo", 4.0, 100.0, 0.6, seed=1),
        point("dpo", 1.0, 25.0, 0.5),
        point("dpo", 0.5, 99.0, 0.9) | {"beta": 0.4},
        point("sft", 0.2, 40.0, 0.5) | {"beta": None},
    ]
    result = summary(points, 0.4, {"ppo": 0.1, "dpo": 0.1, "sft": None})
    assert result["equal_kl"]["at"] == [0.2, 1.0] and result["equal_compute"]["at"] == [25.0, 40.0]
    by_kl, by_seconds = result["equal_kl"]["scores"], result["equal_compute"]["scores"]
    assert by_kl["dpo"] == [pytest.approx([0.6]), [0.5]]  # at .2 on the way to the point of the larger beta
    assert by_kl["ppo"] == [pytest.approx([0.44, 0.41]), pytest.approx([0.6, 0.45])]
    assert by_kl["sft"] == [[0.5], None]  # it does not get so far
    assert by_seconds["dpo"] == [[0.5], None] and by_seconds["sft"] == [pytest.approx([0.4625]), [0.5]]
    assert by_seconds["ppo"] == [pytest.approx([0.5, 0.45]), pytest.approx([0.56, 0.48])]


def test_questions_of_a_persons_own_pairs(tmp_path: Path) -> None:
    """Each prompt once, with the answer that no pair rejects; held-out pairs measure, or an exam where there is one."""
    rows = [("a", "fair", "bad", "train"), ("a", "good", "fair", "train"), ("b", "best", "worst", "heldout")]
    pairs = [Pair(question, better, worse, "given", question, split) for question, better, worse, split in rows]
    write_pairs(tmp_path / "pairs.jsonl", pairs)
    asked = asked_questions(tmp_path / "items.jsonl", tmp_path / "pairs.jsonl", None)
    assert [(task.question, task.answer) for task in asked.tasks] == [("a", "good")]
    assert [(one.text, one.truth) for one in asked.questions] == [("b", "best")] and asked.truth == "pairs"
    (tmp_path / "exam.jsonl").write_text('{"prompt": "c", "answer": "see"}\n' * 3)
    asked = asked_questions(tmp_path / "items.jsonl", tmp_path / "pairs.jsonl", tmp_path / "exam.jsonl")
    assert len(asked.questions) == 3 and len(asked.limited(2).questions) == 2 and asked.truth == "exam"
    write_pairs(tmp_path / "pairs.jsonl", pairs[:2])
    with pytest.raises(GroundupError, match="no question is left"):
        asked_questions(tmp_path / "items.jsonl", tmp_path / "pairs.jsonl", None)


def test_page(found: dict) -> None:
    page = comparison_page(found, "mine <b>")
    assert "1 seed." in page and "4 questions" in page
    assert "mine &lt;b&gt;: alignment compared" in page and page.count("<svg") == 1 + 2 * len(METHODS)
    assert all(f">{name}" in page for name in ("PPO", "GRPO", "best of n", "SFT on the same questions"))
    assert "http://" not in page.replace("http://www.w3.org", "") and "<script" not in page
