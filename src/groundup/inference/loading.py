"""Whatever can be talked to: an exported folder, another Hugging Face folder, or a stage of a run.

folder with groundup.json          groundup's export: own chat format, an account of what was taught
folder with config.json            any Hugging Face folder of a known family, with its own chat template
weights and tokenizer of a stage   what `RUN:sft` names; own chat format
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from groundup.artifacts.json_files import read_json
from groundup.artifacts.manifest import check_copy
from groundup.corpus.clean import clean
from groundup.errors import GroundupError
from groundup.inference.taught import Taught
from groundup.model.decoder import CustomLanguageModel
from groundup.model.huggingface import load_huggingface
from groundup.model.weights import CONFIG, load_model
from groundup.tokenizer.chat import TEMPLATE, render
from groundup.tokenizer.tokenizer import Tokenizer
from groundup.tokenizer.tools import CALL, Tool, as_turns

CARD = "groundup.json"
_FIELDS = {"name": str, "subjects": list, "examples": list, "introduction": str, "turns": int}
_GENERATION = re.compile(r"\{%-?\s*(?:end)?generation\s*-?%\}")  # marks what is trained; nothing to generation

Messages = Sequence[Mapping[str, Any]]
"""`role` and `content`; the assistant's `tool_calls` and results of role `tool` as OpenAI's clients send them."""


@dataclass(frozen=True)
class JinjaTemplate:
    """A chat template of another project's. It runs sandboxed: it can read the messages and nothing else.

    Raises:
        GroundupError: the template is none, or refuses the messages.
    """

    source: str
    tokens: Mapping[str, str]
    """`bos_token` and the like, which templates name."""

    def render(self, messages: Messages, tools: Sequence[Tool] = ()) -> str:
        """The conversation as text, ready for the answer."""
        from jinja2 import TemplateError

        given = {"messages": [_with_objects(one) for one in messages], "tools": list(tools) or None}
        try:
            return str(self._compiled.render(**given, add_generation_prompt=True, **self.tokens))
        except TemplateError as error:
            raise GroundupError(f"the model's chat template refuses these messages: {error}") from error

    @property
    def writes_calls(self) -> bool:
        """Whether it has a form for functions and their calls, and this is the one that is read here."""
        return CALL in self.source and "tools" in self.source

    @cached_property
    def _compiled(self) -> Any:
        from jinja2 import TemplateError
        from jinja2.sandbox import ImmutableSandboxedEnvironment

        def raise_exception(message: str) -> None:
            raise TemplateError(message)

        environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
        environment.globals["raise_exception"] = raise_exception
        environment.filters["tojson"] = lambda value, **options: json.dumps(value, ensure_ascii=False, **options)
        return environment.from_string(_GENERATION.sub("", self.source))


def _with_objects(message: Mapping[str, Any]) -> Mapping[str, Any]:
    """The arguments of calls as objects, as templates expect them; clients send JSON in a string."""
    if not message.get("tool_calls"):
        return message
    functions = [dict(call["function"]) for call in message["tool_calls"]]
    for function in functions:
        if isinstance(function.get("arguments"), str):
            function["arguments"] = json.loads(function["arguments"])
    return {**message, "tool_calls": [{"type": "function", "function": function} for function in functions]}


@dataclass(frozen=True)
class LoadedModel:
    """A model, its tokenizer, and what is known about it."""

    name: str
    model: CustomLanguageModel
    tokenizer: Tokenizer
    stop: frozenset[int]
    """Tokens that end an answer."""
    template: JinjaTemplate | None = None
    """None: groundup's own chat format."""
    introduction: str = ""
    examples: Sequence[str] = ()
    subjects: Sequence[str] = ()
    one_turn: bool = False
    """Fine-tuning never showed it more than one question at a time: earlier turns would only confuse it."""
    documents: Path | None = None
    """The run's documents, of a `curate` artifact: what its answers may come from."""
    taught: Taught = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "taught", Taught(self.subjects))

    @property
    def context(self) -> int:
        return self.model.config.max_position_embeddings

    @property
    def words(self) -> int:
        """The tokenizer's tokens: a model may have more rows than those, to pad them to a round number."""
        return self.tokenizer.vocabulary_size

    @property
    def calls(self) -> Literal["text", "tokens"] | None:
        """How a call of a function is marked in its answers; None where the chat template has no form for calls."""
        if self.template is None:
            return "text"
        if not self.template.writes_calls:
            return None
        return "tokens" if CALL in self.tokenizer.special_ids else "text"

    def chat_prompt(self, messages: Messages, tools: Sequence[Tool] = ()) -> list[int]:
        """The ids of a conversation, ready for the answer; a last message of the assistant's is continued.

        Args:
            tools: functions that the answer may call.

        Raises:
            GroundupError: the chat format has no such role, or the model has no chat format.
        """
        *earlier, last = messages
        prefix = last["content"] if last["role"] == "assistant" else None
        turns = earlier if prefix is not None else [*earlier, last]
        if self.one_turn and not tools and last["role"] != "tool":
            first = 1 if len(turns) > 1 and turns[0]["role"] == "system" else 0
            turns = [*turns[:first], *turns[-1:]] if turns else turns
        if self.template is not None:
            text = self.template.render(turns, tools)
            return self.tokenizer.encode(text + (prefix or ""), special=True)
        if "<|assistant|>" not in self.tokenizer.special_ids:
            raise GroundupError("this model has no chat template", do="use completions, which continue a text")
        plain = as_turns(turns, tools)
        uniform = [{"role": turn["role"], "content": clean(turn["content"])} for turn in plain]  # as training's data is
        ids, _ = render(uniform, self.tokenizer, answer_prompt=True)
        return ids + (self.tokenizer.encode(prefix) if prefix else [])


def load_folder(folder: Path, device: str = "cpu") -> LoadedModel:
    """Read an exported or another Hugging Face folder.

    Raises:
        GroundupError: a part of it is missing or damaged, or they do not belong together.
    """
    check_copy(folder)
    model, tokenizer = _model_of(folder, device), Tokenizer.load(folder / "tokenizer.json")
    if (folder / CARD).is_file():
        card = read_json(folder / CARD)
        given = card if isinstance(card, dict) else {}
        if wrong := [name for name, kind in _FIELDS.items() if not isinstance(given.get(name), kind)]:
            raise GroundupError(f"has no {', '.join(wrong)}", where=str(folder / CARD), do="export the model again")
        return _checked(
            LoadedModel(
                given["name"],
                model,
                tokenizer,
                frozenset({tokenizer.end, tokenizer.end_of_text}),
                introduction=given["introduction"],
                examples=given["examples"],
                subjects=given["subjects"],
                one_turn=given["turns"] == 1,
            ),
            folder,
        )
    return _checked(
        LoadedModel(
            folder.resolve().name, model, tokenizer, _stop_tokens(folder, tokenizer), template=_template(folder)
        ),
        folder,
    )


def _model_of(folder: Path, device: str) -> CustomLanguageModel:
    """Of a Hugging Face folder, or of one in groundup's own form, which names no `model_type`."""
    config = read_json(folder / CONFIG)
    own = (folder / CARD).is_file() and isinstance(config, dict) and "model_type" not in config
    return load_model(folder, device).eval() if own else load_huggingface(folder, device)


def load_stage(name: str, weights: Path, tokenizer_file: Path, *, one_turn: bool, device: str = "cpu") -> LoadedModel:
    """The model of a stage's artifact: its folder `model`, with the run's tokenizer.

    Raises:
        GroundupError: a part is missing or damaged, or they do not belong together.
    """
    tokenizer = Tokenizer.load(tokenizer_file)
    stop = frozenset({tokenizer.end, tokenizer.end_of_text})
    return _checked(LoadedModel(name, load_model(weights, device).eval(), tokenizer, stop, one_turn=one_turn), weights)


def _checked(loaded: LoadedModel, where: Path) -> LoadedModel:
    tokens, rows = loaded.tokenizer.vocabulary_size, loaded.model.config.vocab_size
    if tokens > rows:
        what = f"the tokenizer has {tokens:,} tokens, the model {rows:,}"
        raise GroundupError(what, where=str(where), do="put the two that belong together in one folder")
    return loaded


def _stop_tokens(folder: Path, tokenizer: Tokenizer) -> frozenset[int]:
    """`eos_token_id`, one or several, of the generation's or the model's configuration."""
    for name in ("generation_config.json", "config.json"):
        values = read_json(folder / name) if (folder / name).is_file() else {}
        found = values.get("eos_token_id")
        if found is not None:
            return frozenset(found if isinstance(found, list) else [found])
    end = tokenizer.special_ids.get("<|endoftext|>")
    return frozenset() if end is None else frozenset({end})


def _template(folder: Path) -> JinjaTemplate | None:
    """The folder's chat template; None where it is groundup's own or there is none."""
    values = read_json(folder / "tokenizer_config.json") if (folder / "tokenizer_config.json").is_file() else {}
    file = folder / "chat_template.jinja"
    source = file.read_text(encoding="utf-8") if file.is_file() else values.get("chat_template")
    if not isinstance(source, str) or source == TEMPLATE:
        return None
    named = {name: values.get(name) for name in ("bos_token", "eos_token", "pad_token", "unk_token")}
    tokens = {name: one["content"] if isinstance(one, dict) else one for name, one in named.items() if one}
    return JinjaTemplate(source, tokens)
