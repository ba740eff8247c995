"""Functions over the API: shown to the model as training shows them, and calls come back as calls."""

import json

import pytest
from fake_model import TOKENIZER, FakeModel, loaded
from fastapi.testclient import TestClient
from live import live

from groundup.alignment.data.formats import conversation_of
from groundup.inference.loading import JinjaTemplate
from groundup.serve.app import create_app
from groundup.tokenizer.chat import render

CHAT = "/v1/chat/completions"
QUESTION = {"role": "user", "content": "How warm is it in Rome?"}
CITY = {"type": "object", "properties": {"city": {"enum": ["Rome", "Oslo"]}}, "required": ["city"]}
CITY |= {"additionalProperties": False}
TOOLS = [
    {"type": "function", "function": {"name": "weather", "description": "How warm is it?", "parameters": CITY}},
    {"type": "function", "function": {"name": "now", "parameters": {"type": "object", "additionalProperties": False}}},
]
PIECES = ["Well. ", "<tool", '_call>\n{"name": "weather", ', '"arguments": {"city": "Rome"}}\n</tool', "_call>"]


def app(model, **options):
    return create_app(model.offered(), key=None, backend=model, **options)


@pytest.fixture
def model():
    made = FakeModel(PIECES)
    made.loaded = loaded(context=2048)
    return made


@pytest.fixture
def client(model):
    with TestClient(app(model)) as client:
        yield client


def chunks_of(reply):
    return [json.loads(line.removeprefix("data: ")) for line in reply.text.split("\n\n") if line.startswith("data: {")]


def test_a_call_in_an_answer(client):
    (choice,) = client.post(CHAT, json={"messages": [QUESTION], "tools": TOOLS}).json()["choices"]
    (call,) = choice["message"]["tool_calls"]
    assert (choice["finish_reason"], choice["message"]["content"], call["type"]) == ("tool_calls", "Well.", "function")
    assert call["function"] == {"name": "weather", "arguments": '{"city": "Rome"}'} and call["id"].startswith("call_")


def test_a_call_in_a_stream(client):
    """No part of the call comes as text."""
    chunks = chunks_of(client.post(CHAT, json={"messages": [QUESTION], "tools": TOOLS, "stream": True}))
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
    assert "".join(delta.get("content", "") for delta in deltas) == "Well. "
    ((call,),) = [delta["tool_calls"] for delta in deltas if "tool_calls" in delta]
    assert (call["index"], call["function"]["name"], call["function"]["arguments"]) == (
        0,
        "weather",
        '{"city": "Rome"}',
    )
    assert chunks[-1]["choices"][0]["finish_reason"] == "tool_calls"


def test_text_with_tags_stays_text_where_nothing_may_be_called(client):
    for more in ({}, {"tools": []}, {"tools": TOOLS, "tool_choice": "none"}):
        (choice,) = client.post(CHAT, json={"messages": [QUESTION], **more}).json()["choices"]
        assert choice["message"]["content"] == "".join(PIECES) and choice["finish_reason"] == "stop"
        assert "tool_calls" not in choice["message"]


def test_functions_calls_and_results_are_written_as_training_writes_them(model, client):
    """The prompt is what SFT reads of the same conversation, up to the answer."""
    call = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Rome"}'}}
    messages = [
        {"role": "system", "content": "Be brief."},
        QUESTION,
        {"role": "assistant", "content": None, "refusal": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": [{"type": "text", "text": "21"}]},
    ]
    assert client.post(CHAT, json={"messages": messages, "tools": TOOLS}).status_code == 200
    messages[-1]["content"] = "21"
    row = {"messages": [*messages, {"role": "assistant", "content": "It is 21 degrees."}], "tools": TOOLS}
    ids, trained = render(conversation_of(row)[1].messages, TOKENIZER)
    prompt = model.jobs[0].prompt
    assert prompt == ids[: len(prompt)] and trained[len(prompt)]
    text = TOKENIZER.decode(prompt)
    assert text.startswith("<|system|>Be brief.\n\nFunctions that you can call")
    assert '{"name": "weather", "arguments": {"city": "Rome"}}' in text
    assert text.endswith("<|user|><tool_response>\n21\n</tool_response><|assistant|>")


def test_a_chosen_function_is_called_whatever_the_weights():
    """A random model with a choice it can't escape; also streamed, and drawn."""
    real = loaded(context=2048)
    with TestClient(create_app({"tiny": lambda: real}, key=None)) as client:
        for choice, names in (
            ("required", {"weather", "now"}),
            ({"type": "function", "function": {"name": "weather"}}, {"weather"}),
        ):
            asked = {"messages": [QUESTION], "tools": TOOLS, "tool_choice": choice, "max_tokens": 400}
            asked |= {"temperature": 1, "seed": 3}
            (found,) = client.post(CHAT, json=asked).json()["choices"]
            (call,) = found["message"]["tool_calls"]
            assert call["function"]["name"] in names and found["message"]["content"] is None
            if call["function"]["name"] == "weather":
                assert json.loads(call["function"]["arguments"])["city"] in ("Rome", "Oslo")
            deltas = [
                chunk["choices"][0]["delta"] for chunk in chunks_of(client.post(CHAT, json=asked | {"stream": True}))
            ]
            ((same,),) = [delta["tool_calls"] for delta in deltas if "tool_calls" in delta]
            assert same["function"] == call["function"]


def test_one_call_at_a_time_ends_the_answer_with_it(model, client):
    client.post(CHAT, json={"messages": [QUESTION], "tools": TOOLS, "parallel_tool_calls": False, "stop": "x"})
    assert model.jobs[0].stop == ["x", "</tool_call>"]


CALLED = {"role": "assistant", "tool_calls": [{"id": "1", "function": {"name": "f", "arguments": "{}"}}]}


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"tools": [{"type": "function"}]}, "tools[0].function"),
        ({"tools": [{"type": "function", "function": {"name": "a b"}}]}, "tools[0].function.name"),
        ({"tools": [TOOLS[0], TOOLS[0]]}, None),
        ({"tools": TOOLS, "tool_choice": {"type": "function", "function": {"name": "rain"}}}, None),
        ({"tool_choice": "required"}, None),
        ({"tools": TOOLS, "response_format": {"type": "json_object"}}, None),
        ({"tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "nothing"}}}]}, "tools"),
        ({"messages": [{"role": "tool", "content": "x"}]}, None),
        ({"messages": [QUESTION, CALLED]}, None),
        ({"messages": [QUESTION | {"tool_calls": CALLED["tool_calls"]}]}, "messages[0]"),
        (
            {"messages": [{**CALLED, "tool_calls": [{"function": {"name": "f", "arguments": "["}}]}, QUESTION]},
            "messages[0].tool_calls[0].function.arguments",
        ),
    ],
)
def test_what_makes_no_sense_is_400(model, client, change, param):
    response = client.post(CHAT, json={"messages": [QUESTION], **change})
    assert response.status_code == 400 and response.json()["error"]["param"] == param, response.text
    assert model.jobs == []


def test_a_foreign_template_is_given_the_functions_or_the_request_is_refused(model, client):
    calls = "{{ tools[0].function.name if tools else '' }}{{ messages[-1].content }} <tool_call>"
    for source, status in ((calls, 200), ("{{ messages[-1].content }}", 400)):
        object.__setattr__(model.loaded, "template", JinjaTemplate(source, {}))
        response = client.post(CHAT, json={"messages": [QUESTION], "tools": TOOLS})
        assert response.status_code == status, response.text
        assert client.post(CHAT, json={"messages": [QUESTION]}).status_code == 200
    assert TOKENIZER.decode(model.jobs[0].prompt) == f"weather{QUESTION['content']} <tool_call>"


def test_openai_client_calls_and_answers(model):
    openai = pytest.importorskip("openai")
    with live(app(model)) as address, openai.OpenAI(base_url=f"{address}/v1", api_key="k") as client:
        message = client.chat.completions.create(model="tiny", messages=[QUESTION], tools=TOOLS).choices[0].message
        result = {"role": "tool", "tool_call_id": message.tool_calls[0].id, "content": "21"}
        back = [QUESTION, message.model_dump(), result]
        assert client.chat.completions.create(model="tiny", messages=back, tools=TOOLS).choices[0].message.tool_calls
