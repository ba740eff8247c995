"""The bodies of OpenAI's requests, as far as this server speaks them.

A parameter that would change the answer and is not honoured is an error; one whose value changes nothing (null, or
`functions: []`) or that only labels the request (`user`, `metadata`) is accepted. The default temperature of a chat is
0, the most likely answer, not OpenAI's 1: small models err more when they are sampled.
"""

from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, GetJsonSchemaHandler, model_validator

from groundup.serve.accepted import BeyondSchemaError, accept_idle, nullable, whole_numbers
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
Whole = Annotated[int, Field(strict=True)]
TokenId = Annotated[Whole, Field(ge=0)]
TokenIds = Annotated[list[TokenId], Field(min_length=1)]


def _utf8(text: Any) -> Any:
    if isinstance(text, str):
        text.encode()  # JSON may hold half a surrogate pair; the UnicodeEncodeError is a ValueError that explains it
    return text


Text = Annotated[str, BeforeValidator(_utf8), Field(strict=True)]
SomeText = Annotated[Text, Field(min_length=1)]
Item = TypeVar("Item")
Several = Annotated[list[Item], Field(min_length=1, max_length=MAX_PROMPTS)]
StopText = Annotated[Text, Field(min_length=1, max_length=1000)]
StopTexts = Annotated[list[StopText], Field(max_length=16)]


def _joined(content: Any) -> Any:
    """A message's content as one string: clients may send a list of text parts instead."""
    if not isinstance(content, list):
        return _utf8(content)
    texts = [part.get("text") if isinstance(part, dict) and part.get("type") == "text" else None for part in content]
    if not all(isinstance(text, str) for text in texts):
        raise ValueError("only parts of the form {type: text, text: ...} are understood")
    return _utf8("".join(map(str, texts)))


class TextPart(BaseModel):
    """A part of a message's content."""

    type: Literal["text"]
    text: str


def _as_list(stop: Any) -> Any:
    return [stop] if isinstance(stop, str) else stop


def _several(value: str | list[Any]) -> list[str | list[int]]:
    """One text or list of ids, or several, as a list of them."""
    return [value] if isinstance(value, str) or isinstance(value[0], int) else list(value)


class Message(BaseModel):
    """One message of a conversation."""

    model_config = ConfigDict(extra="forbid")

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: Annotated[str, BeforeValidator(_joined, json_schema_input_type=str | list[TextPart])]
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

    @classmethod
    def __get_pydantic_json_schema__(cls, core: Any, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """With what `_without_empty` drops: any other field that is empty, and a call's missing content."""
        reference = handler(core)
        schema = handler.resolve_ref_schema(reference)
        fields = schema["properties"]
        schema["additionalProperties"] = {"enum": [None, [], {}]}
        calls = fields["tool_calls"]
        fields["tool_calls"] = nullable(calls)
        content = fields.pop("content")
        calling = {"tool_calls": {**calls, "minItems": 1}, "content": nullable(content)}
        schema["required"] = ["role"]
        schema["anyOf"] = [
            {"properties": {"content": content}, "required": ["content"]},
            {"properties": calling, "required": ["tool_calls"]},
        ]
        fields["content"] = {}
        return reference

    @model_validator(mode="after")
    def _of_its_role(self) -> "Message":
        if self.tool_calls and self.role != "assistant":
            raise BeyondSchemaError(f"a message of role {self.role} calls no tools")
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
    include_obfuscation: bool = Field(default=False, strict=True)  # padding against traffic analysis; none is sent


class JsonSchema(BaseModel):
    """A schema as OpenAI's clients send it; all of it is kept to, so `strict` changes nothing."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(max_length=64)
    description: str | None = None
    content: dict[str, Any] | None = Field(default=None, alias="schema")
    strict: bool | None = Field(default=None, strict=True)


class ResponseFormat(BaseModel):
    """What an answer must be: any JSON object, or one of a schema."""

    model_config = ConfigDict(extra="forbid")

    type: Literal["json_object", "json_schema"]
    json_schema: JsonSchema | None = None

    @model_validator(mode="after")
    def _consistent(self) -> "ResponseFormat":
        if (self.type == "json_schema") != (self.json_schema is not None):
            raise BeyondSchemaError("json_schema is given with type: json_schema, and only then")
        return self


class Body(BaseModel):
    """What the bodies of all requests have in common."""

    model_config = ConfigDict(extra="forbid")

    model: Text | None = None

    @model_validator(mode="before")
    @classmethod
    def _without_idle(cls, given: Any) -> Any:
        """Without what asks for nothing, and 3 where JSON has 3.0."""
        if not isinstance(given, dict):
            return given

        def idle(key: str, value: Any) -> bool:
            return value is None or key in HARMLESS or value in NEUTRAL.get(key, ())

        return {key: whole_numbers(value) for key, value in given.items() if not idle(key, value)}

    @classmethod
    def __get_pydantic_json_schema__(cls, core: Any, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """With what `_without_idle` drops."""
        reference = handler(core)
        accept_idle(handler.resolve_ref_schema(reference), HARMLESS, NEUTRAL)
        return reference


class GenerationBody(Body):
    """How tokens are chosen, and when an answer ends."""

    stream: bool = Field(default=False, strict=True)
    stream_options: StreamOptions | None = None
    n: Whole = Field(default=1, ge=1, le=MAX_CHOICES)
    stop: Annotated[StopTexts, BeforeValidator(_as_list, json_schema_input_type=StopText | StopTexts)] = Field(
        default_factory=list
    )
    seed: Annotated[Whole, Field(ge=-(2**63), le=2**63)] | None = None
    temperature: Finite = Field(default=0.0, ge=0, le=2)
    top_p: Finite = Field(default=1.0, gt=0, le=1)
    top_k: Whole = Field(default=0, ge=-1)
    """0 and -1: all tokens."""
    min_p: Finite = Field(default=0.0, ge=0, le=1)
    presence_penalty: Finite = Field(default=0.0, ge=-2, le=2)
    frequency_penalty: Finite = Field(default=0.0, ge=-2, le=2)
    repetition_penalty: Finite = Field(default=1.0, ge=0.01, le=10)
    logit_bias: dict[
        Annotated[str, Field(pattern="^(0|[1-9][0-9]{0,8})$")], Annotated[Finite, Field(ge=-100, le=100)]
    ] = Field(default_factory=dict, max_length=1000, json_schema_extra={"additionalProperties": False})

    @model_validator(mode="after")
    def _stream_is_on(self) -> "GenerationBody":
        if self.stream_options is not None and not self.stream:
            raise BeyondSchemaError("stream_options needs stream: true")
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
            logit_bias=self.bias,
            seed=None if self.seed is None else (self.seed + index * SPREAD) % 2**64,
        )

    @property
    def bias(self) -> dict[int, float]:
        """Of each token."""
        return {int(token): value for token, value in self.logit_bias.items()}

    @property
    def wants_usage(self) -> bool:
        return self.stream_options is not None and self.stream_options.include_usage


class ChatRequest(GenerationBody):
    """The body of `POST /v1/chat/completions`."""

    messages: list[Message] = Field(min_length=1)
    max_completion_tokens: Whole = Field(default=128, ge=1)
    max_tokens: Annotated[Whole, Field(ge=1)] | None = None
    logprobs: bool = Field(default=False, strict=True)
    top_logprobs: Whole = Field(default=0, ge=0, le=20)
    response_format: ResponseFormat | None = None
    tools: list[FunctionTool] = Field(default_factory=list, max_length=MAX_TOOLS)
    tool_choice: ToolChoice | None = None
    parallel_tool_calls: bool = Field(default=True, strict=True)
    """Without it an answer ends with its first call."""
    where: Whole = Field(default=0, ge=0, le=MAX_DOCUMENTS)
    """groundup's own: so many training documents nearest to each answer come with it."""

    @model_validator(mode="after")
    def _consistent(self) -> "ChatRequest":
        if self.max_tokens is not None and "max_completion_tokens" in self.model_fields_set:
            raise BeyondSchemaError("give max_completion_tokens or max_tokens, not both")
        if self.top_logprobs and not self.logprobs:
            raise BeyondSchemaError("top_logprobs needs logprobs: true")
        last = self.messages[-1]
        if last.role not in ("user", "assistant", "tool") or last.tool_calls:
            raise BeyondSchemaError(
                "the last message must be the user's, a tool's result, or the beginning of the assistant's answer"
            )
        for before, message in zip([None, *self.messages], self.messages, strict=False):
            if message.role == "tool" and not (before and (before.tool_calls or before.role == "tool")):
                raise BeyondSchemaError("a tool's message must follow the assistant's that called it")
        return self

    @model_validator(mode="after")
    def _tools_are_there(self) -> "ChatRequest":
        if len({tool.function.name for tool in self.tools}) < len(self.tools):
            raise BeyondSchemaError("two tools have the same name")
        if (self.tool_choice == "required" or isinstance(self.tool_choice, ChosenTool)) and not self.usable_tools:
            raise BeyondSchemaError("tool_choice names no function of tools")
        if self.usable_tools and self.response_format is not None:
            raise BeyondSchemaError("give tools or response_format, not both")
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

    prompt: Text | TokenIds | Several[Text] | Several[TokenIds] = "<|endoftext|>"
    max_tokens: Whole = Field(default=16, ge=0)
    temperature: Finite = Field(default=1.0, ge=0, le=2)
    echo: bool = Field(default=False, strict=True)
    """The prompt comes back before its continuation, with its log-probabilities where those are asked for."""
    logprobs: Annotated[Whole, Field(ge=0, le=20)] | None = None

    @model_validator(mode="after")
    def _whole_echo(self) -> "CompletionRequest":
        if self.echo and self.stream:
            raise BeyondSchemaError("echo can't be streamed")
        return self

    @property
    def prompts(self) -> list[str | list[int]]:
        """One or several, each a text or token ids."""
        return _several(self.prompt)


class EmbeddingRequest(Body):
    """The body of `POST /v1/embeddings`."""

    input: SomeText | TokenIds | Several[SomeText] | Several[TokenIds]
    encoding_format: Literal["float", "base64"] = "float"

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
            raise BeyondSchemaError("give content (or prompt), or messages")
        return self


class DetokenizeRequest(Body):
    """The body of `POST /detokenize`."""

    tokens: list[TokenId] = Field(max_length=1_000_000)


KNOWN = sorted(
    {
        name
        for model in (ChatRequest, CompletionRequest, EmbeddingRequest, TokenizeRequest, DetokenizeRequest, Message)
        for name in model.model_fields
    }
)
