"""A folder in Qwen3's form (ChatML, calls between special tokens), served: it is shown what transformers writes."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fake_model import TOKENIZER
from fastapi.testclient import TestClient

import tiny
from groundup.inference.loading import LoadedModel, load_folder
from groundup.model.huggingface import save_huggingface
from groundup.serve.app import create_app

TEMPLATE = """\
{%- if tools %}{{ '<|im_start|>system\\n' }}
{%- if messages[0].role == 'system' %}{{ messages[0].content + '\\n\\n' }}{% endif %}
{{- 'Functions:\\n<tools>' }}{% for tool in tools %}{{ '\\n' + tool | tojson }}{% endfor %}
{{- '\\n</tools><|im_end|>\\n' }}
{%- endif %}
{%- for message in messages %}
{%- if message.role == 'tool' %}
{{- '<|im_start|>user\\n<tool_response>\\n' + message.content + '\\n</tool_response><|im_end|>\\n' }}
{%- elif message.role == 'assistant' %}{{ '<|im_start|>assistant\\n' + (message.content or '') }}
{%- for call in message.tool_calls or [] %}
{{- '<tool_call>\\n{"name": "' + call.function.name + '", "arguments": ' + call.function.arguments | tojson + '}\\n' }}
{{- '</tool_call>' }}
{%- endfor %}{{ '<|im_end|>\\n' }}
{%- elif not (tools and loop.first and message.role == 'system') %}
{{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}
{%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"""
SPECIAL = ("<|im_start|>", "<|im_end|>", "<tool_call>", "</tool_call>")
QUESTION = {"role": "user", "content": "Is it über-warm in Rome?"}
CITY = {"type": "object", "properties": {"city": {"enum": ["Rome", "Oslo"]}}, "required": ["city"]}
TOOLS = [
    {"type": "function", "function": {"name": "weather", "parameters": CITY | {"additionalProperties": False}}},
]
CHAT = "/v1/chat/completions"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder: Path = tmp_path_factory.mktemp("qwen") / "model"
    size = TOKENIZER.vocabulary_size + len(SPECIAL)
    made = tiny.model(5, vocab_size=size, max_position_embeddings=1024, qk_norm=True).eval()
    end = TOKENIZER.vocabulary_size + 1
    save_huggingface(folder, made, "float32", end_of_text=TOKENIZER.end_of_text, end=end, pad=TOKENIZER.pad)
    TOKENIZER.save(folder / "tokenizer.json")
    document = json.loads((folder / "tokenizer.json").read_text())
    like = document["added_tokens"][0]
    for number, text in enumerate(SPECIAL):
        document["added_tokens"].append(like | {"id": TOKENIZER.vocabulary_size + number, "content": text})
    (folder / "tokenizer.json").write_text(json.dumps(document))
    named = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "<|im_end|>", "pad_token": "<|pad|>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(named | {"chat_template": TEMPLATE}))
    return folder


@pytest.fixture(scope="module")
def model(folder: Path) -> LoadedModel:
    return load_folder(folder)


@pytest.fixture(scope="module")
def client(model: LoadedModel) -> Iterator[TestClient]:
    with TestClient(create_app({"q": lambda: model}, key=None)) as client:
        yield client


def test_calls_results_and_answers(client: TestClient, model: LoadedModel, folder: Path) -> None:
    """A call, its result, and what the model is shown of both."""
    from transformers import AutoTokenizer

    assert model.calls == "tokens"
    asked: dict[str, Any] = {"messages": [QUESTION], "tools": TOOLS, "max_tokens": 200, "temperature": 1, "seed": 1}
    (choice,) = client.post(CHAT, json=asked | {"tool_choice": "required"}).json()["choices"]
    (call,) = choice["message"]["tool_calls"]
    assert choice["finish_reason"] == "tool_calls" and json.loads(call["function"]["arguments"])["city"] in (
        "Rome",
        "Oslo",
    )
    result = {"role": "tool", "tool_call_id": call["id"], "content": "21"}
    back = [{"role": "system", "content": "Be brief."}, QUESTION, choice["message"], result]
    reply = client.post(CHAT, json=asked | {"messages": back})
    assert reply.status_code == 200 and reply.json()["choices"][0]["finish_reason"] in ("stop", "length", "tool_calls")

    theirs = AutoTokenizer.from_pretrained(folder)
    as_objects = [
        {"type": "function", "function": {"name": "weather", "arguments": json.loads(call["function"]["arguments"])}}
    ]
    messages = [back[0], QUESTION, {"role": "assistant", "content": "", "tool_calls": as_objects}, result]
    text = theirs.apply_chat_template(messages, tools=TOOLS, add_generation_prompt=True, tokenize=False)
    ids = theirs.encode(text, add_special_tokens=False)
    assert model.chat_prompt([back[0], QUESTION, {**choice["message"], "content": ""}, result], TOOLS) == ids
    assert reply.json()["usage"]["prompt_tokens"] == len(ids)


def test_without_a_form_for_calls_the_request_is_refused(folder: Path, tmp_path: Path) -> None:
    """The same folder with a template that knows no tools."""
    plain = tmp_path / "plain"
    plain.mkdir()
    for file in folder.iterdir():
        (plain / file.name).symlink_to(file)
    (plain / "tokenizer_config.json").unlink()
    named = {"tokenizer_class": "PreTrainedTokenizerFast", "chat_template": "{{ messages[-1].content }}"}
    (plain / "tokenizer_config.json").write_text(json.dumps(named))
    loaded = load_folder(plain)
    with TestClient(create_app({"p": lambda: loaded}, key=None)) as client:
        refused = client.post(CHAT, json={"messages": [QUESTION], "tools": TOOLS})
        assert refused.status_code == 400 and refused.json()["error"]["param"] == "tools"
        assert "no form for tools" in refused.json()["error"]["message"]
        assert client.post(CHAT, json={"messages": [QUESTION]}).status_code == 200
