"""Verbs that use what a run made: chat, serve, eval, export."""

import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from groundup.cli import models, where
from groundup.cli.options import Json, Model, print_json
from groundup.errors import GroundupError
from groundup.terminal import printable

if TYPE_CHECKING:
    from groundup.inference.chat_model import ChatModel

verbs = typer.Typer()


COMMANDS = """/system TEXT   instructions that come before the conversation; alone, none
/where         the training documents nearest to the last answer
/reset         forget the conversation
/help          this
An empty line or Ctrl-D ends the chat; Ctrl-C stops an answer. A line that ends in \\ continues on the next."""


@verbs.command()
def chat(
    model: Model = None,
    ask: Annotated[str | None, typer.Option("--ask", metavar="QUESTION", help="Answer this one and leave.")] = None,
    temperature: Annotated[float, typer.Option(min=0.0, max=5.0, help="0 gives the likeliest answer.")] = 0.0,
    max_tokens: Annotated[int, typer.Option(min=1, help="The most tokens of an answer.")] = 128,
) -> None:
    """Talk to a model.

    It remembers the conversation as far as its context reaches.
    """
    import torch

    torch.set_num_threads(1)  # one row at a time: more threads wait for each other longer than they compute
    from groundup.inference.chat_model import ChatModel

    loaded = ChatModel(models.load(model))
    if ask is not None:
        _answer(loaded, [{"role": "user", "content": ask}], temperature, max_tokens)
        return
    if loaded.introduction:
        print(printable(loaded.introduction))
    if loaded.examples:
        print(printable("  ".join(["Try:", *loaded.examples[:3]])))
    print("/help lists what else you can type.\n")
    conversation: list[dict[str, str]] = []
    for question in _questions():
        if question.startswith("/"):
            conversation = _command(question, conversation, loaded)
            continue
        conversation.append({"role": "user", "content": question})
        answer = _answer(loaded, conversation, temperature, max_tokens)
        conversation.append({"role": "assistant", "content": answer})
        print()


def _command(line: str, conversation: list[dict[str, str]], chat_model: "ChatModel") -> list[dict[str, str]]:
    """The conversation after a command."""
    name, _, rest = line.partition(" ")
    if name == "/where":
        print(printable("\n".join(_where(chat_model, conversation))))
        return conversation
    system = [message for message in conversation if message["role"] == "system"]
    if name == "/reset":
        print("(forgotten)")
        return system
    if name == "/system":
        others = [message for message in conversation if message["role"] != "system"]
        return ([{"role": "system", "content": rest.strip()}] if rest.strip() else []) + others
    print(COMMANDS)
    return conversation


def _where(chat_model: "ChatModel", conversation: list[dict[str, str]]) -> Iterator[str]:
    """The training documents nearest to the last answer, in lines."""
    documents = chat_model.loaded.documents
    if documents is None:
        yield "(The documents that this model was trained on are not here.)"
        return
    *_, question, answer = [{"content": ""}, {"content": ""}, *conversation]
    if not answer["content"]:
        yield "(There is no answer yet.)"
        return
    from groundup.corpus.near_documents import nearest

    found = nearest(documents, answer["content"], question["content"])
    if not found:
        yield "(No training document has a word of it.)"
    for number, one in enumerate(found, 1):
        yield f"{number}. {one.title or one.origin}"
        yield f"   {one.source}: {one.origin}, licence {one.licence or 'not stated'}{one.url and ', ' + one.url}"
        if one.common_words:
            yield f"   {one.common_words} words in a row: {' '.join(one.common.split())}"
        yield f"   {one.excerpt}"


def _questions() -> Iterator[str]:
    """Lines that a person types, with editing and history where the terminal has them."""
    with suppress(ImportError):  # not on Windows
        import readline  # noqa: F401  (input() uses it once it is imported)
    prompt = "> " if sys.stdin.isatty() else ""
    while True:
        try:
            question = input(prompt)
            while question.endswith("\\"):
                question = question[:-1] + "\n" + input("  " if prompt else "")
        except (EOFError, KeyboardInterrupt):
            return
        if not question.strip():
            return
        yield question.strip()


def _answer(chat_model: "ChatModel", conversation: list[dict[str, str]], temperature: float, max_tokens: int) -> str:
    """Print the answer as it comes and return it; a hint comes first where the question names nothing that was taught.

    Earlier turns are dropped, the oldest first, where the conversation has outgrown the model's context.
    """
    from groundup.inference.sampling import Sampling

    question = conversation[-1]["content"]
    if chat_model.loaded.subjects and chat_model.taught.about(question) is None:
        near = chat_model.taught.nearest(question)
        hint = f" Did you mean {' or '.join(near)}?" if near else ""
        print(printable(f"(The model was not taught about this: what follows is a guess.{hint})"))
    turns, text = _fitting(chat_model, conversation, max_tokens), ""
    try:
        for piece in chat_model.pieces(turns, max_tokens=max_tokens, sampling=Sampling(temperature=temperature)):
            text += piece
            print(printable(piece), end="", flush=True)
        print()
    except KeyboardInterrupt:  # ends the answer, not the chat
        print(" [stopped]")
    return text


def _fitting(chat_model: "ChatModel", conversation: list[dict[str, str]], max_tokens: int) -> list[dict[str, str]]:
    """The conversation without its oldest turns, where it has outgrown the model's context.

    Raises:
        GroundupError: the last question alone fills the context.
    """
    turns, context = list(conversation), chat_model.context
    first = 1 if turns[0]["role"] == "system" else 0
    tokens = len(chat_model.prompt(turns))
    while tokens + min(max_tokens, context // 4) > context and len(turns) > first + 1:
        del turns[first : first + 2]
        tokens = len(chat_model.prompt(turns))
    if tokens >= context:
        what = f"the question takes {tokens} tokens, and the model's context has {context}"
        raise GroundupError(what, do="ask a shorter one")
    return turns


@verbs.command()
def serve(
    model: Model = None,
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port; 0 takes a free one.")] = 8000,
    key: Annotated[
        str | None, typer.Option(envvar="GROUNDUP_KEY", help="Clients must send this key (Authorization: Bearer).")
    ] = None,
    origin: Annotated[
        list[str] | None,
        typer.Option("--origin", metavar="URL", help="Pages of this origin may call the API (CORS); * admits all."),
    ] = None,
) -> None:
    """Serve models: an OpenAI-compatible API and a chat page.

    Of a run the model of every stage is served, as RUN:sft and the like.
    """
    offered = models.several(model)
    from groundup.serve import serve as serve_models

    serve_models(offered, host, port, key, frozenset(origin or ()))


@verbs.command(name="eval")
def evaluate(
    model: Model = None,
    task: Annotated[
        list[Path] | None, typer.Option("--task", metavar="FILE", help="Ask a task of one's own (docs/evaluation.md).")
    ] = None,
    core: Annotated[
        Path | None, typer.Option("--core", metavar="DIR", help="Ask the tasks of a bundle of CORE, and average them.")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="With --core: so many rows of each task.")] = None,
    json: Json = False,
) -> None:
    """Print the scores of a run's evaluation, or ask a model a task.

    Without --task and --core the scores of a run's newest evaluation are shown.
    """
    if task or core:
        from groundup.cli.asking import ask_core, ask_tasks

        if task:
            ask_tasks(model, task, json)
        if core:
            ask_core(model, core, limit, json)
        return
    run = Path(model) if model is not None else None
    figures = where.run_folder(run).artifact("evaluate").figures
    if json:
        print_json(figures)
        return
    bits = figures["bits_per_byte"]
    if bits["model"] is not None:
        print(f"held-out bits per byte ({bits['documents']:,} documents, {bits['bytes']:,} bytes)")
        for name, label in (
            ("model", "the pretrained model"),
            ("ngram", "n-grams over bytes"),
            ("xz", "xz -9"),
            ("xz_primed", "xz -9 that has read the training text"),
        ):
            print(f"  {bits[name]:6.3f}  {label}")
        for kind, groups in (bits.get("by") or {}).items():
            for name, group in groups.items() if len(groups) > 1 else ():
                print(printable(f"  {group['model']:6.3f}  {kind} {name}, {group['documents']:,} documents"))
    for model, by_set in figures["answers"].items():
        for name, rates in by_set.items():
            print(
                f"{model:>6}, {name + ' questions':<17} {rates['questions']:6,}   exact {rates['exact_match']:6.1%}"
                f"   token F1 {rates['token_f1']:.3f}"
            )
    if gain := figures.get("true_score_gain"):
        print(
            f"{figures['method']} over sft on {figures['true_score_set']} questions: token F1 {gain['mean']:+.3f}, "
            f"95 % interval {gain['low']:+.3f} to {gain['high']:+.3f}"
        )


@verbs.command()
def export(
    model: Model = None,
    to: Annotated[Path, typer.Option("--to", metavar="DIR", help="A new folder for the copy.")] = Path("exported"),
    form: Annotated[
        Literal["hf", "gguf", "peft", "megatron"],
        typer.Option(
            "--format",
            help="Hugging Face's; GGUF for llama.cpp and Ollama; PEFT's, of a stage with adapters (RUN:sft); or "
            "Megatron-LM's: checkpoint, data and launch script.",
        ),
    ] = "hf",
    kind: Annotated[
        Literal["f32", "f16", "bf16", "q8_0", "q4_0"], typer.Option("--type", help="The type of GGUF's matrices.")
    ] = "f32",
) -> None:
    """Write an exported model for other programs.

    A run's exported model, or any Hugging Face folder, in a new folder.
    """
    if form == "peft":
        from groundup.export.deliver import export_adapter

        export_adapter(*models.adapter(model), to)
        print(f"{to}: PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained('{to}/base'), '{to}/adapter')")
        return
    folder = models.exported(model)
    if form == "megatron":
        _export_megatron(folder, model, to)
    elif form == "gguf":
        from groundup.export.deliver import export_gguf

        file = export_gguf(folder, to, kind, models.figures(model))
        print(f"{file}: run it with llama.cpp, or in {to}: ollama create NAME -f Modelfile")
    else:
        from groundup.export.deliver import export_huggingface

        export_huggingface(folder, to, models.figures(model))
        print(f"{to}: load it with transformers.AutoModelForCausalLM.from_pretrained({str(to)!r})")


def _export_megatron(folder: Path, model: str | None, to: Path) -> None:
    if to.exists():
        raise GroundupError("exists already", where=str(to), do="name a new folder with --to")
    from groundup.export.megatron_lm import export_megatron_lm
    from groundup.model.huggingface import load_huggingface
    from groundup.shards.token_file import TokenShard

    tokens = where.run_folder(Path(model) if model else None).artifact("tokens").path
    shards = {split: TokenShard.open(tokens, split) for split in ("train", "heldout")}
    export_megatron_lm(to, load_huggingface(folder), shards)
    print(f"{to}: continue training with Megatron-LM by {to / 'launch.sh'}; {to / 'README.md'} explains it")
