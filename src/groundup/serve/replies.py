"""What the server answers: OpenAI's objects, whole or in chunks that share an id."""

import base64
import json
import struct
import time
import uuid
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from groundup.tokenizer.tokenizer import Tokenizer

if TYPE_CHECKING:  # it brings torch
    from groundup.inference.scoring import TokenLogprob
    from groundup.inference.tools import ToolCall


class ChatReply:
    """The answers to one request for a chat."""

    def __init__(self, model: str, note: Mapping[str, Any], tokenizer: Tokenizer) -> None:
        self.head = {"id": f"chatcmpl-{uuid.uuid4().hex}", "created": int(time.time()), "model": model}
        self.note, self.tokenizer = dict(note), tokenizer

    def whole(
        self,
        messages: Sequence[Mapping[str, Any]],
        reasons: Sequence[str | None],
        logprobs: "Sequence[Sequence[TokenLogprob]] | None",
        usage: Mapping[str, int],
    ) -> dict[str, Any]:
        """All choices at once, each with the `content` of its message, and `tool_calls` if it has any."""
        choices = [
            {
                "index": index,
                "message": {"role": "assistant", "refusal": None, **message},
                "logprobs": None if logprobs is None else self._logprobs(logprobs[index]),
                "finish_reason": reason,
            }
            for index, (message, reason) in enumerate(zip(messages, reasons, strict=True))
        ]
        return self.head | {"object": "chat.completion", "choices": choices, "usage": usage, "groundup": self.note}

    def first(self, index: int) -> dict[str, Any]:
        """The chunk that opens a choice; it carries what was taught about the question."""
        return self.chunk(index, {"role": "assistant", "content": ""}) | {"groundup": self.note}

    def chunk(
        self,
        index: int,
        delta: Mapping[str, Any],
        finish_reason: str | None = None,
        logprobs: "Sequence[TokenLogprob]" = (),
    ) -> dict[str, Any]:
        """A piece of a choice."""
        choice = {
            "index": index,
            "delta": delta,
            "logprobs": self._logprobs(logprobs) if logprobs else None,
            "finish_reason": finish_reason,
        }
        return self.head | {"object": "chat.completion.chunk", "choices": [choice]}

    def usage(self, usage: Mapping[str, int]) -> dict[str, Any]:
        """The chunk after the last, asked for by `stream_options.include_usage`."""
        return self.head | {"object": "chat.completion.chunk", "choices": [], "usage": usage}

    def _logprobs(self, tokens: "Sequence[TokenLogprob]") -> dict[str, Any]:
        def entry(token: int, logprob: float | None) -> dict[str, Any]:
            content = self.tokenizer.token_bytes(token)
            return {"token": content.decode("utf-8", "replace"), "logprob": logprob, "bytes": list(content)}

        content = [
            entry(one.token, one.logprob) | {"top_logprobs": [entry(token, value) for token, value in one.top]}
            for one in tokens
        ]
        return {"content": content, "refusal": None}


class Deltas:
    """What a choice grows by, as messages have it: `content`, and `tool_calls` where functions may be called."""

    def __init__(self, with_calls: bool) -> None:
        from groundup.inference.tools import CallReader

        self._reader = CallReader() if with_calls else None

    def of(self, text: str) -> dict[str, Any]:
        """Of the next piece of the answer."""
        return {"content": text} if self._reader is None else self._delta(*self._reader.feed(text))

    def last(self) -> dict[str, Any]:
        """Of the answer's end; may be empty."""
        return {} if self._reader is None else self._delta(*self._reader.finish())

    def message(self, text: str) -> dict[str, Any]:
        """Of a whole answer; its content is null where it is nothing but calls."""
        first, last = self.of(text), self.last()
        content = first.get("content", "") + last.get("content", "")
        calls = [call for delta in (first, last) for call in delta.get("tool_calls", [])]
        for call in calls:
            del call["index"]  # only streams have it
        return {"content": content.strip() or None, "tool_calls": calls} if calls else {"content": content}

    def reason(self, finish: str | None) -> str | None:
        """Why the answer ended, given why the model did."""
        return "tool_calls" if self._reader and self._reader.count and finish == "stop" else finish

    def _delta(self, content: str, calls: "Sequence[ToolCall]") -> dict[str, Any]:
        assert self._reader is not None
        delta: dict[str, Any] = {"content": content} if content else {}
        if calls:
            delta["tool_calls"] = [
                {
                    "index": index,
                    "id": f"call_{uuid.uuid4().hex[:24]}",
                    "type": "function",
                    "function": {"name": call.name, "arguments": call.arguments},
                }
                for index, call in enumerate(calls, self._reader.count - len(calls))
            ]
        return delta


class CompletionReply:
    """The continuations of one request's prompts."""

    def __init__(self, model: str, tokenizer: Tokenizer) -> None:
        head = {"id": f"cmpl-{uuid.uuid4().hex}", "object": "text_completion", "created": int(time.time())}
        self.head: dict[str, Any] = head | {"model": model}
        self.tokenizer = tokenizer

    def whole(self, choices: Sequence[Mapping[str, Any]], usage: Mapping[str, int]) -> dict[str, Any]:
        """All choices at once, each made by `choice`."""
        return self.head | {"choices": list(choices), "usage": usage}

    def choice(
        self,
        index: int,
        text: str,
        finish_reason: str | None,
        logprobs: "Sequence[TokenLogprob] | None",
        offset: int = 0,
    ) -> dict[str, Any]:
        """One continuation, or a piece of it.

        Args:
            offset: characters of the text before the first token of `logprobs`.
        """
        shown = None if logprobs is None else self._logprobs(logprobs, offset)
        return {"index": index, "text": text, "logprobs": shown, "finish_reason": finish_reason}

    def usage(self, usage: Mapping[str, int]) -> dict[str, Any]:
        """The chunk after the last."""
        return self.head | {"choices": [], "usage": usage}

    def _logprobs(self, tokens: "Sequence[TokenLogprob]", offset: int) -> dict[str, Any]:
        texts, offsets = [], []
        for one in tokens:
            offsets.append(offset)
            texts.append(self._name(one.token))
            offset += len(self.tokenizer.token_bytes(one.token).decode("utf-8", "replace"))
        return {
            "tokens": texts,
            "token_logprobs": [one.logprob for one in tokens],
            "top_logprobs": [
                {self._name(token): value for token, value in one.top} if one.logprob is not None else None
                for one in tokens
            ],
            "text_offset": offsets,
        }

    def _name(self, token: int) -> str:
        """A token's text, or its bytes as OpenAI writes those that are no text."""
        content = self.tokenizer.token_bytes(token)
        try:
            return content.decode()
        except UnicodeDecodeError:
            return "bytes:" + "".join(f"\\x{byte:02x}" for byte in content)


def embeddings(model: str, vectors: Sequence[Sequence[float]], as_base64: bool, tokens: int) -> dict[str, Any]:
    """The list of embeddings, each as numbers or as base64 of float32 in little-endian order."""

    def shown(vector: Sequence[float]) -> Any:
        return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode() if as_base64 else list(vector)

    data = [{"object": "embedding", "index": index, "embedding": shown(one)} for index, one in enumerate(vectors)]
    return {
        "object": "list",
        "data": data,
        "model": model,
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
    }


def event(data: Mapping[str, Any] | str) -> str:
    """One server-sent event. JSON has no line breaks outside its escapes, so one `data:` line always holds it."""
    text = data if isinstance(data, str) else json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    return f"data: {text}\n\n"
