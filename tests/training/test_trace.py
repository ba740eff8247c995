"""From a step back to its documents: every token that the step was trained on is in the named document."""

from pathlib import Path

import numpy as np
import pytest

import tiny
from groundup.corpus.documents import Document, document_id, write_documents
from groundup.errors import GroundupError
from groundup.shards.encode import encode_documents
from groundup.training.configuration import ModelShape, PretrainConfig
from groundup.training.data import objective_of
from groundup.training.trace import find, trace

TEXTS = [f"The {n}th document is about {'tea ' * (n % 5)}and the number {n * n}." for n in range(40)]


@pytest.fixture
def documents(tmp_path: Path) -> Path:
    made = [
        Document(id=document_id(text), text=text, title=f"Title {at}", source="ab"[at % 2], origin=f"{at}.md")
        for at, text in enumerate(TEXTS)
    ]
    for part in range(2):
        rows = made[part * 20 : part * 20 + 20]
        write_documents(tmp_path / "documents", [Document(**{**_fields(one), "split": "train"}) for one in rows], part)
    return tmp_path / "documents"


def _fields(one: Document) -> dict[str, str]:
    return {name: getattr(one, name) for name in ("id", "text", "title", "source", "origin")}


@pytest.mark.parametrize("mixture", [None, {"a": 1.0, "b": 3.0}])
def test_every_token_of_a_step_is_named(tmp_path: Path, documents: Path, mixture: dict[str, float] | None) -> None:
    tokenizer = tiny.tokenizer()
    tokenizer.save(tmp_path / "tokenizer.json")
    (tmp_path / "out").mkdir()
    encode_documents(documents, tmp_path / "tokenizer.json", tmp_path / "out", tmp_path / "keep")
    config = PretrainConfig(
        batch_tokens=128, sequence=16, tokens=2000, accumulate=2, mixture=mixture, model=ModelShape(context=16)
    )
    objective = objective_of(config, tmp_path / "out", tokenizer, seed=1)
    texts = {document_id(text): text for text in TEXTS}
    for step in (1, 2, 16):
        named: dict[int, list[int]] = {}
        for one in trace(config, objective, documents, step):
            text = texts[one.document.id]
            whole = [*tokenizer.encode(text), tokenizer.end_of_text]
            named.setdefault(one.sequence, []).extend(whole[one.span.first : one.span.last])
            at = TEXTS.index(text)
            expected = (f"Title {at}", "ab"[at % 2], f"{at}.md")
            assert (one.document.title, one.document.source, one.document.origin) == expected
        batches = objective.batches(step - 1)
        inputs = np.concatenate([batch.inputs_BT for batch in batches])
        targets = np.concatenate([batch.targets_BT for batch in batches])
        assert list(named) == list(range(len(inputs)))
        for sequence, tokens in named.items():
            assert tokens == [*inputs[sequence].tolist(), targets[sequence, -1]]
    for step in (0, 17):
        with pytest.raises(GroundupError, match=r"no step .*; give one from 1 to 16"):
            trace(config, objective, documents, step)


def test_a_document_that_is_gone(documents: Path) -> None:
    ids = [document_id(TEXTS[3]), document_id(TEXTS[33])]
    assert [find(documents, ids)[one].title for one in ids] == ["Title 3", "Title 33"]
    with pytest.raises(GroundupError, match="has no document abc"):
        find(documents, ["abc", *ids])
