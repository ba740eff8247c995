"""All steps of curation in one run: each document meets one of them, and the ledger says which."""

import json
from dataclasses import asdict
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from groundup.corpus.configuration import CurateConfig
from groundup.corpus.curate.curation import curate
from groundup.corpus.curate.partitions import Given
from groundup.corpus.documents import DOCUMENTS, Document, Fact, document_id, read_documents, write_documents
from groundup.corpus.ledger import LEDGER, LedgerEntry, entry, read_ledger

GOOD = "The theorem follows from the lemma by induction, and the proof of the lemma rests on the definition."
BAD = "Click here to buy cheap watches now, best offer, free shipping, click click buy now today."
EXAM = "Which of the animals of the northern forest sleeps through the winter in a cave and eats salmon in summer?"
MENU = "Home and services and about us and contact and careers and the imprint of this site."
EARLIER = " ".join(f"An earlier run has kept its sentence number {n} about the theorem and proof." for n in range(20))


def plain(name: str) -> str:
    """A good text that says something of its own."""
    own = " ".join(
        f"Of the {name} {what} we know that the lemma of {name} holds." for what in ("ring", "field", "group")
    )
    return f"{GOOD}\n{own}"


TEXTS = {
    "url": plain("Abel"),
    "card": f"{plain('Bernoulli')}\nPay with 4111 1111 1111 1111 now, as the theorem says.",
    "mail": f"{plain('Cauchy')}\nWrite to jo.bloggs@mail.net if the lemma of the theorem fails you.",
    "lines": f"{plain('Dirichlet')}\nRead our privacy policy and the terms of use of this theorem.",
    "exam": f"{plain('Euler')}\n{EXAM}",
    "bad": " ".join([BAD, *(f"Offer {n} is the best offer now, buy it today." for n in range(9))]),
    "known": EARLIER,
    "menu 1": f"{MENU}\n{plain('Fermat')}",
    "menu 2": f"{MENU}\n{plain('Gauss')}",
    "menu 3": f"{MENU}\n{plain('Hilbert')}",
    "only menu": f"{MENU}\nAnd so it is said.",
}


Ledger = dict[str, LedgerEntry]


def prepared(base: Path, **more: object) -> CurateConfig:
    """A configuration in which every step is on, with the files that it names."""
    (base / "exam.jsonl").write_text(json.dumps({"question": EXAM, "answer": "the brown bear"}) + "\n")
    rows = [{"text": f"{GOOD} {n}", "label": 1} for n in range(60)] + [
        {"text": f"{BAD} {n}", "label": 0} for n in range(60)
    ]
    (base / "labelled.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (base / "blocked.txt").write_text("spam.example\n")
    write_documents(base / "before", [Document(document_id(EARLIER), EARLIER, "Earlier", "before", "e")])
    sections: dict[str, object] = {
        "sources": [{"kind": "python-docs"}],
        "urls": {"block_domains": "blocked.txt"},
        "lines": {"policies": True},
        "redaction": {"card": "drop"},
        "contamination": {"sets": [{"path": "exam.jsonl"}]},
        "quality": {"train": {"labelled": ["labelled.jsonl"], "epochs": 2}, "threshold": 0.5},
        "near_duplicates": {"earlier": ["before"]},
        "repeated_lines": {"least_documents": 3, "least_words": 10, "least_words_left": 6},
    }
    return CurateConfig.model_validate(sections | more)


def run(config: CurateConfig, base: Path, parts: int, name: str = "out") -> tuple[dict, Ledger, Path]:
    """`(figures, ledger by origin, the folder of the result)`"""
    out = base / f"{name}-{parts}"
    out.mkdir()
    found = [
        Document(
            document_id(text), text, f"{origin}: jo@mail.net", "s", origin, "CC0",
            facts=(Fact(origin, "summary", "Ask ann.lee@mail.net."),),
            url="http://www.spam.example/x" if origin == "url" else "",
        )
        for origin, text in TEXTS.items()
    ]  # fmt: skip
    dealt = [Given(tuple(found[part::parts]), "s") for part in range(parts)]
    figures = curate(dealt, config, out, base / f"{name}-keep-{parts}", base)
    rows = [entry(row) for batch in read_ledger(out / LEDGER) for row in batch.to_pylist()]
    return figures, {row.origin: row for row in rows}, out


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict, Ledger, Path]:
    base = tmp_path_factory.mktemp("every")
    return run(prepared(base), base, 1)


def test_each_document_ends_by_its_step(done: tuple[dict, Ledger, Path]) -> None:
    figures, rows, out = done
    assert {name: row.rule for name, row in rows.items() if row.rule} == {
        "url": "url-domain",
        "card": "contains-card",
        "exam": "contamination",
        "bad": "quality",
        "known": "exact-duplicate",
        "only menu": "repeated-lines",
    }
    assert rows["exam"].duplicate_of == "exam.jsonl:1"
    assert rows["known"].duplicate_of == document_id(EARLIER)
    assert rows["bad"].value is not None and rows["bad"].value < rows["bad"].threshold == 0.5
    assert [step["step"] for step in figures["funnel"]] == [
        *("found", "read", "redaction", "urls", "lines", "rules", "contamination"),
        *("quality", "exact duplicates", "near-duplicates", "repeated"),
    ]
    assert [step["documents"] for step in figures["funnel"]] == [11, 11, 10, 9, 9, 9, 8, 7, 6, 6, 5]
    assert json.loads(json.dumps(figures)) == figures
    documents = {one.origin: one for one in read_documents(out / DOCUMENTS)}
    assert documents.keys() == {"mail", "lines", "menu 1", "menu 2", "menu 3"}
    assert "privacy policy" not in documents["lines"].text
    assert sum(MENU in one.text for one in documents.values()) == 1
    for one in documents.values():
        assert one.quality is not None and one.quality == rows[one.origin].quality
        assert one.language == rows[one.origin].language == "en"


def test_nothing_that_is_redacted_is_written_anywhere(done: tuple[dict, Ledger, Path]) -> None:
    """Not in texts, titles, facts and excerpts, whatever became of the document."""
    figures, rows, out = done
    (mail,) = (one for one in read_documents(out / DOCUMENTS) if one.origin == "mail")
    assert "<email>" in mail.text and "<email>" in mail.title and mail.facts[0].answer == "Ask <email>."
    assert rows["mail"].measured["redacted_email"] == rows["card"].measured["redacted_card"] == 1
    assert figures["redactions"] == {"card": 1, "email": 1}
    for folder in (DOCUMENTS, LEDGER):
        for path in (out / folder).iterdir():
            said = json.dumps(pq.read_table(path).to_pylist())
            assert "@" not in said
            assert "4111" not in said


def test_the_account_names_the_item(done: tuple[dict, Ledger, Path]) -> None:
    figures, rows, out = done
    (row,) = pq.read_table(out / "contamination").to_pylist()
    assert (row["set"], row["line"], row["document"]) == ("exam.jsonl", 1, rows["exam"].id)
    assert figures["contamination"] == [{"set": "exam.jsonl", "items": 1, "too_short": 0, "found": 1, "documents": 1}]


def test_the_trained_classifier_can_be_used_again(done: tuple[dict, Ledger, Path], tmp_path: Path) -> None:
    _, rows, out = done
    config = prepared(tmp_path, quality={"model": str(out / "quality"), "threshold": 0.5})
    _, again, _ = run(config, tmp_path, 1)
    assert {name: row.quality for name, row in again.items()} == {name: row.quality for name, row in rows.items()}


def test_the_cut_of_the_input_changes_nothing(done: tuple[dict, Ledger, Path], tmp_path: Path) -> None:
    figures, rows, _ = run(prepared(tmp_path), tmp_path, 4)
    assert figures == done[0]
    assert {name: asdict(row) for name, row in rows.items()} == {name: asdict(row) for name, row in done[1].items()}


def test_paragraphs_of_items_are_cut_out_where_that_is_wanted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cutting = {"sets": [{"path": "exam.jsonl"}], "on_match": "cut", "least_words_left": 5}
    config = prepared(tmp_path, contamination=cutting, repeated_lines=None)
    monkeypatch.setitem(TEXTS, "exam", f"{plain('Euler')}\n\n{EXAM}\n\nAnd this is what the theorem says of bears.")
    figures, rows, out = run(config, tmp_path, 2)
    assert rows["exam"].rule == ""
    (exam,) = (one for one in read_documents(out / DOCUMENTS) if one.origin == "exam")
    assert exam.text == f"{plain('Euler')}\n\nAnd this is what the theorem says of bears."
    assert exam.id == document_id(exam.text) == rows["exam"].id
    assert figures["decontamination"] == {"paragraphs": 1, "bytes": len(EXAM)}
    (row,) = pq.read_table(out / "contamination").to_pylist()
    assert row["document"] == exam.id
