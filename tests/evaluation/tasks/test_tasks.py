"""Tasks in their four kinds, against log-probabilities of full forward passes and against hand counting."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch

import tiny
from groundup.errors import GroundupError
from groundup.evaluation.tasks.likelihood import continuation_ids, likelihoods
from groundup.evaluation.tasks.run import pass_at, run_task
from groundup.evaluation.tasks.task import EvalTask, read_task
from groundup.inference.loading import LoadedModel
from groundup.tokenizer.tokenizer import Tokenizer

WORDS = Tokenizer([])  # bytes and special tokens
ROWS = [
    {"q": "The cat", "good": "sat down", "bad": "sit downs now", "label": 0, "options": ["sat", "sit", "set"]},
    {"q": "A dog", "good": "barks", "bad": "bark", "label": 1, "options": ["runs", "run"]},
    {"q": "We", "good": "are", "bad": "is", "label": 1, "options": ["is", "are"]},
]


@pytest.fixture(scope="module")
def loaded() -> LoadedModel:
    made = tiny.model(5, vocab_size=WORDS.vocabulary_size, max_position_embeddings=64).eval()
    return LoadedModel("tiny", made, WORDS, frozenset({WORDS.end}))


def task(folder: Path, rows: list[dict[str, Any]] = ROWS, **values: Any) -> EvalTask:
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "task.yaml").write_text(json.dumps({"name": "t", "data": "rows.jsonl"} | values))
    return read_task(folder / "task.yaml")


def logprob(loaded: LoadedModel, before: str, after: str) -> float:
    """By one full forward pass over the whole text."""
    ids = [WORDS.end_of_text] if not before else WORDS.encode(before)
    whole = ids + WORDS.encode(after)
    with torch.no_grad():
        table = torch.log_softmax(loaded.model(torch.tensor([whole]))[0][0], -1)
    return sum(float(table[at - 1, whole[at]]) for at in range(len(ids), len(whole)))


def test_choices_are_compared_by_their_likelihood(loaded: LoadedModel, tmp_path: Path) -> None:
    scores = run_task(
        task(tmp_path, kind="multiple_choice", prompt="{q}", choices=["{good}", "{bad}"], answer=0), loaded
    )
    by_choice = [[logprob(loaded, row["q"], " " + row[name]) for name in ("good", "bad")] for row in ROWS]
    plain = [good > bad for good, bad in by_choice]
    normalised = [
        good / len(row["good"]) > bad / len(row["bad"]) for (good, bad), row in zip(by_choice, ROWS, strict=True)
    ]
    assert scores["accuracy"]["value"] == pytest.approx(sum(plain) / 3)
    assert scores["accuracy_normalised"]["value"] == pytest.approx(sum(normalised) / 3)
    assert scores["accuracy_centred"]["value"] == pytest.approx((sum(plain) / 3 - 0.5) / 0.5)
    assert (scores["n"], scores["random"], scores["majority"]) == (3, 0.5, 1.0)


def test_options_of_a_field_with_their_label(loaded: LoadedModel, tmp_path: Path) -> None:
    scores = run_task(task(tmp_path, kind="multiple_choice", prompt="{q}", choices="options", answer="{label}"), loaded)
    right = 0
    for row in ROWS:
        found = [logprob(loaded, row["q"], " " + option) for option in row["options"]]
        right += found.index(max(found)) == row["label"]
    assert scores["accuracy"]["value"] == pytest.approx(right / 3)
    assert scores["random"] == pytest.approx((1 / 3 + 1 / 2 + 1 / 2) / 3)
    assert scores["majority"] == pytest.approx(2 / 3)


def test_examples_come_before_the_question(loaded: LoadedModel, tmp_path: Path) -> None:
    """The first row is the example, and is not asked."""
    found = task(tmp_path, kind="loglikelihood", prompt="{q}", answer="{good}", shots=1)
    scores = run_task(found, loaded)
    before = "The cat sat down\n\n"
    expected = [logprob(loaded, before + row["q"], " " + row["good"]) for row in ROWS[1:]]
    assert scores["n"] == 2 and scores["logprob"] == pytest.approx(sum(expected) / 2, abs=1e-4)


def test_whole_texts_are_read_in_windows(loaded: LoadedModel, tmp_path: Path) -> None:
    """Longer than the context: every byte counts once, after what its window has before it."""
    text = "abc def ghij " * 10  # 130 bytes; windows of 64 tokens
    scores = run_task(task(tmp_path, [{"text": text}], kind="rolling", prompt="{text}"), loaded)
    ids = [WORDS.end_of_text, *WORDS.encode(text)]
    nats = 0.0
    for first in range(0, len(ids) - 1, 64):
        window = ids[first : first + 65]
        with torch.no_grad():
            table = torch.log_softmax(loaded.model(torch.tensor([window[:-1]]))[0][0], -1)
        nats -= sum(float(table[at, token]) for at, token in enumerate(window[1:]))
    assert scores["bits_per_byte"] == pytest.approx(nats / math.log(2) / 130, rel=1e-5)


def test_written_answers_are_filtered_and_marked(loaded: LoadedModel, tmp_path: Path) -> None:
    """A model that writes its greedy continuation is right exactly where that is the truth."""
    ids = WORDS.encode("The cat")
    with torch.no_grad():
        for _ in range(6):
            ids.append(int(loaded.model(torch.tensor([ids]))[0][0, -1].argmax()))
            if ids[-1] in loaded.stop:
                break
    written = WORDS.decode(ids[7:], skip_special=True)
    rows = [{"q": "The cat", "a": written}, {"q": "The cat", "a": "something else"}]
    scores = run_task(
        task(tmp_path, rows, kind="generation", prompt="{q}", answer="{a}", stop=[], max_tokens=6), loaded
    )
    assert scores["exact"] == {"value": 0.5, "standard_error": pytest.approx(0.5)}
    filtered = {"kind": "generation", "prompt": "{q}", "answer": "", "filter": "(zebra)"}
    with pytest.raises(GroundupError, match="needs an answer"):
        task(tmp_path, rows, **filtered)
    sampled = task(tmp_path, rows, kind="generation", prompt="{q}", answer="{a}", samples=2, temperature=1.0)
    assert run_task(sampled, loaded).keys() >= {"exact", "pass@1", "pass@2"}


def test_contexts_that_end_in_space_and_long_ones(loaded: LoadedModel) -> None:
    assert continuation_ids(loaded, "ab ", "c") == (WORDS.encode("ab"), WORDS.encode(" c"))
    assert continuation_ids(loaded, "", "c") == ([WORDS.end_of_text], WORDS.encode("c"))
    long = WORDS.encode("x" * 100)
    (cut,), (kept,) = likelihoods(loaded, [(long, [65])]), likelihoods(loaded, [(long[-64:], [65])])
    assert cut.logprob == pytest.approx(kept.logprob, abs=1e-5)


@pytest.mark.parametrize(
    ("n", "right", "k", "expected"), [(4, 0, 2, 0.0), (4, 4, 2, 1.0), (4, 1, 1, 0.25), (10, 3, 10, 1.0)]
)
def test_pass_at_k(n: int, right: int, k: int, expected: float) -> None:
    assert pass_at(n, right, k) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"kind": "multiple_choice", "answer": 0}, "needs choices"),
        ({"kind": "guess"}, "kind"),
        ({"kind": "rolling", "prompt": "{text}", "promt": "x"}, "promt"),
        ({"kind": "generation", "answer": "x", "samples": 3}, "temperature"),
        ({"kind": "loglikelihood", "prompt": "{nothing}", "answer": "x"}, "no field nothing"),
        ({"kind": "multiple_choice", "choices": ["{good}"], "answer": 7}, "none of the 1 choices"),
        ({"kind": "multiple_choice", "choices": "label", "answer": 0}, "no list of texts"),
        ({"kind": "loglikelihood", "prompt": "{q}", "answer": "{good}", "shots": 3}, "too few rows"),
    ],
)
def test_mistakes_are_named(values: dict[str, Any], reason: str, loaded: LoadedModel, tmp_path: Path) -> None:
    with pytest.raises(GroundupError, match=reason):
        run_task(task(tmp_path, **values), loaded)


def test_a_line_that_is_no_object_is_named(loaded: LoadedModel, tmp_path: Path) -> None:
    found = task(tmp_path, kind="rolling", prompt="{q}")
    (tmp_path / "rows.jsonl").write_text('{"q": "a"}\n[1]\n')
    with pytest.raises(GroundupError, match=r"rows.jsonl:2: is no JSON object"):
        run_task(found, loaded)
