"""The field's own client, over a real connection to a tiny real model: all endpoints, whole, streamed, asynchronous."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any, Literal

import pytest
from fake_model import TOKENIZER, loaded
from live import live
from pydantic import BaseModel

from groundup.serve.app import create_app

openai = pytest.importorskip("openai")

CHAT: dict[str, Any] = {"model": "tiny", "messages": [{"role": "user", "content": "What is it?"}], "max_tokens": 12}
SAMPLED = CHAT | {"temperature": 1.0, "seed": 7, "n": 3}
TEXT: dict[str, Any] = {"model": "tiny", "prompt": "The cat", "max_tokens": 8, "temperature": 0}
TOOL = {
    "type": "function",
    "function": {
        "name": "switch",
        "parameters": {
            "type": "object",
            "properties": {"on": {"type": "boolean"}},
            "required": ["on"],
            "additionalProperties": False,
        },
    },
}


class Light(BaseModel):
    """What an answer must be."""

    on: bool
    colour: Literal["red", "green"]


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    model = loaded(context=768)
    with live(create_app({"tiny": lambda: model}, key="k")) as address:
        yield f"{address}/v1"


@pytest.fixture(scope="module")
def client(address: str) -> Iterator[Any]:
    with openai.OpenAI(base_url=address, api_key="k", max_retries=0) as client:
        yield client


def texts(answer: Any) -> list[str]:
    return [choice.message.content for choice in answer.choices]


def streamed(chunks: Any, count: int) -> tuple[list[str], list[str], Any]:
    """(texts, why each ended, usage)"""
    found, ends, usage = [""] * count, [""] * count, None
    for chunk in chunks:
        usage = chunk.usage or usage
        for choice in chunk.choices:
            found[choice.index] += choice.delta.content or ""
            ends[choice.index] = choice.finish_reason or ends[choice.index]
    return found, ends, usage


def test_models(client: Any) -> None:
    assert [card.id for card in client.models.list()] == ["tiny"] and client.models.retrieve("tiny").object == "model"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("other")


def test_chat_whole_and_streamed(client: Any) -> None:
    whole = client.chat.completions.create(**SAMPLED)
    assert len(set(texts(whole))) == 3 and texts(whole) == texts(client.chat.completions.create(**SAMPLED))
    assert texts(client.chat.completions.create(**(SAMPLED | {"seed": 8}))) != texts(whole)
    asked = SAMPLED | {"stream": True, "stream_options": {"include_usage": True}}
    found, ends, usage = streamed(client.chat.completions.create(**asked), 3)
    assert found == texts(whole) and ends == [choice.finish_reason for choice in whole.choices]
    assert usage == whole.usage and usage.completion_tokens <= 36


def test_chat_stops_before_a_string(client: Any) -> None:
    (text,) = texts(client.chat.completions.create(**CHAT))
    answer = client.chat.completions.create(**CHAT, stop=[text[2:4], "never"])
    assert texts(answer) == [text[: text.index(text[2:4])]] and answer.choices[0].finish_reason == "stop"


def test_chat_log_probabilities(client: Any) -> None:
    (choice,) = client.chat.completions.create(**CHAT, logprobs=True, top_logprobs=3).choices
    assert len(choice.logprobs.content) == 12
    for one in choice.logprobs.content:  # greedy: the chosen one is the likeliest
        assert one.token == one.top_logprobs[0].token and one.logprob == one.top_logprobs[0].logprob < 0
        assert len(one.top_logprobs) == 3
    biased = client.chat.completions.create(**CHAT, logit_bias={TOKENIZER.encode("x")[0]: 100})
    assert texts(biased) == ["x" * 12]


def test_chat_parses_what_a_schema_asks_for(client: Any) -> None:
    asked = CHAT | {"max_tokens": 60, "temperature": 1.0}
    for seed in range(3):
        answer = client.chat.completions.parse(**asked, seed=seed, response_format=Light)
        assert isinstance(answer.choices[0].message.parsed, Light)
    with client.chat.completions.stream(**asked, seed=1, response_format=Light) as stream:
        kinds = [event.type for event in stream]
        last = stream.get_final_completion()
    assert "content.delta" in kinds and isinstance(last.choices[0].message.parsed, Light)


def test_chat_calls_functions(client: Any) -> None:
    asked = CHAT | {"max_tokens": 80, "tools": [TOOL], "tool_choice": "required", "parallel_tool_calls": False}
    (choice,) = client.chat.completions.create(**asked).choices
    (call,) = choice.message.tool_calls
    assert choice.finish_reason == "tool_calls" and call.function.name == "switch"
    assert isinstance(json.loads(call.function.arguments)["on"], bool)
    chunks = [chunk.choices[0].delta for chunk in client.chat.completions.create(**asked, stream=True)]
    (streamed_call,) = [call for delta in chunks for call in delta.tool_calls or []]
    assert streamed_call.function.arguments == call.function.arguments
    result = {"role": "tool", "tool_call_id": call.id, "content": "done"}
    back = [*CHAT["messages"], choice.message.model_dump(), result]
    assert client.chat.completions.create(**(CHAT | {"messages": back, "tools": [TOOL]})).choices


def test_completions(client: Any) -> None:
    (whole,) = client.completions.create(**TEXT, logprobs=2).choices
    assert len(whole.logprobs.tokens) == 8 and all(len(top) == 2 for top in whole.logprobs.top_logprobs)
    pieces = [chunk.choices[0].text for chunk in client.completions.create(**TEXT, stream=True)]
    assert "".join(pieces) == whole.text
    (echoed,) = client.completions.create(**(TEXT | {"max_tokens": 0}), echo=True, logprobs=0).choices
    assert echoed.text == "The cat" and echoed.logprobs.token_logprobs[0] is None
    assert len(echoed.logprobs.token_logprobs) == len(TOKENIZER.encode("The cat"))
    several = client.completions.create(
        **(TEXT | {"prompt": ["The cat", "A dog"], "n": 2, "temperature": 1, "seed": 3})
    )
    assert [choice.index for choice in several.choices] == [0, 1, 2, 3]


def test_embeddings(client: Any) -> None:
    """As base64, which the client asks for by itself, and as numbers."""
    inputs = ["The cat", "A dog"]
    found = [one.embedding for one in client.embeddings.create(model="tiny", input=inputs).data]
    plain = client.embeddings.create(model="tiny", input=inputs, encoding_format="float")
    for one, other in zip(found, plain.data, strict=True):
        assert one == pytest.approx(other.embedding, abs=1e-6) and sum(x * x for x in one) == pytest.approx(1, abs=1e-4)
    assert plain.usage.prompt_tokens == sum(len(TOKENIZER.encode(text)) for text in inputs)


def test_errors_are_those_of_the_client(client: Any) -> None:
    with pytest.raises(openai.BadRequestError, match="temperature"):
        client.chat.completions.create(**(CHAT | {"temperature": 3}))
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(**(CHAT | {"messages": [{"role": "user", "content": "x" * 800}]}))
    assert caught.value.code == "context_length_exceeded"
    with pytest.raises(openai.AuthenticationError):
        client.with_options(api_key="wrong").embeddings.create(model="tiny", input="x")


def test_many_at_once(address: str, client: Any) -> None:
    """Each answer is the one that its request gets alone."""
    alone = [texts(client.chat.completions.create(**(SAMPLED | {"seed": seed}))) for seed in range(6)]

    async def everyone() -> list[Any]:
        async with openai.AsyncOpenAI(base_url=address, api_key="k") as many:
            asked = (many.chat.completions.create(**(SAMPLED | {"seed": seed})) for seed in range(6))
            return await asyncio.gather(*asked)

    assert [texts(one) for one in asyncio.run(everyone())] == alone
