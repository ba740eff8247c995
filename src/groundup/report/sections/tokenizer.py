"""How text is cut into the pieces that the model reads and writes."""

from __future__ import annotations

from groundup.report.configuration import ReportConfig
from groundup.report.markup import Html, facts, h3, join, p, tag
from groundup.report.run import Run
from groundup.report.wording import count, decimal, percent, shortened

TINTS = 4


def tokenizer(run: Run, config: ReportConfig) -> Html | None:
    """Figures, the longest tokens, and a sample cut in colours."""
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
                "Byte-level BPE: it starts from the 256 bytes and joins the pair that stands together most often, "
                "again and again. Any text can be written in it; text like these documents needs the fewest tokens."
            ),
            facts(
                [
                    ("vocabulary", f"{count(figures['vocabulary'])}{fewer}"),
                    ("merges", count(figures.get("merges"))),
                    ("bytes per token", decimal(per_token.get("train"), 2)),
                    ("held out", decimal(per_token.get("heldout"), 2) if per_token.get("heldout") else None),
                    ("never used", percent(figures.get("never_used"))),
                    ("distinct words", count(figures.get("distinct_words"))),
                    ("tokens to train on", count(train["tokens"]) if train else None),
                    ("tokens held out", count(heldout["tokens"]) if heldout.get("tokens") else None),
                ]
            ),
            *_sample(figures),
            *_longest(figures),
        ]
    )


def _sample(figures: dict[str, object]) -> list[Html]:
    sample = figures.get("sample")
    if not isinstance(sample, dict) or not sample.get("tokens"):
        return []
    pieces = [
        tag("span", visible(token, keep_lines=True), class_=f"t{place % TINTS}")
        for place, token in enumerate(sample["tokens"])
    ]
    return [
        h3(f"The beginning of “{shortened(sample['title'])}”, in {len(pieces)} tokens"),
        tag("div", *pieces, class_="cut", dir="auto"),
    ]


def _longest(figures: dict[str, object]) -> list[Html]:
    tokens = figures.get("longest_tokens")
    if not isinstance(tokens, list) or not tokens:
        return []
    chips = (tag("li", tag("code", visible(token))) for token in tokens)
    return [h3("The longest tokens"), tag("ul", *chips, class_="chips")]


def visible(token: str, keep_lines: bool = False) -> str:
    """White space as signs; with `keep_lines` lines still end where they do."""
    return (
        token.replace("\n", "⏎\n" if keep_lines else "⏎")
        .replace("\t", "→")
        .replace(" ", "·" if token.isspace() else " ")
    )
