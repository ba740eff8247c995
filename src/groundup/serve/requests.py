"""The bodies of OpenAI's requests, as far as this server speaks them.

A parameter that would change the answer and is not honoured is an error; one whose value changes nothing (null, or
`functions: []`) or that only labels the request (`user`, `metadata`) is accepted. The default temperature of a chat is
0, the most likely answer, not OpenAI's 1: small models err more when they are sampled.
"""

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from groundup.serve.functions import MAX_TOOLS, ChosenTool, EarlierCall, FunctionTool, ToolChoice
from groundup.tokenizer.tools import END_OF_CALL

if TYPE_CHECKING:  # it brings torch
    from groundup.inference.sampling import Sampling

# Fields that label, store or route a request and never change its answer.
HARMLESS = {"user", "metadata", "store", "service_tier", "safety_identifier"}
HARMLESS |= {"prompt_cache_key", "prompt_cache_retention"}

NEUTRAL: dict[str, tuple[Any, ...]] = {  # values that ask for nothing, of parameters that are not honoured otherwise
    "functions": ([],),
    "function_call": ("none", "auto"),
    "response_format": ({"type": "text"},),
    "modalities": (["text"],),
    "reasoning_effort": ("none",),
    "suffix": ("",),
    "best_of": (1,),
    "dimensions": (),
}

MAX_CHOICES = 16
MAX_PROMPTS = 64
MAX_DOCUMENTS = 20
SPREAD = 0x9E3779B97F4A7C15  # between the seeds of a request's choices (Knuth's multiplicative hashing)
Finite = Annotated[float, Field(allow_inf_nan=False, strict=True)]
TokenIds = list[Annotated[int, Field(ge=0, strict=True)]]


def _utf8(text: Any) -> Any:
    if isinstance(text, str):
        text.encode()  # JSON may hold half a surrogate pair; the UnicodeEncodeError is a ValueError that explains it
    return text


Text = Annotated[str, BeforeValidator(_utf8), Field(strict=True)]


def _joined(content: Any) -> Any:
    """A message's content as one string: clients may send a list of text parts instead."""
    if not isinstance(content, list):
        return _utf8(content)
    texts = [part.get("text") if isinstance(part, dict) and part.get("type") == "text" else None for part in content]
    if not all(isinstance(text, str) for text in texts):
        raise ValueError("only parts of the form {type: text, text: ...} are understood")
    return _utf8("".join(map(str, texts)))


def _as_list(stop: Any) -> Any:
    return [stop] if isinstance(stop, str) else stop


def _several(value: str | list[Any]) -> list[str | list[int]]:
    """One text or list of ids, or several, as a list of them."""
    return [value] if isinstance(value, str) or (value and isinstance(value[0], int)) else list(value)


class Message(BaseModel):
    """One message of a conversation."""

    model_config = ConfigDict(extra="forbid")

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: Annotated[str, BeforeValidator(_joined)]
    name: str | None = Field(default=None, max_length=64)
    """Who speaks, among several of one role; the chat format has no room for it, and the answer doesn't change."""
    tool_calls: list[EarlierCall] = Field(default_factory=list, max_length=MAX_TOOLS)
    """What the assistant called."""
    tool_call_id: str | None = None
    """Of a tool's message: which call it answers. Results are shown to the model in the order of the messages."""

    @model_validator(mode="before")
    @classmethod
    def _without_empty(cls, given: Any) -> Any:
        """Clients send an answer back with its empty `refusal`, `tool_calls` and the like."""
        if not isinstance(given, dict):
            return given
        kept = {key: value for key, value in given.items() if key in cls.model_fields or value not in (None, [], {})}
        if kept.get("tool_calls") is None:
            kept.pop("tool_calls", None)
        elif kept["tool_calls"] and kept.get("content") is None:
            kept["content"] = ""
        return kept

    @model_validator(mode="after")
    def _of_its_role(self) -> "Message":
        if self.tool_calls and self.role != "assistant":
            raise ValueError(f"a message of role {self.role} calls no tools")
        return self

    def turn(self) -> dict[str, Any]:
        """The message as the model takes it; `developer` is OpenAI's newer word for `system`."""
        role = "system" if self.role == "developer" else self.role
        calls = [call.model_dump() for call in self.tool_calls]
        return {"role": role, "content": self.content} | ({"tool_calls": calls} if calls else {})


class StreamOptions(BaseModel):
    """What a stream carries besides the text."""

    model_config = ConfigDict(extra="forbid")

    include_usage: bool = Field(default=False, strict=True)
    include_obfuscation: bool = False  # padding against traffic analysis; none is sent


class JsonSchema(BaseModel):
    """A schema as OpenAI's clients send it; all of it is kept to, so `strict` changes nothing."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(max_length=64)
    description: str | None = None
    content: dict[str, Any] | None = Field(default=None, alias="schema")
    strict: bool | None = None


class ResponseFormat(BaseModel):
    """What an answer must be: any JSON object, or one of a schema."""

    model_config = ConfigDict(extra="forbid")

    type: Literal["json_object", "json_schema"]
    json_schema: JsonSchema | None = None

    @model_validator(mode="after")
    def _consistent(self) -> "ResponseFormat":
        if (self.type == "json_schema") != (self.json_schema is not None):
            raise ValueError("json_schema is given with type: json_schema, and only then")
        return self


class Body(BaseModel):
    """What the bodies of all requests have in common."""

    model_config = ConfigDict(extra="forbid")

    model: Text | None = None

    @model_validator(mode="before")
    @classmethod
    def _without_idle(cls, given: Any) -> Any:
        """Without what asks for nothing."""
        if not isinstance(given, dict):
            return given

        def idle(key: str, value: Any) -> bool:
            return value is None or key in HARMLESS or value in NEUTRAL.get(key, ())

        return {key: value for key, value in given.items() if not idle(key, value)}


class GenerationBody(Body):
    """How tokens are chosen, and when an answer ends."""

    stream: bool = Field(default=False, strict=True)
    stream_options: StreamOptions | None = None
    n: int = Field(default=1, ge=1, le=MAX_CHOICES, strict=True)
    stop: Annotated[list[Annotated[Text, Field(min_length=1, max_length=1000)]], BeforeValidator(_as_list)] = Field(
        default_factory=list, max_length=16
    )
    seed: int | None = Field(default=None, ge=-(2**63), lt=2**63, strict=True)
    temperature: Finite = Field(default=0.0, ge=0, le=2)
    top_p: Finite = Field(default=1.0, gt=0, le=1)
    top_k: int = Field(default=0, ge=-1, strict=True)
    """0 and -1: all tokens."""
    min_p: Finite = Field(default=0.0, ge=0, le=1)
    presence_penalty: Finite = Field(default=0.0, ge=-2, le=2)
    frequency_penalty: Finite = Field(default=0.0, ge=-2, le=2)
    repetition_penalty: Finite = Field(default=1.0, gt=0, le=10)
    logit_bias: dict[int, Annotated[float, Field(ge=-100, le=100, allow_inf_nan=False)]] = Field(
        default_factory=dict, max_length=1000
    )

    @model_validator(mode="after")
    def _stream_is_on(self) -> "GenerationBody":
        if self.stream_options is not None and not self.stream:
            raise ValueError("stream_options needs stream: true")
        return self

    def sampling(self, index: int) -> "Sampling":
        """How the tokens of the choice with this index are chosen: each has randomness of its own."""
        from groundup.inference.sampling import Sampling

        return Sampling(
            temperature=self.temperature,
            top_p=self.top_p,
            top_k=max(self.top_k, 0),
            min_p=self.min_p,
            presence_penalty=self.presence_penalty,
            frequency_penalty=self.frequency_penalty,
            repetition_penalty=self.repetition_penalty,
            logit_bias=self.logit_bias,
            seed=None if self.seed is None else (self.seed + index * SPREAD) % 2**64,
        )

    @property
    def wants_usage(self) -> bool:
        return self.stream_options is not None and self.stream_options.include_usage


class ChatRequest(GenerationBody):
    """The body of `POST /v1/chat/completions`."""

    messages: list[Message] = Field(min_length=1)
    max_completion_tokens: int = Field(default=128, ge=1, strict=True)
    max_tokens: int | None = Field(default=None, ge=1, strict=True)
    logprobs: bool = Field(default=False, strict=True)
    top_logprobs: int = Field(default=0, ge=0, le=20, strict=True)
    response_format: ResponseFormat | None = None
    tools: list[FunctionTool] = Field(default_factory=list, max_length=MAX_TOOLS)
    tool_choice: ToolChoice | None = None
    parallel_tool_calls: bool = Field(default=True, strict=True)
    """Without it an answer ends with its first call."""
    where: int = Field(default=0, ge=0, le=MAX_DOCUMENTS, strict=True)
    """groundup's own: so many training documents nearest to each answer come with it."""

    @model_validator(mode="after")
    def _consistent(self) -> "ChatRequest":
        if self.max_tokens is not None and "max_completion_tokens" in self.model_fields_set:
            raise ValueError("give max_completion_tokens or max_tokens, not both")
        if self.top_logprobs and not self.logprobs:
            raise ValueError("top_logprobs needs logprobs: true")
        last = self.messages[-1]
        if last.role not in ("user", "assistant", "tool") or last.tool_calls:
            raise ValueError(
                "the last message must be the user's, a tool's result, or the beginning of the assistant's answer"
            )
        for before, message in zip([None, *self.messages], self.messages, strict=False):
            if message.role == "tool" and not (before and (before.tool_calls or before.role == "tool")):
                raise ValueError("a tool's message must follow the assistant's that called it")
        return self

    @model_validator(mode="after")
    def _tools_are_there(self) -> "ChatRequest":
        if len({tool.function.name for tool in self.tools}) < len(self.tools):
            raise ValueError("two tools have the same name")
        if (self.tool_choice == "required" or isinstance(self.tool_choice, ChosenTool)) and not self.usable_tools:
            raise ValueError("tool_choice names no function of tools")
        if self.usable_tools and self.response_format is not None:
            raise ValueError("give tools or response_format, not both")
        return self

    @property
    def usable_tools(self) -> list[dict[str, Any]]:
        """The functions that the answer may call."""
        if self.tool_choice == "none":
            return []
        wanted = self.tool_choice.function.name if isinstance(self.tool_choice, ChosenTool) else None
        return [tool.described() for tool in self.tools if wanted in (None, tool.function.name)]

    @property
    def must_call(self) -> bool:
        """Whether the answer is a call and nothing else."""
        return self.tool_choice == "required" or isinstance(self.tool_choice, ChosenTool)

    @property
    def endings(self) -> list[str]:
        """Strings that end the answer."""
        return [*self.stop, *([END_OF_CALL] if self.usable_tools and not self.parallel_tool_calls else [])]

    @property
    def question(self) -> str:
        """The user's last message; empty where there is none."""
        return next((message.content for message in reversed(self.messages) if message.role == "user"), "")

    @property
    def limit(self) -> int:
        """Tokens that the answer may have."""
        return self.max_tokens or self.max_completion_tokens

    def chat(self) -> list[dict[str, Any]]:
        """The messages as the model takes them."""
        return [message.turn() for message in self.messages]


class CompletionRequest(GenerationBody):
    """The body of `POST /v1/completions`: a text is continued, without a chat format."""

    prompt: Text | TokenIds | list[Text] | list[TokenIds] = "<|endoftext|>"
    max_tokens: int = Field(default=16, ge=0, strict=True)
    temperature: Finite = Field(default=1.0, ge=0, le=2)
    echo: bool = Field(default=False, strict=True)
    """The prompt comes back before its continuation, with its log-probabilities where those are asked for."""
    logprobs: int | None = Field(default=None, ge=0, le=20, strict=True)

    @model_validator(mode="after")
    def _of_some_length(self) -> "CompletionRequest":
        if isinstance(self.prompt, list) and not 0 < len(self.prompts) <= MAX_PROMPTS:
            raise ValueError(f"give 1 to {MAX_PROMPTS} prompts")
        if self.echo and self.stream:
            raise ValueError("echo can't be streamed")
        return self

    @property
    def prompts(self) -> list[str | list[int]]:
        """One or several, each a text or token ids."""
        return _several(self.prompt)


class EmbeddingRequest(Body):
    """The body of `POST /v1/embeddings`."""

    input: Text | TokenIds | list[Text] | list[TokenIds]
    encoding_format: Literal["float", "base64"] = "float"

    @model_validator(mode="after")
    def _of_some_length(self) -> "EmbeddingRequest":
        if not 0 < len(self.inputs) <= MAX_PROMPTS or not all(self.inputs):
            raise ValueError(f"give 1 to {MAX_PROMPTS} inputs, none of them empty")
        return self

    @property
    def inputs(self) -> list[str | list[int]]:
        """One or several, each a text or token ids."""
        return _several(self.input)


class TokenizeRequest(Body):
    """The body of `POST /tokenize`: a text, or messages as the chat format writes them."""

    content: Text | None = None
    prompt: Text | None = None
    messages: list[Message] | None = Field(default=None, min_length=1)

    @model_validator(mode="after")
    def _one(self) -> "TokenizeRequest":
        if sum(one is not None for one in (self.content, self.prompt, self.messages)) != 1:
            raise ValueError("give content (or prompt), or messages")
        return self


class DetokenizeRequest(Body):
    """The body of `POST /detokenize`."""

    tokens: TokenIds = Field(max_length=1_000_000)


KNOWN = sorted(
    {
        name
        for model in (ChatRequest, CompletionRequest, EmbeddingRequest, TokenizeRequest, DetokenizeRequest, Message)
        for name in model.model_fields
    }
)
