"""The API over a tiny real model: its answers and log-probabilities are those that full forward passes give."""

import base64
import json
import struct

import pytest
import torch
from fake_model import TOKENIZER, loaded
from fastapi.testclient import TestClient

from groundup.serve.app import create_app

QUESTION = [{"role": "user", "content": "What does os.path.join do?"}]
CHAT, TEXT = "/v1/chat/completions", "/v1/completions"


@pytest.fixture(scope="module")
def model():
    return loaded(context=64)


@pytest.fixture(scope="module")
def client(model):
    with TestClient(create_app({"tiny": lambda: model}, key=None)) as client:
        yield client


def logprobs(model, ids):
    """[T, V] of full forward passes."""
    with torch.no_grad():
        return torch.log_softmax(model.model(torch.tensor([ids]))[0][0], -1)


def greedy(model, ids, count):
    ids = list(ids)
    for _ in range(count):
        ids.append(int(logprobs(model, ids)[-1].argmax()))
        if ids[-1] in model.stop:
            break
    return ids


def test_answer_is_the_greedy_continuation(client, model):
    prompt = [TOKENIZER.user, *TOKENIZER.encode(QUESTION[0]["content"]), TOKENIZER.assistant]
    ids = greedy(model, prompt, 10)[len(prompt) :]
    expected = TOKENIZER.decode(ids, skip_special=True)
    assert len(set(expected)) > 3  # no text that any model would give
    asked = {"messages": QUESTION, "max_tokens": 10}
    body = client.post(CHAT, json=asked).json()
    assert body["choices"][0]["message"]["content"] == expected
    assert body["choices"][0]["finish_reason"] == "length"
    assert body["usage"] == {
        "prompt_tokens": len(prompt),
        "completion_tokens": 10,
        "total_tokens": len(prompt) + 10,
    }
    assert body["groundup"] == {"taught": True, "nearest": []}
    lines = client.post(CHAT, json=asked | {"stream": True}).text.split("\n\n")
    chunks = [json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: {")]
    assert "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks) == expected


def test_seeds_give_the_same_answer_whatever_else_is_asked(client):
    """Choices differ from each other, and each is what it is alone."""
    seeded = {"messages": QUESTION, "temperature": 1, "seed": 5, "max_tokens": 12}
    alone = client.post(CHAT, json=seeded).json()["choices"][0]["message"]["content"]
    both = [choice["message"]["content"] for choice in client.post(CHAT, json=seeded | {"n": 2}).json()["choices"]]
    assert both[0] == alone != both[1]


def test_prompt_logprobs_as_evaluations_ask_for_them(client, model):
    """With echo: the tokens' log-probabilities after those before them, the first has none; then one more token."""
    ids = TOKENIZER.encode("The cat sat")
    body = client.post(
        TEXT, json={"prompt": ids, "echo": True, "max_tokens": 1, "logprobs": 2, "temperature": 0}
    ).json()
    (choice,) = body["choices"]
    full = greedy(model, ids, 1)
    table = logprobs(model, full)
    assert choice["text"] == TOKENIZER.decode(full, skip_special=True)
    found = choice["logprobs"]
    assert found["token_logprobs"][0] is None and found["top_logprobs"][0] is None
    expected = [float(table[at, token]) for at, token in enumerate(full[1:])]
    assert found["token_logprobs"][1:] == pytest.approx(expected, abs=1e-4)
    assert [max(top.values()) for top in found["top_logprobs"][1:]] == pytest.approx(
        table[:-1].max(-1).values.tolist(), abs=1e-4
    )
    assert found["text_offset"] == list(range(len(full)))
    assert len(found["tokens"]) == len(full) == body["usage"]["total_tokens"]
    several = client.post(TEXT, json={"prompt": ["a", "bc"], "echo": True, "max_tokens": 0, "logprobs": 0}).json()
    assert [len(one["logprobs"]["tokens"]) for one in several["choices"]] == [1, 2]
    assert [one["text"] for one in several["choices"]] == ["a", "bc"]


def test_stop_strings_are_cut_off(client, model):
    prompt = TOKENIZER.encode("The cat")
    text = TOKENIZER.decode(greedy(model, prompt, 20)[len(prompt) :], skip_special=True)
    stop = text[5:8]
    body = client.post(TEXT, json={"prompt": "The cat", "max_tokens": 20, "temperature": 0, "stop": stop}).json()
    assert body["choices"][0]["text"] == text[: text.index(stop)]
    assert body["choices"][0]["finish_reason"] == "stop"


def test_a_bias_forces_and_forbids(client, model):
    forced = {"prompt": "The cat", "max_tokens": 3, "temperature": 1, "logit_bias": {"65": 100}}
    assert client.post(TEXT, json=forced).json()["choices"][0]["text"] == "AAA"
    prompt = TOKENIZER.encode("The cat")
    likeliest = greedy(model, prompt, 1)[-1]
    asked = {"prompt": prompt, "max_tokens": 1, "temperature": 0, "logprobs": 0, "echo": True}
    chosen = client.post(TEXT, json=asked | {"logit_bias": {str(likeliest): -100}}).json()["choices"][0]["logprobs"]
    second = float(logprobs(model, prompt)[-1].topk(2).values[1])
    assert chosen["token_logprobs"][-1] == pytest.approx(second, abs=1e-4)


def test_streamed_completion(client):
    asked = {"prompt": "The cat", "max_tokens": 5, "temperature": 0}
    whole = client.post(TEXT, json=asked).json()["choices"][0]["text"]
    lines = client.post(TEXT, json=asked | {"stream": True}).text.split("\n\n")
    chunks = [json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: {")]
    assert "".join(chunk["choices"][0]["text"] for chunk in chunks) == whole
    assert chunks[-1]["choices"][0]["finish_reason"] == "length"


def test_embeddings_are_means_of_features_of_length_one(client, model):
    from groundup.model.inputs import DecoderInputs

    body = client.post("/v1/embeddings", json={"input": ["The cat", "x"]}).json()
    with torch.no_grad():
        mean = model.model.features(DecoderInputs(torch.tensor([TOKENIZER.encode("The cat")])))[0].mean(0)
    assert body["data"][0]["embedding"] == pytest.approx((mean / mean.norm()).tolist(), abs=1e-5)
    assert body["usage"]["prompt_tokens"] == 8
    packed = client.post("/v1/embeddings", json={"input": "The cat", "encoding_format": "base64"}).json()
    raw = base64.b64decode(packed["data"][0]["embedding"])
    assert struct.unpack(f"<{len(raw) // 4}f", raw) == pytest.approx(body["data"][0]["embedding"], abs=1e-6)


def test_tokenize_and_back(client):
    body = client.post("/tokenize", json={"content": "Hé"}).json()
    assert body == {"tokens": TOKENIZER.encode("Hé"), "count": 3, "max_model_len": 64}
    assert client.post("/detokenize", json={"tokens": body["tokens"]}).json()["content"] == "Hé"
    chat = client.post("/tokenize", json={"messages": QUESTION}).json()["tokens"]
    assert chat[0] == TOKENIZER.user and chat[-1] == TOKENIZER.assistant
    assert client.post("/detokenize", json={"tokens": [9999]}).status_code == 400


@pytest.mark.parametrize(
    ("path", "body", "code"),
    [
        (CHAT, {"messages": [*QUESTION, {"role": "system", "content": "Be brief."}, *QUESTION]}, "request_refused"),
        (CHAT, {"messages": QUESTION * 3}, "context_length_exceeded"),
        (TEXT, {"prompt": "x" * 64}, "context_length_exceeded"),
        (TEXT, {"prompt": []}, None),
        (TEXT, {"prompt": [5, 9999]}, "unknown_token"),
        (TEXT, {"prompt": "x", "suffix": "y"}, "unsupported_parameter"),
        (TEXT, {"prompt": "x", "echo": True, "stream": True}, "invalid_combination"),
        ("/v1/embeddings", {"input": "x" * 65}, "context_length_exceeded"),
        ("/v1/embeddings", {"input": ""}, None),
        ("/tokenize", {}, "invalid_combination"),
    ],
)
def test_what_cannot_be_answered_is_400(client, path, body, code):
    response = client.post(path, json=body)
    assert response.status_code == 400 and response.json()["error"]["code"] == code, response.text


SCHEMA = {"type": "object", "properties": {"sure": {"type": "boolean"}, "n": {"enum": [1, 22]}}}
SCHEMA |= {"required": ["sure", "n"], "additionalProperties": False}


@pytest.mark.parametrize("stream", [False, True])
def test_response_format_makes_an_answer_json_of_the_schema(client, stream):
    """Of weights that know no JSON; also where tokens are drawn."""
    wanted = {"type": "json_schema", "json_schema": {"name": "answer", "schema": SCHEMA, "strict": True}}
    for asked in ({}, {"temperature": 1.0, "seed": 3}):
        body = {"messages": QUESTION, "max_tokens": 30, "response_format": wanted, "stream": stream} | asked
        reply = client.post(CHAT, json=body)
        if stream:
            lines = [line for line in reply.text.split("\n\n") if line.startswith("data: {")]
            deltas = [json.loads(line.removeprefix("data: "))["choices"][0]["delta"] for line in lines]
            text = "".join(delta.get("content", "") for delta in deltas)
        else:
            choice = reply.json()["choices"][0]
            text = choice["message"]["content"]
            assert choice["finish_reason"] == "stop"
        found = json.loads(text)
        assert isinstance(found["sure"], bool) and found["n"] in (1, 22) and len(found) == 2


def test_json_object_begins_as_one_and_wrong_schemas_are_refused(client):
    asked = {"messages": QUESTION, "max_tokens": 5}
    text = client.post(CHAT, json=asked | {"response_format": {"type": "json_object"}}).json()["choices"][0]["message"]
    assert text["content"].startswith("{")
    wrong = {"type": "json_schema", "json_schema": {"name": "answer", "schema": {"type": "nothing"}}}
    for form in (wrong, {"type": "json_schema"}, {"type": "json_object", "json_schema": wrong["json_schema"]}):
        reply = client.post(CHAT, json=asked | {"response_format": form})
        assert reply.status_code == 400 and "response_format" in reply.json()["error"]["param"]
