"""The training documents nearest to a text: BM25 as its formula says, copied words first, never a held-out document."""

import math
from collections import Counter
from pathlib import Path

import pytest

from groundup.corpus.documents import Document, document_id, write_documents
from groundup.corpus.near_documents import K1, MIN_RUN, B, nearest

TEXTS = [
    "os.path.join\n\nJoin two or more pathname components, inserting '/' as needed.\nIf any is absolute, it restarts.",
    "shutil.move\n\nMove a file or directory to another location, which may be a pathname.",
    "str.join\n\nConcatenate any number of strings. The string whose method is called is inserted between them.",
    "posixpath\n\nNaïve pathname components, Components: join JOIN pathname join.",
    "海の魚は泳ぐ",
    "Join two or more pathname components, inserting '/' as needed. (kept back)",
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    def document(number: int, text: str) -> Document:
        split = "heldout" if "kept back" in text else "train"
        url = f"https://example.org/{number}"
        return Document(document_id(text), text, f"title {number}", "docs", f"{number}.md", "MIT", split, url=url)

    documents = [document(number, text) for number, text in enumerate(TEXTS)]
    write_documents(tmp_path / "documents", documents[:4], part=0)
    write_documents(tmp_path / "documents", documents[4:], part=1)
    return tmp_path / "documents"


def test_the_copied_document_is_first_and_says_what_is_copied(folder: Path) -> None:
    first, second, *_ = nearest(folder, "Join two or more pathname components, inserting / as needed!", "join?")
    assert (first.title, first.origin, first.licence, first.url) == ("title 0", "0.md", "MIT", "https://example.org/0")
    assert first.common == "Join two or more pathname components, inserting '/' as needed" and first.common_words == 9
    assert first.excerpt.startswith("os.path.join Join two") and first.excerpt.endswith("it restarts.")
    assert second.title == "title 3" and second.common == "" and second.common_words == 0


def test_scores_are_bm25(folder: Path) -> None:
    """By the formula over words, computed here without any of the project's code."""
    train = [Counter("".join(c if c.isalnum() else " " for c in t.lower()).split()) for t in TEXTS[:4]]
    train.append(Counter(TEXTS[4]))
    mean = sum(sum(one.values()) for one in train) / len(train)
    query = ["pathname", "components", "absolute"]
    expected = {}
    for number, words in enumerate(train):
        score = 0.0
        for word in query:
            having = sum(word in one for one in train)
            rarity = math.log(1 + (len(train) - having + 0.5) / (having + 0.5))
            length = sum(words.values())
            score += rarity * words[word] * (K1 + 1) / (words[word] + K1 * (1 - B + B * length / mean))
        expected[f"title {number}"] = score
    found = {one.title: one.score for one in nearest(folder, " ".join(query), count=10)}
    assert found == pytest.approx({title: score for title, score in expected.items() if score})


def test_heldout_documents_are_none_that_it_comes_from(folder: Path) -> None:
    assert all("kept back" not in one.excerpt for one in nearest(folder, TEXTS[5], count=10))


def test_other_scripts_and_texts_without_words(folder: Path) -> None:
    assert nearest(folder, "魚")[0].title == "title 4"
    assert nearest(folder, "?!") == nearest(folder, "zzz") == []
    assert MIN_RUN > 2 and nearest(folder, "another location")[0].common_words == 0
