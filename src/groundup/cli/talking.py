"""Verbs that use what a run made: chat, serve, eval, export."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from groundup.cli import models, where
from groundup.cli.options import Json, Model, Run, print_json
from groundup.errors import GroundupError
from groundup.terminal import printable

if TYPE_CHECKING:
    from groundup.inference.chat_model import ChatModel

verbs = typer.Typer()


@verbs.command()
def chat(
    run: Run = None,
    ask: Annotated[str | None, typer.Option("--ask", metavar="QUESTION", help="Answer this one and leave.")] = None,
    temperature: Annotated[float, typer.Option(min=0.0, max=5.0, help="0 gives the likeliest answer.")] = 0.0,
    max_tokens: Annotated[int, typer.Option(min=1, help="Most tokens of an answer.")] = 128,
) -> None:
    """Talk to the newest exported model of a run."""
    model = _load(run)
    if ask is not None:
        _answer(model, ask, temperature, max_tokens)
        return
    print(model.introduction())
    if model.examples:
        print(printable("Try: " + "  ".join(model.examples[:3])))
    print("An empty line or Ctrl-D ends the chat.\n")
    for question in _questions():
        _answer(model, question, temperature, max_tokens)
        print()


@contextmanager
def _quiet_interrupt() -> Iterator[None]:
    """Ctrl-C ends an answer, not the chat."""
    try:
        yield
    except KeyboardInterrupt:
        print(" [stopped]")


def _questions() -> Iterator[str]:
    while True:
        try:
            question = input("> " if sys.stdin.isatty() else "").strip()
        except (EOFError, KeyboardInterrupt):
            return
        if not question:
            return
        yield question


def _answer(model: "ChatModel", question: str, temperature: float, max_tokens: int) -> None:
    """Print the answer as it comes, and say so where the question names nothing that was taught."""
    if model.taught.subjects and model.taught.about(question) is None:
        near = model.taught.nearest(question)
        hint = f" Did you mean {' or '.join(near)}?" if near else ""
        print(f"(The model was not taught about this: what follows is a guess.{hint})")
    with _quiet_interrupt():
        for piece in model.stream(
            [{"role": "user", "content": question}], temperature=temperature, max_tokens=max_tokens
        ):
            print(printable(piece), end="", flush=True)
        print()


def _load(run: Path | None) -> "ChatModel":
    folder = where.run_folder(run)
    path = folder.path / "model"
    if not path.is_dir():
        raise GroundupError("no model has been exported yet", where=str(folder.path), do="finish `groundup run` first")
    import torch

    from groundup.inference.chat_model import ChatModel

    torch.set_num_threads(1)  # one row at a time: more threads wait for each other longer than they compute
    return ChatModel.load(path)


@verbs.command()
def serve(
    run: Run = None,
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port; 0 takes a free one.")] = 8000,
    key: Annotated[
        str | None, typer.Option(envvar="GROUNDUP_KEY", help="Clients must send this key (Authorization: Bearer).")
    ] = None,
) -> None:
    """Serve the model: an OpenAI-compatible API and a chat page."""
    folder = where.run_folder(run)
    from groundup.serve import serve as serve_model

    serve_model(folder.path / "model", host, port, key)


@verbs.command(name="eval")
def evaluate(run: Run = None, json: Json = False) -> None:
    """Print the scores of a run's newest evaluation."""
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
        Literal["hf", "gguf", "megatron"],
        typer.Option(
            "--format",
            help="Hugging Face's; GGUF for llama.cpp and Ollama; or Megatron-LM's: checkpoint, data and launch script.",
        ),
    ] = "hf",
    kind: Annotated[
        Literal["f32", "f16", "bf16", "q8_0", "q4_0"], typer.Option("--type", help="The type of GGUF's matrices.")
    ] = "f32",
) -> None:
    """Write a model for other programs, in a folder of its own.

    The model is a run's exported one, or any Hugging Face folder."""
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
