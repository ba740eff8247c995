"""The API answers as OpenAI's does: shapes, streams, errors, keys."""

import json

import pytest
from fake_model import PIECES, TOKENIZER, FakeModel
from fastapi.testclient import TestClient
from live import live

from groundup.serve.access import MAX_BODY
from groundup.serve.app import create_app
from groundup.serve.errors import LONGEST
from groundup.serve.requests import NEUTRAL

CHAT = "/v1/chat/completions"
QUESTION = [{"role": "user", "content": "What does os.path.join do?"}]


def app(model, **options):
    return create_app(model.offered(), backend=model, **{"key": None, **options})


@pytest.fixture
def model():
    return FakeModel()


@pytest.fixture
def client(model):
    with TestClient(app(model), raise_server_exceptions=False) as client:
        yield client


def events(text):
    """The data of each event, by the letter of the format: events end in a blank line, one data line each."""
    assert text.endswith("\n\n")
    data = []
    for block in text.removesuffix("\n\n").split("\n\n"):
        assert block.startswith("data: ") and "\n" not in block
        data.append(block.removeprefix("data: "))
    return data


def test_whole_answer(client):
    body = client.post(CHAT, json={"model": "tiny", "messages": QUESTION}).json()
    assert body["object"] == "chat.completion" and body["model"] == "tiny" and body["id"].startswith("chatcmpl-")
    (choice,) = body["choices"]
    assert choice["message"] == {"role": "assistant", "content": "".join(PIECES), "refusal": None}
    assert choice["finish_reason"] == "stop"
    assert body["usage"] == {"prompt_tokens": 28, "completion_tokens": 4, "total_tokens": 32}
    assert body["groundup"] == {"taught": True, "nearest": []}


def test_stream_has_the_same_text_and_one_id(client):
    response = client.post(CHAT, json={"messages": QUESTION, "stream": True})
    assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
    *chunks, done = events(response.text)
    chunks = [json.loads(chunk) for chunk in chunks]
    assert done == "[DONE]"
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
    assert len({chunk["id"] for chunk in chunks}) == 1
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
    assert deltas == [{"role": "assistant", "content": ""}, *({"content": piece} for piece in PIECES), {}]
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks] == [None] * 5 + ["stop"]
    assert chunks[0]["groundup"] == {"taught": True, "nearest": []}
    assert not any("usage" in chunk for chunk in chunks)


def test_stream_with_usage_ends_in_a_chunk_without_choices(client):
    asked = {"messages": QUESTION, "stream": True, "stream_options": {"include_usage": True}, "max_tokens": 2}
    *chunks, done = events(client.post(CHAT, json=asked).text)
    *others, last = [json.loads(chunk) for chunk in chunks]
    assert last["choices"] == [] and last["usage"]["completion_tokens"] == 2
    assert all(chunk["usage"] is None for chunk in others)
    assert others[-1]["choices"][0]["finish_reason"] == "length"
    assert done == "[DONE]"


def test_no_text_at_all_is_an_answer(model, client):
    model.pieces = []
    assert client.post(CHAT, json={"messages": QUESTION}).json()["choices"][0]["message"]["content"] == ""
    assert len(events(client.post(CHAT, json={"messages": QUESTION, "stream": True}).text)) == 3


def test_note_when_nothing_taught_is_named(client):
    asked = {"messages": [{"role": "user", "content": "What does json.dump do?"}]}
    assert client.post(CHAT, json=asked).json()["groundup"] == {
        "taught": False,
        "nearest": ["json.dumps"],
    }


def test_settings_reach_the_model(model, client):
    messages = [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "What does "}, {"type": "text", "text": "os do?"}]},
        {"role": "assistant", "content": "Much.", "refusal": None, "tool_calls": [], "annotations": []},
        *QUESTION,
    ]
    settings = {"temperature": 1, "top_p": 0.5, "seed": 7, "top_k": 9, "min_p": 0.1, "presence_penalty": 0.5}
    settings |= {"frequency_penalty": -0.5, "repetition_penalty": 1.2, "logit_bias": {65: -100.0}}
    assert (
        client.post(CHAT, json={"messages": messages, "max_tokens": 3, "stop": ["\n", "###"], **settings}).status_code
        == 200
    )
    assert client.post(CHAT, json={"messages": QUESTION, "max_completion_tokens": 99_999}).status_code == 200
    assert client.post(CHAT, json={"messages": QUESTION}).status_code == 200
    first, second, third = model.jobs
    text = TOKENIZER.decode(first.prompt)
    assert text == (
        "<|system|>Be brief.<|user|>What does os do?<|assistant|>Much.<|end|>"
        "<|user|>What does os.path.join do?<|assistant|>"
    )
    assert {name: getattr(first.sampling, name) for name in settings} == settings
    assert (first.max_tokens, first.stop, second.max_tokens) == (3, ["\n", "###"], 99_999)
    assert (third.sampling.temperature, third.sampling.top_p, third.sampling.seed, third.stop) == (0.0, 1.0, None, [])


def test_an_answer_that_has_begun_is_continued(model, client):
    """The assistant's last message is a prefix, after which nothing comes between it and its continuation."""
    messages = [*QUESTION, {"role": "assistant", "content": "It joins"}]
    assert client.post(CHAT, json={"messages": messages}).status_code == 200
    assert TOKENIZER.decode(model.jobs[0].prompt).endswith("do?<|assistant|>It joins")


def test_several_choices(model, client):
    body = client.post(CHAT, json={"messages": QUESTION, "n": 3}).json()
    assert [choice["index"] for choice in body["choices"]] == [0, 1, 2]
    assert {choice["message"]["content"] for choice in body["choices"]} == {"".join(PIECES)}
    assert body["usage"] == {"prompt_tokens": 28, "completion_tokens": 12, "total_tokens": 40}
    chunks = events(client.post(CHAT, json={"messages": QUESTION, "n": 2, "stream": True}).text)[:-1]
    texts = ["", ""]
    for chunk in map(json.loads, chunks):
        (choice,) = chunk["choices"]
        texts[choice["index"]] += choice["delta"].get("content", "")
    assert texts == ["".join(PIECES)] * 2


def test_logprobs_of_a_chat(client):
    body = client.post(CHAT, json={"messages": QUESTION, "logprobs": True, "top_logprobs": 2, "max_tokens": 2}).json()
    first, _ = body["choices"][0]["logprobs"]["content"]
    assert {name: first[name] for name in ("token", "logprob", "bytes")} == {
        "token": "A",
        "logprob": -0.5,
        "bytes": [65],
    }
    assert [one["token"] for one in first["top_logprobs"]] == ["A", "B"]
    assert client.post(CHAT, json={"messages": QUESTION}).json()["choices"][0]["logprobs"] is None


def test_a_stage_of_the_run_is_a_model(client):
    body = client.post(CHAT, json={"model": "tiny:sft", "messages": QUESTION}).json()
    assert body["model"] == "tiny:sft" and body["choices"][0]["message"]["content"]


def test_what_asks_for_nothing_is_accepted(client):
    asked = {name: values[0] for name, values in NEUTRAL.items() if values and name not in ("suffix", "best_of")}
    asked |= {"user": "me", "metadata": {"a": "b"}, "store": True, "parallel_tool_calls": True, "temperature": None}
    assert client.post(CHAT, json={"messages": QUESTION, **asked}).status_code == 200


def test_a_whole_number_may_have_a_point(model, client):
    """JSON has one kind of number."""
    assert client.post(CHAT, json={"messages": QUESTION, "n": 2.0, "max_tokens": 3.0}).status_code == 200
    assert [job.max_tokens for job in model.jobs] == [3, 3]
    assert client.post("/detokenize", json={"tokens": [104.0, 105]}).json()["content"] == TOKENIZER.decode([104, 105])


@pytest.mark.parametrize(
    ("change", "param", "code"),
    [
        ({"temprature": 1}, "temprature", "unknown_parameter"),
        ({"stop": [""]}, "stop[0]", None),
        ({"stop": ["x"] * 17}, "stop", None),
        ({"n": 0}, "n", None),
        ({"n": 17}, "n", None),
        ({"top_logprobs": 3}, None, "invalid_combination"),
        ({"logit_bias": {"99999": 1}}, "logit_bias", "unknown_token"),
        ({"logit_bias": {"a": 1}}, "logit_bias.a.[key]".replace(".[", "["), None),
        ({"min_p": 2}, "min_p", None),
        ({"functions": [{"name": "look_up"}]}, "functions", "unsupported_parameter"),
        ({"response_format": {"type": "xml"}}, "response_format.type", None),
        ({"temperature": 3}, "temperature", None),
        ({"temperature": "0.5"}, "temperature", None),
        ({"top_p": 0}, "top_p", None),
        ({"max_tokens": 0}, "max_tokens", None),
        ({"max_tokens": 1.5}, "max_tokens", None),
        ({"max_tokens": 5, "max_completion_tokens": 6}, None, "invalid_combination"),
        ({"seed": 2**63 + 1}, "seed", None),
        ({"stream": "yes"}, "stream", None),
        ({"stream_options": {"include_usage": True}}, None, "invalid_combination"),
        ({"stream": True, "stream_options": {"usage": True}}, "stream_options.usage", "unknown_parameter"),
        ({"messages": []}, "messages", None),
        ({"messages": "hello"}, "messages", None),
        ({"messages": [{"role": "function", "content": "x"}]}, "messages[0].role", None),
        ({"messages": [{"role": "user"}]}, "messages[0].content", None),
        ({"messages": [{"role": "user", "content": "x", "nam": "me"}]}, "messages[0].nam", "unknown_parameter"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "messages[0].content", None),
        ({"messages": [{"role": "user", "content": "\ud800"}]}, "messages[0].content", None),
        (
            {"messages": [{"role": "user", "content": [{"type": "text", "text": "\ud800"}]}]},
            "messages[0].content",
            None,
        ),
        ({"\ud800": 1}, None, None),
        ({"messages": [{"role": "system", "content": "x"}]}, None, "invalid_combination"),
        ({"x" * 100_000: 1}, "x" * (LONGEST - 3) + "...", "unknown_parameter"),
    ],
)
def test_bad_bodies_are_400_and_name_the_parameter(model, client, change, param, code):
    body = json.dumps({"messages": QUESTION, **change})
    response = client.post(CHAT, content=body, headers={"Content-Type": "application/json"})
    error = response.json()["error"]
    assert (response.status_code, error["param"], error["code"]) == (400, param, code), error
    assert error["type"] == "invalid_request_error" and error["message"]
    assert set(error) == {"message", "type", "param", "code"}
    assert model.jobs == [] and len(response.content) < 3000


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"null", b'"hi"', b'{"messages": "\xff"}', b"[" * 200_000, b"1" * 10_000, b'{"seed": NaN}'],
    ids=["empty", "open", "list", "null", "string", "not utf-8", "deep", "huge number", "nan"],
)
def test_what_is_no_json_object_is_400(client, body):
    response = client.post(CHAT, content=body, headers={"Content-Type": "application/json"})
    assert response.status_code == 400 and response.json()["error"]["type"] == "invalid_request_error"


def test_a_form_is_answered_with_the_content_type(client):
    response = client.post(CHAT, data={"a": "b"})
    assert response.status_code == 400 and "Content-Type: application/json" in response.json()["error"]["message"]


def test_suggestion(client):
    error = client.post(CHAT, json={"messages": QUESTION, "max_token": 5}).json()["error"]
    assert error["message"] == "unknown parameter max_token; did you mean max_tokens?"


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_too_large_is_refused(client, chunked):
    body = b" " * (MAX_BODY + 1)
    content = iter([body[:1000], body[1000:]]) if chunked else body
    response = client.post(CHAT, content=content, headers={"Content-Type": "application/json"})
    assert (response.status_code, response.json()["error"]["code"]) == (413, "request_too_large")


@pytest.mark.parametrize("stream", [False, True])
def test_what_the_model_refuses_is_400(model, client, stream):
    model.breaks_at = 0
    response = client.post(CHAT, json={"messages": QUESTION, "stream": stream})
    assert response.status_code == 400
    assert response.json()["error"]["message"] == "the question can't be answered; ask another"


@pytest.mark.parametrize("stream", [False, True])
def test_messages_longer_than_the_context_are_refused(model, client, stream):
    """Nothing of a conversation is dropped without a word."""
    asked = {"messages": [{"role": "user", "content": "word " * model.loaded.context}], "stream": stream}
    response = client.post(CHAT, json=asked)
    assert response.status_code == 400
    assert response.json()["error"]["code"] == "context_length_exceeded"


def test_an_error_amid_a_stream_is_its_last_event(model, client):
    model.breaks_at = 2
    *_, last = events(client.post(CHAT, json={"messages": QUESTION, "stream": True}).text)
    assert json.loads(last)["error"]["type"] == "invalid_request_error"


def test_a_fault_of_the_server_is_500_and_frees_the_slot(model, client):
    model.breaks_at, model.error = 0, RuntimeError("secret detail")
    for stream in (False, True):
        response = client.post(CHAT, json={"messages": QUESTION, "stream": stream})
        assert response.status_code == 500 and response.json()["error"]["type"] == "server_error"
        assert "secret" not in response.text
    model.breaks_at = None
    assert client.post(CHAT, json={"messages": QUESTION}).status_code == 200
    assert 'responses_total{status="500"} 2' in client.get("/metrics").text


def test_unknown_model_path_and_method(client):
    response = client.post(CHAT, json={"model": "gpt-4", "messages": QUESTION})
    assert response.status_code == 404 and response.json()["error"]["code"] == "model_not_found"
    assert client.get("/v1/models/gpt-4").json()["error"]["code"] == "model_not_found"
    assert client.get("/v1/nothing").json()["error"]["message"] == "Not Found: GET /v1/nothing"
    assert client.get(CHAT).status_code == 405 and "error" in client.get(CHAT).json()


def test_models_and_health(client):
    body = client.get("/v1/models").json()
    assert [card["id"] for card in body["data"]] == ["tiny", "tiny:sft"]
    assert body["groundup"]["introduction"].startswith("I was taught 5 symbols")
    assert body["groundup"]["samples"][0] == "What does bisect.insort do?"
    assert client.get("/v1/models/tiny").json() == body["data"][0]
    assert client.get("/health").json() == {"status": "ok"}


def test_key(model):
    client = TestClient(app(model, key="sesame"))
    for headers in (
        {},
        {"Authorization": "Bearer no"},
        {"Authorization": "Basic sesame"},
        {"Authorization": "Bearer "},
        {"Authorization": b"\xff"},
    ):
        for path in ("/v1/models", "/v1/models/tiny", "/metrics", "/openapi.json", "/tokenize"):
            response = client.get(path, headers=headers)
            assert response.status_code == 401 and response.headers["www-authenticate"] == "Bearer"
            assert response.json()["error"]["code"] == "invalid_api_key"
        assert client.post(CHAT, content=b"{", headers=headers).status_code == 401
    for path in ("/", "/page.js", "/page.css", "/health"):
        assert client.get(path).status_code == 200
    assert client.get("/v1/models", headers={"Authorization": "bearer sesame"}).status_code == 200


def test_hosts(model):
    client = TestClient(app(model, hosts=frozenset({"127.0.0.1", "::1"})))
    for host, status in {"127.0.0.1:8000": 200, "[::1]:80": 200, "evil.example": 403, "[::1": 403, "": 403}.items():
        assert client.get("/v1/models", headers={"Host": host}).status_code == status, host


def test_pages_of_other_origins(model):
    """Only those that were configured may call, and their preflight needs no key."""
    client = TestClient(app(model, key="k", origins=frozenset({"https://notes.example"})))
    asks = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
    allowed = client.options(CHAT, headers={"Origin": "https://notes.example", **asks})
    assert allowed.status_code == 204
    assert allowed.headers["access-control-allow-origin"] == "https://notes.example"
    assert "Authorization" in allowed.headers["access-control-allow-headers"]
    refused = client.options(CHAT, headers={"Origin": "https://evil.example", **asks})
    assert refused.status_code == 403 and "access-control-allow-origin" not in refused.headers
    headers = {"Origin": "https://notes.example", "Authorization": "Bearer k"}
    answered = client.post(CHAT, json={"messages": QUESTION}, headers=headers)
    assert answered.status_code == 200
    assert answered.headers["access-control-allow-origin"] == "https://notes.example"
    assert (
        "access-control-allow-origin" not in client.get("/health", headers={"Origin": "https://evil.example"}).headers
    )


def test_metrics_count_what_happened(client):
    client.post(CHAT, json={"messages": QUESTION})
    client.post(CHAT, json={"messages": []})
    text = client.get("/metrics").text
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    values = {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}
    assert values["groundup_answers_total"] == 1 and values["groundup_completion_tokens_total"] == 4
    assert values['groundup_responses_total{status="200"}'] == 1
    assert values['groundup_responses_total{status="400"}'] == 1
    assert values["groundup_requests_running"] == values["groundup_requests_waiting"] == 0
    assert text.count("# TYPE groundup_responses_total counter") == 1
    assert values["groundup_time_to_first_token_seconds_count"] == 1
    assert values['groundup_time_per_output_token_seconds_bucket{le="+Inf"}'] == 1


def test_openai_client(model):
    """The field's own client reads whole answers, streams and errors."""
    openai = pytest.importorskip("openai")
    with live(app(model, key="k")) as address, openai.OpenAI(base_url=f"{address}/v1", api_key="k") as client:
        assert [card.id for card in client.models.list()] == ["tiny", "tiny:sft"]
        whole = client.chat.completions.create(model="tiny", messages=QUESTION)
        assert whole.choices[0].message.content == "".join(PIECES)
        assert whole.usage.total_tokens == 32 and whole.groundup["taught"]
        asked = {"model": "tiny", "messages": QUESTION, "stream": True, "stream_options": {"include_usage": True}}
        chunks = list(client.chat.completions.create(**asked))
        assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == "".join(PIECES)
        assert chunks[-1].usage.completion_tokens == 4
        with pytest.raises(openai.BadRequestError, match="modalities is not supported"):
            client.chat.completions.create(model="tiny", messages=QUESTION, modalities=["audio"])
        with pytest.raises(openai.NotFoundError):
            client.chat.completions.create(model="gpt-4", messages=QUESTION)
        model.breaks_at = 2
        with pytest.raises(openai.APIError, match="can't be answered"):
            list(client.chat.completions.create(**asked))
        with pytest.raises(openai.AuthenticationError):
            client.with_options(api_key="wrong").models.list()
