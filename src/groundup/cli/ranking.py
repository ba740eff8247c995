"""The verb by which a person ranks answers."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from groundup.cli import models
from groundup.errors import GroundupError

if TYPE_CHECKING:
    from groundup.alignment.ranking.candidates import Prompt
    from groundup.alignment.ranking.journal import RankingItem, RankingSession

verbs = typer.Typer()


@verbs.command()
def rank(
    model: Annotated[
        list[str],
        typer.Argument(
            metavar="MODEL", help="Run folders, stages of them (RUN:sft), or exported or Hugging Face folders."
        ),
    ],
    prompts: Annotated[
        Path, typer.Option("--prompts", metavar="FILE", help="A data file with prompts, or a .txt with one a line.")
    ],
    out: Annotated[
        Path, typer.Option("--out", metavar="FILE", help="The comparisons, for reward.data; a journal is next to it.")
    ] = Path("comparisons.jsonl"),
    answers: Annotated[
        int, typer.Option(min=2, max=9, help="Answers to each prompt: 2 are compared, more are ordered.")
    ] = 2,
    rater: Annotated[str, typer.Option(metavar="NAME", help="Who judges; several raters' agreement is shown.")] = "me",
    temperature: Annotated[float, typer.Option(min=0.01, max=5.0, help="Of the samples.")] = 0.7,
    max_tokens: Annotated[int, typer.Option(min=1, help="The most tokens of an answer.")] = 128,
    seed: Annotated[int, typer.Option(min=0, help="Of the samples and their order.")] = 0,
    port: Annotated[int, typer.Option(min=0, max=65535, help="The page's port; 0 takes a free one.")] = 8001,
) -> None:
    """Let people rank sampled answers, on a page.

    Which model an answer is from stays hidden until the end. Every judgement is kept at once: the same command resumes.
    """
    from groundup.alignment.ranking.candidates import digest_of, read_prompts
    from groundup.alignment.ranking.journal import RankingJournal, RankingSession
    from groundup.serve.ranking import Rating, rank_on_page

    if len(set(model)) < len(model):
        raise GroundupError("a model is named twice", where="rank", do="name each once")
    if not rater.strip() or not rater.isprintable():
        raise GroundupError("a rater needs a name", where="--rater", do="give one")
    asked = read_prompts(prompts)
    session = RankingSession(
        models=tuple(model),
        prompts=digest_of(asked),
        answers=answers,
        max_tokens=max_tokens,
        temperature=temperature,
        seed=seed,
    )
    path = out.with_name(f"{out.name}.journal")
    if path.exists():
        journal = RankingJournal(path)
        _check_same(journal.session, session, path)
    else:
        journal = RankingJournal.create(path, session, _sampled(asked, session, out))
    if unlike := len(asked) - len(journal.items):
        print(f"{unlike:,} of {len(asked):,} prompts have no two answers that differ, and are not asked")
    rank_on_page(Rating(journal, rater.strip(), out), port)
    judged = sum(bool(one.tiers) for one in journal.judgements.values())
    print(f"{out}: {judged:,} judgements; name it in the blueprint as reward.data")


def _check_same(journal: "RankingSession", asked: "RankingSession", path: Path) -> None:
    """Raises GroundupError where the answers in the journal were sampled with other options."""
    before, now = journal.model_dump(), asked.model_dump()
    if changed := [name for name in now if now[name] != before[name]]:
        what = ", ".join(f"{name} was {before[name]}" for name in changed if name != "prompts")
        what += (", " if what else "") + "the prompts were others" if "prompts" in changed else ""
        raise GroundupError(
            f"was begun with other options: {what}",
            where=str(path),
            do="repeat the first command to resume, or name another --out",
        )


def _sampled(asked: "Sequence[Prompt]", session: "RankingSession", out: Path) -> "list[RankingItem]":
    from groundup.alignment.ranking.candidates import sample_items

    if out.exists():
        raise GroundupError("exists and has no journal: it would be replaced", where=str(out), do="name another --out")
    if not out.resolve().parent.is_dir():
        raise GroundupError("there is no such folder", where=str(out.resolve().parent), do="make it, or name another")
    return sample_items([(name, partial(models.load, name)) for name in session.models], asked, session, print)
