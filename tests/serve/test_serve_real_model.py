"""The API over a tiny real model in an exported folder: its answer is the one that full forward passes give."""

import json

import pytest
import torch
from fastapi.testclient import TestClient

from groundup.inference.chat_model import CARD, ChatModel
from groundup.model.configuration import LLMConfig
from groundup.model.decoder import CustomLanguageModel
from groundup.model.huggingface import save_huggingface
from groundup.serve import create_app
from groundup.tokenizer.tokenizer import Tokenizer

QUESTION = [{"role": "user", "content": "What does os.path.join do?"}]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    tokenizer = Tokenizer([])  # bytes and special tokens
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    sizes |= {"num_key_value_heads": 1, "max_position_embeddings": 48}
    config = LLMConfig(vocab_size=tokenizer.vocabulary_size, tie_word_embeddings=False, **sizes)
    ends = {"end_of_text": tokenizer.end_of_text, "end": tokenizer.end, "pad": tokenizer.pad}
    save_huggingface(folder, CustomLanguageModel(config, seed=3), "float32", **ends)
    tokenizer.save(folder / "tokenizer.json")
    card = {
        "name": "tiny",
        "subjects": ["os.path.join"],
        "examples": ["What?"],
        "introduction": "Little. Very.",
        "turns": 2,
    }
    (folder / CARD).write_text(json.dumps(card))
    return folder


def test_answer_is_the_greedy_continuation(folder):
    model = ChatModel.load(folder)
    tokenizer = model.tokenizer
    ids = [tokenizer.user, *tokenizer.encode(QUESTION[0]["content"]), tokenizer.assistant]
    prompt = len(ids)
    with torch.no_grad():
        for _ in range(10):
            logits, _ = model.model(torch.tensor([ids]))
            ids.append(int(logits[0, -1].argmax()))
    assert tokenizer.end not in ids[prompt:]
    text = [token for token in ids[prompt:] if not tokenizer.is_special(token)]
    expected = tokenizer.decode_bytes(text).decode(errors="replace")
    assert len(set(expected)) > 3  # no text that any model would give
    with TestClient(create_app(model, key=None)) as client:
        asked = {"messages": QUESTION, "max_tokens": 10}
        body = client.post("/v1/chat/completions", json=asked).json()
        assert body["choices"][0]["message"]["content"] == expected
        assert body["choices"][0]["finish_reason"] == "length"
        assert body["usage"] == {"prompt_tokens": prompt, "completion_tokens": 10, "total_tokens": prompt + 10}
        assert body["groundup"] == {"taught": True, "nearest": []}
        lines = client.post("/v1/chat/completions", json=asked | {"stream": True}).text.split("\n\n")
        chunks = [json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: {")]
        assert "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks) == expected
        seeded = asked | {"temperature": 1, "seed": 5}
        twice = [client.post("/v1/chat/completions", json=seeded).json()["choices"][0]["message"] for _ in range(2)]
        assert twice[0] == twice[1]
        about = client.get("/v1/models").json()["groundup"]
        assert about == {"introduction": "Little. Very.", "samples": ["What?"]}


def test_refusals_of_the_model_are_400(folder):
    with TestClient(create_app(ChatModel.load(folder), key=None)) as client:
        late = [*QUESTION, {"role": "system", "content": "Be brief."}, *QUESTION]
        for messages, code in ((late, None), (QUESTION * 2, "context_length_exceeded")):
            response = client.post("/v1/chat/completions", json={"messages": messages})
            assert response.status_code == 400 and response.json()["error"]["code"] == code
