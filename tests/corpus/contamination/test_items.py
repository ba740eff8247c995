"""Evaluation sets in documents: against a search in plain Python, and planted into documents."""

import gzip
import json
from collections.abc import Sequence
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from groundup.corpus.contamination.configuration import Contamination, EvaluationSet
from groundup.corpus.contamination.items import ANSWER, TEXT, EvaluationItems
from groundup.corpus.contamination.removal import account, cut, locate, summary
from groundup.corpus.duplicates.normal_form import normalised
from groundup.errors import GroundupError
from made import prose
from made.prose import NAMES, QUALITIES, THINGS, TOWNS


def written(folder: Path, rows: Sequence[Any], name: str = "set.jsonl") -> Path:
    path = folder / name
    text = "".join(json.dumps(row) + "\n" for row in rows)
    path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    return path


def loaded(folder: Path, rows: Sequence[Any], **options: Any) -> EvaluationItems:
    sets = (EvaluationSet(path=written(folder, rows), texts=("q",), answer=options.pop("answer", None)),)
    return EvaluationItems.load(Contamination(sets=sets, **options))


def words_of(text: str) -> list[str]:
    return normalised(text, digits_alike=False).split()


WORDS = st.lists(st.sampled_from(["a", "b", "É", "e", "1", "sixteenbyteslong", "sixteenbyteslong2"]), max_size=12)


@settings(max_examples=150, deadline=None)
@given(st.lists(WORDS, min_size=1, max_size=5), st.lists(WORDS, max_size=5), st.integers(2, 4), st.integers(1, 4))
def test_matches_are_those_of_a_plain_search(
    items: list[list[str]], texts: list[list[str]], ngram: int, least: int
) -> None:
    """Every word of a document that lies in an n-gram of an item, or in a whole shorter item, and no other."""
    rows = [{"q": " ".join(item)} for item in items]
    config = {"ngram_words": ngram, "least_words": min(least, ngram)}
    with TemporaryDirectory() as folder:
        found = loaded(Path(folder), rows, **config)
    documents = pa.array(["; ".join(text) for text in texts], pa.string())
    matches = found.find(documents)
    marked = {(int(row), int(item), word) for row, item, first, last in zip(
        matches.rows, matches.items, matches.first, matches.last, strict=True) for word in range(first, last)
    }  # fmt: skip
    expected = set()
    for item, row in enumerate(rows):
        wanted = words_of(row["q"])
        size = min(ngram, len(wanted))
        if size < config["least_words"]:
            assert item in found.too_short
            continue
        assert item not in found.too_short
        grams = {tuple(wanted[at : at + size]) for at in range(len(wanted) - size + 1)}
        for number, text in enumerate(texts):
            words = words_of("; ".join(text))
            for at in range(len(words) - size + 1):
                if tuple(words[at : at + size]) in grams:
                    expected |= {(number, item, word) for word in range(at, at + size)}
    assert marked == expected


def written_sets(folder: Path) -> tuple[EvaluationSet, EvaluationSet]:
    """300 questions with answers in the form of GSM8K, and 200 pairs of sentences in the form of BLiMP."""
    random = Random(5)
    with (folder / "train.jsonl").open("w", encoding="utf-8") as file:
        for _ in range(300):
            who, other, where, there = (random.choice(some) for some in (NAMES, NAMES, TOWNS, TOWNS))
            (a, b, c, d, e), (p, q, r) = random.sample(THINGS, 5), random.sample(QUALITIES, 3)
            question = (
                f"If {who} of {where} has a {p} {a}, a {q} {b} and a {c}, sells {other} the {d} and buys a {e} "
                f"in {there} for the {r} {b}, what is {other} of {where} given?"
            )
            file.write(json.dumps({"question": question, "answer": f"#### {random.randint(2, 999)}"}) + "\n")
    (folder / "pairs").mkdir()
    with (folder / "pairs" / "agreement.jsonl").open("w", encoding="utf-8") as file:
        for number in range(200):
            good = f"{random.choice(NAMES)} knows the {random.choice(THINGS)}."
            file.write(json.dumps({"sentence_good": good, "pairID": str(number)}) + "\n")
    return (
        EvaluationSet(path=folder / "train.jsonl", name="questions", answer="answer"),
        EvaluationSet(path=folder / "pairs", texts=("sentence_good",), id="pairID"),
    )


def test_sets_planted_into_documents(tmp_path: Path) -> None:
    """What is planted is found, with the line of its item, and nothing in clean documents is."""
    articles = prose.documents(200)
    items = EvaluationItems.load(Contamination(sets=written_sets(tmp_path)))
    assert len(items.items) == 300 + 200
    clean = pa.array(articles, pa.string())
    assert len(items.find(clean)) == 0

    lines = [json.loads(line) for line in (tmp_path / "train.jsonl").read_text(encoding="utf-8").splitlines()]
    random = np.random.default_rng(1)
    texts, planted = list(articles), {}
    for row in random.choice(len(articles), 20, replace=False).tolist():
        line = int(random.integers(len(lines)))
        words = lines[line]["question"].upper().replace(",", " --").split()
        question = ("\n" if row % 2 else "  ").join(words)
        paragraphs = texts[row].split("\n\n")
        paragraphs.insert(len(paragraphs) // 2, f"Somebody asked: {question} And so on.")
        texts[row], planted[row] = "\n\n".join(paragraphs), line
    documents = pa.array(texts, pa.string())
    matches = items.find(documents)
    assert dict(zip(matches.rows.tolist(), matches.items.tolist(), strict=True)) == planted
    assert matches.whole.all() and (matches.kinds == TEXT).all()

    rows = account(items, documents, matches, [f"id{row}" for row in range(len(texts))]).to_pylist()
    for one in rows:
        row = int(one["document"][2:])
        assert (one["set"], one["file"], one["line"]) == ("questions", "train.jsonl", planted[row] + 1)
        assert texts[row].encode()[one["start"] : one["end"]].decode().startswith("Somebody asked: ")
        assert one["words"] == len(words_of(lines[planted[row]]["question"]))
    sums = summary(items, [account(items, documents, matches, [str(row) for row in range(len(texts))])])
    assert sums[0] == {
        "set": "questions", "items": 300, "too_short": 0, "found": len(set(planted.values())), "documents": 20
    }  # fmt: skip
    assert sums[1]["set"] == "pairs" and sums[1]["found"] == 0 and sums[1]["too_short"] > 0

    left = cut(documents, matches)
    for row, text in enumerate(left.texts.to_pylist()):
        assert words_of(text) == words_of(articles[row])
        assert left.paragraphs[row] == (row in planted)
        assert left.words_left[row] == (len(words_of(text)) if row in planted else -1)
    assert len(items.find(left.texts)) == 0


def test_short_texts_whole_and_answers(tmp_path: Path) -> None:
    rows = [
        {"q": "Which is the longest river of all in Europe?", "a": "The Volga"},
        {"q": "Too short", "a": ["x", "nine words make an answer that is looked for"]},
        {"q": "Too short too", "a": 42},
    ]
    items = loaded(tmp_path, rows, answer="a")
    assert items.too_short == [2]
    texts = [
        "Quiz: which is the LONGEST river, of all, in Europe... It is the Volga.",
        "Which is the longest river of all in Europe",
        "Which is the longest river of all in European lands? The Volga.",
        "Nine words make an answer that is looked for, and 42.",
    ]
    found = items.find(pa.array(texts))
    assert found.rows.tolist() == [0, 1, 3]
    assert found.items.tolist() == [0, 0, 1]
    assert found.kinds.tolist() == [TEXT, TEXT, ANSWER]
    assert found.answered.tolist() == [True, False, False]
    assert found.first.tolist() == [1, 0, 0]
    assert found.last.tolist() == [10, 9, 9]
    assert found.whole.all()


def test_overlapping_ngrams_are_one_match(tmp_path: Path) -> None:
    letters = "abcdefghijklmnopqrst"
    items = loaded(tmp_path, [{"q": " ".join(letters)}], ngram_words=13)
    text = " ".join([*"xy", *letters[2:18], *"xy", *letters[:13]])
    found = items.find(pa.array([text]))
    assert list(zip(found.first.tolist(), found.last.tolist(), strict=True)) == [(2, 18), (20, 33)]
    assert not found.whole.any()


def test_a_match_over_paragraphs_takes_all_of_them(tmp_path: Path) -> None:
    items = loaded(tmp_path, [{"q": "one two three four five six seven eight"}])
    text = "Before.\n\nHere: one two three\n \nfour\n\n\nfive six seven eight!\n\nAfter it.\n\nThe end.\n"
    documents = pa.array(["nothing", text])
    matches = items.find(documents)
    starts, ends = locate(documents, matches)
    assert text[starts[0] : ends[0]] == "Here: one two three\n \nfour\n\n\nfive six seven eight!"
    left = cut(documents, matches)
    assert left.texts.to_pylist() == ["nothing", "Before.\n\nAfter it.\n\nThe end."]
    assert left.paragraphs.tolist() == [0, 3]
    assert left.bytes.tolist() == [0, len("Here: one two three") + len("four") + len("five six seven eight!")]
    assert left.words_left.tolist() == [-1, 5]


def test_compressed_sets_and_folders(tmp_path: Path) -> None:
    written(tmp_path, [{"q": "one two three four five six seven eight"}], "b.jsonl.gz")
    written(tmp_path, [{"q": "eight seven six five four three two one"}], "a.jsonl")
    config = Contamination(sets=(EvaluationSet(path=Path(tmp_path.name), texts=("q",)),))
    items = EvaluationItems.load(config, base=tmp_path.parent)
    assert [(item.set, item.file, item.line) for item in items.items] == [
        (tmp_path.name, "a.jsonl", 1), (tmp_path.name, "b.jsonl.gz", 1)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"q": "a"}\n{"p": "b"}\n', r"set\.jsonl:2: has no `q`; name one of its columns \(p\)"),
        (b'{"q": "a"}\n\n[1]\n', r"set\.jsonl:3: is a JSON list; give one JSON object a line"),
        (b'{"q": "a"\n', r"set\.jsonl:1: is no JSON"),
        (b'{"q": "\xff"}\n', r"set\.jsonl:1: is no JSON"),
        (b'{"q": {"a": 1}}\n', r"set\.jsonl:1: `q` is no text"),
        (b"\n", r"set\.jsonl: holds no items"),
    ],
)
def test_bad_lines(content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "set.jsonl").write_bytes(content)
    with pytest.raises(GroundupError, match=message):
        EvaluationItems.load(Contamination(sets=(EvaluationSet(path=tmp_path / "set.jsonl", texts=("q",)),)))


def test_bad_files(tmp_path: Path) -> None:
    def load(name: str) -> None:
        EvaluationItems.load(Contamination(sets=(EvaluationSet(path=tmp_path / name, texts=("q",)),)))

    with pytest.raises(GroundupError, match="evaluation set not found"):
        load("none.jsonl")
    (tmp_path / "empty").mkdir()
    with pytest.raises(GroundupError, match=r"holds no \.jsonl file"):
        load("empty")
    (tmp_path / "cut.jsonl.gz").write_bytes(gzip.compress(b'{"q": "a b c"}\n' * 1000)[:40])
    with pytest.raises(GroundupError, match=r"cut.jsonl.gz: can't be read \(truncated"):
        load("cut.jsonl.gz")
