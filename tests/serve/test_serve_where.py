"""Where answers come from, over the API: the run's own documents, or a 400 that says there are none."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from fake_model import FakeModel, loaded
from fastapi.testclient import TestClient

from groundup.corpus.documents import Document, document_id, write_documents
from groundup.serve.app import create_app

QUESTION = [{"role": "user", "content": "What does os.path.join do?"}]
COPIED = "Join one or more path components"
TEXTS = [f"{COPIED} intelligently.", "Copy a tree.", "Move a tree of components."]


@pytest.fixture
def client(tmp_path: Path):
    documents = [Document(document_id(text), text, text[:4], "docs", f"{n}.md", "MIT", "train", url=f"https://d/{n}")
                 for n, text in enumerate(TEXTS)]  # fmt: skip
    write_documents(tmp_path, documents)
    model = FakeModel(["Join one or ", "more path ", "components."])
    model.loaded = replace(loaded(), documents=tmp_path)
    with TestClient(create_app(model.offered(), key=None, backend=model)) as client:
        yield client


def test_of_a_given_answer(client):
    asked = {"question": "What joins?", "answer": f"{COPIED}!", "count": 2}
    first, second = client.post("/where", json=asked).json()["documents"]
    assert (first["title"], first["licence"], first["url"]) == ("Join", "MIT", "https://d/0")
    assert (first["common"], first["common_words"], second["title"]) == (COPIED, 6, "Move")
    assert client.get("/v1/models").json()["groundup"]["documents"] is True


@pytest.mark.parametrize("stream", [False, True])
def test_with_an_answer(client, stream):
    reply = client.post("/v1/chat/completions", json={"messages": QUESTION, "where": 1, "n": 2, "stream": stream})
    if stream:
        lines = [line for line in reply.text.split("\n\n") if line.startswith("data: {")]
        chunks = [json.loads(line.removeprefix("data: ")) for line in lines]
        assert all("where" not in chunk.get("groundup", {}) for chunk in chunks[:-1])
        note = chunks[-1]["groundup"]
    else:
        note = reply.json()["groundup"]
    assert [[one["common"] for one in documents] for documents in note["where"]] == [[COPIED]] * 2 and note["taught"]


def test_a_model_without_its_documents(client):
    asked = {"model": "tiny:sft", "answer": "x"}
    assert client.post("/where", json=asked).json()["error"]["code"] == "no_documents"
    chat = {"model": "tiny:sft", "messages": QUESTION, "where": 1}
    assert client.post("/v1/chat/completions", json=chat).json()["error"]["param"] == "where"
    assert client.post("/where", json={"answer": "x", "count": 0}).status_code == 400
