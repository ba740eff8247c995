"""What-if says what curating again with the other rules says, without doing it."""

import random
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from groundup.corpus.configuration import CurateConfig
from groundup.corpus.curate.curation import curate
from groundup.corpus.curate.partitions import Given
from groundup.corpus.documents import DOCUMENTS, Document, Dropped, document_id, read_documents
from groundup.corpus.filters.configuration import RulesConfig
from groundup.corpus.filters.rules import RULES
from groundup.corpus.filters.what_if import WhatIf, changed, columns, rules_of, what_if, with_excerpts
from groundup.corpus.ledger import LEDGER, read_ledger
from groundup.errors import GroundupError

GERMAN = "Alle Menschen sind frei und gleich an Würde und Rechten geboren und sollen einander brüderlich begegnen."
DUPLICATES = ("exact-duplicate", "near-duplicate")


@cache
def found() -> tuple[Document | Dropped, ...]:
    """Texts of many lengths, some repetitive, some German, some nearly the same, and a file that was no text."""
    draw = random.Random(5)
    vocabulary = [f"{a}{b}" for a in ("stone", "river", "light", "house") for b in ("ing", "s", "ed", "man", "side")]
    texts = []
    for number in range(160):
        words = [f"text{number}", *draw.choices(["the", "of", "and", "with"] + vocabulary, k=draw.randint(2, 160))]
        text = " ".join(words)
        if number % 5 == 0:
            text += " " + " ".join(["buy now here"] * draw.randint(1, 30))
        if number % 7 == 0:
            text += "\n- a line\n- a line\n" * draw.randint(1, 4)
        if number % 11 == 0:
            text = f"{GERMAN} {GERMAN} {number}"
        texts += [text, f"{text} and three more"] if number % 3 == 0 else [text]
    documents = [
        Document(document_id(text), text, f"Text {at}", "made-up", f"{at}.txt", offset=at)
        for at, text in enumerate(texts)
    ]
    return (*documents, Dropped("made-up", "x.bin", "binary"))


@cache
def curated(rules: RulesConfig) -> tuple[list[dict[str, Any]], list[Any], dict[str, str]]:
    """`(rows of the ledger, its batches, id -> kept text)`"""
    config = CurateConfig(sources=[{"kind": "python-docs"}], rules=rules, near_duplicates={"digits_alike": False})
    with TemporaryDirectory() as name:
        folder = Path(name)
        curate([Given(found()[:90], "made-up"), Given(found()[90:], "made-up")], config, folder / "out", folder, folder)
        batches = list(read_ledger(folder / "out" / LEDGER))
        texts = {one.id: one.text for one in read_documents(folder / "out" / DOCUMENTS)}
    return [row for batch in batches for row in batch.to_pylist()], batches, texts


def ask(now: RulesConfig, then: RulesConfig, **more: Any) -> WhatIf:
    wanted = columns(now, then)
    return what_if([batch.select(wanted) for batch in curated(now)[1]], now, then, **more)


STRICT = RulesConfig(preset="gopher", min_words=40, min_stop_words=1)
SHORT = RulesConfig(
    max_words=120
)  # of near-duplicates, the longer one stays: it may go where the shorter one would not
LOOSE = RulesConfig(min_words=2, language=None, max_top_trigram=None, max_duplicate_lines=None)


@pytest.mark.parametrize(
    ("now", "then"), [(RulesConfig(), STRICT), (RulesConfig(), SHORT), (RulesConfig(), LOOSE), (STRICT, LOOSE)]
)
def test_it_agrees_with_curating_again(now: RulesConfig, then: RulesConfig) -> None:
    answer = ask(now, then)
    before = {row["origin"]: row for row in curated(now)[0] if row["words"] is not None}
    after = {row["origin"]: row for row in curated(then)[0]}
    pairs = [(row, after[origin]) for origin, row in before.items()]
    ours = [(a, b) for a, b in pairs if a["rule"] == "" or a["rule"] in RULES]
    for rule, change in answer.changes.items():
        assert (change.now, change.then) == (getattr(now, rule), getattr(then, rule))
        assert change.drops_now.documents == sum(a["rule"] == rule for a, _ in pairs), rule
        assert change.drops_then.documents == sum(b["rule"] == rule for _, b in ours), rule
        lost = [a for a, b in ours if a["rule"] == "" and b["rule"] == rule]
        gained = [a for a, b in ours if a["rule"] == rule and b["rule"] not in RULES]
        for amount, rows in ((change.newly_dropped, lost), (change.newly_kept, gained)):
            assert (amount.documents, amount.tokens) == (len(rows), sum(row["words"] for row in rows)), rule
        assert [sample.id for sample in change.samples_dropped] == sorted(row["id"] for row in lost)[:3]
        assert [sample.id for sample in change.samples_kept] == sorted(row["id"] for row in gained)[:3]
    assert answer.kept_now.documents == sum(a["rule"] == "" for a, _ in ours)
    assert answer.kept_then.documents == sum(b["rule"] not in RULES for _, b in ours)
    others = [(a, b) for a, b in pairs if a["rule"] and a["rule"] not in RULES]
    assert sum(answer.other_steps.values()) == len(others)
    by_id = {a["id"]: b for a, b in pairs if a["rule"] == ""}
    back = [a for a, b in others if b["rule"] not in RULES and by_id[a["duplicate_of"]]["rule"] in RULES]
    assert {a["rule"] for a, _ in others} <= set(DUPLICATES)
    assert answer.may_come_back == len(back)


def test_there_was_something_to_agree_on() -> None:
    answer = ask(RulesConfig(), STRICT)
    assert sum(change.newly_dropped.documents > 0 for change in answer.changes.values()) >= 3
    assert ask(RulesConfig(), SHORT).may_come_back > 0
    assert answer.other_steps["near-duplicate"] > 10
    assert sum(change.newly_kept.documents > 0 for change in ask(STRICT, LOOSE).changes.values()) >= 3


def test_nothing_changed_changes_nothing() -> None:
    answer = ask(STRICT, STRICT)
    assert answer.kept_then == answer.kept_now
    for change in answer.changes.values():
        assert change.drops_now == change.drops_then
        assert change.newly_dropped.documents == change.newly_kept.documents == 0


def test_samples_say_what_was_measured() -> None:
    answer = ask(RulesConfig(), STRICT, samples=1)
    (sample,) = answer.changes["min_words"].samples_dropped
    row = next(row for row in curated(RulesConfig())[0] if row["id"] == sample.id)
    assert (sample.value, sample.threshold) == (row["words"], 40)
    assert sample.title == row["title"]
    texts = curated(RulesConfig())[2]
    kept = [Document(id, text) for id, text in texts.items()]
    assert with_excerpts([sample], iter(kept), 20) == {sample.id: texts[sample.id][:20]}
    (back,) = ask(STRICT, LOOSE, samples=1).changes["min_words"].samples_kept
    assert back.excerpt
    assert (back.value, back.threshold) == (len(back.excerpt.split()), 40) or len(back.excerpt) == 300
    assert ask(RulesConfig(), STRICT, samples=0).changes["min_words"].samples_dropped == []


def test_tokens_are_bytes_over_those_of_a_token() -> None:
    words, tokens = ask(RulesConfig(), STRICT), ask(RulesConfig(), STRICT, bytes_per_token=4.0)
    assert (words.unit, tokens.unit) == ("words", "tokens")
    kept = [row for row in curated(RulesConfig())[0] if row["rule"] == ""]
    assert words.kept_now.tokens == sum(row["words"] for row in kept)
    assert tokens.kept_now.tokens == pytest.approx(sum(row["bytes"] for row in kept) / 4)


def test_settings_override_a_preset_in_the_runs_language() -> None:
    run = RulesConfig(language="de", min_words=7)
    rules = changed(run, "gopher", ["max_top_trigram=.25", "rules.max_words=null", "curate.rules.min_stop_words = 3"])
    assert rules.model_copy(update={"preset": "gopher"}) == RulesConfig(
        preset="gopher", language="de", max_top_trigram=0.25, max_words=None, min_stop_words=3
    )
    assert changed(run, None, ["language=null", "max_words=1_000"]) == run.model_copy(
        update={"language": None, "max_words": 1000}
    )


@pytest.mark.parametrize(
    ("settings", "preset", "error"),
    [
        (["top_trigram=.1"], None, "there is no rule top_trigram; did you mean max_top_trigram"),
        (["max_top_trigam=.1"], None, "there is no rule max_top_trigam; did you mean max_top_trigram"),
        (["xyz=1"], None, "there is no rule xyz; there are measured_on, language, "),
        (["preset=gopher"], None, "there is no rule preset"),
        (["min_words"], None, "--set min_words: has no value; write KEY=VALUE"),
        (["min_words=many"], None, "--set min_words=many: input should be a valid integer"),
        (["max_duplicate_lines=1.5"], None, "input should be less than or equal to 1"),
        ([], "gofer", "there is no preset gofer; did you mean gopher"),
    ],
)
def test_mistakes_name_what_was_meant(settings: list[str], preset: str | None, error: str) -> None:
    with pytest.raises(GroundupError, match=error):
        changed(RulesConfig(), preset, settings)


def test_the_rules_of_an_artifact() -> None:
    stored = CurateConfig(sources=[{"kind": "python-docs"}], rules=STRICT).result_affecting()
    assert rules_of(stored, "here").model_copy(update={"preset": "gopher"}) == STRICT
    with pytest.raises(GroundupError, match="here: was made by a version of groundup with other rules"):
        rules_of({"rules": {"max_symbols_per_word": 1}}, "here")
