"""The figures of every step of curation are shown, and nothing about steps that were not taken."""

import lxml.html

from groundup.report.markup import join
from groundup.report.sections.curation import details_of


def shown(figures: dict) -> str:
    """The text of the section, its pieces apart and its spaces plain."""
    page = lxml.html.fromstring(f"<div>{join(details_of(figures))}</div>")
    return " ".join(" ".join(page.itertext()).replace("\u202f", " ").split())


def figures() -> dict:
    return {
        "duplicates": {
            "candidates": 1200,
            "compared": 3400,
            "expected": {"recall": 0.9987},
            "measured": {"sample": 256, "pairs": 41, "missed": 1, "recall": 40 / 41},
        },
        "contamination": [{"set": "gsm8k", "items": 7473, "too_short": 12, "found": 5, "documents": 6}],
        "decontamination": {"paragraphs": 9, "bytes": 1234},
        "redactions": {"email": 31, "card": 2},
        "lines": {"policies": 17},
        "repeated": {"different lines": 88, "lines": 901, "bytes in lines": 45678},
    }


def test_every_step_is_shown() -> None:
    text = shown(figures())
    for expected in (
        "pairs compared, shingle by shingle 3,400",
        "99.9 %",
        "97.6 % of 41 pairs",
        "gsm8k 7,473 5 6 12",
        "9 paragraphs (1 kB) were cut out",
        "31 e-mail addresses and 2 payment cards",
        "17 lines about terms of use, privacy or cookies",
        "901 lines (46 kB) that occur in other documents too; 88 different ones",
    ):
        assert expected in text


def test_what_was_not_done_is_not_shown() -> None:
    assert list(details_of({})) == []
    nothing = {"candidates": 0, "compared": 0, "expected": {"recall": None}, "measured": {"recall": None}}
    assert list(details_of({"duplicates": nothing})) == []
