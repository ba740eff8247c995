"""How text is cut into the pieces that the model reads and writes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from groundup.report.configuration import ReportConfig
from groundup.report.markup import BAR, Column, Html, bar, details, facts, h3, join, number, p, table, tag, term
from groundup.report.run import Run
from groundup.report.wording import count, decimal, percent, relative, shortened, size

Counts = Mapping[str, Mapping[str, int]]

TINTS = 4
NO_LANGUAGE = {"": "not identified", "und": "too short to identify"}


def tokenizer(run: Run, config: ReportConfig) -> Html | None:
    """Figures, how much text a token holds where, how tokens are used, and a sample cut in colours."""
    figures = run.figures("tokenizer")
    if not figures:
        return None
    per_token = figures.get("bytes_per_token", {})
    asked = figures.get("vocabulary_asked")
    fewer = f" of {asked:,} asked for: the text has no more" if asked and asked > figures["vocabulary"] else ""
    train, heldout = run.figures("tokens").get("train", {}), run.figures("tokens").get("heldout", {})
    return join(
        [
            p(
                "Byte-level ",
                term("BPE"),
                ": it starts from the 256 bytes and merges the most frequent adjacent pair, again and again. Any text "
                "can be written in it; text like these documents needs the fewest ",
                term("token", "tokens"),
                ".",
            ),
            facts(
                [
                    ("vocabulary", f"{count(figures['vocabulary'])}{fewer}"),
                    ("merges", count(figures.get("merges"))),
                    ("bytes per token", decimal(per_token.get("train"), 2)),
                    (
                        "on held-out documents",
                        decimal(per_token.get("heldout"), 2) if per_token.get("heldout") else None,
                    ),
                    ("distinct words", count(figures.get("distinct_words"))),
                    ("tokens to train on", count(train["tokens"]) if train else None),
                    ("held-out tokens", count(heldout["tokens"]) if heldout.get("tokens") else None),
                ]
            ),
            *_sample(figures),
            *_density(run),
            *_uses(figures),
            *_longest(figures),
        ]
    )


def _density(run: Run) -> list[Html]:
    """Bytes per token by source and by language, with another tokenizer's where there is one."""
    train, other = run.figures("tokens").get("train", {}), run.figure("tokenizer", "compared") or {}
    found: list[Html] = []
    for kind, heading in (("sources", "source"), ("languages", "language")):
        counts = {name: one for name, one in train.get(kind, {}).items() if one["bytes"]}
        if counts and (len(counts) > 1 or other):
            found.append(_density_table(heading, counts, other.get(kind, {}), other.get("name", "")))
    if not found:
        return []
    note = None
    if other:
        note = p(
            f"{other['name']} has {count(other['vocabulary'])} tokens; both are given the same sample, the first "
            "mebibyte of each.",
            class_="note",
        )
    return [h3("Bytes per token: more text in a token is less to compute"), *found, *([note] if note else [])]


def _density_table(heading: str, counts: Counts, compared: Counts, name_of_other: str) -> Html:
    most = max(one["bytes"] / one["tokens"] for one in counts.values())
    rows = []
    for name, one in sorted(counts.items(), key=lambda item: -item[1]["bytes"]):
        per_token = one["bytes"] / one["tokens"]
        row: list[object] = [
            NO_LANGUAGE.get(name, name),
            size(one["bytes"]),
            bar(per_token / most),
            decimal(per_token, 2),
        ]
        if compared:
            both = compared.get(name)
            row += _comparison(both) if both else [None, None, None]
        rows.append(row)
    headings: list[str | Column] = [heading, number("text"), BAR, number("bytes per token")]
    if compared:
        headings += [number("on a sample"), number(name_of_other), number("tokens, against it")]
    return table(headings, rows)


def _comparison(both: Mapping[str, int]) -> list[object]:
    ours, theirs = (both["bytes"] / both[key] if both[key] else None for key in ("ours", "theirs"))
    return [decimal(ours, 2), decimal(theirs, 2), relative(both["ours"], both["theirs"])]


def _uses(figures: dict[str, Any]) -> list[Html]:
    """How many tokens are used how often in the training documents, and which least."""
    uses, least = figures.get("uses"), figures.get("least_used") or []
    if not uses:
        return []
    total, most = sum(uses.values()), max(uses.values())
    rows = [
        (f"{name} times" if name != "0" else "never", bar(tokens / most), count(tokens), percent(tokens / total))
        for name, tokens in uses.items()
    ]
    chips = (tag("li", _chip(token), f" {count(times)}") for token, times in least)
    return [
        h3("How often tokens are used"),
        p(
            f"{percent(figures.get('never_used'))} of the tokens never occur in the training documents: bytes that no "
            "text has, and parts that were only a step to longer tokens. "
            f"{percent(figures.get('rare'))} occur fewer than ten times, too few to be learned well."
        ),
        table(["used", BAR, number("tokens"), number("fraction")], rows),
        details("The learned tokens that are used least", tag("ul", *chips, class_="chips")),
    ]


def _sample(figures: dict[str, object]) -> list[Html]:
    sample = figures.get("sample")
    if not isinstance(sample, dict) or not sample.get("tokens"):
        return []
    pieces = [
        tag("span", visible(token, keep_lines=True), class_=f"t{index % TINTS}")
        for index, token in enumerate(sample["tokens"])
    ]
    return [
        h3(f"The beginning of “{shortened(sample['title'])}”, in {len(pieces)} tokens"),
        tag("div", *pieces, class_="cut", dir="auto"),
    ]


def _longest(figures: dict[str, object]) -> list[Html]:
    tokens = figures.get("longest_tokens")
    if not isinstance(tokens, list) or not tokens:
        return []
    chips = (tag("li", _chip(token)) for token in tokens)
    return [h3("The longest tokens"), tag("ul", *chips, class_="chips")]


def visible(token: str, keep_lines: bool = False) -> str:
    """White space as signs; with `keep_lines` lines still end where they do."""
    if token.isspace():
        token = "".join(one if one in "\n\t" else "·" if one == " " else "⍽" for one in token)
    return token.replace("\n", "⏎\n" if keep_lines else "⏎").replace("\t", "→")


def _chip(token: str) -> Html:
    """A token on its own, where a space at its beginning matters."""
    return tag("code", f"·{visible(token[1:])}" if token[:1] == " " else visible(token))
