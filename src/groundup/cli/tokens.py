"""`groundup tokens`: trace, export and import."""

from pathlib import Path
from typing import Annotated

import typer

from groundup.cli import where
from groundup.terminal import printable

verbs = typer.Typer(help="The token shards: what a step saw, and Megatron's form.", no_args_is_help=True)

RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="A run folder, or a blueprint file.")]
Split = Annotated[str, typer.Option(help="`train` or `heldout`.")]


@verbs.command()
def trace(
    run: RunFolder,
    step: Annotated[int, typer.Argument(help="A step of pretraining, from 1, as in its metrics.")],
) -> None:
    """Name the documents that a training step saw: which tokens of each, and where it came from."""
    from groundup.tokenizer.tokenizer import Tokenizer
    from groundup.training.data import objective_of
    from groundup.training.trace import trace

    folder = where.run_folder(run)
    blueprint = where.executed_blueprint_of(folder).blueprint
    tokenizer = Tokenizer.load(folder.artifact("tokenizer").file("tokenizer.json"))
    objective = objective_of(blueprint.pretrain, folder.artifact("tokens").path, tokenizer, blueprint.seed)
    traced = trace(blueprint.pretrain, objective, folder.artifact("curate").folder("documents"), step)
    documents = len({one.document.id for one in traced})
    draws = objective.draws(step - 1)
    print(
        f"step {step}: {len(draws):,} sequences of {objective.train.length:,} tokens, {documents:,} documents; "
        f"draws {draws.start:,} to {draws.stop - 1:,}"
    )
    for one in traced:
        about, span = one.document, f"{one.span.first:,}-{one.span.last - 1:,}"
        line = f"{one.sequence:>5}  tokens {span:<15}  {about.id}  {about.source}  {about.origin}"
        print(printable(f"{line}  {about.licence or '-'}  {about.title}"))


@verbs.command()
def export(
    run: RunFolder,
    prefix: Annotated[Path, typer.Argument(metavar="PREFIX", help="PREFIX.bin and PREFIX.idx are written.")],
    split: Split = "train",
) -> None:
    """Write token shards in Megatron's form."""
    from groundup.shards.megatron import export_megatron, paths
    from groundup.shards.token_file import TokenShard

    shard = TokenShard.open(where.run_folder(run).artifact("tokens").path, split)
    export_megatron(shard, prefix)
    print(f"{shard.documents:,} documents, {len(shard):,} tokens: {' and '.join(map(str, paths(prefix)))}")


@verbs.command("import")
def import_(
    prefix: Annotated[Path, typer.Argument(metavar="PREFIX", help="Of PREFIX.bin and PREFIX.idx.")],
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder to write the shard into.")],
    tokenizer: Annotated[Path, typer.Option(help="The tokenizer.json whose ids they are.")],
    split: Split = "train",
    source: Annotated[str, typer.Option(help="The source that all its documents are said to be of.")] = "",
) -> None:
    """Read token shards in Megatron's form."""
    from groundup.shards.megatron import import_megatron
    from groundup.tokenizer.tokenizer import Tokenizer

    shard = import_megatron(prefix, folder, split, Tokenizer.load(tokenizer), source)
    print(f"{shard.documents:,} documents, {len(shard):,} tokens in {folder}")
