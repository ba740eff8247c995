"""`groundup corpus`: what became of the documents, and what would have become of them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from groundup.cli import corpus_quality, where
from groundup.cli.options import Run
from groundup.terminal import printable

if TYPE_CHECKING:
    from rich.console import Console

    from groundup.corpus.filters.what_if import Amount, Change, Sample, WhatIf

_FULL_WIDTH = 112  # columns that the table needs; on a narrower terminal it has documents alone

verbs = typer.Typer(help="Look into a run's documents.", no_args_is_help=True)
verbs.add_typer(corpus_quality.verbs, name="quality")


@verbs.callback()
def corpus() -> None:
    """Look into a run's documents."""


@verbs.command("what-if")
def what_if(
    run: Run = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="RULE=VALUE", help="Try another threshold: max_top_trigram=.2; null for none."),
    ] = None,
    preset: Annotated[
        str | None,
        typer.Option(help="Try docs, gopher, c4, fineweb or code, in the run's language; --set comes on top."),
    ] = None,
    samples: Annotated[int, typer.Option(min=0, help="Documents shown for each rule and direction.")] = 2,
    json: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write everything there too.")] = None,
) -> None:
    """Show what other thresholds would drop and keep, from what the run has measured; nothing is computed again."""
    from rich.console import Console

    from groundup.corpus.documents import DOCUMENTS, read_documents
    from groundup.corpus.filters import what_if as asking
    from groundup.corpus.ledger import LEDGER, read_ledger

    folder = where.run_folder(run)
    artifact = folder.artifact("curate")
    now = asking.rules_of(dict(artifact.manifest.key.configuration), str(artifact.path))
    then = asking.changed(now, preset, set_ or ())
    per_token = _bytes_per_token(folder)
    rows = read_ledger(artifact.folder(LEDGER), asking.columns(now, then))
    found = asking.what_if(rows, now, then, per_token, samples)
    lost = [sample for change in found.changes.values() for sample in change.samples_dropped]
    texts = asking.with_excerpts(lost, read_documents(artifact.folder(DOCUMENTS), columns=["id", "text"]))
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = max(console.width, _FULL_WIDTH)
    console.print(f"{folder.path}, {found.kept_now.documents:,} documents kept")
    _table(console, found)
    _totals(console, found)
    for change in found.changes.values():
        _samples(console, change, change.samples_dropped, texts, change.newly_dropped, "would be dropped by")
        _samples(console, change, change.samples_kept, texts, change.newly_kept, "would be kept, now dropped by")
    if json is not None:
        _write(json, found, texts)
        console.print(f"written to {json}")


def _bytes_per_token(folder: Any) -> float | None:
    """As the run's tokenizer measured it; None where the run has none yet."""
    from groundup.errors import GroundupError

    try:
        figures = folder.artifact("tokenizer").figures
    except GroundupError:
        return None
    return float(figures["bytes_per_token"]["train"])


def _table(console: Console, found: WhatIf) -> None:
    from rich.table import Table

    wide = console.width >= _FULL_WIDTH
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2 if wide else 1, 0, 0))
    table.add_column("rule", no_wrap=True)
    for name in ("now", "then", "drops\nnow", "drops\nthen", "newly\ndropped", "newly\nkept"):
        table.add_column(name, justify="right", no_wrap=True)
    for change in found.changes.values():
        if change.now is None and change.then is None:
            continue
        new = change.now != change.then
        table.add_row(
            f"[bold]{change.rule}[/]" if new else change.rule,
            threshold(change.now),
            f"[bold]{threshold(change.then)}[/]" if new else "[dim]=[/]",
            _cell(change.drops_now, wide),
            _cell(change.drops_then, wide),
            _cell(change.newly_dropped, wide, "red"),
            _cell(change.newly_kept, wide, "green"),
        )
    console.print(table)
    counted = f"documents · {found.unit} in them" if wide else "documents"
    console.print(f"[dim]{counted}; a document counts for the first rule that it breaks[/]\n")


def _totals(console: Console, found: WhatIf) -> None:
    gained = sum(change.newly_kept.documents for change in found.changes.values())
    before, after, unit = found.kept_now, found.kept_then, found.unit
    console.print(
        f"kept: {before.documents:,} documents, {amount(before.tokens)} {unit} "
        f"-> {'at most ' if gained else ''}{after.documents:,}, {amount(after.tokens)}"
    )
    if gained:
        console.print("Documents that are newly kept were never compared with others: later steps may still drop them.")
    if found.other_steps:
        steps = ", ".join(f"{rule} {count:,}" for rule, count in found.other_steps.items())
        console.print(f"Dropped by other steps, as before: {steps}.")
    if found.may_come_back:
        one = found.may_come_back == 1
        console.print(
            f"{found.may_come_back:,} of these {'is a duplicate' if one else 'are duplicates'} of documents that would "
            f"be dropped, and may come back."
        )


def _samples(
    console: Console, change: Change, samples: list[Sample], texts: dict[str, str], of: Amount, what: str
) -> None:
    from rich.markup import escape
    from rich.padding import Padding
    from rich.text import Text

    from groundup.corpus.rules import RULES

    if not samples:
        return
    words = RULES[change.rule].words(samples[0].threshold)
    console.print(f"\n[bold]{what} {change.rule}[/] [dim]({len(samples)} of {of.documents:,}): {words}[/]")
    for one in samples:
        name = one.title or one.origin or one.id
        source = f"{one.source}: {one.origin}" if one.origin and one.origin != name else one.source
        measured = f"{threshold(one.value)} against {threshold(one.threshold)}"
        console.print(f"  {escape(printable(name))} [dim]{escape(printable(source))}[/]  {measured}")
        excerpt = " ".join((one.excerpt or texts.get(one.id, "")).split())
        if excerpt:
            shown = Text(printable(excerpt), style="dim")
            shown.truncate(2 * max(20, console.width - 6), overflow="ellipsis")
            console.print(Padding(shown, (0, 0, 0, 4), expand=False))


def threshold(value: float | str | None) -> str:
    """A threshold or what was measured, in few digits."""
    if value is None:
        return "[dim]-[/]"
    if isinstance(value, str):
        return value
    return f"{value:,.0f}" if value == int(value) else f"{value:.3g}"


def amount(number: float) -> str:
    """1234567 as `1.23M`."""
    for size, letter in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if number >= size:
            return f"{number / size:.3g}{letter}"
    return f"{number:,.0f}"


def _cell(of: Amount, wide: bool, style: str = "") -> str:
    if not of.documents:
        return "[dim]0[/]"
    text = f"{of.documents:,} · {amount(of.tokens)}" if wide else f"{of.documents:,}"
    return f"[{style}]{text}[/]" if style else text


def _write(path: Path, found: WhatIf, texts: dict[str, str]) -> None:
    import json
    from dataclasses import asdict

    plain = asdict(found)
    plain["changes"] = list(plain["changes"].values())
    for change in plain["changes"]:
        for sample in change["samples_dropped"]:
            sample["excerpt"] = sample["excerpt"] or texts.get(sample["id"], "")
    path.write_text(json.dumps(plain, indent=1, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")
